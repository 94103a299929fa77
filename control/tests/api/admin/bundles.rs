//! Logs and debug bundles (admin.md §5.2).

use std::io::Read;

use super::{TOKEN, sealing, start, start_with};
use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use flate2::read::GzDecoder;

fn members(tar: impl Read) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

#[tokio::test]
async fn logs_are_sent_without_secrets() {
    let (running, admin) = start().await;
    admin.get("version").await;
    let answer = admin.get("logs").await;
    assert_eq!((answer.status, &answer.headers["filename"] as &str), (200, "logs.tar.gz"));
    let logs = members(GzDecoder::new(&answer.bytes[..]));
    let audit = logs.iter().find(|(name, _)| name == "logs/audit.log").unwrap();
    assert!(String::from_utf8_lossy(&audit.1).contains("logs.get,\"/logs\""));
    for (name, text) in &logs {
        assert!(!String::from_utf8_lossy(text).contains(TOKEN), "{name}");
    }
    let left = std::fs::read_dir(running.dir.path().join("admin/incoming")).unwrap().count();
    assert_eq!(left, 0, "it has no name any more");
}

#[tokio::test]
async fn a_debug_bundle_is_for_support_only() {
    let (_running, admin) = start().await;
    let answer = admin.get("debug").await;
    assert_eq!((answer.status, answer.message().as_str()), (400, "no support key configured"));

    let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("support.pem");
    let der = key.public_key().as_der().unwrap();
    std::fs::write(&file, sealing::public_pem(der.as_ref())).unwrap();
    let (running, admin) = start_with(|config| config.admin.support_key = Some(file)).await;
    let volume = running.client().volume("v", 1).await;
    let answer = admin.get("debug").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sealed = members(&answer.bytes[..]);
    let find = |name: &str| &sealed.iter().find(|(found, _)| found == name).unwrap().1;
    assert!(sealed.len() == 3 && sealed.iter().all(|(name, _)| name.ends_with(".enc")));
    let key = OaepPrivateDecryptingKey::new(key).unwrap();
    let mut phrase = vec![0; key.min_output_size()];
    let phrase = key.decrypt(&OAEP_SHA256_MGF1SHA256, find("debug.key.enc"), &mut phrase, None).unwrap();
    let phrase = str::from_utf8(phrase).unwrap();
    let debug = members(GzDecoder::new(&sealing::decrypt(phrase, find("debug.tar.gz.enc"))[..]));
    let text = |name: &str| {
        let found = debug.iter().find(|(found, _)| found == &format!("debug/{name}")).unwrap();
        String::from_utf8(found.1.clone()).unwrap()
    };
    assert!(text("volumes.txt").contains(&volume) && text("metadata.txt").contains("volumes: 1 records"));
    assert!(text("config.txt").contains("node_name") && text("check.txt").is_empty());
    let secrets = [TOKEN.to_owned(), running.token(), running.admin_password()];
    for (name, bytes) in &debug {
        let shown = String::from_utf8_lossy(bytes);
        assert!(!secrets.iter().any(|secret| shown.contains(secret.as_str())), "{name}");
    }
    let logs = members(GzDecoder::new(&sealing::decrypt(phrase, find("logs.tar.gz.enc"))[..]));
    assert!(logs.iter().any(|(name, _)| name == "logs/audit.log"));
}
