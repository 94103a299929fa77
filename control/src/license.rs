//! The licence (provisioner §4.7, D44): a JWT that the operator's vendor signed. Without one everything is allowed.

use std::path::Path;

use jsonwebtoken::{Validation, decode, decode_header};
use serde::{Deserialize, Serialize};

use crate::{
    ControlError,
    envelope::{Code, Failure},
    files,
    jwt_key::{Key, public_key},
    state::Record,
};

/// The public key that a file holds.
pub(crate) fn key(path: &Path) -> Result<Key, ControlError> {
    let text =
        files::read_if_there(path)?.ok_or_else(|| ControlError::bad_file(path, "there is no such file"))?;
    public_key(&text).ok_or_else(|| ControlError::bad_file(path, "holds no public RSA or EC key in PEM"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum LicenseType {
    Poc,
    Production,
}

impl LicenseType {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Poc => "POC",
            Self::Production => "PRODUCTION",
        }
    }
}

/// What a licence allows; its stored form and the claims of its token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct License {
    #[serde(rename = "type")]
    pub(crate) license_type: LicenseType,
    /// Seconds since the epoch; `None`: never.
    #[serde(rename = "exp", skip_serializing_if = "Option::is_none")]
    pub(crate) expires_seconds: Option<u64>,
    /// `None`: any number.
    #[serde(rename = "maxBackends", skip_serializing_if = "Option::is_none")]
    pub(crate) max_backends: Option<u64>,
}

impl Default for License {
    /// Where none is installed (D44).
    fn default() -> Self {
        Self { license_type: LicenseType::Poc, expires_seconds: None, max_backends: None }
    }
}

impl Record for License {
    const PREFIX: &'static str = "license/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

impl License {
    /// There is one.
    pub(crate) const KEY: &'static str = "installed";

    /// Reads a token; `key`: whose signature counts. `InvalidLicense` for any other.
    pub(crate) fn read(token: &str, key: Option<&Key>) -> Result<Self, Failure> {
        let invalid = |why: &str| Failure::new(Code::InvalidLicense, format!("the license {why}"));
        let Some(Key { key, algorithms }) = key else {
            return Err(invalid("cannot be checked: this server was given no --license-key"));
        };
        let header = decode_header(token).map_err(|_| invalid("is no signed token"))?;
        let mut rules = Validation::new(header.alg);
        rules.algorithms.clone_from(algorithms);
        // Expiry has a code of its own.
        (rules.validate_exp, rules.validate_aud) = (false, false);
        rules.set_required_spec_claims::<&str>(&[]);
        let read = decode::<Self>(token.trim(), key, &rules);
        read.map(|token| token.claims)
            .map_err(|_| invalid("is not signed with the license key, or says nothing"))
    }

    /// `LicenseError` if it does not allow that many backends now.
    pub(crate) fn check(&self, backends: u64, now_ms: u64) -> Result<(), Failure> {
        let refused = |why: String| Err(Failure::new(Code::LicenseError, why));
        if self.expires_seconds.is_some_and(|end| end <= now_ms / 1000) {
            return refused("the license has expired".to_owned());
        }
        match self.max_backends {
            Some(most) if backends > most => {
                refused(format!("the license allows {most} storage nodes, there are {backends}"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_and_how_long() {
        let license = License { max_backends: Some(2), expires_seconds: Some(100), ..License::default() };
        assert_eq!(license.check(2, 99_999), Ok(()));
        assert_eq!(license.check(3, 99_999).unwrap_err().code, Code::LicenseError);
        assert_eq!(license.check(1, 100_000).unwrap_err().code, Code::LicenseError);
        assert_eq!(License::default().check(u64::MAX, u64::MAX), Ok(()));
        assert_eq!(License::read("", None).unwrap_err().code, Code::InvalidLicense);
    }
}
