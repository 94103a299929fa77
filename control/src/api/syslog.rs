//! Syslog servers, and forwarding to them (provisioner §4.7, D43).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    app::{SharedApp, now_ms},
    envelope::{Code, Failure, Reply, success},
    fields::Fields,
    limits,
    openapi::{Answer, Status, bodies::LogForward},
    request::JsonBody,
    syslog::{Logging, Message, Sender, Severity, Transport},
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SyslogView {
    id: usize,
    name: String,
    /// `udp://…` or `tcp://…`.
    url: String,
    /// Whether the last attempt to reach it succeeded; a server on UDP never says that it is not there.
    state: bool,
    use_tls: bool,
    /// The authorities that its certificate is checked with, unless they are the operating system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    cert_file_name: Option<String>,
}

/// Op 33.
#[utoipa::path(get, path = "/syslog", tag = "Logging", summary = "List syslog servers",
    responses((status = 200, body = Answer<Vec<SyslogView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Reply {
    let view = |(id, server): (usize, &Sender)| {
        let use_tls = server.url.transport == Transport::Tls;
        SyslogView {
            id,
            name: format!("{}:{}", server.url.host, server.url.port),
            url: server.url.to_string(),
            state: server.is_connected(),
            use_tls,
            cert_file_name: app.syslog.authorities.clone().filter(|_| use_tls),
        }
    };
    let servers = (1..).zip(app.syslog.servers()).map(view);
    Ok(Json(servers.collect::<Vec<_>>()).into_response())
}

/// Op 32.
#[utoipa::path(post, path = "/forward_log", tag = "Logging", summary = "Send a message to the syslog servers",
    request_body = LogForward,
    responses((status = 200, body = Status, description = "it is on its way")))]
pub(crate) async fn forward(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let message = parse(&body)?;
    if !app.syslog.servers().iter().any(Sender::is_connected) {
        let why = match app.syslog.servers() {
            [] => "no syslog server is configured",
            _ => "no syslog server can be reached",
        };
        return Err(Failure::new(Code::SyslogNotAvailable, why).into());
    }
    app.syslog.forward(&message);
    Ok(success())
}

fn parse(body: &Map<String, Value>) -> Result<Message, Failure> {
    let fields = Fields::new(body);
    let kinds = [("EVENT", Logging::Event), ("COMMAND", Logging::Command)];
    let levels = [
        ("FATAL", Severity::Fatal),
        ("ERROR", Severity::Error),
        ("WARN", Severity::Warning),
        ("INFO", Severity::Info),
    ];
    let text = |name, longest| {
        let given = fields.text(name, longest)?;
        fields.require(name, given).map(str::to_owned)
    };
    let message = Message {
        logging: fields.require("loggingType", fields.word("loggingType", &kinds)?)?,
        severity: fields.require("level", fields.word("level", &levels)?)?,
        time_ms: now_ms(),
        host: text("host", limits::NAME_CHARS)?,
        app: text("appName", limits::NAME_CHARS)?,
        text: text("message", limits::LOG_CHARS)?,
        parameters: parameters(fields.raw("parametersList"))?,
    };
    Ok(message)
}

fn parameters(given: Option<&Value>) -> Result<Vec<(String, String)>, Failure> {
    let wrong = || {
        let most = limits::LOG_PARAMETERS;
        Failure::of_field("parametersList", format!("must be an object of at most {most} strings"))
    };
    let Some(given) = given else { return Ok(Vec::new()) };
    let pairs = given.as_object().filter(|pairs| pairs.len() <= limits::LOG_PARAMETERS).ok_or_else(wrong)?;
    pairs
        .iter()
        .map(|(name, value)| Ok((name.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_missing_or_wrong_field_is_named() {
        let full =
            json!({"loggingType": "EVENT", "level": "WARN", "host": "h", "appName": "a", "message": "m"});
        assert!(parse(full.as_object().unwrap()).is_ok());
        for field in ["loggingType", "level", "host", "appName", "message"] {
            for wrong in [json!(null), json!(7)] {
                let mut body = full.clone();
                body[field] = wrong;
                assert_eq!(parse(body.as_object().unwrap()).unwrap_err().field.as_deref(), Some(field));
            }
        }
        for (field, wrong) in
            [("level", json!("DEBUG")), ("parametersList", json!({"a": 1})), ("parametersList", json!([]))]
        {
            let mut body = full.clone();
            body[field] = wrong;
            assert_eq!(parse(body.as_object().unwrap()).unwrap_err().field.as_deref(), Some(field));
        }
    }
}
