//! The TLS listeners: TLS 1.2 or later, our own certificate, the client's certificate optional.

mod acceptor;
mod possession;

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub(crate) use acceptor::{Acceptor, Peer};

use crate::{ControlError, credentials::Credentials};

/// The provider is named everywhere instead of installed for the process: a library must not do that.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Roots that hold nothing but our own CA.
pub(crate) fn own_roots(credentials: &Credentials) -> Result<RootCertStore, ControlError> {
    roots(&credentials.ca).map_err(|reason| ControlError::bad_file(credentials.dir.join("ca.pem"), reason))
}

/// Roots that hold nothing but that CA, given in PEM.
pub(crate) fn roots(ca: &str) -> Result<RootCertStore, String> {
    let ca = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|e| e.to_string())?;
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(|e| e.to_string())?;
    Ok(roots)
}

/// HTTP/1.1 over TLS 1.2 or 1.3.
pub(crate) fn server_config(credentials: &Credentials) -> Result<Arc<ServerConfig>, ControlError> {
    let bad = |reason: String| ControlError::bad_file(credentials.dir.join("server.pem"), reason);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(credentials.server.as_bytes())
        // A node that joins knows the CA by its digest only.
        .chain(CertificateDer::pem_slice_iter(credentials.ca.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(credentials.server_key.as_bytes()).map_err(|e| bad(e.to_string()))?;
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::new(possession::ProvePossession::new(&provider)))
        .with_single_cert(chain, key)
        .map_err(|e| bad(e.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
