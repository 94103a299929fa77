//! In-band authentication by Linux: who knows the secret reads the volume, nobody else does.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Stage, fio::fio_command, scene::Scene};
use crate::initiator::Initiator;

impl Scene<'_> {
    fn set(&self, body: &Value) -> Result<Value> {
        self.site.server.api().set_secrets(&self.host.identity, body)
    }

    /// How often the kernel has said that an admin queue authenticated, by `how`.
    fn authentications(&self, how: &str) -> Result<usize> {
        let count =
            self.host.guest.check(&format!("dmesg | grep -c 'qid 0: authenticated.*{how}' || true"))?;
        count.trim().parse().with_context(|| format!("grep -c printed {count:?}"))
    }
}

fn open(stage: Stage<'_>) -> Result<Scene<'_>> {
    Scene::open(stage, Initiator::new(stage.guest, "authenticates"))
}

/// `nvme connect`'s arguments, by what the API showed.
fn arguments(shown: &Value, two_way: bool) -> Result<String> {
    let host = shown["hostSecret"].as_str().context("no hostSecret")?;
    let controller = shown["controllerSecret"].as_str().filter(|_| two_way);
    let controller = controller.map(|secret| format!(" --dhchap-ctrl-secret={secret}"));
    Ok(format!("--dhchap-secret={host}{}", controller.unwrap_or_default()))
}

/// Each hash function and four groups, one-way and two-way.
pub(super) fn accepted(stage: Stage<'_>) -> Result<()> {
    let mut scene = open(stage)?;
    // How the kernel calls them; none is named for the group `null`.
    let table = [
        ("sha256", "null", "hmac(sha256)", false),
        ("sha384", "ffdhe2048", "hmac(sha384) dhgroup ffdhe2048", true),
        ("sha512", "ffdhe3072", "hmac(sha512) dhgroup ffdhe3072", true),
        ("sha256", "ffdhe4096", "hmac(sha256) dhgroup ffdhe4096", false),
    ];
    for (hash, group, spoken, two_way) in table {
        let body = json!({"generate": true, "twoWay": true, "hash": hash, "dhGroup": group});
        let shown = scene.set(&body)?;
        let before = scene.authentications(spoken)?;
        scene.connect(&arguments(&shown, two_way)?)?;
        ensure!(scene.authentications(spoken)? > before, "{hash} with {group} was not used");
        scene.disconnect()?;
    }
    scene.site.server.stop()
}

/// Without the secret, with another, with the one before, and to a server that has another.
pub(super) fn refused(stage: Stage<'_>) -> Result<()> {
    let mut scene = open(stage)?;
    let generate = json!({"generate": true, "twoWay": true, "dhGroup": "null"});
    let old = scene.set(&generate)?;
    scene.is_refused("")?;
    let device = scene.connect(&arguments(&old, true)?)?;
    let new = scene.set(&generate)?;
    // Who is connected goes on.
    scene.read(&device)?;
    scene.disconnect()?;
    scene.is_refused(&arguments(&old, false)?)?;
    let impostor = json!({"hostSecret": new["hostSecret"], "controllerSecret": old["controllerSecret"]});
    scene.is_refused(&arguments(&impostor, true)?)?;
    scene.connect(&arguments(&new, true)?)?;
    scene.disconnect()?;
    scene.site.server.api().clear_secrets(&scene.host.identity)?;
    scene.connect("")?;
    scene.disconnect()?;
    scene.site.server.stop()
}

/// A connected host authenticates again and again, at last with a new secret, while fio verifies what it writes.
pub(super) fn anew(stage: Stage<'_>) -> Result<()> {
    let mut scene = open(stage)?;
    let generate = json!({"generate": true});
    let first = scene.set(&generate)?;
    let device = scene.connect(&arguments(&first, false)?)?;
    let connected = scene.host.controllers(&scene.nqn)?;
    let controller = connected.split_whitespace().next().context("no controller")?.to_owned();
    let load = stage.guest.start_checked(&fio_command(&device, 4096))?;
    let second = scene.set(&generate)?;
    for _ in 0..3 {
        let before = scene.authentications("")?;
        let secret = second["hostSecret"].as_str().context("no hostSecret")?;
        stage.guest.check(&format!("printf %s {secret} >/sys/class/nvme/{controller}/dhchap_secret"))?;
        stage.guest.check(&format!(
            "until [ $(dmesg | grep -c 'qid 0: authenticated') -gt {before} ]; do usleep 20000; done"
        ))?;
    }
    load.succeed()?;
    let after = scene.host.controllers(&scene.nqn)?;
    ensure!(after == connected, "the host had to reconnect: {connected}, then {after}");
    scene.disconnect()?;
    scene.site.server.stop()
}
