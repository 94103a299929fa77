//! The fields of a JSON object, read one by one: each refusal names the field and the reason.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::envelope::Failure;

/// An object of a request body. Unknown fields are ignored, `null` is absent (D4).
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// `storageClass.` for a nested object; begins the field names in descriptions.
    prefix: &'a str,
}

/// Whole numbers above this are refused everywhere: no quantity of the API comes near, and products of two of
/// them by a constant still fit.
pub(crate) const LARGEST: u64 = 1 << 53;

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, prefix: "" }
    }

    /// Fails for a field that must be there.
    pub(crate) fn require<T>(&self, name: &str, value: Option<T>) -> Result<T, Failure> {
        value.ok_or_else(|| Failure::of_field(format!("{}{name}", self.prefix), "is required"))
    }

    /// The value under the field's name, or under one of the other spellings that clients use (D4).
    fn get(&self, name: &str) -> Option<&'a Value> {
        let other = match name {
            "zone" => "Zone",
            "protocol" => "Protocol",
            "name" => "Name",
            "certified" => "Certified",
            "sameRackAllowed" => "sameRackAllowd",
            _ => name,
        };
        [name, other].iter().find_map(|n| self.map.get(*n)).filter(|v| !v.is_null())
    }

    fn typed<T>(
        &self,
        name: &str,
        must_be: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => {
                    Err(Failure::of_field(format!("{}{name}", self.prefix), format!("must be {must_be}")))
                }
            },
        }
    }

    /// A string of at most `longest` characters.
    pub(crate) fn text(&self, name: &str, longest: usize) -> Result<Option<&'a str>, Failure> {
        self.typed(name, &format!("a string of at most {longest} characters"), |v| {
            v.as_str().filter(|s| s.chars().count() <= longest)
        })
    }

    /// A name that goes into paths and logs: 1 to `longest` characters, no control characters, no `/`.
    pub(crate) fn label(&self, name: &str, longest: usize) -> Result<Option<&'a str>, Failure> {
        let must_be = format!("1 to {longest} characters, none of them '/' or a control character");
        self.typed(name, &must_be, |v| {
            v.as_str().filter(|s| {
                (1..=longest).contains(&s.chars().count()) && !s.chars().any(|c| c == '/' || c.is_control())
            })
        })
    }

    /// One of the words, exactly as written.
    pub(crate) fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let listed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.typed(name, &format!("one of {}", listed.join(", ")), |v| {
            let text = v.as_str()?;
            words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
        })
    }

    pub(crate) fn whole(&self, name: &str) -> Result<Option<u64>, Failure> {
        self.typed(name, &format!("a whole number from 0 to {LARGEST}"), whole)
    }

    /// Signed, for fields whose range the caller judges.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, Failure> {
        self.typed(name, "a whole number", Value::as_i64)
    }

    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Failure> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// A canonical RFC 4122 UUID, not the nil one: hosts find their disks by it (D22).
    pub(crate) fn uuid(&self, name: &str) -> Result<Option<Uuid>, Failure> {
        self.typed(name, "a UUID such as 6ba7b810-9dad-41d1-80b4-00c04fd430c8", |v| {
            v.as_str().and_then(parse_uuid)
        })
    }

    /// A list of strings; `null` members are dropped (D52).
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Failure> {
        self.typed(name, "a list of strings", |v| {
            v.as_array()?
                .iter()
                .filter(|member| !member.is_null())
                .map(|member| member.as_str().map(str::to_owned))
                .collect()
        })
    }

    /// The field's value as it is, for rules of its own.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.get(name)
    }

    /// A nested object; `prefix` (`name.`) begins the names of its fields in descriptions.
    pub(crate) fn object(&self, name: &str, prefix: &'a str) -> Result<Option<Self>, Failure> {
        Ok(self.typed(name, "a JSON object", Value::as_object)?.map(|map| Self { map, prefix }))
    }
}

pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().filter(|n| *n <= LARGEST)
}

/// Hyphenated, any case, not nil.
pub(crate) fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().filter(|uuid| !uuid.is_nil())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with<T>(value: Value, read: impl FnOnce(Fields<'_>) -> T) -> T {
        read(Fields::new(value.as_object().unwrap()))
    }

    #[test]
    fn null_is_absent_and_unknown_fields_are_ignored() {
        with(json!({"alias": null, "other": 1}), |f| {
            assert_eq!(f.label("alias", 255), Ok(None));
            assert!(f.require("alias", None::<()>).unwrap_err().description.contains("alias is required"));
        });
    }

    #[test]
    fn the_other_spellings() {
        with(json!({"Zone": "z", "Protocol": "Local", "Name": "n", "sameRackAllowd": true}), |f| {
            assert_eq!(f.text("zone", 9), Ok(Some("z")));
            assert_eq!(f.word("protocol", &[("Local", 1)]), Ok(Some(1)));
            assert_eq!(f.text("name", 9), Ok(Some("n")));
            assert_eq!(f.truth("sameRackAllowed"), Ok(Some(true)));
        });
        with(json!({"Alias": "a"}), |f| assert_eq!(f.text("alias", 9), Ok(None)));
    }

    #[test]
    fn wrong_types_are_refused_by_name() {
        let body = json!({
            "n": -1, "s": 5, "b": "true", "u": "not-a-uuid", "l": [1], "o": [], "w": "thick",
            "big": 1e300, "nil": "00000000-0000-0000-0000-000000000000", "slash": "a/b", "empty": "",
            "bell": "a\u{7}", "long": "x".repeat(256),
        });
        with(body, |f| {
            let refused = [
                f.whole("n").map(drop),
                f.whole("big").map(drop),
                f.text("s", 9).map(drop),
                f.truth("b").map(drop),
                f.uuid("u").map(drop),
                f.uuid("nil").map(drop),
                f.texts("l").map(drop),
                f.object("o", "o.").map(drop),
                f.word("w", &[("THICK", ())]).map(drop),
                f.label("slash", 255).map(drop),
                f.label("empty", 255).map(drop),
                f.label("bell", 255).map(drop),
                f.label("long", 255).map(drop),
            ];
            let names = ["n", "big", "s", "b", "u", "nil", "l", "o", "w", "slash", "empty", "bell", "long"];
            for (refused, name) in refused.into_iter().zip(names) {
                let description = refused.unwrap_err().description;
                assert!(description.starts_with(&format!("{name} must be ")), "{description}");
            }
        });
    }
}
