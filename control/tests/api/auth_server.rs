//! Tokens of an authorization server (provisioner §4.10), from a small issuer of our own.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use axum::{Form, Json, Router, extract::State, http::HeaderMap, routing};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use crate::common::{LOCAL, Running};

const AUTH_SERVER: &str = "/auth_server";

#[derive(Clone)]
struct SigningKey {
    kid: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
    public_pem: String,
}

impl SigningKey {
    fn rsa(kid: &'static str) -> Self {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let private = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { kid, algorithm: Algorithm::RS256, private, public_pem: pair.public_key_pem() }
    }

    fn ec(kid: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let private = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { kid, algorithm: Algorithm::ES256, private, public_pem: pair.public_key_pem() }
    }

    /// As Keycloak fills it in: good for so many seconds, roles at the resource `prov`.
    fn token(&self, seconds: i64, roles: &[&str]) -> String {
        self.sign(seconds, &json!({ "prov": { "roles": roles } }))
    }

    fn sign(&self, seconds: i64, resource_access: &Value) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let exp = now.cast_signed() + seconds;
        let claims = json!({"iss": "https://issuer", "exp": exp, "resource_access": resource_access});
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(self.algorithm) };
        encode(&header, &claims, &self.private).unwrap()
    }

    fn jwk(&self) -> Jwk {
        let mut jwk = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        jwk
    }
}

/// What it signs with, and which keys it shows.
#[derive(Clone)]
struct Behaviour(Arc<Mutex<SigningKey>>);

struct Issuer {
    address: SocketAddr,
    ca: PathBuf,
    behaviour: Behaviour,
    _dir: tempfile::TempDir,
}

/// Knows the clients `p` and `b` (secret `s&:é`), which are administrators of `prov` and `back`, `none`, which is nobody,
/// and `rogue`, whose tokens are signed with a key that nobody shows.
async fn grant(
    State(Behaviour(key)): State<Behaviour>,
    headers: HeaderMap,
    Form(form): Form<Vec<(String, String)>>,
) -> Result<Json<Value>, StatusCode> {
    let form_has = |name: &str, value: &str| form.iter().any(|(n, v)| n == name && v == value);
    let basic = headers["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap();
    let basic = String::from_utf8(BASE64_STANDARD.decode(basic).unwrap()).unwrap();
    let Some(client) = basic.strip_suffix(":s%26%3A%C3%A9") else { return Err(StatusCode::UNAUTHORIZED) };
    if !form_has("grant_type", "client_credentials") || (client == "p" && !form_has("scope", "basalt/openid"))
    {
        return Err(StatusCode::BAD_REQUEST);
    }
    let key = if client == "rogue" { SigningKey::rsa("1") } else { key.lock().unwrap().clone() };
    let access = match client {
        "none" => json!({}),
        _ => json!({"prov": {"roles": ["ADMIN"]}, "back": {"roles": ["ADMIN"]}}),
    };
    Ok(Json(json!({ "access_token": key.sign(60, &access), "token_type": "Bearer" })))
}

async fn key_set(State(Behaviour(key)): State<Behaviour>) -> Json<Value> {
    let jwk = key.lock().unwrap().jwk();
    Json(json!({ "keys": [jwk] }))
}

impl Issuer {
    fn start(key: SigningKey) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&pair).unwrap();
        let ca = dir.path().join("issuer-ca.pem");
        std::fs::write(&ca, certificate.pem()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        let socket = TcpListener::bind(SocketAddr::from((LOCAL, 0))).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let behaviour = Behaviour(Arc::new(Mutex::new(key)));
        let routes = Router::new()
            .route("/token", routing::post(grant))
            .route("/jwks", routing::get(key_set))
            .with_state(behaviour.clone());
        let tls = axum_server::tls_rustls::RustlsConfig::from_config(Arc::new(tls));
        let server = axum_server::from_tcp_rustls(socket, tls).unwrap();
        tokio::spawn(server.serve(routes.into_make_service()));
        Self { address, ca, behaviour, _dir: dir }
    }

    fn config(&self) -> Value {
        let url = |path: &str| format!("https://{}/{path}", self.address);
        json!({"provisionerResourceID": "prov", "provisionerClientID": "p", "provisionerClientSecret": "s&:é",
            "provisionerClientScope": "basalt/openid", "backendsResourceID": "back", "backendsClientID": "b",
            "backendsClientSecret": "s&:é", "authorizationServerTokenURL": url("token"),
            "authorizationServerJwkSetURL": url("jwks")})
    }

    fn with(&self, field: &str, value: &str) -> Value {
        let mut config = self.config();
        config[field] = json!(value);
        config
    }

    async fn basalt(&self) -> Running {
        let ca = self.ca.clone();
        Running::with(|c| c.trust_ca = Some(ca)).await
    }
}

async fn statuses(running: &Running, token: &str) -> [u16; 2] {
    let client = running.stranger().bearer(token);
    let volume = json!({"alias": "no"});
    [
        client.status(Method::GET, "/tenants", json!({})).await,
        client.status(Method::POST, "/volumes", volume).await,
    ]
}

