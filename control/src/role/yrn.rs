//! Names of things in the role API: `yrn:yahoo:<service>:<region>:<tenant>:<type>[:<path>]` (role.md §1.1).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::records::Action;
use crate::limits;

const BEGIN: &str = "yrn:yahoo:";

/// What belongs to a tenant and has a name in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Role,
    Policy,
    Resource,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Role, Self::Policy, Self::Resource];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Policy => "policy",
            Self::Resource => "resource",
        }
    }
}

/// The full name of a role, policy or resource, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ObjectYrn {
    pub(crate) kind: Kind,
    /// The tenant's name.
    pub(crate) tenant: String,
    /// `r` or `r/sub`; a policy's has no `/`.
    pub(crate) path: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Yrn {
    Object(ObjectYrn),
    Action(Action),
    User(String),
    Tenant(String),
}

/// Why a text names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum YrnError {
    #[error("{0:?} does not begin with {BEGIN}")]
    NoYrn(String),
    #[error("{0:?} names a service or a region, and there are none")]
    Service(String),
    #[error("{0:?} is of no known type")]
    Type(String),
    #[error("{0:?} is no action: there are read and write")]
    Action(String),
    #[error(
        "{0:?} is no name of a tenant: 1 to {longest} characters, none of them ':', '/' or a control character",
        longest = limits::NAME_CHARS
    )]
    Tenant(String),
    #[error(
        "{0:?} is no name: 1 to {longest} characters, no control character, and no part of it empty",
        longest = limits::NAME_CHARS
    )]
    Name(String),
    #[error("{given:?} is no {}", wanted.word())]
    OtherKind { given: String, wanted: Kind },
}

impl ObjectYrn {
    /// From a path as clients write it.
    pub(crate) fn new(kind: Kind, tenant: &str, path: &str) -> Result<Self, YrnError> {
        let (tenant, path) = (tenant_name(tenant)?, path.to_lowercase());
        let part = |part: &str| !part.is_empty() && !part.chars().any(char::is_control);
        let fits = path.chars().count() <= limits::NAME_CHARS && path.split('/').all(part);
        match fits && !(kind == Kind::Policy && path.contains('/')) {
            true => Ok(Self { kind, tenant, path }),
            false => Err(YrnError::Name(path)),
        }
    }

    /// A full name that must be of that kind.
    pub(crate) fn parse_as(kind: Kind, text: &str) -> Result<Self, YrnError> {
        match text.parse()? {
            Yrn::Object(object) if object.kind == kind => Ok(object),
            _ => Err(YrnError::OtherKind { given: text.to_owned(), wanted: kind }),
        }
    }

    /// Where it is kept among the records of its kind.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.path)
    }

    /// Of the same kind, from the outermost on, without itself.
    pub(crate) fn parents(&self) -> impl Iterator<Item = Self> {
        let ends: Vec<usize> = self.path.match_indices('/').map(|(at, _)| at).collect();
        let (kind, tenant, path) = (self.kind, self.tenant.clone(), self.path.clone());
        ends.into_iter().map(move |end| Self { kind, tenant: tenant.clone(), path: path[..end].to_owned() })
    }
}

/// A tenant's name in lower case.
fn tenant_name(text: &str) -> Result<String, YrnError> {
    let bad = |c: char| c == ':' || c == '/' || c.is_control();
    match (1..=limits::NAME_CHARS).contains(&text.chars().count()) && !text.chars().any(bad) {
        true => Ok(text.to_lowercase()),
        false => Err(YrnError::Tenant(text.to_owned())),
    }
}

impl FromStr for Yrn {
    type Err = YrnError;

    fn from_str(text: &str) -> Result<Self, YrnError> {
        let rest = text.strip_prefix(BEGIN).ok_or_else(|| YrnError::NoYrn(text.to_owned()))?;
        let mut parts = rest.splitn(5, ':');
        let mut next = || parts.next();
        let (Some(service), Some(region), Some(tenant)) = (next(), next(), next()) else {
            return Err(YrnError::Type(text.to_owned()));
        };
        if !service.is_empty() || !region.is_empty() {
            return Err(YrnError::Service(text.to_owned()));
        }
        let kind = |word: &str| Kind::ALL.into_iter().find(|kind| kind.word() == word);
        match (next(), next()) {
            (None, _) => Ok(Self::Tenant(tenant_name(tenant)?)),
            (Some("action"), Some(name)) if tenant.is_empty() => {
                Ok(Self::Action(Action::parse(name).ok_or_else(|| YrnError::Action(text.to_owned()))?))
            }
            (Some("user"), Some(name)) if tenant.is_empty() && !name.is_empty() => {
                Ok(Self::User(name.to_owned()))
            }
            (Some(word), Some(path)) => match kind(word) {
                Some(kind) => Ok(Self::Object(ObjectYrn::new(kind, tenant, path)?)),
                None => Err(YrnError::Type(text.to_owned())),
            },
            (Some(_), None) => Err(YrnError::Type(text.to_owned())),
        }
    }
}

