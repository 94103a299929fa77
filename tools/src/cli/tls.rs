//! Whom we trust and what we show in the TLS handshake.

use std::{path::Path, sync::Arc};

use control::AnyName;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, UnixTime,
    pem::{self, PemObject},
};

use super::{
    error::CliError,
    server::{Server, Trust},
};

/// The TLS side of a connection to `server`.
pub(crate) fn client_config(server: &Server) -> Result<ClientConfig, CliError> {
    let provider = CryptoProvider::get_default().expect("main installs it first thing").clone();
    let verifier: Arc<dyn ServerCertVerifier> = match &server.trust {
        Trust::Anybody => Arc::new(AnyServer { provider }),
        Trust::Public(path) => chain_verifier(path)?,
        Trust::Installation(path) => Arc::new(AnyName(chain_verifier(path)?)),
    };
    let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    let Some(path) = &server.client_pem else { return Ok(config.with_no_client_auth()) };
    let wrong = |reason: String| CliError::BadCredentials { path: path.clone(), reason };
    let chain = read_certificates(path)?;
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| wrong(error.to_string()))?;
    config.with_client_auth_cert(chain, key).map_err(|error| wrong(error.to_string()))
}

fn chain_verifier(path: &Path) -> Result<Arc<WebPkiServerVerifier>, CliError> {
    let wrong = |reason: String| CliError::BadCredentials { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_certificates(path)?);
    if roots.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    WebPkiServerVerifier::builder(Arc::new(roots)).build().map_err(|error| wrong(error.to_string()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let wrong = |error| match error {
        pem::Error::Io(source) => CliError::Credentials { path: path.to_owned(), source },
        error => CliError::BadCredentials { path: path.to_owned(), reason: error.to_string() },
    };
    CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)
}

/// `Trust::Anybody`, as the caller asked with `--insecure`.
#[derive(Debug)]
struct AnyServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
