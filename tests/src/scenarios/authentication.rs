//! In-band authentication by Linux: who knows the secret reads the volume, nobody else does.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Site, Stage, fio::fio_command};
use crate::initiator::{ConnectOptions, Initiator};

const OPTIONS: ConnectOptions = ConnectOptions {
    io_queues: 1,
    digests: crate::initiator::Digests { header: false, data: false },
    loss_timeout_s: 600,
};

/// A host with a published volume, which connects and disconnects.
struct Scene<'a> {
    site: Site,
    host: Initiator<'a>,
    nqn: String,
    namespace: Uuid,
}

impl<'a> Scene<'a> {
    fn open(stage: Stage<'a>) -> Result<Self> {
        let site = Site::open(stage.lab, stage.directory)?;
        let host = Initiator::new(stage.guest, "authenticates");
        let volume = site.publish(&host, "secret", 4096)?;
        let nqn = site.server.api().target_nqn(volume, &host.identity)?;
        let namespace = site.server.api().namespace_uuid(volume)?;
        Ok(Self { site, host, nqn, namespace })
    }

    fn set(&self, body: &Value) -> Result<Value> {
        self.site.server.api().set_secrets(&self.host.identity, body)
    }

    /// Connects with these arguments and reads; leaves it connected.
    fn connect(&self, secrets: &str) -> Result<String> {
        let portal = self.site.server.portal();
        let outcome = self.host.try_connect_with(portal, &self.nqn, OPTIONS, secrets)?;
        ensure!(outcome.status == 0, "nvme connect with {secrets}: {}", outcome.text);
        let device = self.host.device(self.namespace)?;
        self.host.guest.check(&format!("dd if={device} of=/dev/null bs=4k count=16 iflag=direct"))?;
        Ok(device)
    }

    fn disconnect(&self) -> Result<()> {
        self.host.disconnect(&self.nqn)
    }

    fn is_refused(&self, secrets: &str) -> Result<()> {
        let portal = self.site.server.portal();
        let outcome = self.host.try_connect_with(portal, &self.nqn, OPTIONS, secrets)?;
        ensure!(outcome.status != 0, "nvme connect with {secrets:?} was let in");
        ensure!(!self.host.is_connected(&self.nqn)?, "{secrets:?} left a controller");
        Ok(())
    }

    /// How often the kernel has said that an admin queue authenticated, by `how`.
    fn authentications(&self, how: &str) -> Result<usize> {
        let count =
            self.host.guest.check(&format!("dmesg | grep -c 'qid 0: authenticated.*{how}' || true"))?;
        count.trim().parse().with_context(|| format!("grep -c printed {count:?}"))
    }
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
    let mut scene = Scene::open(stage)?;
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
    let mut scene = Scene::open(stage)?;
    let generate = json!({"generate": true, "twoWay": true, "dhGroup": "null"});
    let old = scene.set(&generate)?;
    scene.is_refused("")?;
    let device = scene.connect(&arguments(&old, true)?)?;
    let new = scene.set(&generate)?;
    // Who is connected goes on.
    stage.guest.check(&format!("dd if={device} of=/dev/null bs=4k count=16 iflag=direct"))?;
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
    let mut scene = Scene::open(stage)?;
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
