//! What this server says to others as their client: to an authorization server over HTTPS, to syslog servers over TLS.

pub(crate) mod dns;
mod https;
mod names;

use std::{path::PathBuf, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

pub(crate) use https::{HttpsError, HttpsUrl, get, post_form};
pub(crate) use names::Names;

use crate::tls;

/// How we reach others as a client: whom we trust, and who tells us their addresses.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// PEM certificates of authorities; `None`: those of the operating system.
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) names: Names,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("cannot read the trusted authorities in {}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("this system has no certificates of trusted authorities: name some with --trust-ca")]
    NoneInSystem,
}

impl Trust {
    /// Read anew each time, so that a renewed file counts without a restart.
    pub(crate) fn client_config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(path) => {
                let bad = |reason: String| TrustError::File { path: path.clone(), reason };
                let text = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
                for certificate in CertificateDer::pem_slice_iter(&text) {
                    let certificate = certificate.map_err(|e| bad(e.to_string()))?;
                    roots.add(certificate).map_err(|e| bad(e.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(bad("it holds no certificate".to_owned()));
                }
            }
            None => {
                // Single ones that do not parse are left out, as everybody does.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TrustError::NoneInSystem);
                }
            }
        }
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let trust = Trust { authorities: Some(path.clone()), names: Names::default() };
        assert!(trust.client_config().unwrap_err().to_string().contains("ca.pem"));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(trust.client_config().unwrap_err().to_string().contains("holds no certificate"));
    }
}
