//! What is installed here: version, changes, build (admin.md §5.6).

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::ControlConfig;

/// What people are told of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) version: String,
    /// For people.
    pub(crate) changelog: String,
    /// An object with at least `builddate`: Unix seconds, as text.
    pub(crate) build: Value,
}

impl Release {
    /// The one that this program was compiled as.
    pub(crate) fn compiled(config: &ControlConfig) -> Self {
        let committed = OffsetDateTime::parse(&config.commit_date, &Rfc3339);
        let seconds = committed.map_or(0, OffsetDateTime::unix_timestamp);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            changelog: include_str!("changelog.txt").to_owned(),
            build: json!({ "builddate": seconds.to_string(), "commit": config.commit }),
        }
    }
}
