//! What people send to those who help them: the logs, and the state of the server (admin.md §5.2).

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use flate2::{Compression, write::GzEncoder};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use tar::{Builder, Header};

use super::{hex, sealed_file};
use crate::{ControlError, app::now_ms, random};

/// Texts of a bundle, by file name.
pub(crate) type Texts = Vec<(&'static str, String)>;

/// The public key of those who may read debug bundles.
pub(crate) struct SupportKey(OaepPublicEncryptingKey);

impl SupportKey {
    /// An RSA key of 2048 bits or more, in PEM.
    pub(crate) fn load(path: &Path) -> Result<Self, ControlError> {
        let bad = |why: &dyn std::fmt::Display| {
            ControlError::bad_file(path, format!("holds no public RSA key: {why}"))
        };
        let text = fs::read(path).map_err(ControlError::file(path))?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&text).map_err(|e| bad(&e))?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|e| bad(&e))?;
        OaepPublicEncryptingKey::new(key).map(Self).map_err(|e| bad(&e))
    }

    fn encrypt(&self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut sealed = vec![0; self.0.ciphertext_size()];
        let written = self.0.encrypt(&OAEP_SHA256_MGF1SHA256, plain, &mut sealed, None);
        let length = written.map_err(|_| io::Error::other("the support key cannot encrypt"))?.len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

/// Writes `logs.tar.gz` of every file of the directory to `out`.
pub(crate) fn logs(dir: &Path, out: impl Write) -> io::Result<()> {
    let mut tar = Builder::new(GzEncoder::new(out, Compression::fast()));
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.map(|e| Ok(e?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths.iter().filter(|path| path.is_file()) {
        // Whole at this moment: a log that grows meanwhile must not outgrow its header.
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let name = path.file_name().unwrap_or_default();
        append(&mut tar, &Path::new("logs").join(name), &text)?;
    }
    tar.into_inner()?.finish()?.flush()
}

/// Writes `debug-bundle.tar` to `out`: everything in it is encrypted, for the support key only.
pub(crate) fn debug(texts: &Texts, log_dir: &Path, key: &SupportKey, out: &mut File) -> io::Result<()> {
    let pass_phrase = hex(&random::bytes::<32>());
    let mut debug = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, text) in texts {
        append(&mut debug, &Path::new("debug").join(name), text.as_bytes())?;
    }
    let debug = debug.into_inner()?.finish()?;
    let mut kept = Vec::new();
    logs(log_dir, &mut kept)?;
    let mut tar = Builder::new(out);
    for (name, plain) in [("debug.tar.gz.enc", debug), ("logs.tar.gz.enc", kept)] {
        let mut sealed = Vec::new();
        sealed_file::encrypt(&pass_phrase, plain.as_slice(), &mut sealed)?;
        append(&mut tar, Path::new(name), &sealed)?;
    }
    append(&mut tar, Path::new("debug.key.enc"), &key.encrypt(pass_phrase.as_bytes())?)?;
    tar.into_inner()?.flush()
}

fn append(tar: &mut Builder<impl Write>, name: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(now_ms() / 1000);
    tar.append_data(&mut header, name, bytes)
}
