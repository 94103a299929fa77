//! /v1/userdata: what a new machine runs to become a host of a role (role.md §4 Userdata).

use std::io::Write;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};

use super::{RoleError, call::Call, register_path};

const BOUNDARY: &str = "basalt-userdata-boundary";
const SCRIPT: &str = include_str!("userdata/register.sh");

/// Cloud-Init asks for it; a path that we never gave out gives a script that fails and says why.
#[utoipa::path(get, path = "/userdata/{*name}", tag = "Roles", summary = "The registration script of a role token", security(()),
    responses((status = 200, body = String, content_type = "multipart/mixed", description = "for Cloud-Init")))]
pub(crate) async fn script(call: Call, headers: HeaderMap) -> Result<Response, RoleError> {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let agent = text(header::USER_AGENT).unwrap_or_default();
    if !agent.contains("Cloud-Init") {
        return Err(RoleError::bad("the User-Agent must be Cloud-Init"));
    }
    let script = match register_path::read(&call.app.seal, &call.path) {
        Some(registration) => {
            let host = text(header::HOST).map(str::to_owned);
            let host = host
                .unwrap_or_else(|| call.app.listeners.first().map_or_else(String::new, ToString::to_string));
            // All three come from us or are checked: nothing in them means anything to a shell.
            let safe = |c: char| c.is_ascii_alphanumeric() || ".:-[]".contains(c);
            if !host.chars().all(safe) {
                return Err(RoleError::bad("the header Host names no host"));
            }
            SCRIPT
                .replace("@HOST@", &host)
                .replace("@ROLE@", &encoded(&registration.role.to_string()))
                .replace("@TOKEN@", &registration.token)
        }
        None => "#!/bin/sh\necho 'This registration path is not valid.' >&2\nexit 1\n".to_owned(),
    };
    let part = |kind: &str, name: &str, body: &str| {
        format!(
            "--{BOUNDARY}\r\nContent-Type: {kind}; charset=\"utf-8\"\r\nMIME-Version: 1.0\r\n\
             Content-Transfer-Encoding: 8bit\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n{body}\r\n"
        )
    };
    let config = part("text/cloud-config", "basalt.cfg", "#cloud-config\n");
    let script = part("text/x-shellscript", "basalt-register.sh", &script);
    let body = format!(
        "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\nMIME-Version: 1.0\r\n\r\n{config}{script}--{BOUNDARY}--\r\n"
    );
    let kind = [(header::CONTENT_TYPE, format!("multipart/mixed; boundary=\"{BOUNDARY}\""))];
    if !takes_gzip(agent, text(header::ACCEPT_ENCODING).unwrap_or_default()) {
        return Ok((StatusCode::OK, kind, body).into_response());
    }
    let encoding = [(header::CONTENT_ENCODING, "gzip")];
    Ok((StatusCode::OK, kind, encoding, gzip(&body)).into_response())
}

/// Who says so, and Cloud-Init from 0.7.9 on, which does not.
fn takes_gzip(agent: &str, accepted: &str) -> bool {
    let version = agent.split_once("Cloud-Init/").map(|(_, rest)| {
        let mut parts = rest.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    });
    let says_gzip = |coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !["q=0", "q=0.0"].contains(&weight.trim())
    };
    version.is_some_and(|version: (u32, u32, u32)| version >= (0, 7, 9)) || accepted.split(',').any(says_gzip)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("memory takes everything")
}

/// For a path of a URL, and for a shell.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/-._".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn who_gets_it_compressed() {
        for (agent, accepted, compressed) in [
            ("Cloud-Init 0.7.9", "", false),
            ("Cloud-Init 0.7.9", "identity", false),
            ("Cloud-Init/0.7.8", "", false),
            ("Cloud-Init/0.7.9", "", true),
            ("Cloud-Init/0.10", "", true),
            ("Cloud-Init/23.1.2-0ubuntu1", "identity", true),
            ("Cloud-Init 0.7.9", "deflate, gzip", true),
            ("Cloud-Init 0.7.9", "gzip;q=0", false),
            ("Cloud-Init/x", "", false),
        ] {
            assert_eq!(takes_gzip(agent, accepted), compressed, "{agent} {accepted}");
        }
        let mut text = String::new();
        GzDecoder::new(gzip("#!/bin/sh").as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "#!/bin/sh");
    }
}
