//! NVMe/TCP over TLS by Linux: its files are carried encrypted, over the server's death too, and who lacks the key gets
//! nothing. Keys are of SHA-256: the tlshd of Debian 13 cannot do the others.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{
    Stage, discovery,
    fio::fio_command,
    process_death,
    scene::Scene,
    writers::{self, Mount},
};
use crate::{
    file_system::FileSystem,
    initiator::Initiator,
    vm::{Guest, TlsPrograms},
};

impl Scene<'_> {
    fn set_key(&self, body: &Value) -> Result<String> {
        let answer = self.site.server.api().set_tls_key(&self.host.identity, body)?;
        Ok(answer["key"].as_str().unwrap_or_default().to_owned())
    }

    /// Makes `key` this host's only one in the guest's keyring.
    fn use_key(&self, key: &str) -> Result<()> {
        let (host, nvme) = (&self.host.identity.nqn, self.host.nvme);
        self.forget_key()?;
        let insert = format!("{nvme} check-tls-key --identity=1 --insert --hostnqn={host}");
        self.host.guest.check(&format!("{insert} --subsysnqn={} --keydata={key}", self.nqn)).map(drop)
    }

    /// Puts other bytes into the keyring under the name that this host's key has there.
    fn spoil_key(&self) -> Result<()> {
        let keyctl = TlsPrograms::KEYCTL;
        let name = self
            .host
            .guest
            .check(&format!("{keyctl} rdescribe 0x$({}) | cut -d ';' -f 5", self.find_key()))?;
        self.forget_key()?;
        let name = name.trim();
        self.host
            .guest
            .check(&format!("head -c 32 /dev/urandom | {keyctl} padd psk '{name}' %:.nvme"))
            .map(drop)
    }

    fn forget_key(&self) -> Result<()> {
        let script = format!(
            "{} | while read -r key; do {} unlink 0x$key %:.nvme; done",
            self.find_key(),
            TlsPrograms::KEYCTL
        );
        self.host.guest.check(&script).map(drop)
    }

    /// A command that prints the serial number of this host's key, if it has one.
    fn find_key(&self) -> String {
        let host = &self.host.identity.nqn;
        format!("awk '$8 == \"psk\" && $10 == \"{host}\" {{ print $1 }}' /proc/keys")
    }

    /// The kernel names the key that it encrypts with.
    fn is_encrypted(&self) -> Result<bool> {
        let controllers = self.host.controllers(&self.nqn)?;
        let controller = controllers.split_whitespace().next().context("no controller")?;
        let key = self.host.guest.run(&format!("cat /sys/class/nvme/{controller}/tls_key"))?;
        Ok(key.status == 0 && !key.text.trim().is_empty())
    }

    /// The connection fails in the handshake, not for want of a key or of tlshd.
    fn fails_the_handshake(&self) -> Result<()> {
        let failures = || self.host.guest.check("dmesg | grep -c 'TLS handshake complete, error' || true");
        let before = failures()?;
        self.is_refused("--tls")?;
        ensure!(failures()? != before, "nvme connect --tls failed before its handshake");
        Ok(())
    }
}

fn open(stage: Stage<'_>) -> Result<Scene<'_>> {
    start_tlshd(stage.guest)?;
    Scene::open(stage, Initiator { nvme: TlsPrograms::NVME, ..Initiator::new(stage.guest, "tls") })
}

/// Starts the machine's one daemon unless it runs, and waits until it listens to the kernel.
fn start_tlshd(guest: &Guest) -> Result<()> {
    let tlshd = TlsPrograms::TLSHD;
    guest.check(&format!(
        "pid=$(cat /tmp/tlshd.pid 2>/dev/null || true)
        [ -z \"$pid\" ] || [ ! -e /proc/$pid/exe ] || exit 0
        printf '[authenticate]\\nkeyrings=.nvme\\n[authenticate.client]\\n[authenticate.server]\\n' >/tmp/tlshd.conf
        {tlshd} -s -c /tmp/tlshd.conf >/tmp/tlshd.log 2>&1 &
        echo $! >/tmp/tlshd.pid
        # Ready once it is a member of its group of generic netlink.
        until awk '$2 == 16 && $4 !~ /^0*$/ {{ found = 1 }} END {{ exit !found }}' /proc/net/netlink; do
            [ -e /proc/$!/exe ] || {{ cat /tmp/tlshd.log; exit 1; }}
            usleep 20000
        done"
    ))?;
    Ok(())
}

/// Verified reads and writes of all sizes, then files while the server dies: the host comes back by itself, in TLS.
pub(super) fn carries_files(stage: Stage<'_>) -> Result<()> {
    let mut scene = open(stage)?;
    let key = scene.set_key(&json!({"generate": true}))?;
    scene.use_key(&key)?;
    let device = scene.connect("--tls")?;
    ensure!(scene.is_encrypted()?, "the connection has no key");
    stage.guest.check(&fio_command(&device, 4096))?;
    let mounts = [Mount { device, system: FileSystem::Ext4 }];
    writers::make_and_mount(stage.guest, &mounts)?;
    process_death::die_once(stage, &mut scene.site, &mounts, 1)?.expect_whole()?;
    ensure!(scene.is_encrypted()?, "the host came back without TLS");
    stage.guest.check("umount /mnt/ext4")?;
    scene.disconnect()?;
    scene.site.server.stop()
}

/// Without TLS, with the key before the present one, and with a wrong key of the right name.
pub(super) fn refuses_others(stage: Stage<'_>) -> Result<()> {
    let mut scene = open(stage)?;
    let generate = json!({"generate": true});
    let old = scene.set_key(&generate)?;
    scene.is_refused("")?;
    scene.use_key(&old)?;
    let device = scene.connect("--tls")?;
    let new = scene.set_key(&generate)?;
    // Who is connected goes on.
    scene.read(&device)?;
    scene.disconnect()?;
    scene.fails_the_handshake()?;
    scene.use_key(&new)?;
    scene.spoil_key()?;
    scene.fails_the_handshake()?;
    scene.use_key(&new)?;
    // What discovery finds is connected in TLS, as its log demands.
    let found = discovery::arguments(&scene.host, &scene.site);
    stage.guest.check(&format!("{} connect-all {found}", scene.host.nvme))?;
    ensure!(scene.is_encrypted()?, "connect-all connected without TLS");
    scene.disconnect()?;
    scene.set_key(&json!({"policy": "allowed"}))?;
    for arguments in ["", "--tls"] {
        scene.connect(arguments)?;
        ensure!(scene.is_encrypted()? == (arguments == "--tls"), "wrongly encrypted with {arguments:?}");
        scene.disconnect()?;
    }
    scene.site.server.stop()
}
