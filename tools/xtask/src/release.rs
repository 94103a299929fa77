//! `cargo xtask release`: a package that `POST /api/v1/admin/update` takes, made with tar and openssl.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

use crate::ci::cargo;

pub(crate) const USAGE: &str = "usage: cargo xtask release --key FILE --sign FILE --out FILE [--version V] [--program FILE] [--hook FILE]\n\
    \x20 makes a release package: encrypted with the pass phrase in --key, signed with the private key (PEM) in --sign\n\
    \x20 --version names it otherwise than its program does, --program takes one that is built already,\n\
    \x20 --hook adds a shell script that says whether the release can be taken where it is sent";

/// What to make, and of what.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleasePlan {
    /// Holds the pass phrase.
    key: PathBuf,
    /// Private key, RSA or Ed25519, in PEM.
    sign: PathBuf,
    out: PathBuf,
    version: Option<String>,
    /// Absent: built here, optimised.
    program: Option<PathBuf>,
    hook: Option<PathBuf>,
}

impl ReleasePlan {
    pub(crate) fn parse<'a>(mut words: impl Iterator<Item = &'a String>) -> Result<Self, String> {
        let mut plan = Self::default();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--key" => plan.key = value.into(),
                "--sign" => plan.sign = value.into(),
                "--out" => plan.out = value.into(),
                "--version" => plan.version = Some(value.clone()),
                "--program" => plan.program = Some(value.into()),
                "--hook" => plan.hook = Some(value.into()),
                other => return Err(format!("unknown option `{other}`")),
            }
        }
        for (option, path) in [("--key", &plan.key), ("--sign", &plan.sign), ("--out", &plan.out)] {
            if path.as_os_str().is_empty() {
                return Err(format!("{option} is missing"));
            }
        }
        Ok(plan)
    }
}

pub(crate) fn run(plan: &ReleasePlan) -> Result<bool> {
    let program = match &plan.program {
        Some(path) => path.clone(),
        None => build()?,
    };
    let version = match &plan.version {
        Some(version) => version.clone(),
        None => version_of(&program)?,
    };
    let work = Work::make()?;
    let release = work.0.join("release");
    fs::create_dir(&release)?;
    fs::copy(&program, release.join("basalt")).with_context(|| format!("copying {}", program.display()))?;
    if let Some(hook) = &plan.hook {
        fs::copy(hook, release.join("hook.sh")).with_context(|| format!("copying {}", hook.display()))?;
    }
    let changelog = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../control/src/admin/changelog.txt");
    fs::copy(&changelog, release.join("changelog.txt"))?;
    fs::write(release.join("version.txt"), format!("{version}\n"))?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    fs::write(release.join("build.json"), format!("{{\"builddate\":\"{seconds}\"}}\n"))?;
    fs::write(release.join("manifest"), manifest(&release)?)?;
    seal(&work.0, plan)?;
    println!("{} is version {version}", plan.out.display());
    Ok(true)
}

fn build() -> Result<PathBuf> {
    let status = cargo(&["build", "--release", "-p", "basalt"]).status().context("running cargo")?;
    ensure!(status.success(), "cargo build ended with {status}");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    Ok(target.join("release/basalt"))
}

/// `basalt 1.2.3`.
fn version_of(program: &Path) -> Result<String> {
    let text = output(Command::new(program).arg("--version"))?;
    let version = text.split_whitespace().nth(1).context("--version names none")?;
    Ok(version.to_owned())
}

/// One line a file: SHA-256, bytes, mode, path.
fn manifest(release: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(release)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sum = output(Command::new("sha256sum").arg(&path))?;
        let sum = sum.split_whitespace().next().context("sha256sum says nothing")?;
        let mode = if name == "basalt" { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        lines.push(format!("{sum} {} {mode:o} {name}\n", fs::metadata(&path)?.len()));
    }
    lines.sort();
    Ok(lines.concat())
}

/// tar, signature, tar, encryption.
fn seal(work: &Path, plan: &ReleasePlan) -> Result<()> {
    let inner = work.join("software_package.tar.gz");
    let outer = work.join("package.tar");
    output(Command::new("tar").arg("czf").arg(&inner).arg("-C").arg(work.join("release")).arg("."))?;
    let key = fs::read_to_string(&plan.sign).with_context(|| format!("reading {}", plan.sign.display()))?;
    ensure!(key.contains("PRIVATE KEY"), "{} holds no private key in PEM", plan.sign.display());
    let signature = work.join("software_package.tar.gz.sign");
    let mut sign = Command::new("openssl");
    let description =
        output(Command::new("openssl").args(["pkey", "-noout", "-text", "-in"]).arg(&plan.sign))?;
    match description.starts_with("ED25519") {
        true => sign.args(["pkeyutl", "-sign", "-rawin", "-inkey"]),
        false => sign.args(["dgst", "-sha256", "-sign"]),
    };
    sign.arg(&plan.sign).arg("-out").arg(&signature);
    // What is signed comes last: dgst has no option for it.
    if description.starts_with("ED25519") {
        sign.arg("-in");
    }
    output(sign.arg(&inner))?;
    let names = ["software_package.tar.gz", "software_package.tar.gz.sign"];
    output(Command::new("tar").arg("cf").arg(&outer).arg("-C").arg(work).args(names))?;
    let pass = format!("file:{}", plan.key.display());
    let mut encrypt = Command::new("openssl");
    encrypt.args(["enc", "-aes-256-cbc", "-salt", "-pbkdf2", "-pass", &pass, "-in"]).arg(&outer);
    output(encrypt.arg("-out").arg(&plan.out)).map(drop)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} ended with {}: {errors}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A directory of our own; gone when dropped.
struct Work(PathBuf);

impl Work {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("basalt-release-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}
