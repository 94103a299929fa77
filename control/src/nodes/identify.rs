//! Which node listens at an address: its certificate says so.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, client::WebPkiServerVerifier};
use rustls_pki_types::CertificateDer;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::authority::{Authority, certificate_digest, node_id_of_name, node_name};
use crate::{model::node::CertificateDigest, tls};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a node's certificate says.
pub(crate) struct Shown {
    pub(crate) persistent_id: String,
    pub(crate) certificate: CertificateDigest,
}

/// The node of that authority whose API listens there; else why there is none.
pub(crate) async fn identify(authority: &Authority, address: SocketAddr) -> Result<Shown, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let roots = Arc::new(tls::roots(authority.certificate())?);
    let chain = WebPkiServerVerifier::builder_with_provider(roots, tls::provider()).build();
    let verifier = tls::AnyName(chain.map_err(|error| text(&error))?);
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let exchange = async {
        let socket = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(node_name("02:00:00:00:00:00"), socket).await
    };
    let stream = timeout(PATIENCE, exchange).await.map_err(|error| text(&error))?;
    let stream = stream.map_err(|error| text(&error))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let named = certificate.and_then(|shown| {
        let persistent_id = persistent_id(shown)?;
        Some(Shown { persistent_id, certificate: certificate_digest(shown) })
    });
    named.ok_or_else(|| "its certificate names no node".to_owned())
}

fn persistent_id(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => node_id_of_name(name),
        _ => None,
    })
}
