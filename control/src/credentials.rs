//! `DIR/credentials/`: everything a client needs, made whole at the first start, readable by the owner only.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, string::Ia5String,
};
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem};

use crate::{ControlError, files, random};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server.key";
const CLIENT: &str = "ssdtoolbox.pem";
pub(crate) const TOKEN: &str = "token";
pub(crate) const ADMIN_PASSWORD: &str = "admin-password";

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Certificates outlive the machine; the server's is renewed at start when a month is left.
const VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// The PEM texts that the TLS listeners need; the other files are for clients.
pub(crate) struct Credentials {
    pub(crate) dir: PathBuf,
    pub(crate) ca: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

/// What the server certificate says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerNames(BTreeSet<ServerName>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum ServerName {
    Dns(String),
    Ip(IpAddr),
}

impl ServerNames {
    /// `localhost`, the loopback addresses, the host name, the listeners' addresses and `more`.
    /// A listener on an unspecified address adds none: which addresses people use then is for `more` to say.
    pub(crate) fn new(listeners: &[SocketAddr], more: &[String]) -> Result<Self, ControlError> {
        let mut names = BTreeSet::from([
            ServerName::Dns("localhost".to_owned()),
            ServerName::Ip(Ipv4Addr::LOCALHOST.into()),
            ServerName::Ip(Ipv6Addr::LOCALHOST.into()),
        ]);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        names.extend(dns_name(&host));
        names.extend(
            listeners.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).map(ServerName::Ip),
        );
        for name in more {
            let parsed = name.parse().map(ServerName::Ip).ok().or_else(|| dns_name(name));
            names.insert(parsed.ok_or_else(|| ControlError::ServerName { name: name.clone() })?);
        }
        Ok(Self(names))
    }

    fn in_certificate(pem: &str) -> Option<(Self, SystemTime)> {
        let (_, block) = parse_x509_pem(pem.as_bytes()).ok()?;
        let certificate = block.parse_x509().ok()?;
        let mut names = BTreeSet::new();
        for name in &certificate.subject_alternative_name().ok()??.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.extend(dns_name(name)),
                GeneralName::IPAddress(bytes) => {
                    let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    names.extend(v4.or(<[u8; 16]>::try_from(*bytes).map(IpAddr::from)).map(ServerName::Ip));
                }
                _ => {}
            }
        }
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
        Some((Self(names), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }
}

fn dns_name(name: &str) -> Option<ServerName> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
    };
    (name.len() <= 253 && name.split('.').all(label)).then(|| ServerName::Dns(name.to_ascii_lowercase()))
}

impl Credentials {
    /// Reads `data_dir/credentials`. At the first start it is made, under another name and then renamed, so that
    /// a crash leaves all of it or nothing. The server's certificate is issued anew when it lacks one of `names`
    /// or runs out.
    pub(crate) fn open(data_dir: &Path, node_id: &str, names: &ServerNames) -> Result<Self, ControlError> {
        let dir = data_dir.join("credentials");
        if !dir.exists() {
            make_all(data_dir, &dir, node_id, names)?;
        }
        files::private_dir(&dir)?;
        let read =
            |name: &str| fs::read_to_string(dir.join(name)).map_err(ControlError::file(dir.join(name)));
        let (ca, server, server_key) = (read(CA)?, read(SERVER)?, read(SERVER_KEY)?);
        let mut this = Self { dir: dir.clone(), ca, server, server_key };
        let (covered, until) = ServerNames::in_certificate(&this.server).ok_or_else(|| {
            ControlError::bad_file(dir.join(SERVER), "is not a certificate with server names")
        })?;
        if !names.0.is_subset(&covered.0) || until < SystemTime::now() + RENEW_BEFORE {
            this.renew_server(&read(CA_KEY)?, names)?;
        }
        Ok(this)
    }

    fn renew_server(&mut self, ca_key: &str, names: &ServerNames) -> Result<(), ControlError> {
        let ca_path = self.dir.join(CA);
        let broken = |e: rcgen::Error| ControlError::bad_file(ca_path, e);
        // The key stays, so a crash between two files cannot leave a certificate of another key.
        let renew = || {
            let issuer = Issuer::from_ca_cert_pem(&self.ca, KeyPair::from_pem(ca_key)?)?;
            server_params(names).signed_by(&KeyPair::from_pem(&self.server_key)?, &issuer)
        };
        self.server = renew().map_err(broken)?.pem();
        files::write_private(&self.dir.join(SERVER), &self.server)
    }
}

fn make_all(data_dir: &Path, dir: &Path, node_id: &str, names: &ServerNames) -> Result<(), ControlError> {
    let new = data_dir.join("credentials.new");
    if new.exists() {
        fs::remove_dir_all(&new).map_err(ControlError::file(&new))?;
    }
    files::private_dir(&new)?;
    for (name, text) in make_texts(node_id, names).expect("our own parameters make valid certificates") {
        files::write_private(&new.join(name), &text)?;
    }
    let publish = || {
        fs::rename(&new, dir)?;
        fs::File::open(data_dir)?.sync_all()
    };
    publish().map_err(ControlError::file(dir))
}

