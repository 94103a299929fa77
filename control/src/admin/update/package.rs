//! A release package: encrypted outside, signed inside, and not a byte of it unpacked before the signature is checked.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Component, Path, PathBuf},
};

use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256},
};
use flate2::read::GzDecoder;
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tar::{Archive, Entry};

use super::{UpdateError, releases};
use crate::{
    ControlError,
    admin::{hex, sealed_file},
    files, limits,
};

const INNER: &str = "software_package.tar.gz";
const SIGNATURE: &str = "software_package.tar.gz.sign";
const MANIFEST: &str = "manifest";
pub(super) const PROGRAM: &str = "basalt";
/// Of RSA with 8192 bits; more is no signature.
const MAX_SIGNATURE_BYTES: u64 = 1024;

fn bad(why: impl Into<String>) -> UpdateError {
    UpdateError::BadPackage(why.into())
}

/// The public key of those who make releases.
pub(crate) enum ReleaseKey {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rsa(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

impl ReleaseKey {
    /// RSA of 2048 bits or more, or Ed25519, in PEM.
    pub(crate) fn load(path: &Path) -> Result<Self, ControlError> {
        let wrong = |why: &dyn std::fmt::Display| {
            ControlError::bad_file(path, format!("holds no public RSA or Ed25519 key in PEM: {why}"))
        };
        let text = fs::read(path).map_err(ControlError::file(path))?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|e| wrong(&e))?;
        if let Ok(key) = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &*der) {
            return Ok(Self::Rsa(key));
        }
        let raw = der.len().checked_sub(32).map(|at| &der[at..]).filter(|_| der.len() == 44);
        let key = raw.and_then(|raw| ParsedPublicKey::new(&ED25519, raw).ok());
        key.map(Self::Ed25519).ok_or_else(|| wrong(&"of another kind"))
    }

    fn has_signed(&self, file: &Path, signature: &[u8]) -> io::Result<bool> {
        match self {
            Self::Rsa(key) => {
                let mut digest = Context::new(&SHA256);
                let (mut file, mut chunk) = (File::open(file)?, vec![0; 64 << 10]);
                loop {
                    match file.read(&mut chunk)? {
                        0 => break,
                        n => digest.update(&chunk[..n]),
                    }
                }
                Ok(key.verify_digest_sig(&digest.finish(), signature).is_ok())
            }
            // It signs the whole text at once.
            Self::Ed25519(_) => Ok(self.has_signed_bytes(&fs::read(file)?, signature)),
        }
    }

    pub(crate) fn has_signed_bytes(&self, text: &[u8], signature: &[u8]) -> bool {
        let (Self::Rsa(key) | Self::Ed25519(key)) = self;
        key.verify_sig(text, signature).is_ok()
    }
}

/// Decrypts the package into `dir`.
pub(super) fn open(package: &Path, pass_phrase: &str, dir: &Path) -> Result<(), UpdateError> {
    let decrypted = dir.join("package.tar");
    let decrypt = || sealed_file::decrypt(pass_phrase, File::open(package)?, create(&decrypted, 0o600)?);
    decrypt().map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => bad(e.to_string()),
        _ => e.into(),
    })?;
    take_apart(File::open(&decrypted)?, dir)?;
    Ok(fs::remove_file(&decrypted)?)
}

