//! Joining a provisioner: once, with an invite. What the node got is kept in its data directory.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1::handshake, header};
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::{ControlError, Location, files, nodes::authority::node_key, nodes::invite::Invite, tls};

/// Where and how to join, and what the provisioner is told of the node. The location is a first value: the
/// provisioner's own settings count later (D14).
#[derive(Debug, Clone)]
pub struct Join {
    pub host: String,
    pub port: u16,
    pub invite: Invite,
    pub name: String,
    pub location: Location,
}

/// What a node that has joined serves with.
#[derive(Serialize, Deserialize)]
pub(super) struct Membership {
    /// PEM, as all of them.
    pub(super) ca: String,
    pub(super) certificate: String,
    pub(super) key: String,
}

const FILE: &str = "membership.json";

impl Membership {
    /// Of an earlier start; `None` before the node has joined.
    pub(super) fn read(data_dir: &Path) -> Result<Option<Self>, ControlError> {
        let file = data_dir.join(FILE);
        let Some(text) = files::read_if_there(&file)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|error| ControlError::bad_file(file, error))
    }

    /// `api`: where this node's API listens. If the answer is lost, the invite is used up, and a new one joins again.
    pub(super) async fn join(
        data_dir: &Path,
        persistent_id: &str,
        api: SocketAddr,
        join: &Join,
    ) -> Result<Self, ControlError> {
        let failed =
            |why: String| ControlError::Join { provisioner: format!("{}:{}", join.host, join.port), why };
        let (key, request) = node_key(persistent_id).map_err(|error| failed(error.to_string()))?;
        let body = json!({
            "invite": join.invite.id,
            "secret": join.invite.secret,
            "persistentId": persistent_id,
            "certificateRequest": request,
            "address": api,
            "name": join.name,
            "zone": join.location.zone,
            "rack": join.location.rack,
            "region": join.location.region,
        });
        let (status, answer) = post(join, &body).await.map_err(failed)?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        match (status, text("ca").zip(text("certificate"))) {
            (StatusCode::CREATED, Some((ca, certificate))) => {
                let joined = Self { ca, certificate, key };
                let text = serde_json::to_string(&joined).expect("plain fields");
                files::write_private(&data_dir.join(FILE), &text)?;
                Ok(joined)
            }
            _ => Err(failed(text("message").unwrap_or_else(|| format!("HTTP {status}")))),
        }
    }
}

async fn post(join: &Join, body: &Value) -> Result<(StatusCode, Value), String> {
    let name = ServerName::try_from(join.host.clone()).map_err(|error| error.to_string())?;
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(InvitedTo { ca_digest: join.invite.ca_digest }))
        .with_no_client_auth();
    let exchange = async {
        let socket =
            TcpStream::connect((join.host.as_str(), join.port)).await.map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async { drop(connection.await) });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/basalt/v1/nodes")
            .header(header::HOST, join.host.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        let bytes = body.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    };
    timeout(PATIENCE, exchange).await.map_err(|_| "no answer in time".to_owned())?
}

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES: usize = 64 << 10;

/// Trusts servers of the CA that the invite names, under whatever name they are reached: it signs no other server.
#[derive(Debug)]
struct InvitedTo {
    ca_digest: [u8; 32],
}

impl ServerCertVerifier for InvitedTo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let is_ours =
            |ca: &&CertificateDer<'_>| <[u8; 32]>::from(Sha256::digest(ca.as_ref())) == self.ca_digest;
        let unknown = || TlsError::InvalidCertificate(CertificateError::UnknownIssuer);
        let ca = intermediates.iter().find(is_ours).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider()).build();
        let chain = tls::AnyName(chain.map_err(|_| unknown())?);
        chain.verify_server_cert(end_entity, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &tls::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
