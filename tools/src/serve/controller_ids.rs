//! `--controller-ids FIRST-LAST`.

use std::{ops::RangeInclusive, str::FromStr};

use dataplane::node::CONTROLLER_IDS;

/// Identifiers that this node's controllers may have; not empty, none of them reserved.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ControllerIds(pub(crate) RangeInclusive<u16>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not FIRST-LAST with numbers from {first} to {last}, as in 1-32000",
    first = CONTROLLER_IDS.start(),
    last = CONTROLLER_IDS.end()
)]
pub(crate) struct ControllerIdsError(String);

impl Default for ControllerIds {
    fn default() -> Self {
        Self(CONTROLLER_IDS)
    }
}

impl FromStr for ControllerIds {
    type Err = ControllerIdsError;

    fn from_str(text: &str) -> Result<Self, ControllerIdsError> {
        let id = |text: &str| text.trim().parse().ok().filter(|id| CONTROLLER_IDS.contains(id));
        let ends = text.split_once('-').and_then(|(first, last)| Some((id(first)?, id(last)?)));
        match ends {
            Some((first, last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(ControllerIdsError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_identifiers_that_exist() {
        for (text, expected) in [("1-65519", 1..=65519), ("7-7", 7..=7), ("100 - 200", 100..=200)] {
            assert_eq!(text.parse(), Ok(ControllerIds(expected)), "{text}");
        }
        for text in ["", "7", "0-7", "7-65520", "8-7", "1-2-3", "a-b", "-1-7", "0x1-0x7"] {
            assert_eq!(text.parse::<ControllerIds>(), Err(ControllerIdsError(text.into())), "{text}");
        }
    }
}
