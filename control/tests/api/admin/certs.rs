//! A certificate is replaced while the server runs (admin.md §5.8).

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{Admin, start};
use crate::common::Running;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Looks at what it is shown and believes everything.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The chain that a new connection is shown.
async fn shown(address: SocketAddr, name: ServerName<'static>) -> Vec<CertificateDer<'static>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain.iter().map(|c| c.clone().into_owned()).collect()
}

fn ip(address: SocketAddr) -> ServerName<'static> {
    ServerName::from(address.ip())
}

/// Of the server's own CA, so that the tests' client goes on trusting it: certificate and key in PEM.
pub(super) fn certificate(credentials: &Path) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(credentials.join(name)).unwrap();
    let issuer =
        Issuer::from_ca_cert_pem(&read("ca.pem"), KeyPair::from_pem(&read("ca.key")).unwrap()).unwrap();
    let mut params = CertificateParams::new(["new.example".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

async fn outcome(admin: &Admin) -> Value {
    let ended = |answer: &super::Answer| answer.json()["status"] != "running";
    admin.wait("certs", ended).await.json()
}

#[tokio::test]
async fn new_connections_see_it_at_once_and_a_restart_keeps_it() {
    let (running, admin) = start().await;
    assert_eq!(admin.get("certs").await.json(), json!({"status": null, "log": null}));
    let (address, credentials) = (running.address(), running.server.credentials().to_owned());
    let own = shown(address, ip(address)).await;
    let (public, private) = certificate(&credentials);
    let ca = std::fs::read_to_string(credentials.join("ca.pem")).unwrap();
    let answer = admin.post("certs", &[("public", &public), ("private", &private), ("ca", &ca)]).await;
    assert_eq!((answer.status, &answer.headers["location"] as &str), (202, "/api/v1/admin/certs"));
    let after = outcome(&admin).await;
    assert_eq!(after["status"], "success", "{after}");
    assert!(after["log"].as_str().unwrap().contains("[SYSTEM] the certificate was replaced"));
    let expected: Vec<_> =
        [&public, &ca].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).into();
    assert_eq!(shown(address, ip(address)).await, expected);
    let own_name = ServerName::try_from(control::OWN_SERVER_NAME).unwrap();
    assert_eq!(shown(address, own_name).await, own, "our own programs go on seeing ours");
    let log = std::fs::read_to_string(running.dir.path().join("logs/certs.log")).unwrap();
    assert!(!log.contains("PRIVATE"));

    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    assert_eq!(shown(running.address(), ip(running.address())).await, expected);
}

#[tokio::test]
async fn a_wrong_one_changes_nothing() {
    let (running, admin) = start().await;
    let own = shown(running.address(), ip(running.address())).await;
    let (public, private) = certificate(running.server.credentials());
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (fields, missing) in [
        (vec![("public", public.as_str())], "private is missing"),
        (vec![("private", private.as_str())], "public is missing"),
    ] {
        let answer = admin.post("certs", &fields).await;
        assert_eq!((answer.status, answer.message().as_str()), (400, missing));
    }
    for (public, private, why) in [
        (public.as_str(), other.as_str(), "private is not the key of public"),
        ("junk", &private, "public holds no certificate"),
        (&public, "junk", "private holds no key"),
    ] {
        assert_eq!(admin.post("certs", &[("public", public), ("private", private)]).await.status, 202);
        let after = outcome(&admin).await;
        assert_eq!(after["status"], "failed");
        assert!(after["log"].as_str().unwrap().contains(why), "{after}");
    }
    assert_eq!(shown(running.address(), ip(running.address())).await, own);
    assert!(!running.server.credentials().join("public.pem").exists());
}
