//! `basalt host set-tls-key` and `clear-tls-key`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    file,
    model::Host,
    report::Report,
    resolve,
};

#[derive(Debug, Args)]
pub(crate) struct SetTlsKey {
    /// Name, id or the beginning of an id
    host: String,
    /// Make a new key and print it, once
    #[arg(long, conflicts_with = "key_file")]
    generate: bool,
    /// Take the key of this file, which holds NVMeTLSkey-1:...
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Hash function of a new key: sha256 for AES-128, sha384 for AES-256 (not with Debian 13's tlshd)
    #[arg(long, value_enum, requires = "generate")]
    hash: Option<Hash>,
    /// Whether the host may still connect without TLS; required for a first key
    #[arg(long, value_enum, required_unless_present_any = ["generate", "key_file"])]
    policy: Option<Policy>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hash {
    Sha256,
    Sha384,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Policy {
    Required,
    Allowed,
}

/// As the API calls it, which is as it was typed.
fn name(value: impl ValueEnum) -> Value {
    json!(value.to_possible_value().map(|value| value.get_name().to_owned()))
}

/// A key, or its policy. A new key is shown here and never again.
pub(super) async fn set(client: &mut Client, command: SetTlsKey) -> Result<Report, CliError> {
    let SetTlsKey { host, generate, key_file, hash, policy } = command;
    let host = resolve::host(client, &host).await?;
    let mut body = json!({ "generate": generate });
    if let Some(file) = key_file {
        body["key"] = json!(file::read(&file)?.trim());
    }
    if let Some(hash) = hash {
        body["hash"] = name(hash);
    }
    if let Some(policy) = policy {
        body["policy"] = name(policy);
    }
    let path = format!("/basalt/v1/hosts/{}/tls-keys", encode(&host.uuid));
    let answer = client.call(Method::PUT, &path, Some(body)).await?;
    let policy = answer["policy"].as_str().unwrap_or_default();
    let mut text =
        format!("TLS is {policy} for {} from its next connect on; connections that it has go on", host.name);
    if let Some(key) = answer["key"].as_str() {
        text += &format!(
            "\n{key}\nthe key is not shown again; on the host, for each of its subsystems:\n\
             {}\nnvme connect --tls ...",
            insert_line(&host, "NQN", key)
        );
    }
    Ok(Report::new(text, answer))
}

/// What puts the host's key for one subsystem into its kernel's keyring, until it boots again. Only identities of this
/// version are derived by libnvme in a way that a server can tell.
pub(super) fn insert_line(host: &Host, subsystem_nqn: &str, key: &str) -> String {
    format!(
        "nvme check-tls-key --identity=1 --insert --hostnqn={} --subsysnqn={subsystem_nqn} --keydata={key}",
        host.nqn
    )
}

/// Whether the host has a key.
pub(super) async fn is_set(client: &mut Client, host: &Host) -> Result<bool, CliError> {
    let path = format!("/basalt/v1/hosts/{}/tls-keys", encode(&host.uuid));
    Ok(client.get_if_there::<Value>(&path).await?.is_some())
}

/// The host connects without from then on.
pub(super) async fn clear(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let host = resolve::host(client, text).await?;
    let path = format!("/basalt/v1/hosts/{}/tls-keys", encode(&host.uuid));
    let answer: Value = client.call(Method::DELETE, &path, None).await?;
    Ok(Report::new(format!("{} connects without TLS from now on", host.name), answer))
}