/// What is in the tar that was encrypted goes to files in `dir`.
pub(crate) fn take_apart(tar: impl Read, dir: &Path) -> Result<(), UpdateError> {
    let mut found = BTreeSet::new();
    for entry in Archive::new(tar).entries().map_err(no_tar)? {
        let mut entry = entry.map_err(no_tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let limit = match name.as_str() {
            INNER => limits::UPDATE_BYTES,
            SIGNATURE => MAX_SIGNATURE_BYTES,
            _ => return Err(bad(format!("it holds {name:?}"))),
        };
        if !entry.header().entry_type().is_file() || !found.insert(name.clone()) {
            return Err(bad(format!("{name:?} is no file, or there twice")));
        }
        copy(&mut entry, &dir.join(&name), limit)?;
    }
    match found.len() {
        2 => Ok(()),
        _ => Err(bad(format!("it must hold {INNER} and {SIGNATURE}"))),
    }
}

fn no_tar(error: io::Error) -> UpdateError {
    bad(format!("it is no tar: {error}"))
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// By what comes, not by what a header says.
fn copy(from: &mut impl Read, to: &Path, limit: u64) -> Result<u64, UpdateError> {
    let mut file = create(to, 0o600)?;
    let mut chunk = vec![0; 64 << 10];
    let mut written = 0;
    loop {
        let n = from.read(&mut chunk).map_err(no_tar)?;
        if n == 0 {
            break;
        }
        written += n as u64;
        if written > limit {
            return Err(bad(format!("{} has more than {limit} bytes", to.display())));
        }
        file.write_all(&chunk[..n])?;
    }
    file.sync_all()?;
    Ok(written)
}

pub(super) fn verify(dir: &Path, key: &ReleaseKey) -> Result<(), UpdateError> {
    let signature = fs::read(dir.join(SIGNATURE))?;
    match key.has_signed(&dir.join(INNER), &signature)? {
        true => Ok(()),
        false => Err(bad("it is not signed with the release key")),
    }
}

/// Unpacks what was signed into `to`, which is made: plain files in plain directories, bounded in number and size.
pub(super) fn unpack(dir: &Path, to: &Path) -> Result<(), UpdateError> {
    unpack_tar(GzDecoder::new(File::open(dir.join(INNER))?), to)
}

pub(crate) fn unpack_tar(tar: impl Read, to: &Path) -> Result<(), UpdateError> {
    files::private_dir(to)?;
    let mut left = limits::RELEASE_BYTES;
    for (n, entry) in Archive::new(tar).entries().map_err(no_tar)?.enumerate() {
        if n >= limits::RELEASE_FILES {
            return Err(bad(format!("it holds more than {} files", limits::RELEASE_FILES)));
        }
        left -= unpack_entry(entry.map_err(no_tar)?, to, left)?;
    }
    Ok(())
}

fn unpack_entry(mut entry: Entry<'_, impl Read>, to: &Path, limit: u64) -> Result<u64, UpdateError> {
    let path = entry.path().map_err(no_tar)?.into_owned();
    let inside = inside(&path).ok_or_else(|| bad(format!("{path:?} leads outside")))?;
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        files::private_dir(&to.join(inside))?;
        return Ok(0);
    }
    if !kind.is_file() || inside.as_os_str().is_empty() {
        return Err(bad(format!("{path:?} is neither a file nor a directory")));
    }
    let target = to.join(inside);
    files::private_dir(target.parent().unwrap_or(to))?;
    if target.exists() {
        return Err(bad(format!("{path:?} is there twice")));
    }
    copy(&mut entry, &target, limit)
}

/// The path below a directory that cannot be left by it; `None` if it could.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (inside.components().count() <= MAX_DEPTH).then_some(inside)
}

const MAX_DEPTH: usize = 8;

/// Everything is there as the manifest says, and nothing else. Returns the version.
pub(crate) fn check(release: &Path) -> Result<String, UpdateError> {
    let text = |name: &str| {
        fs::read_to_string(release.join(name))
            .map_err(|e| bad(format!("it has no {name} that can be read: {e}")))
    };
    let mut listed = BTreeSet::from([PathBuf::from(MANIFEST)]);
    for line in text(MANIFEST)?.lines() {
        listed.insert(check_line(release, line)?);
    }
    if let Some(other) = walk(release)?.into_iter().find(|path| !listed.contains(path)) {
        return Err(bad(format!("{} is not in its manifest", other.display())));
    }
    let version = text("version.txt")?.trim().to_owned();
    if !releases::is_version(&version) {
        return Err(bad(format!("{version:?} is no version")));
    }
    text("changelog.txt")?;
    serde_json::from_str::<serde_json::Map<_, _>>(&text("build.json")?)
        .map_err(|e| bad(format!("build.json: {e}")))?;
    if !release.join(PROGRAM).is_file() {
        return Err(bad(format!("it has no {PROGRAM}")));
    }
    Ok(version)
}

