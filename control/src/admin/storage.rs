//! Where the metadata's backups live (admin.md §5.10): in the data directory, or where an operator's program mounts it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::{
    field_rule::{InvalidField, Letters, Rule},
    hex, program,
};
use crate::{
    ControlError,
    app::{App, retry},
    crash_point::crash_point,
    envelope::ApiError,
    files,
    sealed::Seal,
    state::{Change, Record, State},
    store::StoreError,
};

/// Kinds of storage, by the names that documents give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StorageType {
    Local,
    Nfs,
    Aoe,
    Iscsi,
    Nbd,
}

const IP: Rule = Rule::required("ip", Letters::HexAnd(".:"), 3, 45);
const PASSWORD: &str = "password";

impl StorageType {
    const ALL: [Self; 5] = [Self::Local, Self::Nfs, Self::Aoe, Self::Iscsi, Self::Nbd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Nfs => "nfs",
            Self::Aoe => "aoe",
            Self::Iscsi => "iscsi",
            Self::Nbd => "nbd",
        }
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn fields(self) -> &'static [Rule] {
        const NFS: [Rule; 3] = [
            Rule::required("mount_options", Letters::And(".-=,"), 3, 255),
            IP,
            Rule::required("share", Letters::And(".-_/"), 3, 255),
        ];
        const AOE: [Rule; 1] = [Rule::required("device", Letters::And(".-"), 3, 255)];
        const ISCSI: [Rule; 4] = [
            Rule::required("target", Letters::And(".-_:"), 3, 255),
            IP,
            Rule::required("username", Letters::Graphic, 3, 255),
            Rule::required(PASSWORD, Letters::Graphic, 3, 255),
        ];
        const NBD: [Rule; 3] = [
            Rule::required("export_name", Letters::And(".-_/"), 3, 255),
            IP,
            Rule::required("port", Letters::Digits, 1, 5),
        ];
        match self {
            Self::Local => &[],
            Self::Nfs => &NFS,
            Self::Aoe => &AOE,
            Self::Iscsi => &ISCSI,
            Self::Nbd => &NBD,
        }
    }
}

/// The operator's programs that mount storage, by the names of its types; without one a type is not offered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StorageHelpers(BTreeMap<StorageType, PathBuf>);

/// There is no such type, or it needs no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no type of storage that a program can mount: there are nfs, aoe, iscsi and nbd")]
pub struct NoStorageType(String);

impl StorageHelpers {
    /// Takes the place of one for the same type.
    ///
    /// # Errors
    /// There is no such type.
    pub fn add(&mut self, name: &str, program: PathBuf) -> Result<(), NoStorageType> {
        let kind = StorageType::find(name).filter(|kind| *kind != StorageType::Local);
        self.0.insert(kind.ok_or_else(|| NoStorageType(name.to_owned()))?, program);
        Ok(())
    }

    fn of(&self, kind: StorageType) -> Option<&Path> {
        self.0.get(&kind).map(PathBuf::as_path)
    }

    fn offers(&self, kind: StorageType) -> bool {
        kind == StorageType::Local || self.0.contains_key(&kind)
    }

    /// Types that are offered.
    pub(crate) fn options(&self) -> Vec<&'static str> {
        let offered = StorageType::ALL.into_iter().filter(|kind| self.offers(*kind));
        offered.map(StorageType::name).collect()
    }
}

/// What is kept of the document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StorageRecord {
    #[serde(rename = "type")]
    kind: StorageType,
    /// But for the password.
    fields: BTreeMap<String, String>,
    /// The password, for this record only.
    sealed_password: Option<String>,
}

impl Record for StorageRecord {
    const PREFIX: &'static str = "backup-storage/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

/// Stands for a password that is not shown; posted, it leaves the one that is there.
const HIDDEN: &str = "********";
/// Where the password is sealed for.
const SEALED_FOR: &str = "backup-storage/password";

impl StorageRecord {
    /// There is one.
    pub(crate) const KEY: &'static str = "settings";

