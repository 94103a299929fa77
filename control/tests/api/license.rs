//! The licence (provisioner §4.7, D44).

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::common::Running;

#[tokio::test]
async fn a_license_is_installed_if_its_key_signed_it() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let stranger = rcgen::KeyPair::generate().unwrap();
    let public = pair.public_key_pem();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("license-key.pem");
    std::fs::write(&file, public).unwrap();
    let running = Running::with(|c| c.license_key = Some(file)).await;
    let client = running.client();
    let sign = |pair: &rcgen::KeyPair, claims: Value| {
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        encode(&Header::new(Algorithm::ES256), &claims, &key).unwrap()
    };
    let good = json!({"type": "PRODUCTION", "exp": 4_107_542_400_u64, "maxBackends": 3});
    let none = json!({"type": "POC"});
    assert_eq!(client.get("/license").await, none);
    for (license, code) in [
        (json!(null), "InvalidInput"),
        (json!(7), "InvalidInput"),
        (json!("abc"), "InvalidLicense"),
        (json!(sign(&stranger, good.clone())), "InvalidLicense"),
        (json!(sign(&pair, json!({"type": "FREE"}))), "InvalidLicense"),
        (json!(sign(&pair, json!({"type": "POC", "exp": 1}))), "LicenseError"),
        (json!(sign(&pair, json!({"type": "POC", "maxBackends": 0}))), "LicenseError"),
    ] {
        let answer = client.post("/license", json!({ "license": license })).await;
        assert_eq!(answer["status"], code, "{answer}");
        assert_eq!(client.get("/license").await, none);
    }
    let installed = client.post("/LICENSE", json!({"license": sign(&pair, good)})).await;
    assert_eq!(installed["status"], "Success", "{installed}");
    let expected =
        json!({"type": "PRODUCTION", "expirationDate": "2100-03-01T00:00:00.000+0000", "maxBackends": 3});
    assert_eq!(client.get("/license").await, expected);
    assert_eq!(client.get("/tasks").await[0]["type"], "InstallLicense");
    let endless = sign(&pair, json!({"type": "POC"}));
    assert_eq!(client.post("/license", json!({ "license": endless })).await["status"], "Success");
    assert_eq!(client.get("/license").await, none);
}

#[tokio::test]
async fn without_a_key_no_license_is_valid() {
    let running = Running::start().await;
    let answer = running.client().post("/license", json!({"license": "a.b.c"})).await;
    assert_eq!(answer["status"], "InvalidLicense");
    assert!(answer["description"].as_str().unwrap().contains("--license-key"), "{answer}");
}
