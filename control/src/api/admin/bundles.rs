//! GET logs and GET debug (admin.md §5.2).

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use axum::{extract::State, response::Response};
use tokio::task::spawn_blocking;

use super::{AdminError, download::download};
use crate::{
    admin::{
        bundle::{self, Texts},
        hex,
    },
    app::{App, Observed, SharedApp},
    random,
    reconcile::{Desired, OnNode, Problem, plan_storage},
    store::StoreError,
    tasks,
};

#[utoipa::path(get, path = "/logs", tag = "Administration", summary = "The logs",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "logs.tar.gz")))]
pub(crate) async fn logs(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    app.admin.audit.note("logs.get", "/logs");
    let logs = app.config.data_dir.join("logs");
    send(&app, "logs.tar.gz", move |out| bundle::logs(&logs, out)).await
}

#[utoipa::path(get, path = "/debug", tag = "Administration", summary = "The state of the server, encrypted for support",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream",
        description = "debug-bundle.tar")))]
pub(crate) async fn debug(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let Some(key) = app.admin.support_key.clone() else {
        return Err(AdminError::invalid("no support key configured"));
    };
    app.admin.audit.note("debug.get", "/debug");
    let (texts, logs) = (texts(&app).await, app.config.data_dir.join("logs"));
    send(&app, "debug-bundle.tar", move |out| bundle::debug(&texts, &logs, &key, out)).await
}

/// Makes a file and sends it; it has no name any more by then.
async fn send(
    app: &App,
    name: &str,
    make: impl FnOnce(&mut File) -> io::Result<()> + Send + 'static,
) -> Result<Response, AdminError> {
    let path = app.admin.dir.join("incoming").join(hex(&random::bytes::<16>()));
    let _removed = Removed(path.clone());
    let target = path.clone();
    let made = spawn_blocking(move || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
        make(&mut file)
    });
    match made.await {
        Ok(Ok(())) => download(&path, name).await,
        Ok(Err(error)) => Err(AdminError::invalid(format!("{name} could not be made: {error}"))),
        Err(_) => Err(AdminError::invalid("the server failed in this request")),
    }
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // It is not there if it could not be made.
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Nothing here is a secret: those are files' contents and sealed records, and neither is read.
async fn texts(app: &SharedApp) -> Texts {
    let observed = app.observe().await;
    let release = app.release();
    let machine = ["/proc/version", "/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg", "/proc/self/limits"];
    let machine =
        machine.map(|path| format!("== {path}\n{}\n", std::fs::read_to_string(path).unwrap_or_default()));
    let numa = std::fs::read_to_string("/sys/devices/system/node/online").unwrap_or_default();
    vec![
        ("config.txt", format!("{:#?}\n", app.config)),
        ("version.txt", format!("{} {}\n", release.version, release.build)),
        ("machine.txt", format!("{}== NUMA nodes\n{numa}", machine.concat())),
        ("drives.txt", lines(observed.drives())),
        ("volumes.txt", lines(observed.volumes.values())),
        ("snapshots.txt", lines(observed.snapshots.values())),
        ("controllers.txt", lines(app.controllers().await)),
        ("listeners.txt", lines(app.listeners.iter().chain(&app.portals))),
        ("heartbeats.txt", lines(app.admin.heartbeats.parts())),
        ("usage.txt", usage(app).await),
        (
            "tasks.txt",
            tasks::list(&app.state)
                .await
                .map_or_else(|e| e.to_string(), |t| lines(t.iter().map(|t| &t.value))),
        ),
        ("metadata.txt", metadata(app).await),
        ("check.txt", problems(app, &observed).await.map_or_else(|e| e.to_string(), lines)),
    ]
}

fn lines<T: Debug>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("{item:?}\n")).collect()
}

/// Where store and nodes disagree.
async fn problems(app: &App, observed: &Observed) -> Result<Vec<Problem>, StoreError> {
    let desired = Desired {
        volumes: app.state.list().await?.into_iter().map(|v| v.value).collect(),
        snapshots: app.state.list().await?.into_iter().map(|s| s.value).collect(),
    };
    Ok(plan_storage(&desired, &OnNode::new(observed, &desired)).problems)
}

async fn usage(app: &App) -> String {
    let mut text = String::new();
    for member in app.nodes.all() {
        text += &format!("{}: {:#?}\n", member.persistent_id, member.handle.usage().await);
    }
    text
}

/// How many records there are of each kind.
async fn metadata(app: &App) -> String {
    let entries = match app.state.export().await {
        Ok(entries) => entries,
        Err(error) => return error.to_string(),
    };
    let mut counts = BTreeMap::<String, (usize, usize)>::new();
    for entry in entries {
        let kind = entry.key.split('/').next().unwrap_or_default().to_owned();
        let count = counts.entry(kind).or_default();
        *count = (count.0 + 1, count.1 + entry.value.len());
    }
    counts.into_iter().map(|(kind, (n, bytes))| format!("{kind}: {n} records, {bytes} bytes\n")).collect()
}
