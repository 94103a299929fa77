//! What a Linux host needs for NVMe/TCP over TLS beside its kernel, which Debian 12 does not have: the daemon that does
//! the kernel's handshakes, and an nvme-cli that puts keys into the kernel's keyring. They come from Debian 13.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::apt::{Apt, fetched};
use crate::command::output_of;

/// The unpacked packages of Debian 13.
#[derive(Debug)]
pub struct TlsPrograms {
    root: PathBuf,
}

impl TlsPrograms {
    /// nvme-cli 2.13, in the guest.
    pub const NVME: &str = "/debian13/bin/nvme";
    /// Adds and removes keys, in the guest.
    pub const KEYCTL: &str = "/debian13/bin/keyctl";
    /// The handshake daemon, in the guest.
    pub const TLSHD: &str = "/debian13/bin/tlshd";

    /// The unpacked programs under `cache`; downloads them the first time.
    pub fn fetch(cache: &Path) -> Result<Self> {
        let directory = cache.join("debian-13");
        let root = directory.join("unpacked");
        fetched(&directory, || Apt::for_suite("trixie", &directory)?.unpack(&PACKAGES, &root))
            .context("fetching the programs for TLS")?;
        Ok(Self { root })
    }

    /// Puts the programs into the guest's `/debian13/bin`, run by their own dynamic linker with their own libraries:
    /// those of this machine, which the guest's other programs have, are of another Debian.
    pub(super) fn install(&self, guest: &Path) -> Result<()> {
        let home = guest.join(HOME.trim_start_matches('/'));
        let [bin, programs, lib] = ["bin", "programs", "lib"].map(|name| home.join(name));
        for directory in [&bin, &programs, &lib] {
            fs::create_dir_all(directory)?;
        }
        fs::copy(self.libraries().join(LINKER), lib.join(LINKER))?;
        for path in PROGRAMS {
            let source = self.root.join(path);
            let program = path.rsplit('/').next().context("a program has a name")?;
            fs::copy(&source, programs.join(program)).with_context(|| format!("copying {program}"))?;
            for library in self.libraries_of(&source)? {
                let name = library.file_name().context("a library has a name")?;
                fs::copy(&library, lib.join(name))?;
            }
            let script = bin.join(program);
            fs::write(
                &script,
                format!(
                    "#!/bin/sh\nexec {HOME}/lib/{LINKER} --library-path {HOME}/lib {HOME}/programs/{program} \"$@\"\n"
                ),
            )?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// The files that a program is linked with, directly or not; an error names one that no package brought.
    fn libraries_of(&self, program: &Path) -> Result<Vec<PathBuf>> {
        let libraries = self.libraries();
        let mut linker = Command::new(libraries.join(LINKER));
        let listing = output_of(linker.arg("--library-path").arg(&libraries).arg("--list").arg(program))?;
        let paths = listing.lines().filter_map(|line| line.split_whitespace().nth(2));
        Ok(paths.map(PathBuf::from).filter(|path| path.starts_with(&libraries)).collect())
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }
}

/// Where the programs lie in the guest.
const HOME: &str = "/debian13";

const LINKER: &str = "ld-linux-x86-64.so.2";

/// tlshd does the handshakes that the kernel asks for; keyctl takes keys away, which nvme is not permitted to do.
const PROGRAMS: [&str; 3] = ["usr/bin/keyctl", "usr/sbin/nvme", "usr/sbin/tlshd"];

/// Those of [`PROGRAMS`] and of each library that they are linked with; apt would bring systemd along with them.
const PACKAGES: [&str; 24] = [
    "keyutils",
    "ktls-utils",
    "nvme-cli",
    "libatomic1",
    "libc6",
    "libffi8",
    "libglib2.0-0t64",
    "libgmp10",
    "libgnutls30t64",
    "libhogweed6t64",
    "libidn2-0",
    "libjson-c5",
    "libkeyutils1",
    "libnettle8t64",
    "libnl-3-200",
    "libnl-genl-3-200",
    "libnvme1t64",
    "libp11-kit0",
    "libpcre2-8-0",
    "libssl3t64",
    "libtasn1-6",
    "libunistring5",
    "libzstd1",
    "zlib1g",
];
