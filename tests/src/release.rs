//! A release package of the very program that is tested, with keys of its own, under another version.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::command::output_of;

/// The package, and the keys that a server needs to take it.
#[derive(Debug)]
pub struct Release {
    pub package: PathBuf,
    pub update_key: PathBuf,
    pub release_key: PathBuf,
}

impl Release {
    /// What the program in the package says that it is.
    pub const VERSION: &str = "9.0.0";

    /// Makes it in `directory` with the `xtask` that stands beside `program`.
    pub fn of(program: &Path, directory: &Path) -> Result<Self> {
        let at = |name: &str| directory.join(name);
        let (sign_key, stripped) = (at("sign.key"), at("program"));
        let release =
            Self { package: at("package"), update_key: at("update.key"), release_key: at("release.pem") };
        fs::write(&release.update_key, "pass phrase of updates\n")?;
        let mut openssl = Command::new("openssl");
        output_of(openssl.args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&sign_key))?;
        let mut openssl = Command::new("openssl");
        output_of(
            openssl.args(["pkey", "-pubout", "-in"]).arg(&sign_key).arg("-out").arg(&release.release_key),
        )?;
        // What debuggers need is most of it.
        output_of(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;
        let mut xtask = Command::new(program.with_file_name("xtask"));
        xtask.args(["release", "--version", Self::VERSION]);
        for (option, path) in [
            ("--key", &release.update_key),
            ("--sign", &sign_key),
            ("--out", &release.package),
            ("--program", &stripped),
        ] {
            xtask.arg(option).arg(path);
        }
        output_of(&mut xtask)?;
        fs::remove_file(stripped)?;
        Ok(release)
    }
}
