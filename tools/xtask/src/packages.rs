//! The Debian packages that the gate needs, and how they get onto the machine.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Linker and C compiler (aws-lc, s2n-tls), the virtual machine, what goes into its guest, and what drives the APIs.
const PACKAGES: [&str; 19] = [
    "busybox-static",
    "ca-certificates",
    "chromium",
    "cpio",
    "curl",
    "e2fsprogs",
    "fio",
    "gcc",
    "kmod",
    "libc6-dev",
    "mdadm",
    "nvme-cli",
    "openssl",
    "python3-pip",
    "python3-venv",
    "qemu-system-x86",
    "util-linux",
    "xfsprogs",
    "xz-utils",
];

/// Makes every needed package present: as root by installing it, otherwise by saying what to install.
pub(crate) fn ensure() -> Result<()> {
    let missing: Vec<&str> = PACKAGES.into_iter().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        println!("all {} packages are here", PACKAGES.len());
        return Ok(());
    }
    if !is_root()? {
        bail!("missing packages; as root: apt-get install --no-install-recommends {}", missing.join(" "));
    }
    println!("installing {}", missing.join(" "));
    apt_get(&["update"])?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], missing.as_slice()].concat())
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout == b"installed")
}

fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("running id -u")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(["-q", "-o", "Acquire::Retries=3"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .context("running apt-get (this gate runs on Debian)")?;
    if !status.success() {
        bail!("apt-get {} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
