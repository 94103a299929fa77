//! Another TLS implementation as the host: OpenSSL's `s_client`, which every machine of the gate has.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use crate::{
    support::{Bench, HOST, SUBSYSTEM},
    tls::{bench, key},
};
use nvmeof::{
    Nqn,
    tls::{IdentityVersion, PskHash, RetainedPsk},
    transport::{HostConnection, ICRequest},
};

/// An `s_client`, ended when dropped.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Client {
    /// One that sends what it is given as it is.
    fn start(bench: &Bench, arguments: &[&str]) -> Self {
        let arguments = [&["-quiet", "-ign_eof"], arguments].concat();
        Self::start_with(bench, &arguments, Stdio::null())
    }

    /// One that takes a letter at the beginning of its input for a command.
    fn start_with_commands(bench: &Bench, arguments: &[&str]) -> Self {
        Self::start_with(bench, &[&["-brief"], arguments].concat(), Stdio::piped())
    }

    fn start_with(bench: &Bench, arguments: &[&str], errors: Stdio) -> Self {
        let address = bench.node.portals()[0].to_string();
        let child = Command::new("openssl")
            .args(["s_client", "-connect", &address])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn();
        Self(child.unwrap())
    }

    /// Sends a KeyUpdate that asks for one, once the handshake is over.
    fn update_keys(&mut self) {
        let stdin = self.0.stdin.as_mut().unwrap();
        stdin.write_all(b"K\n").unwrap();
        let said = BufReader::new(self.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = said.skip_while(|line| line != "KEYUPDATE");
        assert!(said.next().is_some(), "s_client ended without a KeyUpdate");
    }

    /// What the node sends, at most `most` bytes, to a host that sends `bytes` when it can.
    fn exchange(mut self, bytes: &[u8], most: u64) -> Vec<u8> {
        let mut stdin = self.0.stdin.take().unwrap();
        let stdout = self.0.stdout.take().unwrap();
        // A refused client has gone before it reads us.
        let _ = stdin.write_all(bytes);
        let (answer, wait) = mpsc::channel();
        thread::spawn(move || {
            let mut received = Vec::new();
            let _ = stdout.take(most).read_to_end(&mut received);
            answer.send(received)
        });
        wait.recv_timeout(Duration::from_secs(60)).expect("an answer or the end of the connection")
    }
}

/// An ICReq as our own host sends it; its answer has as many bytes.
fn ic_req() -> Vec<u8> {
    let mut bytes = Vec::new();
    HostConnection::new(2, ICRequest::default()).encode_ic_req(&mut bytes);
    bytes
}

fn is_ic_resp(answer: &[u8]) -> bool {
    answer.len() == 128 && answer[..2] == [1, 0] && answer[4] == 128
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Identity and TLS PSK of `key` in a version.
fn offer(key: &RetainedPsk, version: IdentityVersion) -> (String, Vec<u8>) {
    let identity = key.identity(version, key.hash(), &Nqn::new(SUBSYSTEM).unwrap());
    (identity.to_string(), key.tls_psk(&identity).unwrap().bytes().to_vec())
}

/// The session that `s_client` takes a PSK of SHA-384 from: its SSL_SESSION in PEM.
fn session_file(psk: &[u8]) -> tempfile::NamedTempFile {
    let element = |tag: u8, body: &[u8]| [&[tag, body.len() as u8], body].concat();
    let body = [
        element(0x02, &[1]),
        element(0x02, &[0x03, 0x04]),
        element(0x04, &[0x13, 0x02]),
        element(0x04, &[]),
        element(0x04, psk),
    ]
    .concat();
    let mut pem = tempfile::NamedTempFile::new().unwrap();
    let mut base64 = Command::new("openssl")
        .args(["base64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    base64.stdin.take().unwrap().write_all(&element(0x30, &body)).unwrap();
    let text = String::from_utf8(base64.wait_with_output().unwrap().stdout).unwrap();
    let name = "SSL SESSION PARAMETERS";
    write!(pem, "-----BEGIN {name}-----\n{text}-----END {name}-----\n").unwrap();
    pem
}

#[test]
fn both_suites_and_both_versions_of_identities() {
    let keys = [key(PskHash::Sha256, 1, HOST), key(PskHash::Sha384, 2, HOST)];
    let bench = bench(true, &keys);
    for version in [IdentityVersion::V0, IdentityVersion::V1] {
        let (identity, psk) = offer(&keys[0], version);
        let client = Client::start(&bench, &["-tls1_3", "-psk_identity", &identity, "-psk", &hex(&psk)]);
        assert!(is_ic_resp(&client.exchange(&ic_req(), 128)), "{identity}");
        let (identity, psk) = offer(&keys[1], version);
        let session = session_file(&psk);
        let file = session.path().to_str().unwrap();
        let client = Client::start(&bench, &["-tls1_3", "-psk_identity", &identity, "-psk_session", file]);
        assert!(is_ic_resp(&client.exchange(&ic_req(), 128)), "{identity}");
    }
}

/// The node reads on with a host's new keys (RFC 8446 §4.6.3).
#[test]
fn a_host_may_update_its_keys() {
    let own = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&own));
    let (identity, psk) = offer(&own, IdentityVersion::V1);
    let arguments = ["-tls1_3", "-psk_identity", &identity, "-psk", &hex(&psk)];
    let mut client = Client::start_with_commands(&bench, &arguments);
    client.update_keys();
    assert!(is_ic_resp(&client.exchange(&ic_req(), 128)));
}

#[test]
fn whoever_proves_no_key_is_answered_nothing() {
    let own = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&own));
    let (identity, psk) = offer(&own, IdentityVersion::V0);
    let (digest, _) = offer(&key(PskHash::Sha256, 3, HOST), IdentityVersion::V1);
    let (psk, wrong) = (hex(&psk), hex(&[7; 32]));
    let table: [(&str, &[&str]); 7] = [
        ("another key", &["-tls1_3", "-psk_identity", &identity, "-psk", &wrong]),
        ("an unknown host", &["-tls1_3", "-psk_identity", "NVMe0R01 nqn.a nqn.b", "-psk", &psk]),
        ("another digest", &["-tls1_3", "-psk_identity", &digest, "-psk", &psk]),
        ("no identity of NVMe", &["-tls1_3", "-psk_identity", "Client_identity", "-psk", &psk]),
        ("no PSK", &["-tls1_3"]),
        ("TLS 1.2", &["-tls1_2", "-psk_identity", &identity, "-psk", &psk]),
        (
            "no suite in common",
            &[
                "-tls1_3",
                "-ciphersuites",
                "TLS_CHACHA20_POLY1305_SHA256",
                "-psk_identity",
                &identity,
                "-psk",
                &psk,
            ],
        ),
    ];
    for (who, arguments) in table {
        let answer = Client::start(&bench, arguments).exchange(&ic_req(), 128);
        assert!(answer.is_empty(), "{who} got {answer:02x?}");
    }
    let client = Client::start(&bench, &["-tls1_3", "-psk_identity", &identity, "-psk", &psk]);
    assert!(is_ic_resp(&client.exchange(&ic_req(), 128)), "the node still serves");
}