#[tokio::test]
async fn every_code_in_its_order() {
    let issuer = Issuer::start(SigningKey::rsa("1"));
    let running = issuer.basalt().await;
    let client = running.client();
    assert_eq!(client.get(AUTH_SERVER).await, json!({}));
    assert_eq!(client.delete(AUTH_SERVER).await["status"], "InvalidAuthMode");
    let stranger = SigningKey::rsa("1");
    let mut other_key = issuer.with("authorizationServerPublicKey", &stranger.public_pem);
    other_key["authorizationServerJwkSetURL"] = json!(null);
    let not_there = "https://127.0.0.1:1/token";
    for (config, code) in [
        (json!({}), "InvalidInput"),
        (issuer.with("authorizationServerPublicKey", &stranger.public_pem), "InvalidInput"),
        (issuer.with("authorizationServerTokenURL", "http://127.0.0.1/token"), "InvalidInput"),
        (issuer.with("authorizationServerTokenURL", not_there), "CreateProvisionerClientTokenFailed"),
        (issuer.with("provisionerClientSecret", "wrong"), "CreateProvisionerClientTokenFailed"),
        (issuer.with("provisionerClientScope", "wrong"), "CreateProvisionerClientTokenFailed"),
        (other_key, "DecryptProvisionerClientTokenFailed"),
        (issuer.with("authorizationServerJwkSetURL", not_there), "DecryptProvisionerClientTokenFailed"),
        (issuer.with("provisionerClientID", "rogue"), "DecryptProvisionerClientTokenFailed"),
        (issuer.with("provisionerClientID", "none"), "ProvisionerClientUnauthorized"),
        (issuer.with("provisionerResourceID", "other"), "ProvisionerClientUnauthorized"),
        (issuer.with("backendsClientSecret", "wrong"), "CreateBackendsClientTokenFailed"),
        (issuer.with("backendsClientID", "rogue"), "DecryptBackendsClientTokenFailed"),
        (issuer.with("backendsClientID", "none"), "BackendsClientUnauthorized"),
    ] {
        let answer = client.post(AUTH_SERVER, config).await;
        assert_eq!(answer["status"], code, "{answer}");
        assert_eq!(client.get(AUTH_SERVER).await, json!({}), "nothing is stored");
    }
    assert_eq!(client.get("/info").await["authenticationMode"], "JWT");
    assert_eq!(client.post(AUTH_SERVER, issuer.config()).await["status"], "Success");
    assert_eq!(client.post(AUTH_SERVER, issuer.config()).await["status"], "NoChange");
    assert_eq!(client.get(AUTH_SERVER).await, issuer.config());
    assert_eq!(client.get("/info").await["authenticationMode"], "OPEN_IDC");
    let observer = issuer.behaviour.0.lock().unwrap().token(60, &["OBSERVER"]);
    assert_eq!(running.stranger().bearer(&observer).status(Method::GET, AUTH_SERVER, json!({})).await, 403);
    let stored = std::fs::read(running.dir.path().join("control.redb")).unwrap();
    assert!(!stored.windows(5).any(|w| w == "s&:é".as_bytes()), "secrets are sealed");
    assert_eq!(client.delete(AUTH_SERVER).await["status"], "Success");
    assert_eq!(client.get(AUTH_SERVER).await, json!({}));
}

#[tokio::test]
async fn tokens_count_while_the_server_is_configured_and_its_keys_rotate() {
    let first = SigningKey::rsa("1");
    let issuer = Issuer::start(first.clone());
    let running = issuer.basalt().await;
    let admin = first.token(60, &["ADMIN"]);
    assert_eq!(statuses(&running, &admin).await, [401, 401]);
    assert_eq!(running.client().post(AUTH_SERVER, issuer.config()).await["status"], "Success");
    // A body without a capacity: what is let in is answered InvalidInput, with HTTP 200.
    for (token, expected) in [
        (admin.clone(), [200, 200]),
        (first.token(60, &["OBSERVER"]), [200, 403]),
        (first.token(60, &[]), [403, 403]),
        (first.token(-3600, &["ADMIN"]), [401, 401]),
        (SigningKey::rsa("1").token(60, &["ADMIN"]), [401, 401]),
        (SigningKey::ec("1").token(60, &["ADMIN"]), [401, 401]),
    ] {
        assert_eq!(statuses(&running, &token).await, expected);
    }
    let on_session_api = running.stranger().bearer(&admin);
    assert_eq!(on_session_api.status(Method::GET, "/v1/session/who-am-i", json!({})).await, 401);

    let second = SigningKey::ec("2");
    *issuer.behaviour.0.lock().unwrap() = second.clone();
    let token = second.token(300, &["ADMIN"]);
    for _ in 0..300 {
        if statuses(&running, &token).await == [200, 200] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(statuses(&running, &token).await, [200, 200], "the new key was fetched");
    assert_eq!(statuses(&running, &admin).await, [401, 401], "the old key is gone");
    assert_eq!(running.client().delete(AUTH_SERVER).await["status"], "Success");
    assert_eq!(statuses(&running, &token).await, [401, 401]);
}

#[tokio::test]
async fn a_public_key_in_pem_or_base64_and_over_a_restart() {
    let key = SigningKey::ec("any");
    let issuer = Issuer::start(key.clone());
    let running = issuer.basalt().await;
    let bare: String = key.public_pem.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [key.public_pem.clone(), bare] {
        let mut config = issuer.with("authorizationServerPublicKey", &text);
        config.as_object_mut().unwrap().remove("authorizationServerJwkSetURL");
        let answer = running.client().post(AUTH_SERVER, config).await;
        assert_eq!(answer["status"], "Success", "{answer}");
        assert_eq!(statuses(&running, &key.token(60, &["ADMIN"])).await, [200, 200]);
    }
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    assert_eq!(statuses(&running, &key.token(60, &["ADMIN"])).await, [200, 200]);
}
