//! From what a person typed to one object: the whole id, the name, or the beginning of an id.

use super::{
    client::Client,
    error::CliError,
    model::{Drive, Host, IssuedToken, Location, Snapshot, StorageNode, Task, Tenant, User, Volume},
};

/// Something with an id and a name.
trait Named {
    const WHAT: &'static str;
    const LIST: &'static str;
    fn id(&self) -> &str;
    fn name(&self) -> &str;
}

impl Named for Volume {
    const WHAT: &'static str = "volume";
    const LIST: &'static str = "basalt volume list";
    fn id(&self) -> &str {
        &self.uuid
    }
    fn name(&self) -> &str {
        &self.alias
    }
}

impl Named for Location {
    const WHAT: &'static str = "copy";
    const LIST: &'static str = "basalt volume show VOLUME";
    fn id(&self) -> &str {
        &self.uuid
    }
    /// Copies have no names, but each backend has one at most.
    fn name(&self) -> &str {
        &self.backend.persistent_id
    }
}

impl Named for Host {
    const WHAT: &'static str = "host";
    const LIST: &'static str = "basalt host list";
    fn id(&self) -> &str {
        &self.uuid
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Snapshot {
    const WHAT: &'static str = "snapshot";
    const LIST: &'static str = "basalt snapshot list";
    fn id(&self) -> &str {
        &self.uuid
    }
    fn name(&self) -> &str {
        &self.alias
    }
}

impl Named for Drive {
    const WHAT: &'static str = "drive";
    const LIST: &'static str = "basalt drive list";
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Task {
    const WHAT: &'static str = "task";
    const LIST: &'static str = "basalt task list";
    fn id(&self) -> &str {
        &self.task_id
    }
    /// Tasks have no names of their own.
    fn name(&self) -> &str {
        &self.task_id
    }
}

impl Named for IssuedToken {
    const WHAT: &'static str = "token";
    const LIST: &'static str = "basalt token list";
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// The issued token with this UUID, name, or beginning of a UUID.
pub(crate) async fn issued_token(client: &mut Client, text: &str) -> Result<IssuedToken, CliError> {
    let tokens = client.get("/basalt/v1/tokens").await?;
    pick(tokens, text)
}

impl Named for Tenant {
    const WHAT: &'static str = "tenant";
    const LIST: &'static str = "basalt tenant list";
    fn id(&self) -> &str {
        &self.tenant_id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// The tenant with this id, name, or beginning of an id.
pub(crate) async fn tenant(client: &mut Client, text: &str) -> Result<Tenant, CliError> {
    let tenants = client.get("/tenants").await?;
    pick(tenants, text)
}

impl Named for StorageNode {
    const WHAT: &'static str = "node";
    const LIST: &'static str = "basalt node list";
    fn id(&self) -> &str {
        &self.persistent_id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for User {
    const WHAT: &'static str = "user";
    const LIST: &'static str = "basalt user list";
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// The storage node with this persistentID, name, or beginning of a persistentID.
pub(crate) async fn node(client: &mut Client, text: &str) -> Result<StorageNode, CliError> {
    let nodes = client.get("/basalt/v1/nodes").await?;
    pick(nodes, text)
}

/// The user with this id or name.
pub(crate) async fn user(client: &mut Client, text: &str) -> Result<User, CliError> {
    let users = client.get("/v1/users").await?;
    pick(users, text)
}

/// The task with this UUID or beginning of a UUID.
pub(crate) async fn task(client: &mut Client, text: &str) -> Result<Task, CliError> {
    let tasks = client.get("/tasks").await?;
    pick(tasks, text)
}

/// The drive with this UUID, path as listed, or beginning of a UUID.
pub(crate) async fn drive(client: &mut Client, text: &str) -> Result<Drive, CliError> {
    let drives = client.get("/basalt/v1/drives").await?;
    pick(drives, text)
}

/// The volume with this UUID, alias, or beginning of a UUID.
pub(crate) async fn volume(client: &mut Client, text: &str) -> Result<Volume, CliError> {
    let volumes = client.get("/volumes").await?;
    pick(volumes, text)
}

/// The copy with this UUID, persistentID of its backend, or beginning of a UUID.
pub(crate) fn copy(volume: &Volume, text: &str) -> Result<Location, CliError> {
    pick(volume.location.clone(), text)
}

/// The host with this id, name, or beginning of an id.
pub(crate) async fn host(client: &mut Client, text: &str) -> Result<Host, CliError> {
    let hosts = client.get("/hosts").await?;
    pick(hosts, text)
}

/// The snapshot with this UUID, alias, or beginning of a UUID, or with the alias behind the `@` of the volume
/// before it.
pub(crate) async fn snapshot(client: &mut Client, text: &str) -> Result<Snapshot, CliError> {
    // What they would free is of no interest here, and costs the server time.
    let mut snapshots: Vec<Snapshot> = client.get("/snapshots?uniqueBytes=false").await?;
    let (name, volume) = match text.rsplit_once('@') {
        Some((volume, name)) if !snapshots.iter().any(|snapshot| snapshot.alias == text) => {
            (name, Some(self::volume(client, volume).await?.uuid))
        }
        _ => (text, None),
    };
    if let Some(volume) = volume {
        snapshots.retain(|snapshot| snapshot.volume_id == volume);
    }
    pick(snapshots, name)
}

/// A whole id wins over a name, a name over the beginning of an id. Beginnings of *names* do not count: with
/// `db-prod` alone, `volume delete db` shall not hit it.
fn pick<T: Named>(objects: Vec<T>, text: &str) -> Result<T, CliError> {
    let is_id = |object: &T| object.id().eq_ignore_ascii_case(text);
    let is_name = |object: &T| object.name() == text;
    let begins_id = |object: &T| {
        text.len() >= MIN_BEGINNING
            && object.id().get(..text.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(text))
    };
    let rule: &dyn Fn(&T) -> bool = if objects.iter().any(is_id) {
        &is_id
    } else if objects.iter().any(is_name) {
        &is_name
    } else {
        &begins_id
    };
    let mut found: Vec<T> = objects.into_iter().filter(rule).collect();
    match (found.pop(), found.is_empty()) {
        (Some(object), true) => Ok(object),
        (Some(last), false) => Err(CliError::Ambiguous {
            what: T::WHAT,
            name: text.to_owned(),
            candidates: found.iter().chain([&last]).map(candidate).collect(),
        }),
        (None, _) => Err(CliError::NotFound {
            what: T::WHAT,
            name: text.to_owned(),
            hint: format!(" (see `{}`)", T::LIST),
        }),
    }
}

fn candidate<T: Named>(object: &T) -> String {
    format!("  {}  {}", object.id(), object.name())
}

/// Fewer characters of an id are more likely a slip than a choice.
const MIN_BEGINNING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Vec<Host> {
        let host = |uuid: &str, name: &str| Host {
            uuid: uuid.to_owned(),
            name: name.to_owned(),
            nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{uuid}"),
        };
        vec![
            host("aaaa1111-0000-4000-8000-000000000001", "web"),
            host("aaaa2222-0000-4000-8000-000000000002", "db"),
            host("bbbb1111-0000-4000-8000-000000000003", "db"),
            host("cccc1111-0000-4000-8000-000000000004", "aaaa1"),
        ]
    }

    #[test]
    fn ids_names_and_beginnings_of_ids() {
        let picked = |text: &str| pick(hosts(), text).map(|host| host.uuid[..8].to_owned());
        for (text, id) in [
            ("web", "aaaa1111"),
            ("AAAA2222-0000-4000-8000-000000000002", "aaaa2222"),
            ("bbbb", "bbbb1111"),
            ("AAAA2", "aaaa2222"),
            ("aaaa1", "cccc1111"),
        ] {
            assert_eq!(picked(text).expect(text), id);
        }
    }

    #[test]
    fn two_candidates_are_listed() {
        for (text, ids) in [("db", ["aaaa2222", "bbbb1111"]), ("aaaa", ["aaaa1111", "aaaa2222"])] {
            let Err(CliError::Ambiguous { candidates, .. }) = pick(hosts(), text) else { panic!("{text}") };
            assert_eq!(candidates.len(), 2);
            assert!(candidates.iter().zip(ids).all(|(line, id)| line.contains(id)), "{candidates:?}");
        }
    }

    #[test]
    fn no_candidate_is_not_found() {
        for text in ["", "we", "bbb", "dddd1111", "aaaa1111-0000-4000-8000-0000000000011"] {
            assert!(matches!(pick(hosts(), text), Err(CliError::NotFound { .. })), "{text}");
        }
    }
}
