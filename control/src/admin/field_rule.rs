//! What a text field of an uploaded document may hold (admin.md §5.7, §5.10).

use std::fmt;

use serde_json::{Map, Value};

pub(super) struct Rule {
    pub(super) key: &'static str,
    pub(super) required: bool,
    letters: Letters,
    shortest: usize,
    longest: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Letters {
    Digits,
    Alphanumeric,
    /// Alphanumeric, and these.
    And(&'static str),
    /// Hexadecimal digits, and these.
    HexAnd(&'static str),
    /// Printable ASCII without the space.
    Graphic,
}

/// Names the field and what is wrong with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidField(pub(super) String);

impl Letters {
    fn take(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::Alphanumeric => c.is_ascii_alphanumeric(),
            Self::And(more) => c.is_ascii_alphanumeric() || more.contains(c),
            Self::HexAnd(more) => c.is_ascii_hexdigit() || more.contains(c),
            Self::Graphic => c.is_ascii_graphic(),
        }
    }
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Alphanumeric => f.write_str("letters and digits"),
            Self::And(more) => write!(f, "letters, digits and {more}"),
            Self::HexAnd(more) => write!(f, "hexadecimal digits and {more}"),
            Self::Graphic => f.write_str("printable ASCII without spaces"),
        }
    }
}

impl Rule {
    /// Of a field that may be missing.
    pub(super) const fn optional(
        key: &'static str,
        letters: Letters,
        shortest: usize,
        longest: usize,
    ) -> Self {
        Self { key, required: false, letters, shortest, longest }
    }

    pub(super) const fn required(
        key: &'static str,
        letters: Letters,
        shortest: usize,
        longest: usize,
    ) -> Self {
        Self { required: true, ..Self::optional(key, letters, shortest, longest) }
    }

    /// An empty text counts as none. `object`: what the fields belong to, for people.
    pub(super) fn read(
        &self,
        object: &str,
        fields: &Map<String, Value>,
    ) -> Result<Option<String>, InvalidField> {
        let invalid = |why: String| Err(InvalidField(format!("{object}.{} {why}", self.key)));
        let text = match fields.get(self.key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            // Some clients send numbers as such.
            Some(Value::Number(number)) if matches!(self.letters, Letters::Digits) => number.to_string(),
            Some(_) => return invalid("must be text".to_owned()),
        };
        match text.chars().count() {
            0 if self.required => invalid("is missing".to_owned()),
            0 => Ok(None),
            n if n < self.shortest || n > self.longest => {
                invalid(format!("must have {} to {} characters", self.shortest, self.longest))
            }
            _ if !text.chars().all(|c| self.letters.take(c)) => {
                invalid(format!("may hold {} only", self.letters))
            }
            _ => Ok(Some(text)),
        }
    }

    pub(super) fn require(&self, object: &str, fields: &Map<String, Value>) -> Result<String, InvalidField> {
        self.read(object, fields).map(Option::unwrap_or_default)
    }
}
