//! `basalt host set-secret` and `clear-secret`.

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    model::Host,
    report::Report,
    resolve,
};

#[derive(Debug, Args)]
pub(crate) struct SetSecret {
    /// Name, id or the beginning of an id
    host: String,
    /// Make a new secret and print it, once
    #[arg(long, required = true)]
    generate: bool,
    /// Also make one by which the host knows the storage
    #[arg(long)]
    two_way: bool,
    /// Hash function that the host has to use
    #[arg(long, value_enum, default_value = "sha256")]
    hash: Hash,
    /// Diffie-Hellman group that the host has to use
    #[arg(long, value_enum, default_value = "ffdhe2048")]
    dh_group: DhGroup,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DhGroup {
    Null,
    Ffdhe2048,
    Ffdhe3072,
    Ffdhe4096,
    Ffdhe6144,
    Ffdhe8192,
}

/// As the API calls it, which is as it was typed.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A new secret, shown here and never again.
pub(super) async fn set(client: &mut Client, command: SetSecret) -> Result<Report, CliError> {
    let SetSecret { host, generate, two_way, hash, dh_group } = command;
    let host = resolve::host(client, &host).await?;
    let body =
        json!({ "generate": generate, "twoWay": two_way, "hash": name(hash), "dhGroup": name(dh_group) });
    let path = format!("/basalt/v1/hosts/{}/secrets", encode(&host.uuid));
    let answer = client.call(Method::PUT, &path, Some(body)).await?;
    let secret = |name: &str| answer[name].as_str().map(str::to_owned);
    let mut text = format!(
        "{} has to authenticate from its next connect on; connections that it has go on\n",
        host.name
    );
    for (what, value) in options(secret("hostSecret"), secret("controllerSecret")) {
        text += &format!("{what}={value}\n");
    }
    text += "these are options of `nvme connect`; the secrets are not shown again";
    Ok(Report::new(text, answer))
}

fn options(host: Option<String>, controller: Option<String>) -> impl Iterator<Item = (&'static str, String)> {
    let host = host.map(|secret| ("--dhchap-secret", secret));
    host.into_iter().chain(controller.map(|secret| ("--dhchap-ctrl-secret", secret)))
}

/// Whether the host has to authenticate.
pub(super) async fn is_set(client: &mut Client, host: &Host) -> Result<bool, CliError> {
    let path = format!("/basalt/v1/hosts/{}/secrets", encode(&host.uuid));
    Ok(client.get_if_there::<Value>(&path).await?.is_some())
}

/// The host connects without from then on.
pub(super) async fn clear(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let host = resolve::host(client, text).await?;
    let path = format!("/basalt/v1/hosts/{}/secrets", encode(&host.uuid));
    let answer: Value = client.call(Method::DELETE, &path, None).await?;
    Ok(Report::new(format!("{} connects without a secret from now on", host.name), answer))
}