    /// What a document says. `stored`: what there is by now. The fields are checked first, then whether this server
    /// offers the type.
    pub(crate) fn parse(
        text: &str,
        stored: Option<&Self>,
        seal: &Seal,
        helpers: &StorageHelpers,
    ) -> Result<Self, InvalidField> {
        let invalid = |why: String| Err(InvalidField(why));
        let document: Map<String, Value> = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(e) => return invalid(format!("settings is no JSON object: {e}")),
        };
        let Some(Value::Object(given)) = document.get("storage") else {
            return invalid("storage is missing, or no object".to_owned());
        };
        let name = given.get("type").and_then(Value::as_str).unwrap_or_default();
        let Some(kind) = StorageType::find(name) else {
            let names = StorageType::ALL.map(StorageType::name).join(", ");
            return invalid(format!("storage.type must be one of {names}"));
        };
        let mut fields = BTreeMap::new();
        for rule in kind.fields() {
            fields.insert(rule.key.to_owned(), rule.require("storage", given)?);
        }
        if fields.get("port").is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return invalid("storage.port must be a number from 1 to 65535".to_owned());
        }
        let sealed_password = match fields.remove(PASSWORD) {
            None => None,
            Some(password) if password == HIDDEN => {
                let kept = stored.filter(|stored| stored.kind == kind);
                match kept.and_then(|stored| stored.sealed_password.clone()) {
                    Some(sealed) => Some(sealed),
                    None => return invalid(format!("storage.{PASSWORD} is not known here: give it in full")),
                }
            }
            Some(password) => Some(seal.seal(SEALED_FOR, &password)),
        };
        match helpers.offers(kind) {
            true => Ok(Self { kind, fields, sealed_password }),
            false => invalid(format!("storage.type {} is not offered here", kind.name())),
        }
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Value {
        self.document(self.sealed_password.as_ref().map(|_| HIDDEN))
    }

    fn document(&self, password: Option<&str>) -> Value {
        let mut document = Map::from_iter([("type".to_owned(), json!(self.kind))]);
        for rule in self.kind.fields() {
            let value =
                if rule.key == PASSWORD { password } else { self.fields.get(rule.key).map(String::as_str) };
            document.insert(rule.key.to_owned(), json!(value));
        }
        Value::Object(document)
    }
}

/// Stores what takes effect at the next start.
pub(crate) async fn store(app: &App, record: StorageRecord) -> Result<(), ApiError> {
    retry(|| async {
        let stored = app.state.get::<StorageRecord>(StorageRecord::KEY).await?;
        crash_point();
        Ok(app.state.commit(Change::default().set(stored.as_ref(), &record)).await?)
    })
    .await?;
    crash_point();
    Ok(())
}

/// The mark of what a change of the storage changes.
pub(crate) async fn mark(state: &State) -> Result<String, StoreError> {
    let stored = state.get::<StorageRecord>(StorageRecord::KEY).await?;
    let text = stored.map(|stored| serde_json::to_vec(&stored.value).expect("it was read from JSON"));
    Ok(text.map_or_else(String::new, |text| hex(&Sha256::digest(text))))
}

/// Where backups lie while this server runs.
#[derive(Debug)]
pub(crate) struct BackupStore {
    /// Backups are files in it. It is not made again: what was mounted there may be gone.
    pub(crate) dir: PathBuf,
    /// The record that this follows, or could not.
    pub(crate) record: Option<StorageRecord>,
    /// It is not where the record says.
    failed: bool,
}

impl BackupStore {
    /// Mounts what the record says; what cannot be mounted is told in the log, and the data directory serves.
    ///
    /// # Errors
    /// The data directory cannot serve either.
    pub(crate) async fn open(
        data_dir: &Path,
        node_id: &str,
        record: Option<StorageRecord>,
        seal: &Seal,
        helpers: &StorageHelpers,
    ) -> Result<Self, ControlError> {
        let local = data_dir.join("backups");
        files::private_dir(&local)?;
        let mount = match &record {
            Some(record) if record.kind != StorageType::Local => Mount::new(record, data_dir, seal, helpers),
            _ => return Ok(Self { dir: local, record, failed: false }),
        };
        let node_id = node_id.to_owned();
        let mounted = spawn_blocking(move || prepare(&mount?.run()?.join(node_id)));
        match mounted.await.unwrap_or_else(|_| Err("this server failed in it".to_owned())) {
            Ok(dir) => Ok(Self { dir, record, failed: false }),
            Err(why) => {
                tracing::error!(
                    "the storage for backups is not there, so they stay in the data directory: {why}"
                );
                Ok(Self { dir: local, record, failed: true })
            }
        }
    }

