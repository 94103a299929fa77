//! `basalt status`: what there is, what is wrong, what to do next.

use serde_json::Value;

use super::{
    client::Client,
    drive::drive_table,
    error::CliError,
    model::Status,
    report::{Report, table},
};
use crate::size::ByteSize;

pub(crate) async fn run(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/basalt/v1/status").await?;
    let status: Status = client.parse(json.clone())?;
    Ok(Report::new(status_text(&status, client.url()), json))
}

fn status_text(status: &Status, url: &str) -> String {
    let Status { node, nodes, drives, volumes, hosts, problems, next } = status;
    let (what, state) = match &node.persistent_id {
        None => ("provisioner", "up"),
        Some(_) if node.available => ("node", "up"),
        Some(_) => ("node", "NOT ANSWERING,"),
    };
    let mut text = format!(
        "{what} {} (basalt {}) {state} {}, API {url}\n",
        node.name,
        node.version,
        duration_text(node.uptime_seconds)
    );
    for portal in node.portals.iter().filter(|portal| !portal.ip.is_unspecified()) {
        text += &format!("NVMe/TCP on {}\n", std::net::SocketAddr::new(portal.ip, portal.port));
    }
    if nodes.iter().any(|other| node.persistent_id.as_ref() != Some(&other.persistent_id)) {
        let rows = nodes.iter().map(|node| {
            let state = if node.available { "Available" } else { "Unavailable" };
            [node.name.clone(), state.to_owned(), node.persistent_id.clone()]
        });
        text += &format!("\n{}", table(["NODE", "STATE", "ID"], rows));
    }
    text += &format!("\n{}\n", drive_table(drives));
    text += &format!(
        "volumes: {}, {} of them published; {} in all, {} used; snapshots: {}\n",
        volumes.total,
        volumes.published,
        ByteSize(volumes.capacity_bytes),
        ByteSize(volumes.used_bytes),
        volumes.snapshots
    );
    if !hosts.is_empty() {
        let rows = hosts.iter().map(|host| {
            let connected = if host.connected { "yes" } else { "no" };
            [host.name.clone(), host.volumes.to_string(), connected.to_owned(), host.nqn.clone()]
        });
        text += &format!("\n{}", table(["HOST", "VOLUMES", "CONNECTED", "NQN"], rows));
    }
    for (title, lines) in [("problem", problems), ("next", next)] {
        if !lines.is_empty() {
            text.push('\n');
        }
        text.extend(lines.iter().map(|line| format!("{title}: {line}\n")));
    }
    text
}

/// The two largest units: `3d 4h`, `5m 6s`, `7s`.
fn duration_text(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).expect("the server's form")
    }

    #[test]
    fn everything_that_a_person_needs_is_said() {
        let status = status(json!({
            "node": {
                "persistentID": "02:00:00:00:00:01", "name": "east", "version": "0.1.0", "available": true,
                "uptimeSeconds": 3725, "portals": [{"ip": "192.0.2.7", "port": 4420, "transport": "TCP_IP"}],
            },
            "drives": [{
                "id": "d", "name": "a.img", "state": "read-only", "reason": "a flush failed",
                "sizeBytes": 10u64 << 30, "capacityBytes": 10u64 << 30, "unreservedBytes": 5u64 << 30, "usedBytes": 1u64 << 20,
                "writeThrough": false,
            }],
            "volumes": {"total": 2, "published": 1, "capacityBytes": 3u64 << 30, "usedBytes": 1u64 << 20,
                "snapshots": 5},
            "hosts": [{"id": "h", "name": "web", "nqn": "nqn.web", "volumes": 1, "connected": true}],
            "problems": ["drive a.img takes no writes: a flush failed"],
            "next": ["replace the drive"],
        }));
        let expected = "\
node east (basalt 0.1.0) up 1h 2m, API https://192.0.2.7:30100
NVMe/TCP on 192.0.2.7:4420

DRIVE  STATE      CAPACITY  USED   UNRESERVED  MODE        ID
a.img  read-only  10 GiB    1 MiB  5 GiB       write-back  d

volumes: 2, 1 of them published; 3 GiB in all, 1 MiB used; snapshots: 5

HOST  VOLUMES  CONNECTED  NQN
web   1        yes        nqn.web

problem: drive a.img takes no writes: a flush failed

next: replace the drive
";
        assert_eq!(status_text(&status, "https://192.0.2.7:30100"), expected);
    }

    #[test]
    fn a_provisioner_shows_its_nodes() {
        let status = status(json!({
            "node": {"name": "p", "version": "0.1.0", "available": true, "uptimeSeconds": 7, "portals": []},
            "nodes": [{"persistentID": "02:01", "name": "n1", "available": false}],
            "drives": [], "hosts": [], "problems": [], "next": [],
            "volumes": {"total": 0, "published": 0, "capacityBytes": 0, "usedBytes": 0, "snapshots": 0},
        }));
        let text = status_text(&status, "https://192.0.2.7:30100");
        assert!(
            text.starts_with("provisioner p (basalt 0.1.0) up 7s, API https://192.0.2.7:30100\n"),
            "{text}"
        );
        assert!(text.contains("\nn1    Unavailable  02:01\n"), "{text}");
    }

    #[test]
    fn durations() {
        for (seconds, text) in [(7, "7s"), (306, "5m 6s"), (7_260, "2h 1m"), (273_600, "3d 4h")] {
            assert_eq!(duration_text(seconds), text);
        }
    }
}
