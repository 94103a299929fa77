//! `basalt node drain`: nothing new is placed on a node, and what lies there is listed with how to get it away.

use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    model::{Location, StorageNode, Target, Tenant, Volume},
    report::{Report, table},
};
use crate::size::ByteSize;

/// A copy that lies on the node.
#[derive(Debug)]
struct Left {
    tenant: Tenant,
    volume: Volume,
    copy: Location,
    /// Names of the hosts that the volume is published to.
    hosts: Vec<String>,
}

/// How a copy gets away from its node.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Its host's agent can be asked to move it.
    Migrate,
    /// Somebody has to do this first, or instead.
    ByHand(String),
}

pub(super) async fn run(client: &mut Client, node: &StorageNode, migrate: bool) -> Result<Report, CliError> {
    let path = format!("/backends/{}", node.persistent_id);
    client.call(Method::PUT, &path, Some(json!({ "inUse": false }))).await?;
    let mut rows = Vec::new();
    for left in left_on(client, &node.persistent_id).await? {
        let step = match left.step() {
            Step::Migrate if migrate => ask(client, &left).await?,
            Step::Migrate => left.command(),
            Step::ByHand(what) => what,
        };
        rows.push((left, step));
    }
    let json = rows.iter().map(|(left, step)| left.json(step)).collect::<Vec<_>>();
    let json = json!({ "node": node.persistent_id, "inUse": false, "left": json });
    Ok(Report::new(text(node, rows), json))
}

fn text(node: &StorageNode, rows: Vec<(Left, String)>) -> String {
    let name = &node.name;
    if rows.is_empty() {
        // The server's own node cannot be removed from it.
        let next = match node.address {
            Some(_) => format!("node remove {name}"),
            None => format!("node set {name} --takes-volumes true"),
        };
        return format!("node {name} gets no new volumes, and has none\nnext: basalt {next}");
    }
    let count = rows.len();
    let is_any_movable = rows.iter().any(|(left, _)| left.step() == Step::Migrate);
    let rows = rows.into_iter().map(|(left, step)| {
        let hosts = if left.hosts.is_empty() { "-".to_owned() } else { left.hosts.join(", ") };
        let Left { tenant, volume, .. } = left;
        let copies = volume.location.len().to_string();
        [volume.alias, tenant.name, ByteSize(volume.capacity).to_string(), copies, hosts, step]
    });
    let table = table(["VOLUME", "TENANT", "SIZE", "COPIES", "HOSTS", "NEXT"], rows);
    let left = if count == 1 {
        "a copy of one volume is".to_owned()
    } else {
        format!("copies of {count} volumes are")
    };
    let next = match is_any_movable {
        true => {
            format!("next: basalt node drain {name} --migrate asks the hosts' agents to move what they can")
        }
        false => String::new(),
    };
    format!("node {name} gets no new volumes; {left} left there\n{table}{next}")
}

/// Of all tenants.
async fn left_on(client: &mut Client, node: &str) -> Result<Vec<Left>, CliError> {
    let tenants: Vec<Tenant> = client.get("/tenants").await?;
    let mut found = Vec::new();
    for tenant in tenants {
        client.act_for(tenant.tenant_id.clone());
        let volumes: Vec<Volume> = client.get(&format!("/volumes?backendId={}", encode(node))).await?;
        for volume in volumes {
            let Some(copy) = volume.location.iter().find(|l| l.backend.persistent_id == node).cloned() else {
                continue;
            };
            let targets: Vec<Target> = client.get(&format!("/targets?volId={}", volume.uuid)).await?;
            let mut hosts: Vec<_> = targets.into_iter().map(|t| t.host_target_connected_to).collect();
            hosts.sort_unstable();
            hosts.dedup();
            found.push(Left { tenant: tenant.clone(), volume, copy, hosts });
        }
    }
    Ok(found)
}

/// What became of the request; a refusal keeps nobody from asking for the next one.
async fn ask(client: &mut Client, left: &Left) -> Result<String, CliError> {
    client.act_for(left.tenant.tenant_id.clone());
    let body = json!({ "volId": left.volume.uuid, "repId": left.copy.uuid });
    match client.call(Method::POST, "/migrate_volume", Some(body)).await {
        Ok(_) => Ok("its host's agent is asked to move it: basalt task list".to_owned()),
        Err(CliError::Refused { code, message }) => Ok(format!("{code}: {message}")),
        Err(error) => Err(error),
    }
}