    /// The storage that was asked for is there.
    pub(crate) fn is_there(&self) -> bool {
        !self.failed && self.dir.is_dir()
    }
}

/// A helper has this long: a server that is away makes mounting slow.
const MOUNT_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of the path that it prints.
const PATH_BYTES: u64 = 4096;

/// What the operator's program is asked.
struct Mount {
    program: PathBuf,
    document: Zeroizing<String>,
    /// Where it prints to. Not a pipe: a mount's daemon may hold it open for as long as it runs.
    output: PathBuf,
}

impl Mount {
    fn new(
        record: &StorageRecord,
        data_dir: &Path,
        seal: &Seal,
        helpers: &StorageHelpers,
    ) -> Result<Self, String> {
        let kind = record.kind.name();
        let program =
            helpers.of(record.kind).ok_or_else(|| format!("there is no program for {kind} any more"))?;
        let password =
            record.sealed_password.as_ref().map(|sealed| seal.unseal(SEALED_FOR, sealed)).transpose();
        let password = password.map_err(|e| e.to_string())?;
        let document = json!({ "storage": record.document(password.as_ref().map(|p| p.as_str())) });
        let document = Zeroizing::new(format!("{document}\n"));
        Ok(Self { program: program.to_owned(), document, output: data_dir.join("admin/storage-helper.out") })
    }

    /// The directory that it prints.
    fn run(&self) -> Result<PathBuf, String> {
        let file = |e: &dyn std::fmt::Display| format!("{}: {e}", self.output.display());
        files::write_private(&self.output, "").map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdout(File::create(&self.output).map_err(|e| file(&e))?);
        let ended = program::run(command, self.document.as_bytes(), MOUNT_LIMIT);
        ended.map_err(|why| format!("{} {why}", self.program.display()))?;
        let mut printed = String::new();
        let output = File::open(&self.output).map_err(|e| file(&e))?;
        output.take(PATH_BYTES).read_to_string(&mut printed).map_err(|e| file(&e))?;
        let path = PathBuf::from(printed.lines().next().unwrap_or_default());
        match path.is_absolute() && path.is_dir() {
            true => Ok(path),
            false => Err(format!("{} printed {path:?}, which is no directory", self.program.display())),
        }
    }
}

