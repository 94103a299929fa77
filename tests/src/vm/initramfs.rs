//! The guest's file system: busybox, the initiator's tools from this machine with their libraries, and
//! the kernel modules they need.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::{KernelFiles, TlsPrograms};
use crate::command::output_of;

/// Builds the archive for `kernel` in `directory` and returns its path. It is not compressed: unpacking
/// would cost the emulated processor more than copying.
pub fn build(kernel: &KernelFiles, tls: Option<&TlsPrograms>, directory: &Path) -> Result<PathBuf> {
    let root = directory.join("root");
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    for path in
        ["bin", "sbin", "usr/bin", "usr/sbin", "proc", "sys", "dev", "run", "tmp", "share", "mnt", "etc/nvme"]
    {
        fs::create_dir_all(root.join(path))?;
    }
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    install_busybox(&root)?;
    for tool in TOOLS {
        install_tool(tool, &root).with_context(|| format!("putting {tool} into the guest"))?;
    }
    if let Some(tls) = tls {
        tls.install(&root).context("putting the programs for TLS into the guest")?;
    }
    install_modules(kernel, &root).context("putting the kernel modules into the guest")?;
    let archive = directory.join("initramfs.cpio");
    pack(&root, &archive)?;
    fs::remove_dir_all(&root)?;
    Ok(archive)
}

fn install_busybox(root: &Path) -> Result<()> {
    let busybox = find_program("busybox")?;
    fs::copy(&busybox, root.join("bin/busybox"))?;
    let applets = output_of(Command::new(&busybox).arg("--list"))?;
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet))?;
    }
    // Where the kernel itself looks when it needs a module.
    symlink("../bin/busybox", root.join("sbin/modprobe"))?;
    Ok(())
}

/// Copies a program and the shared libraries it is linked with.
fn install_tool(tool: &str, root: &Path) -> Result<()> {
    let program = find_program(tool)?;
    fs::copy(&program, root.join("usr/bin").join(tool))?;
    let linked = output_of(Command::new("ldd").arg(&program))?;
    for library in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let target = root.join(library.trim_start_matches('/'));
        if !target.exists() {
            fs::create_dir_all(target.parent().context("a library lies in a directory")?)?;
            fs::copy(library, target)?;
        }
    }
    Ok(())
}

fn find_program(name: &str) -> Result<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("{name} is not installed (cargo xtask ci --only packages)"))
}

/// Copies the modules that the guest loads and all that they depend on, unpacked: busybox reads no xz.
fn install_modules(kernel: &KernelFiles, root: &Path) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for module in MODULES {
        let listing = output_of(
            Command::new("modprobe")
                .args(["--set-version", &kernel.release, "--show-depends", module])
                .arg("--dirname")
                .arg(&kernel.module_root),
        )?;
        // A module that is built in prints `builtin NAME` and needs no file. Behind a path stand the options that this
        // machine gives the module.
        let files = listing.lines().filter_map(|line| line.strip_prefix("insmod "));
        wanted.extend(files.filter_map(|line| line.split_whitespace().next()).map(PathBuf::from));
    }
    for source in wanted {
        let relative = source.strip_prefix(&kernel.module_root).context("a module outside its tree")?;
        let target = root.join(relative);
        fs::create_dir_all(target.parent().context("a module lies in a directory")?)?;
        fs::copy(&source, &target)?;
        if target.extension().is_some_and(|extension| extension == "xz") {
            output_of(Command::new("unxz").arg(&target))?;
        }
    }
    let tree = Path::new("lib/modules").join(&kernel.release);
    for index in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(kernel.module_root.join(&tree).join(index), root.join(&tree).join(index))?;
    }
    output_of(Command::new("depmod").arg("-b").arg(root).arg(&kernel.release))?;
    Ok(())
}

fn pack(root: &Path, archive: &Path) -> Result<()> {
    let names = output_of(Command::new("find").arg(".").current_dir(root))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format=newc", "--quiet", "--owner=0:0"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(fs::File::create(archive)?)
        .spawn()
        .context("starting cpio")?;
    cpio.stdin.take().context("cpio's input was asked to be a pipe")?.write_all(names.as_bytes())?;
    let status = cpio.wait()?;
    if !status.success() {
        bail!("cpio ended with {status}");
    }
    Ok(())
}

const INIT: &str = include_str!("init.sh");

/// What busybox does not have; its shell prefers its own applets to files of the same name.
const TOOLS: [&str; 8] =
    ["e2fsck", "fio", "mdadm", "mkfs.ext4", "mkfs.xfs", "nvme", "resize2fs", "xfs_repair"];

/// Everything that [`INIT`] loads; 9p is the shared directory. nvmet and loop serve the harness's own test, raid1 hosts that
/// mirror, those behind it the TLS of connections: the kernel loads them when it is asked for it.
const MODULES: [&str; 17] = [
    "virtio_pci",
    "virtio_net",
    "virtio_console",
    "9p",
    "9pnet_virtio",
    "crc32c-generic",
    "nvme-tcp",
    "ext4",
    "xfs",
    "loop",
    "nvmet-tcp",
    "raid1",
    "tls",
    "gcm",
    "ccm",
    "ghash-generic",
    "aesni-intel",
];
