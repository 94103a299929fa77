//! The administration API (admin.md).

mod backup;
mod bundles;
mod certs;
mod crash;
mod first_run;
mod gate;
mod info;
mod license;
mod sealing;
mod settings;
mod storage;
mod update;

use std::collections::BTreeMap;

use crate::common::{Client, Running};
use hyper::{Method, body::Bytes};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const PREFIX: &str = "/api/v1/admin";
pub(crate) const TOKEN: &str = "yourtoken";

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{}", self.text());
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn message(&self) -> String {
        let body = self.json();
        let message = body["Error-Message"].as_str().unwrap_or_default();
        assert_eq!(self.headers.get("error-message").map(String::as_str).unwrap_or_default(), message);
        message.to_owned()
    }
}

/// Of an administrator; `token` goes into the query as it is.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) client: Client,
    pub(crate) token: String,
}

impl Admin {
    /// Of a server on which no first start makes a passphrase; sets the token.
    pub(crate) async fn of(running: &Running) -> Self {
        let stranger = Self { client: running.stranger(), token: String::new() };
        let answer = stranger.post("setup", &[("newtoken", TOKEN)]).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"Status": "200 OK"})));
        stranger.with(TOKEN)
    }

    pub(crate) fn with(&self, token: &str) -> Self {
        Self { client: self.client.clone(), token: token.to_owned() }
    }

    fn path(&self, endpoint: &str) -> String {
        match self.token.as_str() {
            "" => format!("{PREFIX}/{endpoint}"),
            token => format!("{PREFIX}/{endpoint}?token={token}"),
        }
    }

    pub(crate) async fn get(&self, endpoint: &str) -> Answer {
        self.ask(Method::GET, endpoint, "", Bytes::new()).await
    }

    pub(crate) async fn post(&self, endpoint: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<(&str, &[u8])> = fields.iter().map(|(k, v)| (*k, v.as_bytes())).collect();
        self.upload(endpoint, &fields).await
    }

    pub(crate) async fn upload(&self, endpoint: &str, fields: &[(&str, &[u8])]) -> Answer {
        self.try_upload(endpoint, fields).await.unwrap()
    }

    /// The server may die meanwhile.
    pub(crate) async fn try_upload(&self, endpoint: &str, fields: &[(&str, &[u8])]) -> Result<Answer, Error> {
        let mut body = Vec::new();
        for (name, value) in fields {
            let head =
                format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n");
            body.extend([head.as_bytes(), *value, b"\r\n"].concat());
        }
        body.extend(b"--b--\r\n");
        self.try_ask(Method::POST, &self.path(endpoint), "multipart/form-data; boundary=b", body.into()).await
    }

    pub(crate) async fn try_get(&self, endpoint: &str) -> Result<Answer, Error> {
        self.try_ask(Method::GET, &self.path(endpoint), "", Bytes::new()).await
    }

    pub(crate) async fn ask(&self, method: Method, endpoint: &str, kind: &str, body: Bytes) -> Answer {
        self.ask_path(method, &self.path(endpoint), kind, body).await
    }

    pub(crate) async fn ask_path(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Answer {
        self.try_ask(method, path, kind, body).await.unwrap()
    }

    async fn try_ask(&self, method: Method, path: &str, kind: &str, body: Bytes) -> Result<Answer, Error> {
        let response = self.client.try_response(method, path, kind, body).await?;
        let headers = response.headers().iter();
        let headers = headers.map(|(k, v)| (k.to_string(), v.to_str().unwrap().to_owned())).collect();
        Ok(Answer { status: response.status().as_u16(), headers, bytes: response.into_body() })
    }

    /// Polls until the answer is as it shall be.
    pub(crate) async fn wait(&self, endpoint: &str, is_done: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..1200 {
            let answer = self.get(endpoint).await;
            if is_done(&answer) {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{endpoint} never became what it should: {}", self.get(endpoint).await.text());
    }
}

/// A server without a passphrase, and its administrator.
pub(crate) async fn start() -> (Running, Admin) {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut control::ControlConfig)) -> (Running, Admin) {
    let running = Running::with(|config| {
        config.admin.first_run_words = None;
        change(config);
    })
    .await;
    let admin = Admin::of(&running).await;
    (running, admin)
}