fn make_texts(node_id: &str, names: &ServerNames) -> Result<Vec<(&'static str, String)>, rcgen::Error> {
    let (ca_key, server_key, client_key) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let ca_params = ca_params(node_id);
    let ca = ca_params.self_signed(&ca_key)?;
    let issuer = Issuer::from_params(&ca_params, &ca_key);
    let server = server_params(names).signed_by(&server_key, &issuer)?;
    let client = client_params().signed_by(&client_key, &issuer)?;
    Ok(vec![
        (CA_KEY, ca_key.serialize_pem()),
        (CA, ca.pem()),
        (SERVER_KEY, server_key.serialize_pem()),
        (SERVER, server.pem()),
        (CLIENT, client.pem() + &client_key.serialize_pem()),
        (TOKEN, new_token() + "\n"),
        (ADMIN_PASSWORD, random::text(20) + "\n"),
    ])
}

/// A bearer token of 256 bits.
pub(crate) fn new_token() -> String {
    random::text(43)
}

pub(crate) fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    // A day of grace for clients whose clock is behind.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + VALIDITY).into();
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn ca_params(node_id: &str) -> CertificateParams {
    let mut params = params(&format!("Basalt CA {node_id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    params
}

fn server_params(names: &ServerNames) -> CertificateParams {
    let mut params = params("Basalt API");
    params.subject_alt_names = names
        .0
        .iter()
        .map(|name| match name {
            ServerName::Dns(name) => SanType::DnsName(
                Ia5String::try_from(name.as_str()).expect("DNS names are checked to be ASCII"),
            ),
            ServerName::Ip(ip) => SanType::IpAddress(*ip),
        })
        .collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn client_params() -> CertificateParams {
    let mut params = params("Basalt administrator");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(more: &[&str]) -> ServerNames {
        let more: Vec<String> = more.iter().map(|s| (*s).to_owned()).collect();
        ServerNames::new(&["10.9.8.7:1".parse().unwrap(), "0.0.0.0:2".parse().unwrap()], &more).unwrap()
    }

    #[test]
    fn first_start_makes_every_file_for_the_owner_only() {
        let data = tempfile::tempdir().unwrap();
        let made = Credentials::open(data.path(), "02:00:00:00:00:01", &names(&[])).unwrap();
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&made.dir), 0o700);
        for name in [CA, CA_KEY, SERVER, SERVER_KEY, CLIENT, TOKEN, ADMIN_PASSWORD] {
            assert_eq!(mode(&made.dir.join(name)), 0o600, "{name}");
        }
        for name in [TOKEN, ADMIN_PASSWORD] {
            assert_eq!(fs::read_to_string(made.dir.join(name)).unwrap().lines().count(), 1, "{name}");
        }
        let client = fs::read_to_string(made.dir.join(CLIENT)).unwrap();
        assert!(client.contains("BEGIN CERTIFICATE") && client.contains("PRIVATE KEY"));
    }

    #[test]
    fn a_second_start_changes_nothing_and_a_new_name_only_the_server_certificate() {
        let data = tempfile::tempdir().unwrap();
        let open = |names| Credentials::open(data.path(), "02:00:00:00:00:01", &names).unwrap();
        let (first, second) = (open(names(&[])), open(names(&[])));
        assert_eq!((&first.ca, &first.server), (&second.ca, &second.server));
        let third = open(names(&["store.example", "fd00::7"]));
        assert_eq!((&third.ca, &third.server_key), (&first.ca, &first.server_key));
        assert_ne!(third.server, first.server);
        let (covered, _) = ServerNames::in_certificate(&third.server).unwrap();
        assert_eq!(covered, names(&["store.example", "fd00::7"]));
    }

    #[test]
    fn a_half_made_first_start_is_made_again() {
        let data = tempfile::tempdir().unwrap();
        files::private_dir(&data.path().join("credentials.new")).unwrap();
        fs::write(data.path().join("credentials.new/ca.pem"), "half").unwrap();
        let made = Credentials::open(data.path(), "02:00:00:00:00:01", &names(&[])).unwrap();
        assert!(made.ca.contains("BEGIN CERTIFICATE"));
    }

    #[test]
    fn wrong_names_and_damaged_files_are_refused() {
        assert!(ServerNames::new(&[], &["not a name".to_owned()]).is_err());
        let data = tempfile::tempdir().unwrap();
        let made = Credentials::open(data.path(), "02:00:00:00:00:01", &names(&[])).unwrap();
        fs::write(made.dir.join(SERVER), "junk").unwrap();
        let again = Credentials::open(data.path(), "02:00:00:00:00:01", &names(&[]));
        assert!(matches!(again, Err(ControlError::BadFile { .. })));
    }
}
