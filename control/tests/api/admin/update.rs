//! Updates, and the restart that starts them (admin.md §5.1, §5.3).

use std::{io::Write, path::Path};

use super::{Admin, Answer, sealing, start, start_with};
use crate::common::Running;
use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use control::NextProgram;
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const PASS_PHRASE: &str = "the update key";
pub(super) const GOOD: &str = "#!/bin/sh\ntest \"$1\" = self-check && test -s \"$2\"\n";
const BAD: &str = "#!/bin/sh\nexit 1\n";

/// Who makes releases.
pub(super) struct Maker(KeyPair);

fn append(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes).unwrap();
}

impl Maker {
    pub(super) fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    /// The configured keys' files.
    pub(super) fn write_keys(&self, dir: &Path) {
        std::fs::write(dir.join("update.key"), format!("{PASS_PHRASE}\n")).unwrap();
        let der = self.0.public_key().as_der().unwrap();
        std::fs::write(dir.join("release.pem"), sealing::public_pem(der.as_ref())).unwrap();
    }

    pub(super) fn package(&self, version: &str, program: &str) -> Vec<u8> {
        self.package_with(version, program, &[])
    }

    fn package_with(&self, version: &str, program: &str, more: &[(&'static str, &str)]) -> Vec<u8> {
        let mut files = vec![
            ("version.txt", format!("{version}\n")),
            ("changelog.txt", format!("# {version}\n")),
            ("build.json", json!({"builddate": "7"}).to_string()),
            ("basalt", program.to_owned()),
        ];
        files.extend(more.iter().map(|(name, text)| (*name, (*text).to_owned())));
        let line = |(name, text): &(&str, String)| {
            let sum: String = Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect();
            format!("{sum} {} 755 {name}\n", text.len())
        };
        let manifest: String = files.iter().map(line).collect();
        let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in &files {
            append(&mut tar, name, text.as_bytes());
        }
        append(&mut tar, "manifest", manifest.as_bytes());
        self.seal("software_package.tar.gz", &tar.into_inner().unwrap().finish().unwrap())
    }

    /// As `POST license` takes it.
    pub(super) fn license(&self, document: &Value) -> Vec<u8> {
        self.seal("license.json", document.to_string().as_bytes())
    }

    /// Signed and encrypted.
    fn seal(&self, name: &str, inner: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), inner, &mut signature).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, name, inner);
        append(&mut tar, &format!("{name}.sign"), &signature);
        sealing::encrypt(PASS_PHRASE, &tar.into_inner().unwrap())
    }
}

async fn start_for(maker: &Maker) -> (Running, Admin, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    maker.write_keys(dir.path());
    let (running, admin) = start_with(|config| {
        config.admin.update_key = Some(dir.path().join("update.key"));
        config.admin.release_key = Some(dir.path().join("release.pem"));
    })
    .await;
    (running, admin, dir)
}

/// The status once the update has ended.
async fn update(admin: &Admin, package: &[u8]) -> Value {
    let answer = admin.upload("update", &[("update", package)]).await;
    assert_eq!((answer.status, &answer.headers["location"] as &str), (202, "/api/v1/admin/update"));
    admin.wait("update", |answer: &Answer| answer.json()["status"] != "running").await.json()
}

async fn version(admin: &Admin) -> Value {
    admin.get("version").await.json()["version"].clone()
}

#[tokio::test]
async fn a_package_is_installed_once_and_waits_for_the_restart() {
    let maker = Maker::new();
    let (running, admin, _keys) = start_for(&maker).await;
    assert_eq!(admin.get("update").await.json(), json!({"status": null, "log": null}));
    assert_eq!(admin.get("update/log").await.status, 404);
    let package = maker.package("9.9", GOOD);
    let after = update(&admin, &package).await;
    assert_eq!((&after["status"], &after["percentage"]), (&json!("success"), &json!(100)), "{after}");
    assert_eq!((after.get("error-code"), version(&admin).await), (None, json!("9.9")));
    assert_eq!(admin.get("changelog").await.text(), "# 9.9\n");
    let build = admin.get("build").await.json();
    assert_eq!(build, json!({"builddate": "7", "running_version": env!("CARGO_PKG_VERSION")}));
    let again = update(&admin, &package).await;
    assert_eq!((&again["status"], &again["error-code"]), (&json!("failed"), &json!("E1001")), "{again}");
    assert_eq!(again["percentage"], 60, "{again}");
    let log = admin.get("update/log").await.text();
    assert!(log.contains("[SYSTEM] the signature is good") && log.contains("E1001"), "{log}");
    match control::next_program(running.dir.path()).unwrap() {
        Some(NextProgram::OnTrial(trial)) => assert!(trial.program().ends_with("releases/9.9/basalt")),
        other => panic!("{other:?}"),
    }
    let left = std::fs::read_dir(running.dir.path().join("admin/incoming")).unwrap().count();
    assert!(left == 0 && !running.dir.path().join("admin/update.work").exists());

    for _ in 0..2 {
        let answer = admin.get("reboot").await;
        assert_eq!((answer.status, answer.json()), (202, json!({"Status": "202 Accepted"})));
    }
    running.server.restart_wanted().await;
    assert!(running.dir.path().join("backups/before-restart.tar").exists());
}

#[tokio::test]
async fn what_is_not_as_it_should_be_changes_nothing() {
    let (_running, admin) = start().await;
    let answer = admin.upload("update", &[("update", b"x")]).await;
    assert_eq!((answer.status, answer.message().as_str()), (400, "no update key configured"));

    let (maker, stranger) = (Maker::new(), Maker::new());
    let (running, admin, _keys) = start_for(&maker).await;
    let before = version(&admin).await;
    for fields in [&[][..], &[("update", &b""[..])]] {
        let answer = admin.upload("update", fields).await;
        assert_eq!((answer.status, answer.message().as_str()), (400, "update is missing"));
    }
    let good = maker.package("9.9", GOOD);
    for (package, code, percentage) in [
        (b"random bytes".repeat(99), "E1005", 30),
        (good[..good.len() - 100].to_vec(), "E1005", 30),
        (sealing::encrypt("another key", b"x"), "E1005", 30),
        (stranger.package("9.9", GOOD), "E1005", 40),
        (maker.package("0.0.1", GOOD), "E1001", 60),
        (maker.package("../9", GOOD), "E1005", 50),
        (maker.package("9.9", BAD), "E1002", 70),
        (maker.package("9.9", "no program"), "E1002", 70),
        (maker.package_with("9.9", GOOD, &[("hook.sh", "exit 1\n")]), "E1002", 70),
    ] {
        let after = update(&admin, &package).await;
        let found = (&after["status"], &after["error-code"], &after["percentage"]);
        assert_eq!(found, (&json!("failed"), &json!(code), &json!(percentage)), "{after}");
        assert_eq!(version(&admin).await, before);
    }
    assert!(control::next_program(running.dir.path()).unwrap().is_none());
}
