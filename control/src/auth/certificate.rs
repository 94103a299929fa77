//! Does a client's certificate chain to our own CA, now, for client use?

use std::sync::Arc;

use rustls::{
    RootCertStore,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::tls;

pub(crate) struct Certificates(Arc<dyn ClientCertVerifier>);

impl Certificates {
    pub(crate) fn new(own: RootCertStore) -> Self {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(own), tls::provider())
            .build()
            .expect("the roots hold our CA");
        Self(verifier)
    }

    /// Possession of the key was proved in the handshake.
    pub(crate) fn verify(&self, chain: &[CertificateDer<'_>]) -> bool {
        chain.split_first().is_some_and(|(end_entity, intermediates)| {
            self.0.verify_client_cert(end_entity, intermediates, UnixTime::now()).is_ok()
        })
    }
}
