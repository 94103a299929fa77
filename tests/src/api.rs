//! The provisioner API as a script would call it: curl, the CA, the token, JSON.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{command::output_of, initiator::Identity};

/// Until a drive is empty; reaching it is a failure.
const EMPTIED_LIMIT: Duration = Duration::from_secs(300);

/// One server's API and the credentials it made at its first start.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    credentials: PathBuf,
}

impl Api {
    pub fn new(address: SocketAddr, credentials: &Path) -> Self {
        Self { url: format!("https://{address}"), credentials: credentials.to_owned() }
    }

    /// Whether `/readyz`, which needs no credentials, says yes.
    pub fn is_ready(&self) -> bool {
        let answer = self.curl("GET", "/readyz").stdout(Stdio::null()).stderr(Stdio::null()).status();
        answer.is_ok_and(|status| status.success())
    }

    /// How many storage nodes answer.
    pub fn available_backends(&self) -> Result<usize> {
        let backends = self.get("/backends")?;
        let backends = backends.as_array().context("backends are a list")?;
        Ok(backends.iter().filter(|backend| backend["state"] == "Available").count())
    }

    /// Creates a thin volume and returns its UUID.
    pub fn create_volume(&self, alias: &str, capacity_gib: u64, block_bytes: u32) -> Result<Uuid> {
        self.create(alias, capacity_gib, &json!({"numReplicas": 1, "blockSize": block_bytes}))
    }

    /// Creates a thin volume of several copies, each on a node of its own, and returns its UUID.
    pub fn create_copies(&self, alias: &str, capacity_gib: u64, copies: u32) -> Result<Uuid> {
        self.create(alias, capacity_gib, &json!({"numReplicas": copies}))
    }

    fn create(&self, alias: &str, capacity_gib: u64, class: &Value) -> Result<Uuid> {
        let uuid = Uuid::new_v4();
        self.change(
            "POST",
            "/volumes",
            &json!({
                "alias": alias, "uuid": uuid, "capacity": capacity_gib, "provisioningType": "THIN",
                "storageClass": class,
            }),
        )?;
        Ok(uuid)
    }

    /// Says how a copy is, as the agent of the host that mirrors it does.
    pub fn report_copy(&self, volume: Uuid, replica: Uuid, state: &str) -> Result<()> {
        self.change("PATCH", &format!("/replica/{volume}/{replica}/{state}"), &json!({}))
    }

    pub fn expand_volume(&self, volume: Uuid, capacity_gib: u64) -> Result<()> {
        self.change("PATCH", &format!("/volumes/{volume}"), &json!({"newCapacity": capacity_gib}))
    }

    /// Takes a snapshot and returns its UUID.
    pub fn create_snapshot(&self, volume: Uuid, alias: &str) -> Result<Uuid> {
        let uuid = Uuid::new_v4();
        let body = json!({"alias": alias, "volumeID": volume, "snapshotID": uuid});
        self.change("POST", "/snapshots", &body)?;
        Ok(uuid)
    }

    /// Deletes a snapshot; the volumes that show it live on as clones.
    pub fn delete_snapshot(&self, snapshot: Uuid) -> Result<()> {
        self.change("DELETE", &format!("/snapshots/{snapshot}?force=true"), &json!({}))
    }

    /// Makes a volume that shows a snapshot and returns its UUID.
    pub fn create_snapshot_volume(&self, snapshot: Uuid, alias: &str, writable: bool) -> Result<Uuid> {
        let uuid = Uuid::new_v4();
        let body = json!({"alias": alias, "snapshotID": snapshot, "volumeID": uuid, "writable": writable});
        self.change("POST", "/snapshot_volumes", &body)?;
        Ok(uuid)
    }

    /// Makes an independent volume with what the source holds now and returns its UUID.
    pub fn clone_volume(&self, source: Uuid, alias: &str, capacity_gib: u64) -> Result<Uuid> {
        let uuid = Uuid::new_v4();
        let body = json!({
            "alias": alias, "sourceVolumeId": source, "volumeId": uuid, "capacity": capacity_gib,
        });
        self.change("POST", "/clone_volume", &body)?;
        Ok(uuid)
    }

    /// The ids of the drives, in the order in which they came.
    pub fn drives(&self) -> Result<Vec<Uuid>> {
        let drives = self.get("/basalt/v1/drives")?;
        let drives = drives.as_array().context("drives come as an array")?;
        drives.iter().map(|drive| Ok(drive["id"].as_str().context("a drive has an id")?.parse()?)).collect()
    }

    /// Takes a new file in as a drive.
    pub fn add_drive(&self, path: &Path, size_gib: u64) -> Result<()> {
        let body = json!({"path": path, "sizeBytes": size_gib << 30});
        let drive = self.send("POST", "/basalt/v1/drives", &body)?;
        ensure!(drive["state"] == "online", "adding {} answered {drive}", path.display());
        Ok(())
    }

