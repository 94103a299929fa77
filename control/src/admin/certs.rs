//! The certificate that the API shows, where the operator has one of their own (admin.md §5.8).

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustls::{pki_types::CertificateDer, sign::CertifiedKey};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::hex;
use crate::{ControlError, files, tls};

/// Chain and key in one file, so that after a crash they belong together.
const FILE: &str = "public.pem";

/// Names the part that is wrong, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadCertificate(String);

/// A certificate that was checked, its chain and its key.
pub(crate) struct PublicCertificate {
    pub(crate) key: CertifiedKey,
    pem: String,
    /// It is no longer good, or not yet: that alone refuses nothing.
    pub(crate) warning: Option<String>,
}

impl PublicCertificate {
    /// `ca`: what stands between the certificate and a root.
    pub(crate) fn check(public: &str, private: &str, ca: Option<&str>) -> Result<Self, BadCertificate> {
        let pem = [public, ca.unwrap_or_default(), private].map(normalised).concat();
        let mut chain = certificates("public", public)?;
        let warning = validity(&chain[0])?;
        if let Some(ca) = ca {
            chain.extend(certificates("ca", ca)?);
        }
        if private.contains("ENCRYPTED") {
            return Err(BadCertificate("private is encrypted: remove its pass phrase".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(private.as_bytes())
            .map_err(|e| BadCertificate(format!("private holds no key in PEM: {e}")))?;
        let key = tls::provider()
            .key_provider
            .load_private_key(key)
            .map_err(|e| BadCertificate(format!("private is no RSA or ECDSA key that can sign: {e}")))?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| BadCertificate("private is not the key of public".to_owned()))?;
        Ok(Self { key, pem, warning })
    }

    /// The one that was stored; `None`: there is none.
    pub(crate) fn load(credentials: &Path) -> Result<Option<Self>, ControlError> {
        let path = file(credentials);
        let Some(pem) = files::read_if_there(&path)? else { return Ok(None) };
        Self::check(&pem, &pem, None).map(Some).map_err(|e| ControlError::bad_file(path, e))
    }

    /// For the next start. After a crash the old one is there or this.
    pub(crate) fn store(&self, credentials: &Path) -> Result<(), ControlError> {
        files::write_private(&file(credentials), &self.pem)
    }
}

fn file(credentials: &Path) -> PathBuf {
    credentials.join(FILE)
}

/// The mark of what a replacement changes.
pub(crate) fn mark(credentials: &Path) -> Result<String, ControlError> {
    let pem = files::read_if_there(&file(credentials))?;
    Ok(pem.map_or_else(String::new, |pem| hex(&Sha256::digest(pem))))
}

/// With line breaks of one kind, the last line ended too.
fn normalised(pem: &str) -> String {
    pem.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// At least one; `field`: where they were sent.
fn certificates(field: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, BadCertificate> {
    let bad =
        |why: &dyn std::fmt::Display| BadCertificate(format!("{field} holds no certificate in PEM: {why}"));
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(|e| bad(&e))?;
    if found.is_empty() {
        return Err(bad(&"nothing begins as one"));
    }
    for certificate in &found {
        X509Certificate::from_der(certificate).map_err(|e| bad(&e))?;
    }
    Ok(found)
}

fn validity(certificate: &CertificateDer<'_>) -> Result<Option<String>, BadCertificate> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|e| BadCertificate(format!("public: {e}")))?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    Ok(match () {
        () if validity.not_after.timestamp() < now => {
            Some(format!("warning: the certificate has expired ({})", validity.not_after))
        }
        () if validity.not_before.timestamp() > now => {
            Some(format!("warning: the certificate is not valid yet ({})", validity.not_before))
        }
        () => None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, generate_simple_self_signed};

    use super::*;

    fn check(public: &str, private: &str, ca: Option<&str>) -> Result<PublicCertificate, String> {
        PublicCertificate::check(public, private, ca).map_err(|e| e.to_string())
    }

    #[test]
    fn what_belongs_together_is_kept_and_found_again() {
        let made = generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (public, private) = (made.cert.pem(), made.signing_key.serialize_pem());
        let crlf = public.replace('\n', "\r\n");
        let good = check(&crlf, &private, Some(&public)).unwrap();
        assert_eq!((good.key.cert.len(), &good.warning), (2, &None));
        let dir = tempfile::tempdir().unwrap();
        assert!(PublicCertificate::load(dir.path()).unwrap().is_none());
        good.store(dir.path()).unwrap();
        let again = PublicCertificate::load(dir.path()).unwrap().unwrap();
        assert_eq!(again.key.cert, good.key.cert);
        assert!(!again.pem.contains('\r'));
        files::write_private(&dir.path().join(FILE), &public).unwrap();
        let error = PublicCertificate::load(dir.path()).err().unwrap().to_string();
        assert!(error.contains(FILE) && error.contains("private"), "{error}");
    }

    #[test]
    fn each_part_that_is_wrong_is_named() {
        let made = generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let (public, private) = (made.cert.pem(), made.signing_key.serialize_pem());
        for (public, private, ca, why) in [
            ("", private.as_str(), None, "public holds no certificate"),
            (&private, &private, None, "public holds no certificate"),
            (&public.replacen("MII", "AAA", 1), &private, None, "public holds no certificate"),
            (&public, "", None, "private holds no key"),
            (&public, &public, None, "private holds no key"),
            (&public, &other, None, "private is not the key of public"),
            (&public, "-----BEGIN ENCRYPTED PRIVATE KEY-----", None, "private is encrypted"),
            (&public, &private, Some("junk"), "ca holds no certificate"),
        ] {
            let error = check(public, private, ca).err().unwrap();
            assert!(error.contains(why), "{why}: {error}");
        }
    }

    #[test]
    fn an_expired_one_is_taken_with_a_warning() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        let public = params.self_signed(&key).unwrap().pem();
        let old = check(&public, &key.serialize_pem(), None).unwrap();
        assert!(old.warning.unwrap().contains("has expired"));
    }
}
