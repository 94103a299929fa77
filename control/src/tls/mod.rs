//! The TLS listeners: TLS 1.2 or later, our own certificate, the client's certificate optional.

mod acceptor;
mod any_name;
mod possession;

use std::sync::{Arc, PoisonError, RwLock};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

pub(crate) use acceptor::{Acceptor, Peer};
pub use any_name::AnyName;

use crate::{ControlError, admin::certs::PublicCertificate, credentials::Credentials};

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

/// The server name by which whoever trusts our own CA asks for our own certificate, whatever is shown to others.
pub const OWN_SERVER_NAME: &str = "basalt.internal";

/// The TLS side of all listeners. It is replaced as a whole: a connection keeps what it began with, and no later one
/// resumes a session of before.
#[derive(Clone)]
pub(crate) struct ServerTls {
    own: Arc<CertifiedKey>,
    config: ConfigCell,
}

/// What listeners begin connections with, now.
#[derive(Clone)]
pub(crate) struct ConfigCell(Arc<RwLock<Arc<ServerConfig>>>);

impl From<Arc<ServerConfig>> for ConfigCell {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }
}

impl ConfigCell {
    fn get(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerTls {
    /// Shows our own certificate, or `public` to those who do not ask for ours.
    pub(crate) fn new(
        credentials: &Credentials,
        public: Option<PublicCertificate>,
    ) -> Result<Self, ControlError> {
        let own = Arc::new(own_certificate(credentials)?);
        let shown = public.map_or_else(|| Arc::clone(&own), |public| Arc::new(public.key));
        let config = server_config(Resolver { own: Arc::clone(&own), shown });
        Ok(Self { own, config: Arc::new(config).into() })
    }

    /// From the next connection on.
    pub(crate) fn show(&self, public: CertifiedKey) {
        let resolver = Resolver { own: Arc::clone(&self.own), shown: Arc::new(public) };
        let new = Arc::new(server_config(resolver));
        *self.config.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// For an acceptor.
    pub(crate) fn config(&self) -> ConfigCell {
        self.config.clone()
    }
}

#[derive(Debug)]
struct Resolver {
    own: Arc<CertifiedKey>,
    shown: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks_for_own = hello.server_name() == Some(OWN_SERVER_NAME);
        Some(Arc::clone(if asks_for_own { &self.own } else { &self.shown }))
    }
}

fn own_certificate(credentials: &Credentials) -> Result<CertifiedKey, ControlError> {
    let bad = |reason: String| ControlError::bad_file(credentials.dir.join("server.pem"), reason);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(credentials.server.as_bytes())
        // A node that joins knows the CA by its digest only.
        .chain(CertificateDer::pem_slice_iter(credentials.ca.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|e| bad(e.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(credentials.server_key.as_bytes()).map_err(|e| bad(e.to_string()))?;
    let key = provider().key_provider.load_private_key(key).map_err(|e| bad(e.to_string()))?;
    let own = CertifiedKey::new(chain, key);
    own.keys_match().map_err(|e| bad(e.to_string()))?;
    Ok(own)
}

/// HTTP/1.1 over TLS 1.2 or 1.3.
fn server_config(resolver: Resolver) -> ServerConfig {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::new(possession::ProvePossession::new(&provider)))
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