    /// Empties a drive and waits until it is gone.
    pub fn remove_drive(&self, drive: Uuid) -> Result<()> {
        let path = format!("/basalt/v1/drives/{drive}");
        output_of(self.authorized("DELETE", &path)?.arg("--fail-with-body"))?;
        let deadline = Instant::now() + EMPTIED_LIMIT;
        while self.drives()?.contains(&drive) {
            ensure!(Instant::now() < deadline, "the drive stays: {}", self.get("/basalt/v1/drives")?);
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Walks every drive's maps while nothing is written: each extent has one owner, each counter is right.
    pub fn check_drives(&self) -> Result<()> {
        let drives = self.get("/basalt/v1/drives")?;
        for drive in drives.as_array().context("drives come as an array")? {
            let id = drive["id"].as_str().context("a drive has an id")?;
            let findings = self.send("POST", &format!("/basalt/v1/drives/{id}:check"), &json!({}))?;
            ensure!(findings["exact"] == true && findings["problems"] == json!([]), "drive {id}: {findings}");
        }
        Ok(())
    }

    /// Bytes in extents that the volume's head owns.
    pub fn used_bytes(&self, volume: Uuid) -> Result<u64> {
        self.volume(volume)?["usedBytes"].as_u64().context("usedBytes is missing")
    }

    /// The UUID by which hosts find the volume's namespace.
    pub fn namespace_uuid(&self, volume: Uuid) -> Result<Uuid> {
        let volume = self.volume(volume)?;
        let uuid = volume["location"][0]["uuid"].as_str().context("a location has a uuid")?;
        Ok(uuid.parse()?)
    }

    /// Makes the host known, as its agent would.
    pub fn add_host(&self, host: &Identity) -> Result<()> {
        self.change(
            "POST",
            "/host_probe",
            &json!({
                "hostId": host.id, "hostNqn": host.nqn, "name": format!("host-{}", host.id),
                "clientType": "Agent", "version": "1.0", "duration": 30,
            }),
        )
    }

    pub fn publish(&self, volume: Uuid, host: &Identity) -> Result<()> {
        self.change("POST", "/publish", &json!({"hostId": host.id, "volId": volume}))
    }

    pub fn unpublish(&self, volume: Uuid, host: &Identity) -> Result<()> {
        self.change("POST", "/unpublish", &json!({"hostId": host.id, "volId": volume}))
    }

    /// Takes the volume's path through the server out of use, or back.
    pub fn set_path_state(&self, volume: Uuid, state: &str) -> Result<()> {
        let path = format!("/basalt/v1/volumes/{volume}/path-state");
        let set = self.send("POST", &path, &json!({ "anaState": state }))?;
        ensure!(set["anaState"] == state, "setting the path to {state} answered {set}");
        Ok(())
    }

    /// Makes the host authenticate; the answer shows what was generated.
    pub fn set_secrets(&self, host: &Identity, body: &Value) -> Result<Value> {
        let answer = self.send("PUT", &format!("/basalt/v1/hosts/{}/secrets", host.id), body)?;
        ensure!(answer["hostId"] == json!(host.id), "setting the secrets of {} answered {answer}", host.nqn);
        Ok(answer)
    }

    /// Lets the host in without.
    pub fn clear_secrets(&self, host: &Identity) -> Result<()> {
        let answer = self.send("DELETE", &format!("/basalt/v1/hosts/{}/secrets", host.id), &json!({}))?;
        ensure!(
            answer["removed"] == json!(host.id),
            "clearing the secrets of {} answered {answer}",
            host.nqn
        );
        Ok(())
    }

    /// Gives the host a key for TLS, or changes its policy; the answer shows what was generated.
    pub fn set_tls_key(&self, host: &Identity, body: &Value) -> Result<Value> {
        let answer = self.send("PUT", &format!("/basalt/v1/hosts/{}/tls-keys", host.id), body)?;
        ensure!(answer["hostId"] == json!(host.id), "setting the TLS key of {} answered {answer}", host.nqn);
        Ok(answer)
    }

    /// The NQN of the subsystem through which `host` reaches `volume`.
    pub fn target_nqn(&self, volume: Uuid, host: &Identity) -> Result<String> {
        let targets = self.get(&format!("/targets?hostId={}&volId={volume}", host.id))?;
        let nqn = targets[0]["targetName"].as_str().with_context(|| format!("no target in {targets}"))?;
        Ok(nqn.to_owned())
    }

    pub(crate) fn volume(&self, volume: Uuid) -> Result<Value> {
        let volumes = self.get(&format!("/volumes/{volume}"))?;
        ensure!(volumes.as_array().is_some_and(|found| found.len() == 1), "one volume expected: {volumes}");
        Ok(volumes[0].clone())
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let printed = output_of(self.authorized("GET", path)?.arg("--fail-with-body"))?;
        serde_json::from_str(&printed).with_context(|| format!("GET {path} answered {printed}"))
    }

    /// A request that has to answer `Success`.
    fn change(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let answer = self.send(method, path, body)?;
        ensure!(answer["status"] == "Success", "{method} {path} with {body} answered {answer}");
        Ok(())
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut curl = self.authorized(method, path)?;
        curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        let printed = output_of(&mut curl)?;
        serde_json::from_str(&printed).with_context(|| format!("{method} {path} answered {printed}"))
    }

    fn authorized(&self, method: &str, path: &str) -> Result<Command> {
        let token = fs::read_to_string(self.credentials.join("token")).context("reading the token")?;
        let mut curl = self.curl(method, path);
        curl.args(["--header", &format!("Authorization: Bearer {}", token.trim())]);
        Ok(curl)
    }

    fn curl(&self, method: &str, path: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--request", method])
            .arg("--cacert")
            .arg(self.credentials.join("ca.pem"))
            .arg(format!("{}{path}", self.url));
        if path == "/readyz" {
            curl.arg("--fail");
        }
        curl
    }
}