/// Makes this node's part of what was mounted, and sees that it can be written.
fn prepare(dir: &Path) -> Result<PathBuf, String> {
    files::private_dir(dir).map_err(|e| e.to_string())?;
    let probe = dir.join("probe");
    files::write_private(&probe, "x").map_err(|e| e.to_string())?;
    fs::remove_file(&probe).map_err(|e| format!("{}: {e}", probe.display()))?;
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn document(kind: &str) -> Value {
        let storage = match kind {
            "nfs" => json!({"mount_options": "defaults,rw", "ip": "192.168.1.2", "share": "/srv/a_b"}),
            "aoe" => json!({"device": "e1.1"}),
            "iscsi" => {
                json!({"target": "iqn.2000-01.a:b", "ip": "fe80::1", "username": "user", "password": "s3cret!"})
            }
            "nbd" => json!({"export_name": "/a-b", "ip": "10.0.0.1", "port": 10809}),
            _ => json!({}),
        };
        let mut storage = storage;
        storage["type"] = json!(kind);
        json!({ "storage": storage })
    }

    fn helpers(dir: &Path, text: &str) -> StorageHelpers {
        let path = dir.join("helper");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let all = StorageType::ALL.into_iter().filter(|kind| *kind != StorageType::Local);
        StorageHelpers(all.map(|kind| (kind, path.clone())).collect())
    }

    fn parse(dir: &Path, document: &Value, stored: Option<&StorageRecord>) -> Result<StorageRecord, String> {
        let seal = Seal::open(dir).unwrap();
        StorageRecord::parse(&document.to_string(), stored, &seal, &helpers(dir, "")).map_err(|e| e.0)
    }

    #[test]
    fn each_type_has_its_fields_and_each_field_its_rule() {
        let dir = tempfile::tempdir().unwrap();
        for kind in StorageType::ALL {
            let good = document(kind.name());
            let mut shown = good["storage"].clone();
            if kind == StorageType::Iscsi {
                shown["password"] = json!(HIDDEN);
            }
            if kind == StorageType::Nbd {
                shown["port"] = json!("10809");
            }
            assert_eq!(parse(dir.path(), &good, None).unwrap().shown(), shown);
            for rule in kind.fields() {
                for (wrong, why) in [
                    (json!("a\u{e4} <"), "may hold"),
                    (Value::Null, "is missing"),
                    (json!([]), "must be text"),
                ] {
                    let mut bad = good.clone();
                    bad["storage"][rule.key] = wrong;
                    let error = parse(dir.path(), &bad, None).unwrap_err();
                    assert!(error.contains(&format!("storage.{} {why}", rule.key)), "{error}");
                }
            }
        }
        for port in [json!("0"), json!(65536), json!("1a"), json!(-1), json!(1.5), json!("99999")] {
            let mut bad = document("nbd");
            bad["storage"]["port"] = port.clone();
            assert!(parse(dir.path(), &bad, None).unwrap_err().contains("storage.port"), "{port}");
        }
        for (bad, why) in [
            (json!([]), "no JSON object"),
            (json!({}), "storage is missing"),
            (document("tape"), "storage.type must be one of"),
            (json!({"storage": {"type": 5}}), "storage.type must be one of"),
        ] {
            assert!(parse(dir.path(), &bad, None).unwrap_err().contains(why), "{bad}");
        }
    }

    #[test]
    fn the_fields_are_judged_before_the_type_is() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let parse = |document: Value| {
            StorageRecord::parse(&document.to_string(), None, &seal, &StorageHelpers::default())
                .map_err(|e| e.0)
        };
        let mut bad = document("nfs");
        bad["storage"]["ip"] = json!("x");
        assert!(parse(bad).unwrap_err().contains("storage.ip"));
        assert_eq!(parse(document("nfs")).unwrap_err(), "storage.type nfs is not offered here");
        assert!(parse(document("local")).is_ok());
    }

    #[test]
    fn a_hidden_password_leaves_the_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = parse(dir.path(), &document("iscsi"), None).unwrap();
        assert!(!format!("{first:?}").contains("s3cret"));
        let mut again = document("iscsi");
        again["storage"]["password"] = json!(HIDDEN);
        again["storage"]["username"] = json!("other");
        let second = parse(dir.path(), &again, Some(&first)).unwrap();
        assert_eq!(second.sealed_password, first.sealed_password);
        let nfs = parse(dir.path(), &document("nfs"), None).unwrap();
        for stored in [None, Some(&nfs)] {
            assert!(parse(dir.path(), &again, stored).unwrap_err().contains("storage.password is not known"));
        }
    }

    #[tokio::test]
    async fn a_helper_gets_the_document_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        files::private_dir(&dir.path().join("admin")).unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let record = parse(dir.path(), &document("iscsi"), None).unwrap();
        let open = async |text: &str, record: Option<StorageRecord>| {
            BackupStore::open(dir.path(), "node", record, &seal, &helpers(dir.path(), text)).await.unwrap()
        };
        let mounted = dir.path().join("mounted");
        fs::create_dir(&mounted).unwrap();
        let good = format!("cat > {0}/document; echo {0}", mounted.display());
        let store = open(&good, Some(record.clone())).await;
        assert!(store.is_there() && store.dir == mounted.join("node") && store.dir.is_dir());
        let seen: Value = serde_json::from_slice(&fs::read(mounted.join("document")).unwrap()).unwrap();
        assert_eq!(seen, document("iscsi"), "with its password");
        fs::remove_dir_all(&store.dir).unwrap();
        assert!(!store.is_there(), "it went away");
        for bad in ["exit 1", "echo nowhere", "echo /nonexistent/x", ":"] {
            let store = open(bad, Some(record.clone())).await;
            assert!(!store.is_there() && store.dir == dir.path().join("backups"), "{bad}");
        }
        let local = parse(dir.path(), &document("local"), None).unwrap();
        for record in [None, Some(local)] {
            assert!(open("exit 1", record).await.is_there());
        }
    }
}