/// `SHA256 BYTES MODE PATH`; gives the file its mode.
fn check_line(release: &Path, line: &str) -> Result<PathBuf, UpdateError> {
    let wrong = || bad(format!("its manifest has the line {line:?}"));
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().ok_or_else(wrong);
    let (sha256, bytes, mode, path) = (word()?, word()?, word()?, word()?);
    let bytes: u64 = bytes.parse().map_err(|_| wrong())?;
    let mode = u32::from_str_radix(mode, 8).ok().filter(|mode| mode & !0o755 == 0).ok_or_else(wrong)?;
    let path = inside(Path::new(path)).ok_or_else(wrong)?;
    let mut file = File::open(release.join(&path)).map_err(|e| bad(format!("{}: {e}", path.display())))?;
    let (mut digest, mut chunk, mut found) = (Sha256::new(), vec![0; 64 << 10], 0);
    loop {
        let n = file.read(&mut chunk)?;
        if n == 0 {
            break;
        }
        digest.update(&chunk[..n]);
        found += n as u64;
    }
    if found != bytes || hex(&digest.finalize()) != sha256 {
        return Err(bad(format!("{} is not what its manifest says", path.display())));
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(path)
}

/// Paths of all files below, without the directory's own.
fn walk(root: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut found, mut left) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            match entry.file_type()?.is_dir() {
                true => left.push(path),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// A package's inside with these entries, unpacked.
    fn unpacked(entries: &[(&str, EntryType, &[u8])]) -> (tempfile::TempDir, Result<(), UpdateError>) {
        let dir = tempfile::tempdir().unwrap();
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, kind, bytes) in entries {
            let mut header = Header::new_old();
            // Not by `set_path`, which refuses what shall be refused here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        fs::write(dir.path().join(INNER), tar.into_inner().unwrap().finish().unwrap()).unwrap();
        let done = unpack(dir.path(), &dir.path().join("release"));
        (dir, done)
    }

    #[test]
    fn nothing_gets_out_of_its_directory() {
        let file = EntryType::Regular;
        for (path, kind, why) in [
            ("../x", file, "leads outside"),
            ("a/../../x", file, "leads outside"),
            ("/tmp/basalt-never", file, "leads outside"),
            ("a/b/c/d/e/f/g/h/i", file, "leads outside"),
            ("x", EntryType::Symlink, "neither a file nor a directory"),
            ("x", EntryType::Link, "neither a file nor a directory"),
            ("x", EntryType::Char, "neither a file nor a directory"),
            ("x", EntryType::Fifo, "neither a file nor a directory"),
        ] {
            let (dir, done) = unpacked(&[(path, kind, b"")]);
            let error = done.unwrap_err();
            assert!(error.code() == "E1005" && error.to_string().contains(why), "{path}: {error}");
            assert!(!dir.path().join("x").exists() && !Path::new("/tmp/basalt-never").exists());
        }
        let (dir, done) = unpacked(&[("./a/b", file, b"1"), ("c", file, b"2")]);
        done.unwrap();
        assert_eq!(fs::read(dir.path().join("release/a/b")).unwrap(), b"1");
        let (_dir, done) = unpacked(&[("c", file, b"1"), ("c", file, b"2")]);
        assert!(done.unwrap_err().to_string().contains("there twice"));
    }

    #[test]
    fn a_bomb_is_noticed_while_it_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        let error = copy(&mut io::repeat(0), &target, 1 << 20).unwrap_err();
        assert!(error.code() == "E1005" && fs::metadata(&target).unwrap().len() <= 1 << 20, "{error}");
        let many: Vec<String> = (0..=limits::RELEASE_FILES).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), EntryType::Regular, &b""[..])).collect();
        assert!(unpacked(&many).1.unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn what_its_manifest_does_not_say_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let line = |name: &str, mode: &str| {
            let text = fs::read(dir.path().join(name)).unwrap();
            format!("{} {} {mode} {name}\n", hex(&Sha256::digest(&text)), text.len())
        };
        for (name, text) in
            [("version.txt", "1.2\n"), ("changelog.txt", "x"), ("build.json", "{}"), (PROGRAM, "p")]
        {
            write(name, text);
        }
        let all =
            [line("version.txt", "644"), line("changelog.txt", "644"), line("build.json", "644")].concat();
        let whole = all.clone() + &line(PROGRAM, "755");
        write(MANIFEST, &whole);
        assert_eq!(check(dir.path()).unwrap(), "1.2");
        assert_eq!(fs::metadata(dir.path().join(PROGRAM)).unwrap().permissions().mode() & 0o7777, 0o755);
        for (manifest, why) in [
            (all.clone(), "basalt is not in its manifest"),
            (whole.replace(" 1 755", " 2 755"), "is not what its manifest says"),
            (whole.replace("755", "4755"), "has the line"),
            (whole.replace(PROGRAM, "../basalt"), "has the line"),
            ("junk".to_owned(), "has the line"),
        ] {
            write(MANIFEST, &manifest);
            let error = check(dir.path()).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
    }
}
