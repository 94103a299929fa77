//! `basalt conformance` against the kernel's own target: it fails where docs/conformance says that the kernel leaves
//! the specifications. A newer kernel, or a machine that has no time for it, may differ in a few checks, not in many.

use std::{collections::BTreeMap, env, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::Stage;
use crate::command::output_of;

const NQN: &str = "nqn.2026-11.io.basalt:judged";

/// The published table, behind what is said about it.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance/nvmet-6.12.md");
/// Checks that may end otherwise than published: what is judged here is the kit, not the kernel.
const DIFFERENCES_MAX: usize = 20;
/// The line that the generated part of the document follows.
const MARK: &str = "<!-- From here on as `basalt conformance --markdown` printed it. -->\n";

pub(super) fn kernel_target(stage: Stage<'_>) -> Result<()> {
    install(&stage.lab.binary, stage.guest.share())?;
    export(stage)?;
    let outcome = stage.guest.run(&format!(
        "LD_LIBRARY_PATH=/share/judge /share/judge/basalt conformance --addr 127.0.0.1:4421 --nqn {NQN} \
         --write --markdown --timeout 2"
    ))?;
    stage.guest.check(&format!("rm /sys/kernel/config/nvmet/ports/2/subsystems/{NQN}"))?;
    ensure!(matches!(outcome.status, 0 | 1), "the kit could not run: {}", outcome.text);
    let document = fs::read_to_string(DOCUMENT).context(DOCUMENT)?;
    let (words, published) = document.split_once(MARK).context("the document has lost its mark")?;
    if env::var_os("BASALT_UPDATE").is_some() {
        fs::write(DOCUMENT, format!("{words}{MARK}\n{}", outcome.text))?;
        return Ok(());
    }
    let (published, seen) = (results(published), results(&outcome.text));
    let names =
        |results: &BTreeMap<&str, &str>| results.keys().map(|name| name.to_string()).collect::<Vec<_>>();
    ensure!(names(&published) == names(&seen), "docs/conformance names other checks (BASALT_UPDATE=1)");
    let news: Vec<String> = seen
        .iter()
        .filter(|(name, result)| published[*name] != **result)
        .map(|(name, result)| format!("{name}: {result}, published {}", published[name]))
        .collect();
    println!("{} checks end otherwise than published\n{}", news.len(), news.join("\n"));
    ensure!(news.len() <= DIFFERENCES_MAX, "docs/conformance is not up to date (BASALT_UPDATE=1)");
    ensure!(!seen.is_empty(), "the kit printed no table: {}", outcome.text);
    Ok(())
}

/// Results by check.
fn results(table: &str) -> BTreeMap<&str, &str> {
    fn row(line: &str) -> Option<(&str, &str)> {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name, rest.split(' ').next()?))
    }
    table.lines().filter_map(row).collect()
}

/// Puts the program into the shared directory, with the libraries that the guest may lack.
fn install(binary: &Path, share: &Path) -> Result<()> {
    let directory = share.join("judge");
    fs::create_dir_all(&directory)?;
    fs::copy(binary, directory.join("basalt"))?;
    let linked = output_of(Command::new("ldd").arg(binary))?;
    for library in
        linked.split_whitespace().filter(|word| word.starts_with('/') && !word.contains("ld-linux"))
    {
        let name = Path::new(library).file_name().context("a library has a name")?;
        fs::copy(library, directory.join(name))?;
    }
    Ok(())
}

/// Exports a loop device in the guest's memory on a port of its own.
fn export(stage: Stage<'_>) -> Result<()> {
    stage.guest.check(&format!(
        "modprobe loop; modprobe nvmet-tcp
        grep -q ' /sys/kernel/config ' /proc/mounts || mount -t configfs none /sys/kernel/config
        truncate -s 64M /tmp/judged; losetup /dev/loop7 /tmp/judged
        cd /sys/kernel/config/nvmet
        mkdir subsystems/{NQN} subsystems/{NQN}/namespaces/1 ports/2
        echo 1 >subsystems/{NQN}/attr_allow_any_host
        echo /dev/loop7 >subsystems/{NQN}/namespaces/1/device_path
        echo 1 >subsystems/{NQN}/namespaces/1/enable
        cd ports/2
        echo tcp >addr_trtype; echo ipv4 >addr_adrfam; echo 127.0.0.1 >addr_traddr; echo 4421 >addr_trsvcid
        ln -s ../../subsystems/{NQN} subsystems/"
    ))?;
    Ok(())
}
