//! What a request of the role API says, in its body or in its URL (role.md §1). Clients write lists in three ways:
//! JSON, text with commas, and the notation of Python.

mod python;

use serde_json::{Map, Value};

/// Fields of a body, or arguments of a URL, which are all text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(pub(crate) Map<String, Value>);

/// A value that may be left alone, emptied or set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given<T> {
    Absent,
    Empty,
    Value(T),
}

impl<T> Given<T> {
    /// What takes the place of `old`.
    pub(crate) fn or(self, old: T) -> T
    where
        T: Default,
    {
        match self {
            Self::Absent => old,
            Self::Empty => T::default(),
            Self::Value(new) => new,
        }
    }
}

/// Names the argument and says what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {must_be}")]
pub(crate) struct ArgumentError {
    name: String,
    must_be: &'static str,
}

impl ArgumentError {
    pub(crate) fn new(name: &str, must_be: &'static str) -> Self {
        Self { name: name.to_owned(), must_be }
    }
}

type Read<T> = Result<T, ArgumentError>;

impl Arguments {
    pub(crate) fn of_query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect())
    }

    /// The value, unless it is absent or `null`.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// `None`, as some clients write what they do not set, and empty text are absent.
    pub(crate) fn text(&self, name: &str) -> Read<Option<&str>> {
        match self.raw(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|t| !t.is_empty() && *t != "None")),
            Some(_) => Err(ArgumentError::new(name, "a string")),
        }
    }

    pub(crate) fn need(&self, name: &str) -> Read<&str> {
        self.text(name)?.ok_or_else(|| ArgumentError::new(name, "given"))
    }

    /// In any case; anything but the two words is refused.
    pub(crate) fn truth(&self, name: &str, otherwise: bool) -> Read<bool> {
        match self.raw(name) {
            None => Ok(otherwise),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::String(text)) if text.is_empty() || text == "None" => Ok(otherwise),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(ArgumentError::new(name, "true or false")),
        }
    }

    /// A number, or its text; anything else counts as absent.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        match self.raw(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// 0 is any port; what is no number is 0.
    pub(crate) fn port(&self) -> Read<u16> {
        let port = self.number("port").unwrap_or(0);
        u16::try_from(port).map_err(|_| ArgumentError::new("port", "at most 65535"))
    }

    /// The machine's instance id.
    pub(crate) fn cuk(&self) -> Read<Option<String>> {
        Ok(self.text("cuk")?.map(str::trim).filter(|cuk| !cuk.is_empty()).map(str::to_owned))
    }

    /// A list of texts; one text with commas is one, too.
    pub(crate) fn texts(&self, name: &str) -> Read<Given<Vec<String>>> {
        let must_be = || ArgumentError::new(name, "a list of strings");
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            _ => Err(must_be()),
        };
        let list = match self.structured(name) {
            None => return Ok(Given::Absent),
            Some(Value::Array(list)) => list.into_iter().map(text).collect::<Read<Vec<_>>>()?,
            Some(Value::String(text)) => {
                text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
            }
            Some(_) => return Err(must_be()),
        };
        Ok(if list.is_empty() { Given::Empty } else { Given::Value(list) })
    }

    pub(crate) fn object(&self, name: &str) -> Read<Given<Map<String, Value>>> {
        match self.structured(name) {
            None => Ok(Given::Absent),
            Some(Value::Object(map)) if map.is_empty() => Ok(Given::Empty),
            Some(Value::Object(map)) => Ok(Given::Value(map)),
            Some(Value::String(text)) if text.is_empty() => Ok(Given::Empty),
            Some(_) => Err(ArgumentError::new(name, "an object")),
        }
    }

    /// Text that is a list or object in one of the notations is read as it.
    pub(crate) fn structured(&self, name: &str) -> Option<Value> {
        match self.raw(name)? {
            Value::String(text) if text == "None" => None,
            Value::String(text) if text.starts_with(['[', '{', '"', '\'']) => {
                let read = serde_json::from_str(text).ok().or_else(|| python::parse(text));
                Some(read.unwrap_or_else(|| Value::from(text.as_str())))
            }
            value => Some(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Value) -> Arguments {
        Arguments(value.as_object().unwrap().clone())
    }

    #[test]
    fn lists_in_every_notation() {
        let list = |value: Value| arguments(json!({ "a": value })).texts("a");
        let two = Ok(Given::Value(vec!["x".to_owned(), "y".to_owned()]));
        for value in
            [json!(["x", "y"]), json!("x,y"), json!(" x , y "), json!("['x', 'y']"), json!("[\"x\",\"y\"]")]
        {
            assert_eq!(list(value.clone()), two, "{value}");
        }
        for value in [json!(""), json!([]), json!("[]")] {
            assert_eq!(list(value), Ok(Given::Empty));
        }
        for value in [Value::Null, json!("None")] {
            assert_eq!(list(value), Ok(Given::Absent));
        }
        for value in [json!(7), json!([7]), json!({}), json!("{'a': 1}")] {
            assert!(list(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn what_clients_leave_unset() {
        let a = arguments(json!({"cuk": "None", "port": "x", "expand": "True", "host": ""}));
        assert_eq!((a.cuk(), a.port(), a.truth("expand", false)), (Ok(None), Ok(0), Ok(true)));
        assert_eq!(a.text("host"), Ok(None));
        assert_eq!(a.need("host").unwrap_err().to_string(), "host must be given");
        assert!(arguments(json!({"port": 70000})).port().is_err());
        assert!(arguments(json!({"expand": "yes"})).truth("expand", true).is_err());
    }
}