impl fmt::Display for ObjectYrn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{BEGIN}::{}:{}:{}", self.tenant, self.kind.word(), self.path)
    }
}

impl fmt::Display for Yrn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::Action(action) => write!(f, "{BEGIN}:::action:{}", action.word()),
            Self::User(name) => write!(f, "{BEGIN}:::user:{name}"),
            Self::Tenant(name) => write!(f, "{BEGIN}::{name}"),
        }
    }
}

impl From<ObjectYrn> for String {
    fn from(yrn: ObjectYrn) -> Self {
        yrn.to_string()
    }
}

impl TryFrom<String> for ObjectYrn {
    type Error = YrnError;

    fn try_from(text: String) -> Result<Self, YrnError> {
        match text.parse()? {
            Yrn::Object(object) => Ok(object),
            _ => Err(YrnError::Type(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn every_form_reads_back() {
        let cases = [
            "yrn:yahoo:::demo:role:r1",
            "yrn:yahoo:::demo:role:a/b/c",
            "yrn:yahoo:::local@demo:policy:p",
            "yrn:yahoo:::demo:resource:volume/6ba7b810",
            "yrn:yahoo:::demo:resource:a:b",
            "yrn:yahoo::::action:read",
            "yrn:yahoo::::action:write",
            "yrn:yahoo::::user:alice",
            "yrn:yahoo:::demo",
        ];
        for text in cases {
            assert_eq!(text.parse::<Yrn>().unwrap().to_string(), text);
        }
        let upper = ObjectYrn::parse_as(Kind::Role, "yrn:yahoo:::Demo:role:R1/Sub").unwrap();
        assert_eq!(upper.key(), "demo/r1/sub");
        assert_eq!(upper.parents().map(|p| p.path).collect::<Vec<_>>(), ["r1"]);
    }

    #[test]
    fn other_texts_name_nothing() {
        let long = format!("yrn:yahoo:::demo:role:{}", "x".repeat(256));
        for text in [
            "",
            "r1",
            "yrn:google:::demo:role:r",
            "yrn:yahoo",
            "yrn:yahoo:::",
            "yrn:yahoo:svc::demo:role:r",
            "yrn:yahoo::eu:demo:role:r",
            "yrn:yahoo::::role:r",
            "yrn:yahoo:::demo:role",
            "yrn:yahoo:::demo:role:",
            "yrn:yahoo:::demo:role:a//b",
            "yrn:yahoo:::demo:role:a/",
            "yrn:yahoo:::demo:policy:a/b",
            "yrn:yahoo:::demo:host:a",
            "yrn:yahoo:::de/mo:role:a",
            "yrn:yahoo::::action:own",
            "yrn:yahoo::::user:",
            "yrn:yahoo:::demo:role:a\nb",
            &long,
        ] {
            assert!(text.parse::<Yrn>().is_err(), "{text}");
        }
        assert!(ObjectYrn::parse_as(Kind::Role, "yrn:yahoo:::demo:policy:p").is_err());
    }

    proptest::proptest! {
        /// Full names with a character put in, taken out or replaced.
        #[test]
        fn names_with_a_slip_are_refused_or_stay_the_same(which in 0usize..5, at in 0usize..40, with: Option<char>) {
            let names = ["yrn:yahoo:::demo:role:r1/sub", "yrn:yahoo:::demo:policy:p", "yrn:yahoo:::demo:resource:volume/1",
                "yrn:yahoo::::action:read", "yrn:yahoo:::demo"];
            let mut text: Vec<char> = names[which].chars().collect();
            let at = at % text.len();
            match with {
                Some(c) if c.is_alphabetic() => text.insert(at, c),
                Some(c) => text[at] = c,
                None => drop(text.remove(at)),
            }
            let text: String = text.into_iter().collect();
            if let Ok(yrn) = text.parse::<Yrn>() {
                proptest::prop_assert_eq!(yrn.to_string().parse::<Yrn>(), Ok(yrn));
            }
        }
    }

    /// Pieces in any order: whatever is accepted says the same when it is read again, and nothing panics.
    #[test]
    fn random_texts_are_refused_or_stay_the_same() {
        const PIECES: [&str; 18] = [
            "yrn", "yahoo", ":", ":", ":", ":", "/", "role", "policy", "resource", "action", "read", "user",
            "demo", "Ä", "\0", " ", "%3a",
        ];
        let mut accepted = 0;
        for _ in 0..20_000 {
            let picks: [u8; 12] = random::bytes();
            let length = usize::from(picks[0]) % picks.len();
            let pieces = picks[..length].iter().map(|pick| PIECES[usize::from(*pick) % PIECES.len()]);
            let tail: String = pieces.collect();
            for text in [format!("yrn:yahoo:::{tail}"), format!("yrn:yahoo:::demo:role:{tail}"), tail] {
                if let Ok(yrn) = text.parse::<Yrn>() {
                    accepted += 1;
                    assert_eq!(yrn.to_string().parse::<Yrn>(), Ok(yrn), "{text:?}");
                }
            }
        }
        assert!(accepted > 100, "{accepted}");
    }
}
