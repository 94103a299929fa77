//! `basalt publish` and `basalt unpublish`: which volumes a host gets, and what to run on the host.

use std::net::IpAddr;

use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    host_secret, host_tls_key,
    model::{Backend, Host, Portal, Target, Volume},
    report::Report,
    resolve,
};

#[derive(Debug, clap::Args)]
pub(crate) struct PublishArguments {
    /// Name, UUID or the beginning of a UUID
    volume: String,
    /// Name, id or the beginning of an id
    host: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnpublishArguments {
    /// Name, UUID or the beginning of a UUID
    volume: String,
    /// Name, id or the beginning of an id
    #[arg(required_unless_present = "all")]
    host: Option<String>,
    /// From every host
    #[arg(long, conflicts_with = "host")]
    all: bool,
}

pub(crate) async fn publish(client: &mut Client, arguments: PublishArguments) -> Result<Report, CliError> {
    let volume = resolve::volume(client, &arguments.volume).await?;
    let host = resolve::host(client, &arguments.host).await?;
    let body = json!({ "hostId": host.uuid, "volId": volume.uuid });
    match client.call(Method::POST, "/publish", Some(body)).await {
        Ok(_) => {}
        // Asked for the same twice: the lines to run are still the answer.
        Err(CliError::Refused { code, .. }) if code == "AlreadyPublished" => {}
        Err(error) => return Err(error),
    }
    let paths = paths(client, &volume, &host).await?;
    let extended: Vec<Volume> = client.get(&format!("/volume_extended/{}", volume.uuid)).await?;
    let locations = extended.first().map(|volume| volume.location.as_slice()).unwrap_or_default();
    let is_connected =
        locations.iter().flat_map(|location| &location.sessions).any(|session| session.host_id == host.uuid);
    let disks: Vec<String> =
        locations.iter().filter(|location| location.in_use).map(|location| disk(&location.uuid)).collect();
    let has_key = host_tls_key::is_set(client, &host).await?;
    let mut report = publish_report(&volume, &host, &paths, &disks, is_connected, has_key);
    let authenticates = host_secret::is_set(client, &host).await?;
    report.json["authenticates"] = authenticates.into();
    if authenticates {
        report.text += "\nThe host has a secret: add --dhchap-secret=SECRET to these lines (`basalt host set-secret` printed it)\n";
    }
    Ok(report)
}

/// One way to a volume: a subsystem behind a portal.
struct PathTo {
    nqn: String,
    portal: Portal,
}

/// Every portal of every node that exports the volume to the host.
async fn paths(client: &mut Client, volume: &Volume, host: &Host) -> Result<Vec<PathTo>, CliError> {
    let query = format!("/targets?hostId={}&volId={}", encode(&host.uuid), encode(&volume.uuid));
    let targets: Vec<Target> = client.get(&query).await?;
    let mut paths = Vec::new();
    for target in targets {
        for backend in &target.connected_backends {
            let path = format!("/backends/{}", encode(&backend.persistent_id));
            let backends: Vec<Backend> = client.get(&path).await?;
            let portals = backends.into_iter().flat_map(|backend| backend.portals);
            let reachable = portals.filter_map(|portal| reachable(portal, client.host()));
            paths.extend(reachable.map(|portal| PathTo { nqn: target.name.clone(), portal }));
        }
    }
    Ok(paths)
}

/// Nobody can connect to 0.0.0.0 or ::. A server that says so listens everywhere, also where it answered us.
fn reachable(portal: Portal, server: &str) -> Option<Portal> {
    if portal.transport != "TCP_IP" {
        return None;
    }
    if !portal.ip.is_unspecified() {
        return Some(portal);
    }
    let ip: IpAddr = server.parse().ok()?;
    Some(Portal { ip, ..portal })
}

fn publish_report(
    volume: &Volume,
    host: &Host,
    paths: &[PathTo],
    disks: &[String],
    is_connected: bool,
    has_key: bool,
) -> Report {
    let connect: Vec<_> = paths.iter().map(|path| connect_line(path, host, has_key)).collect();
    let mut insert_key: Vec<_> = paths
        .iter()
        .filter(|_| has_key)
        .map(|path| host_tls_key::insert_line(host, &path.nqn, "KEY"))
        .collect();
    insert_key.dedup();
    let mut discovery: Vec<_> = paths.iter().map(|path| discovery_line(&path.portal, host)).collect();
    discovery.dedup();
    let disk = disks.join(" and ");
    let mut text = format!("published {} to {}\n", volume.alias, host.name);
    if volume.location.iter().all(|location| location.replica_state == "Missing") {
        text += "but the node does not have the volume now, see `basalt status`\n";
    }
    if paths.is_empty() {
        text += "no portal of the node can be reached from outside: start it with --nvme ADDR:PORT,advertise=ADDR\n";
    } else if is_connected {
        text += &format!("{} is connected already: the disk is there as {disk}\n", host.name);
    } else {
        text += &format!("\nOn {}, as root:\n\n  modprobe nvme-tcp\n", host.name);
        text += &indented(&insert_key);
        text += &indented(&connect);
        if has_key {
            text += "\nKEY is what `basalt host set-tls-key` printed; tlshd has to run on the host\n";
        }
        text += &format!(
            "\nThe disk is then {disk}\n{}To connect at every boot, add to /etc/nvme/discovery.conf and run \
             `systemctl enable nvmf-autoconnect`:\n\n",
            mirror(volume, disks)
        );
        text += &indented(&discovery);
    }
    let portals: Vec<_> = paths
        .iter()
        .map(|path| json!({ "nqn": path.nqn, "ip": path.portal.ip, "port": path.portal.port }))
        .collect();
    let json = json!({
        "volume": { "uuid": volume.uuid, "alias": volume.alias },
        "host": { "uuid": host.uuid, "name": host.name, "nqn": host.nqn },
        "paths": portals,
        "disk": disks.first(),
        "disks": disks,
        "connected": is_connected,
        "tls": has_key,
        "insertKey": insert_key,
        "connect": connect,
        "discoveryConf": discovery,
    });
    Report::new(text, json)
}

fn disk(namespace: &str) -> String {
    format!("/dev/disk/by-id/nvme-uuid.{namespace}")
}

/// What makes one disk of several copies, which nobody but the host keeps equal.
fn mirror(volume: &Volume, disks: &[String]) -> String {
    if volume.location.len() < 2 || disks.len() < volume.location.len() {
        return String::new();
    }
    format!(
        "Nobody but the host keeps the copies equal. The first time, make a mirror of all of them:\n\n  mdadm --create \
         /dev/md/{} --level=1 --raid-devices={} {}\n\n",
        volume.alias,
        disks.len(),
        disks.join(" ")
    )
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

fn connect_line(path: &PathTo, host: &Host, has_key: bool) -> String {
    let nqn = &path.nqn;
    let tls = if has_key { " --tls" } else { "" };
    format!("nvme connect {} --nqn={nqn} {}{tls}", portal_options(&path.portal), host_options(host))
}

/// A line of discovery.conf; the options are those of every subsystem that is found there. Discovery itself goes without
/// TLS, and its log says which subsystems have it.
fn discovery_line(portal: &Portal, host: &Host) -> String {
    format!("{} {}", portal_options(portal), host_options(host))
}

fn portal_options(portal: &Portal) -> String {
    format!("--transport=tcp --traddr={} --trsvcid={}", portal.ip, portal.port)
}

/// The kernel's default gives a lost target up after ten minutes, and file systems then turn read-only. A
/// storage node that was switched off comes back, so the host waits for it; `nvme disconnect` ends the wait.
fn host_options(host: &Host) -> String {
    format!("--hostnqn={} --ctrl-loss-tmo=-1 --reconnect-delay=2", host.nqn)
}

pub(crate) async fn unpublish(
    client: &mut Client,
    arguments: UnpublishArguments,
) -> Result<Report, CliError> {
    let volume = resolve::volume(client, &arguments.volume).await?;
    let host = match &arguments.host {
        Some(host) => Some(resolve::host(client, host).await?),
        None => None,
    };
    let mut body = json!({ "volId": volume.uuid });
    if let Some(host) = &host {
        body["hostId"] = Value::from(host.uuid.clone());
    }
    client.call(Method::POST, "/unpublish", Some(body)).await?;
    let from = host.as_ref().map_or("every host", |host| &host.name);
    let json = json!({
        "volume": { "uuid": volume.uuid, "alias": volume.alias },
        "host": host.as_ref().map(|host| json!({ "uuid": host.uuid, "name": host.name })),
    });
    Ok(Report::new(format!("unpublished {} from {from}", volume.alias), json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(ip: &str) -> Portal {
        Portal { ip: ip.parse().expect("literal"), port: 4420, transport: "TCP_IP".to_owned() }
    }

    #[test]
    fn the_lines_for_the_host() {
        let host = Host {
            uuid: "9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001".to_owned(),
            name: "web".to_owned(),
            nqn: "nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001".to_owned(),
        };
        let path = PathTo { nqn: "nqn.2026-11.io.basalt:web".to_owned(), portal: portal("192.0.2.7") };
        assert_eq!(
            connect_line(&path, &host, false),
            "nvme connect --transport=tcp --traddr=192.0.2.7 --trsvcid=4420 --nqn=nqn.2026-11.io.basalt:web \
             --hostnqn=nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001 \
             --ctrl-loss-tmo=-1 --reconnect-delay=2"
        );
        assert!(connect_line(&path, &host, true).ends_with(" --reconnect-delay=2 --tls"));
        assert_eq!(
            discovery_line(&portal("2001:db8::7"), &host),
            "--transport=tcp --traddr=2001:db8::7 --trsvcid=4420 \
             --hostnqn=nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001 \
             --ctrl-loss-tmo=-1 --reconnect-delay=2"
        );
    }

    #[test]
    fn an_unspecified_portal_is_never_printed() {
        assert_eq!(reachable(portal("192.0.2.7"), "node1"), Some(portal("192.0.2.7")));
        assert_eq!(reachable(portal("0.0.0.0"), "192.0.2.8"), Some(portal("192.0.2.8")));
        assert_eq!(reachable(portal("::"), "2001:db8::8"), Some(portal("2001:db8::8")));
        assert_eq!(reachable(portal("0.0.0.0"), "node1"), None);
    }
}
