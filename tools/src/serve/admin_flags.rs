//! The administration API's part of the flags, and the table `[admin]` of the configuration file.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use control::{AdminConfig, AdminGroup, ControlError};
use serde::Deserialize;

/// A node with many and full drives takes minutes after a crash.
const RELEASE_LIMIT: Duration = Duration::from_secs(300);

/// Absent means the default; a JSON file of the reference wins over the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AdminFlags {
    /// Optional groups of the administration API that are switched on, separated by commas [default: settings,certs,backup]
    #[arg(long = "admin-endpoints", value_name = "GROUP,…", value_delimiter = ',')]
    endpoints: Option<Vec<AdminGroup>>,

    /// Whether a first start makes a passphrase, credentials/setup-token, with which the administration token is set.
    /// Without, whoever asks first from this machine sets it [default: true]
    #[arg(long = "admin-first-run", value_name = "BOOL")]
    first_run: Option<bool>,

    /// A JSON file that says which groups, form fields and first start there are, instead of these flags
    #[arg(id = "admin-config", long = "admin-config", value_name = "FILE")]
    config: Option<PathBuf>,

    /// The pass phrase (first line) that release packages are encrypted with
    #[arg(long, value_name = "FILE")]
    update_key: Option<PathBuf>,

    /// The public key (PEM) that release packages are signed with
    #[arg(long, value_name = "FILE")]
    release_key: Option<PathBuf>,

    /// How long a new release may take until it is ready; then the one before serves again [default: 300]
    #[arg(long, value_name = "SECONDS")]
    release_seconds: Option<NonZeroU32>,

    /// The public RSA key (PEM) of those who may read debug bundles
    #[arg(long, value_name = "FILE")]
    support_key: Option<PathBuf>,
}

impl AdminFlags {
    /// These flags, and what they leave open from `file`.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            endpoints: self.endpoints.or(file.endpoints),
            first_run: self.first_run.or(file.first_run),
            config: self.config.or(file.config),
            update_key: self.update_key.or(file.update_key),
            release_key: self.release_key.or(file.release_key),
            release_seconds: self.release_seconds.or(file.release_seconds),
            support_key: self.support_key.or(file.support_key),
        }
    }

    /// See [`release_seconds`](Self::release_seconds).
    pub(crate) fn release_limit(&self) -> Duration {
        self.release_seconds.map_or(RELEASE_LIMIT, |seconds| Duration::from_secs(seconds.get().into()))
    }

    /// Reads the JSON file, if there is one.
    pub(crate) fn to_config(&self) -> Result<AdminConfig, ControlError> {
        let mut config = match &self.config {
            Some(path) => AdminConfig::from_json_file(path)?,
            None => self.without_file(),
        };
        config.update_key.clone_from(&self.update_key);
        config.release_key.clone_from(&self.release_key);
        config.support_key.clone_from(&self.support_key);
        Ok(config)
    }

    fn without_file(&self) -> AdminConfig {
        let mut config = AdminConfig::default();
        if let Some(endpoints) = &self.endpoints {
            config.groups = endpoints.iter().copied().collect();
        }
        if self.first_run == Some(false) {
            config.first_run_words = None;
        }
        config
    }
}
