//! Who is who between provisioner and nodes: certificates, each with the name of its role.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType,
    string::Ia5String,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{danger::HandshakeSignatureValid, verify_server_name},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use sha2::{Digest, Sha256};

use crate::{ControlError, credentials, files, identity::is_mac, model::node::CertificateDigest, tls};

const PROVISIONER: &str = "provisioner.basalt.internal";
/// Behind the persistentID.
const NODE: &str = ".node.basalt.internal";

/// What a node's certificate says it is, wherever the node is reached.
pub(crate) fn node_name(persistent_id: &str) -> ServerName<'static> {
    let name = dns_name(persistent_id);
    ServerName::try_from(name).expect("persistentIDs are six pairs of digits")
}

fn dns_name(persistent_id: &str) -> String {
    format!("{}{NODE}", persistent_id.replace(':', "-"))
}

/// Whose certificate bears that name; `None` for a name that is none of a node.
pub(super) fn node_id_of_name(name: &str) -> Option<String> {
    let id = name.strip_suffix(NODE)?.replace('-', ":");
    is_mac(&id).then_some(id)
}

/// A node's certificate, and what it is known by.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) digest: CertificateDigest,
}

pub(super) fn certificate_digest(certificate: &CertificateDer<'_>) -> CertificateDigest {
    Sha256::digest(certificate.as_ref()).into()
}

/// A CA for these certificates alone: what it issues opens no other API, and a node cannot pass for the API's server.
pub(crate) struct Authority {
    ca: String,
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Certificate and key in one file, so that a crash leaves both or none.
const FILE: &str = "nodes-ca.pem";

impl Authority {
    /// Reads it from the credentials' directory; made at the first call.
    pub(crate) fn open(dir: &Path, node_id: &str) -> Result<Self, ControlError> {
        let file = dir.join(FILE);
        let bad = |error: rcgen::Error| ControlError::bad_file(&file, error);
        let pem = match files::read_if_there(&file)? {
            Some(pem) => pem,
            None => {
                let key = KeyPair::generate().map_err(bad)?;
                let ca = credentials::ca_params(&format!("Basalt nodes CA {node_id}")).self_signed(&key);
                let pem = ca.map_err(bad)?.pem() + &key.serialize_pem();
                files::write_private(&file, &pem)?;
                pem
            }
        };
        let end = pem.find("-----BEGIN PRIVATE KEY").unwrap_or(pem.len());
        let (ca, key) = pem.split_at(end);
        let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(key).map_err(bad)?).map_err(bad)?;
        Ok(Self { ca: ca.to_owned(), issuer, file })
    }

    /// In PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.ca
    }

    /// A certificate for the node with the key of that request, which proves that somebody has the key. What else the
    /// request asks for does not count.
    pub(crate) fn issue_node(&self, request: &str, persistent_id: &str) -> Result<Issued, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        request.params = role(persistent_id, &dns_name(persistent_id), ExtendedKeyUsagePurpose::ServerAuth)?;
        let certificate = request.signed_by(&self.issuer)?;
        Ok(Issued { digest: certificate_digest(certificate.der()), pem: certificate.pem() })
    }

    /// How the provisioner speaks to nodes. Its key is made anew each time and goes with the process.
    pub(crate) fn provisioner(&self) -> Result<Arc<ClientConfig>, ControlError> {
        let bad = |reason: String| ControlError::bad_file(&self.file, reason);
        let issued = || {
            let key = KeyPair::generate()?;
            let params = role("Basalt provisioner", PROVISIONER, ExtendedKeyUsagePurpose::ClientAuth)?;
            Ok::<_, rcgen::Error>((params.signed_by(&key, &self.issuer)?, key))
        };
        let (certificate, key) = issued().map_err(|error| bad(error.to_string()))?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| bad(error.to_owned()))?;
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_root_certificates(tls::roots(&self.ca).map_err(bad)?)
            .with_client_auth_cert(vec![certificate.der().clone()], key);
        config.map(Arc::new).map_err(|error| bad(error.to_string()))
    }
}

fn role(
    common_name: &str,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = credentials::params(common_name);
    params.subject_alt_names = vec![SanType::DnsName(Ia5String::try_from(name)?)];
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

/// A node's key and a request for a certificate of it, both in PEM.
pub(crate) fn node_key(persistent_id: &str) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = credentials::params(persistent_id);
    // Only an issuer can say that.
    params.use_authority_key_identifier_extension = false;
    let request = params.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}

/// How a node serves its API: to the provisioner that this CA issued a certificate to, and to nobody else.
pub(crate) fn node_server(ca: &str, certificate: &str, key: &str) -> Result<Arc<ServerConfig>, String> {
    let roots = Arc::new(tls::roots(ca)?);
    let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| e.to_string())?;
    let mut config = ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_client_cert_verifier(Arc::new(ProvisionerOnly::new(roots)?))
        .with_single_cert(vec![chain], key)
        .map_err(|e| e.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Lets in whose certificate is of the nodes' CA and bears the provisioner's name: an administrator's does not.
#[derive(Debug)]
struct ProvisionerOnly {
    chain: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ProvisionerOnly {
    fn new(roots: Arc<RootCertStore>) -> Result<Self, String> {
        let chain = WebPkiClientVerifier::builder_with_provider(roots, tls::provider()).build();
        let name = ServerName::try_from(PROVISIONER).expect("a DNS name");
        Ok(Self { chain: chain.map_err(|error| error.to_string())?, name })
    }
}

impl ClientCertVerifier for ProvisionerOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
