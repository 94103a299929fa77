//! The server is killed at every durable step of an administrative change: the old state holds or the new one, and the
//! log of the change says which.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{
    Admin, TOKEN,
    certs::certificate,
    update::{GOOD, Maker},
};
use crate::common::{Client, config};
use control::{AdminGroup, serve};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Tells the child where to live; without it `server` does nothing.
const DIRECTORY: &str = "BASALT_CRASH_TEST_DIRECTORY";
const LOOK: Duration = Duration::from_millis(10);
/// Looks before a test gives up: two minutes.
const PATIENCE: usize = 12_000;

/// Not a test: the process that the tests start, and that kills itself.
#[tokio::test]
#[ignore = "the child process of the other tests"]
async fn server() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let mut config = config(&directory.join("data"));
    config.admin.first_run_words = None;
    config.admin.groups = AdminGroup::ALL.into();
    config.admin.storage_helpers.add("aoe", "/bin/true".into()).unwrap();
    config.admin.update_key = Some(directory.join("update.key")).filter(|key| key.exists());
    config.admin.release_key = Some(directory.join("release.pem")).filter(|key| key.exists());
    let server = serve(config, None).await.unwrap();
    // The whole address or nothing.
    std::fs::write(directory.join("api.new"), server.listeners()[0].to_string()).unwrap();
    std::fs::rename(directory.join("api.new"), directory.join("api")).unwrap();
    std::future::pending::<()>().await;
}

/// Killed when dropped, so that a test that fails leaves nothing behind.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in a process of its own.
struct Server {
    process: Process,
    admin: Admin,
    client: Client,
    /// Holds how many steps it may still do.
    steps: PathBuf,
}

