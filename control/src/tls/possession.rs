//! The handshake proves that the client holds the key of the certificate it shows, and nothing more.
//!
//! Whether that certificate means anything is judged per request (`auth`), because a foreign one must not end
//! the handshake: it counts as none (provisioner D55), and the client may still bring a token.

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};

#[derive(Debug)]
pub(super) struct ProvePossession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ProvePossession {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }

    /// A certificate that our verifier cannot even parse (X.509 v1, say) has no usable key here. It may pass:
    /// the judge of requests parses it in the same way, so it can never be more than none.
    fn or_meaningless(
        result: Result<HandshakeSignatureValid, Error>,
        certificate: &CertificateDer<'_>,
    ) -> Result<HandshakeSignatureValid, Error> {
        match ParsedCertificate::try_from(certificate) {
            Ok(_) => result,
            Err(_) => Ok(HandshakeSignatureValid::assertion()),
        }
    }
}

impl ClientCertVerifier for ProvePossession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: a client that has only a foreign certificate sends it, and one that has ours does too.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match end_entity.is_empty() {
            true => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
            false => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls12_signature(message, certificate, signature, &self.algorithms);
        Self::or_meaningless(result, certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = verify_tls13_signature(message, certificate, signature, &self.algorithms);
        Self::or_meaningless(result, certificate)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