impl Left {
    fn step(&self) -> Step {
        let (name, copy) = (&self.volume.alias, &self.copy.uuid);
        // A simple volume's only copy bears its UUID (provisioner D22); its data no server moves (D60, NotReplicated).
        if *copy == self.volume.uuid {
            return Step::ByHand(format!("copy its data to a new volume, then basalt volume delete {name}"));
        }
        if self.copy.replica_state == "Terminating" {
            return Step::ByHand(format!("basalt replica remove {name} {copy} --finish"));
        }
        match self.hosts.len() {
            0 => Step::ByHand(format!(
                "basalt publish {name} HOST, whose agent moves copies; then drain again"
            )),
            1 => Step::Migrate,
            _ => Step::ByHand(format!("basalt unpublish {name} from all hosts but one; then drain again")),
        }
    }

    /// For this copy alone.
    fn command(&self) -> String {
        let tenant = match self.tenant.tenant_id.as_str() {
            "0" => String::new(),
            _ => format!(" --tenant {}", self.tenant.name),
        };
        format!("basalt volume migrate {} {}{tenant}", self.volume.alias, self.copy.uuid)
    }

    fn json(&self, step: &str) -> Value {
        json!({
            "tenantId": self.tenant.tenant_id, "volume": self.volume.uuid, "alias": self.volume.alias,
            "replica": self.copy.uuid, "hosts": self.hosts, "next": step,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(copy: &str, state: &str, hosts: &[&str]) -> Left {
        let location =
            json!({"uuid": copy, "replicaState": state, "backend": {"persistentID": "n"}, "inUse": false});
        let volume = json!({"alias": "db", "uuid": "v", "capacity": 1u64 << 30, "provisioningType": "THIN",
            "blockSize": "4KB", "writable": true, "inUse": false, "location": [location.clone(), location.clone()]});
        let tenant = json!({"tenantId": "t", "name": "acme", "capacity": 0, "consumedCapacity": 0, "totalIOPS": 0,
            "consumedIOPS": 0, "totalBW": 0, "consumedBW": 0});
        Left {
            tenant: serde_json::from_value(tenant).expect("a tenant"),
            volume: serde_json::from_value(volume).expect("a volume"),
            copy: serde_json::from_value(location).expect("a copy"),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        }
    }

    fn node() -> StorageNode {
        let node = json!({
            "persistentID": "n", "name": "n1", "address": "198.18.0.1:30101",
            "available": true, "directed": true, "inUse": false,
        });
        serde_json::from_value(node).expect("a node")
    }

    #[test]
    fn what_can_be_moved_and_what_is_done_by_hand() {
        for (copy, state, hosts, says) in [
            ("v", "Available", &["web"][..], "volume delete db"),
            ("c", "Terminating", &["web"], "replica remove db c --finish"),
            ("c", "Unknown", &[], "publish db HOST"),
            ("c", "Available", &["a", "b"], "unpublish db"),
        ] {
            let Step::ByHand(what) = left(copy, state, hosts).step() else {
                panic!("{copy} {state} {hosts:?}")
            };
            assert!(what.contains(says), "{what}");
        }
        let movable = left("c", "Unknown", &["web"]);
        assert_eq!(movable.step(), Step::Migrate);
        assert_eq!(movable.command(), "basalt volume migrate db c --tenant acme");
    }

    #[test]
    fn an_empty_node_can_be_removed_and_a_full_one_says_what_is_left() {
        assert!(text(&node(), Vec::new()).ends_with("next: basalt node remove n1"));
        let own = StorageNode { address: None, ..node() };
        assert!(text(&own, Vec::new()).ends_with("next: basalt node set n1 --takes-volumes true"));
        let movable = left("c", "Unknown", &["web"]);
        let step = movable.command();
        let shown = text(&node(), vec![(movable, step)]);
        assert!(shown.contains("a copy of one volume is left there"), "{shown}");
        assert!(shown.contains("next: basalt node drain n1 --migrate"), "{shown}");
        assert!(
            shown.contains("db      acme    1 GiB  2       web    basalt volume migrate db c"),
            "{shown}"
        );
        let alone = left("v", "Available", &[]);
        assert!(!text(&node(), vec![(alone, "by hand".to_owned())]).contains("--migrate"));
    }
}
