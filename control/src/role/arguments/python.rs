//! Python's way to write lists and dictionaries, as `str()` makes it.

use std::{iter::Peekable, str::Chars};

use serde_json::{Map, Value};

/// Lists in lists in lists: nobody needs more.
const DEPTH: u8 = 16;

/// `None` if the text is no such value.
pub(super) fn parse(text: &str) -> Option<Value> {
    let mut rest = text.chars().peekable();
    let value = value(&mut rest, DEPTH)?;
    skip_blanks(&mut rest);
    rest.next().is_none().then_some(value)
}

fn value(rest: &mut Peekable<Chars<'_>>, depth: u8) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    skip_blanks(rest);
    match rest.peek()? {
        '\'' | '"' => string(rest).map(Value::String),
        '[' => list(rest, depth),
        '{' => dictionary(rest, depth),
        _ => word(rest),
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}

/// The next character after blanks, if it is that one.
fn take(rest: &mut Peekable<Chars<'_>>, wanted: char) -> Option<char> {
    skip_blanks(rest);
    rest.next_if_eq(&wanted)
}

fn list(rest: &mut Peekable<Chars<'_>>, depth: u8) -> Option<Value> {
    take(rest, '[')?;
    let mut items = Vec::new();
    while take(rest, ']').is_none() {
        if !items.is_empty() {
            take(rest, ',')?;
        }
        items.push(value(rest, depth)?);
    }
    Some(Value::Array(items))
}

fn dictionary(rest: &mut Peekable<Chars<'_>>, depth: u8) -> Option<Value> {
    take(rest, '{')?;
    let mut items = Map::new();
    while take(rest, '}').is_none() {
        if !items.is_empty() {
            take(rest, ',')?;
        }
        skip_blanks(rest);
        let key = string(rest)?;
        take(rest, ':')?;
        items.insert(key, value(rest, depth)?);
    }
    Some(Value::Object(items))
}

fn string(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let quote = rest.next_if(|c| ['\'', '"'].contains(c))?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | '\'' | '"') => c,
                _ => return None,
            }),
            c if c == quote => return Some(text),
            c => text.push(c),
        }
    }
}

fn word(rest: &mut Peekable<Chars<'_>>) -> Option<Value> {
    let mut word = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || ['.', '-', '+'].contains(c)) {
        word.push(c);
    }
    match word.as_str() {
        "None" => Some(Value::Null),
        "True" => Some(Value::Bool(true)),
        "False" => Some(Value::Bool(false)),
        number => serde_json::from_str(number).ok().filter(Value::is_number),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn texts_read_back(texts in vec(any::<String>(), 0..5)) {
            let quoted = texts.iter().map(|text| text.replace('\\', r"\\").replace('\'', r"\'"));
            let quoted: Vec<String> = quoted.map(|text| format!("'{text}'")).collect();
            prop_assert_eq!(parse(&format!("[{}]", quoted.join(", "))), Some(json!(texts)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in r#"[\[\]{}'",:\\ aNone0.-]{0,40}"#) {
            let _ = parse(&text);
        }
    }

    #[test]
    fn what_python_writes() {
        let cases = [
            ("[]", json!([])),
            ("['a', \"it's\"]", json!(["a", "it's"])),
            ("{'a': 'b', 'c': [1, -2.5, None, True]}", json!({"a": "b", "c": [1, -2.5, null, true]})),
            (r"'a\'b\n'", json!("a'b\n")),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "[", "['a'", "['a' 'b']", "{'a'}", "{1: 2}", "[true]", "'a' x", r"'\x41'", "[1,]"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(10_000)), None, "depth is bounded");
    }
}
