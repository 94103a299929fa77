//! Servers of a CA that signs no other servers: whoever has its certificate is one of ours, under whatever name it is
//! reached.

use rustls::{
    CertificateError, Error,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Judges everything but the name that was asked for.
pub(crate) fn verify_but_for_name(
    verifier: &WebPkiServerVerifier,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    ocsp: &[u8],
    now: UnixTime,
) -> Result<(), Error> {
    match verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
        // The name is judged last, so this error says that all the rest is right.
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Ok(()),
        verdict => verdict.map(drop),
    }
}