impl Server {
    async fn start(directory: &Path) -> Self {
        let (api, steps) = (directory.join("api"), directory.join("steps"));
        for file in [&api, &steps] {
            let _ = std::fs::remove_file(file);
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "admin::crash::server", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .env("BASALT_TEST_KILL", &steps)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(child);
        for _ in 0..PATIENCE {
            if let Ok(address) = std::fs::read_to_string(&api) {
                let client = Client::new(address.parse().unwrap(), &directory.join("data/credentials"));
                let admin = Admin { client: client.clone(), token: TOKEN.to_owned() };
                return Self { process, admin, client: client.certificate("ssdtoolbox.pem"), steps };
            }
            sleep(LOOK).await;
        }
        panic!("the server never listened");
    }

    /// Its first start: it has a token then.
    async fn first(directory: &Path) -> Self {
        let server = Self::start(directory).await;
        let stranger = server.admin.with("");
        assert_eq!(stranger.post("setup", &[("newtoken", TOKEN)]).await.status, 200);
        server
    }

    fn let_pass(&self, steps: usize) {
        std::fs::write(&self.steps, steps.to_string()).unwrap();
    }

    /// None when it is dead, or about to die.
    fn steps_left(&self) -> usize {
        std::fs::read_to_string(&self.steps).unwrap().parse().unwrap_or(0)
    }

    fn is_dead(&mut self) -> bool {
        self.process.0.try_wait().unwrap().is_some()
    }
}

/// A change, as the administration API makes it.
trait Change {
    /// Where it is asked for, and where the log of it is.
    const ENDPOINT: &'static str;
    const LOG: &'static str;
    /// Fewer steps than that would mean that they are not counted.
    const LEAST_STEPS: usize;
    /// Before the first change.
    async fn prepare(&mut self, directory: &Path, server: &Server);
    /// What it changes, as it is.
    async fn state(&self, server: &Server) -> Value;
    /// The form that makes it so for the `n`th time, and what `state` is then.
    async fn form(&mut self, n: usize, server: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value);
}

/// Asks for it and waits until it ended or the server did.
async fn make<C: Change>(server: &mut Server, form: &[(&'static str, Vec<u8>)]) {
    let fields: Vec<(&str, &[u8])> = form.iter().map(|(name, value)| (*name, value.as_slice())).collect();
    let asked = server.admin.try_upload(C::ENDPOINT, &fields).await;
    if let Ok(answer) = &asked {
        assert!([200, 202].contains(&answer.status), "{}", answer.text());
    }
    let file = server.steps.parent().unwrap().join("data/admin").join(C::LOG).with_extension("json");
    for _ in 0..PATIENCE {
        let status: Option<Value> =
            std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
        // Unanswered, it may be an earlier one's.
        let is_over = asked.is_ok() && status.is_some_and(|status| status["status"] == "success");
        if is_over || server.is_dead() {
            return;
        }
        sleep(LOOK).await;
    }
    panic!("it never ended");
}

/// How many lines the log of the change has, and the last one.
fn log<C: Change>(directory: &Path) -> (usize, String) {
    let log = directory.join("data/logs").join(C::LOG).with_extension("log");
    let text = std::fs::read_to_string(log).unwrap_or_default();
    (text.lines().count(), text.lines().last().unwrap_or_default().to_owned())
}

async fn kill_at_every_step<C: Change>(mut change: C) {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    change.prepare(directory, &Server::first(directory).await).await;
    let mut said = [0; 2];
    let mut server = Server::start(directory).await;
    for steps in 0..200 {
        let (form, new) = change.form(steps, &server).await;
        let old = change.state(&server).await;
        assert_ne!(old, new);
        let (lines, _) = log::<C>(directory);
        server.let_pass(steps);
        make::<C>(&mut server, &form).await;
        let is_over = server.steps_left() > 0;
        drop(server);
        server = Server::start(directory).await;
        let state = change.state(&server).await;
        let (lines_now, line) = log::<C>(directory);
        match () {
            () if line.ends_with("; the old state holds") => {
                assert_eq!(state, old, "step {steps}: {line}");
                said[0] += 1;
            }
            () if line.ends_with("; the new state holds") => {
                assert_eq!(state, new, "step {steps}: {line}");
                said[1] += 1;
            }
            // It had not begun, as far as the log knows.
            () if lines_now == lines => assert_eq!(state, old, "step {steps}: {line}"),
            // It had ended.
            () => {
                assert_eq!(state, new, "step {steps}: {line}");
                assert!(!line.contains("failed"), "{line}");
            }
        }
        let shown = server.admin.try_get(C::ENDPOINT).await.unwrap();
        if shown.status == 200 && shown.json().get("status").is_some() {
            assert_ne!(shown.json()["status"], "running");
        }
        if is_over {
            assert!(steps >= C::LEAST_STEPS && said[0] > 0 && said[1] > 0, "{steps} {said:?}");
            return;
        }
    }
    panic!("it never came to its end");
}

struct Settings;

impl Change for Settings {
    const ENDPOINT: &'static str = "settings";
    const LOG: &'static str = "settings";
    const LEAST_STEPS: usize = 6;

    async fn prepare(&mut self, _: &Path, _: &Server) {}

    async fn state(&self, server: &Server) -> Value {
        server.admin.get("settings").await.json()["network"]["hostname"].clone()
    }

    async fn form(&mut self, n: usize, _: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value) {
        let name = format!("node-{n}");
        let document = json!({"network": {"interface": "eth0", "hostname": name}, "app": {}});
        (vec![("settings", document.to_string().into_bytes())], json!(name))
    }
}

struct Storage;

impl Change for Storage {
    const ENDPOINT: &'static str = "storage";
    const LOG: &'static str = "storage";
    const LEAST_STEPS: usize = 6;

    async fn prepare(&mut self, _: &Path, _: &Server) {}

    async fn state(&self, server: &Server) -> Value {
        server.admin.get("storage").await.json()["storage"]["device"].clone()
    }

    async fn form(&mut self, n: usize, _: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value) {
        let device = format!("e{n}.1");
        let document = json!({"storage": {"type": "aoe", "device": device}});
        (vec![("settings", document.to_string().into_bytes())], json!(device))
    }
}

#[derive(Default)]
struct Certs {
    credentials: PathBuf,
}

impl Change for Certs {
    const ENDPOINT: &'static str = "certs";
    const LOG: &'static str = "certs";
    const LEAST_STEPS: usize = 6;

    async fn prepare(&mut self, directory: &Path, _: &Server) {
        self.credentials = directory.join("data/credentials");
    }

    async fn state(&self, _: &Server) -> Value {
        // The server starts only with a file that is whole; which one is shown is tested elsewhere.
        json!(std::fs::read_to_string(self.credentials.join("public.pem")).unwrap_or_default())
    }

    async fn form(&mut self, _: usize, _: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value) {
        let (public, private) = certificate(&self.credentials);
        let unix = |pem: &str| pem.replace('\r', "");
        let whole = json!(unix(&public) + &unix(&private));
        (vec![("public", public.into_bytes()), ("private", private.into_bytes())], whole)
    }
}

struct Update {
    maker: Maker,
}

impl Change for Update {
    const ENDPOINT: &'static str = "update";
    const LOG: &'static str = "update";
    const LEAST_STEPS: usize = 16;

    async fn prepare(&mut self, directory: &Path, _: &Server) {
        self.maker.write_keys(directory);
    }

    async fn state(&self, server: &Server) -> Value {
        server.admin.get("version").await.json()["version"].clone()
    }

    async fn form(&mut self, n: usize, _: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value) {
        let version = format!("9.{n}");
        (vec![("update", self.maker.package(&version, GOOD))], json!(version))
    }
}

#[derive(Default)]
struct Restore {
    archive: Vec<u8>,
    hosts: Value,
}

impl Change for Restore {
    const ENDPOINT: &'static str = "backup/restore";
    const LOG: &'static str = "restore";
    const LEAST_STEPS: usize = 8;

    async fn prepare(&mut self, _: &Path, server: &Server) {
        server.client.host("kept").await;
        self.hosts = self.state(server).await;
        server.admin.post("backup", &[("action", "START")]).await;
        server.admin.wait("backup", |a| a.status == 200 && a.json()["status"] == "success").await;
        self.archive = server.admin.get("backup/download").await.bytes.to_vec();
    }

    async fn state(&self, server: &Server) -> Value {
        let hosts = server.client.get("/hosts").await;
        let names = hosts.as_array().unwrap().iter().map(|host| host["uuid"].clone());
        names.collect()
    }

    async fn form(&mut self, n: usize, server: &Server) -> (Vec<(&'static str, Vec<u8>)>, Value) {
        server.client.host(&format!("gone-{n}")).await;
        (vec![("archive", self.archive.clone())], self.hosts.clone())
    }
}

#[tokio::test]
async fn settings_are_the_old_ones_or_the_new_ones() {
    kill_at_every_step(Settings).await;
}

#[tokio::test]
async fn the_storage_is_the_old_one_or_the_new_one() {
    kill_at_every_step(Storage).await;
}

#[tokio::test]
async fn the_certificate_is_the_old_one_or_the_new_one() {
    kill_at_every_step(Certs::default()).await;
}

#[tokio::test]
async fn the_release_is_the_old_one_or_the_new_one() {
    kill_at_every_step(Update { maker: Maker::new() }).await;
}

#[tokio::test]
async fn the_metadata_are_the_old_ones_or_the_backups() {
    kill_at_every_step(Restore::default()).await;
}
