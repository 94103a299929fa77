//! `basalt host …`

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    host_secret::{self, SetSecret},
    host_tls_key::{self, SetTlsKey},
    model::{Host, Volume},
    report::{Report, table},
    resolve,
};

#[derive(Debug, Subcommand)]
pub(crate) enum HostCommand {
    /// Make a host known, so that volumes can be published to it
    Add {
        /// A name for people
        name: String,
        /// What the host calls itself: the line in its /etc/nvme/hostnqn
        #[arg(long)]
        nqn: String,
        /// Its id [default: the UUID that its NQN ends with, else a random one]
        #[arg(long)]
        id: Option<String>,
    },
    /// List hosts
    List,
    /// Forget a host
    Delete {
        /// Name, id or the beginning of an id
        host: String,
        /// Also take away the volumes that are published to it
        #[arg(long)]
        force: bool,
    },
    /// Make a host prove who it is (DH-HMAC-CHAP) before it sees a volume, or give it another secret
    SetSecret(SetSecret),
    /// Let a host in without a secret again
    ClearSecret {
        /// Name, id or the beginning of an id
        host: String,
    },
    /// Make a host connect in TLS with a key, give it another one, or let it choose
    SetTlsKey(SetTlsKey),
    /// Let a host connect without TLS again
    ClearTlsKey {
        /// Name, id or the beginning of an id
        host: String,
    },
}

pub(crate) async fn run(client: &mut Client, command: HostCommand) -> Result<Report, CliError> {
    match command {
        HostCommand::Add { name, nqn, id } => add(client, name, nqn, id).await,
        HostCommand::List => list(client).await,
        HostCommand::Delete { host, force } => delete(client, &host, force).await,
        HostCommand::SetSecret(command) => host_secret::set(client, command).await,
        HostCommand::ClearSecret { host } => host_secret::clear(client, &host).await,
        HostCommand::SetTlsKey(command) => host_tls_key::set(client, command).await,
        HostCommand::ClearTlsKey { host } => host_tls_key::clear(client, &host).await,
    }
}

async fn add(client: &mut Client, name: String, nqn: String, id: Option<String>) -> Result<Report, CliError> {
    if !nqn.starts_with("nqn.") {
        let wrong = format!("--nqn {nqn}: a host NQN begins with `nqn.`: take the line in /etc/nvme/hostnqn");
        return Err(CliError::Usage(wrong));
    }
    let hosts: Vec<Host> = client.get("/hosts").await?;
    let id = id.unwrap_or_else(|| id_of(&nqn));
    // The API would take this as news about the same host, or as a second one of that name.
    if let Some(host) = hosts.iter().find(|host| host.uuid == id || host.name == name || host.nqn == nqn) {
        return already_there(host, &name, &nqn, &id);
    }
    let body = json!({
        "hostId": id,
        "hostNqn": nqn,
        "name": name,
        "clientType": "basalt",
        "version": env!("CARGO_PKG_VERSION"),
        "duration": NO_MORE_PROBES,
    });
    client.call(Method::POST, "/host_probe", Some(body)).await?;
    let json = json!({ "uuid": id, "name": name, "nqn": nqn });
    Ok(Report::new(format!("added host {name}, {id}\nnext: basalt publish VOLUME {name}"), json))
}

/// Saying the same again is fine, contradicting what is known is not.
fn already_there(host: &Host, name: &str, nqn: &str, id: &str) -> Result<Report, CliError> {
    if host.name == name && host.nqn == nqn && host.uuid == id {
        let json = json!({ "uuid": id, "name": name, "nqn": nqn });
        return Ok(Report::new(format!("host {name} is known already, {id}"), json));
    }
    Err(CliError::Refused {
        code: "AlreadyExists".to_owned(),
        message: format!("there is host {} with id {} and NQN {}", host.name, host.uuid, host.nqn),
    })
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/hosts").await?;
    let hosts: Vec<Host> = client.parse(json.clone())?;
    if hosts.is_empty() {
        let hint = "no hosts yet; make one known: basalt host add NAME --nqn NQN (its /etc/nvme/hostnqn)";
        return Ok(Report::new(hint, json));
    }
    let rows = hosts.into_iter().map(|host| [host.name, host.nqn, host.uuid]);
    Ok(Report::new(table(["NAME", "NQN", "ID"], rows), json))
}

async fn delete(client: &mut Client, text: &str, force: bool) -> Result<Report, CliError> {
    let host = resolve::host(client, text).await?;
    let volumes: Vec<Volume> = client.get(&format!("/volumes?hostID={}", encode(&host.uuid))).await?;
    if !volumes.is_empty() && !force {
        let names: Vec<_> = volumes.into_iter().map(|volume| volume.alias).collect();
        return Err(CliError::Refused {
            code: "HostInUse".to_owned(),
            message: format!(
                "{} has volumes: {}. Unpublish them first, or take them away with --force",
                host.name,
                names.join(", ")
            ),
        });
    }
    client.call(Method::DELETE, &format!("/hosts/{}", encode(&host.uuid)), None).await?;
    let json = json!({ "deleted": host.uuid, "name": host.name });
    Ok(Report::new(format!("deleted host {}, {}", host.name, host.uuid), json))
}

/// Linux makes host NQNs as `nqn.2014-08.org.nvmexpress:uuid:UUID`, and its host id is mostly the same UUID.
fn id_of(nqn: &str) -> String {
    let uuid = nqn.rsplit_once(":uuid:").and_then(|(_, uuid)| uuid.parse().ok());
    uuid.unwrap_or_else(uuid::Uuid::new_v4).to_string()
}

/// Seconds between probes of an agent. No agent runs on such a host, so nobody is to wait for its next probe.
const NO_MORE_PROBES: u64 = 0;
