//! Forms, as browsers and curl send them: `multipart/form-data` or `application/x-www-form-urlencoded`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Request, multipart::Field},
    http::header,
};
use tokio::{io::AsyncWriteExt, time::timeout};

use super::hex;
use crate::{limits, random};

/// The fields of a form by name; of one that is repeated the last counts.
#[derive(Debug, Default)]
pub(crate) struct Form {
    values: BTreeMap<String, Vec<u8>>,
    files: BTreeMap<String, Upload>,
}

/// Where a field goes that is too large for memory.
pub(crate) struct Spool {
    pub(crate) field: &'static str,
    /// Made if it does not exist.
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: u64,
}

/// A field in a file of its own, which is gone when this is.
#[derive(Debug)]
pub(crate) struct Upload {
    path: PathBuf,
    bytes: u64,
}

impl Upload {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "an upload could not be removed");
        }
    }
}

/// Why a form cannot be read; names the field where it is one's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FormError {
    #[error("the body must be multipart/form-data or application/x-www-form-urlencoded")]
    Kind,
    #[error("the form cannot be read: {0}")]
    Broken(String),
    #[error("the form did not come in time")]
    Slow,
    #[error("{0} has more than {max} bytes", max = limits::FORM_FIELD_BYTES)]
    TooLong(String),
    #[error("{0} has more than {1} bytes")]
    FileTooLong(&'static str, u64),
    #[error("the form has more than {} fields", limits::FORM_FIELDS)]
    TooMany,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not UTF-8 text")]
    NotText(&'static str),
    #[error("the upload cannot be stored: {0}")]
    Unstored(#[from] io::Error),
}

impl Form {
    pub(crate) async fn read(request: Request) -> Result<Self, FormError> {
        Self::read_with(request, None).await
    }

    /// One field goes to a file, as it comes.
    pub(crate) async fn read_with(request: Request, spool: Option<&Spool>) -> Result<Self, FormError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        match kind.unwrap_or_default() {
            kind if kind.starts_with("multipart/form-data") => Self::read_multipart(request, spool).await,
            kind if kind.starts_with("application/x-www-form-urlencoded") => {
                Self::read_urlencoded(request).await
            }
            _ => Err(FormError::Kind),
        }
    }

    async fn read_urlencoded(request: Request) -> Result<Self, FormError> {
        let pairs = axum::Form::<Vec<(String, String)>>::from_request(request, &());
        let axum::Form(pairs) = timeout(limits::READ, pairs)
            .await
            .map_err(|_| FormError::Slow)?
            .map_err(|e| FormError::Broken(e.body_text()))?;
        let mut form = Self::default();
        for (name, value) in pairs {
            form.take(name, value.into_bytes())?;
        }
        Ok(form)
    }

    async fn read_multipart(request: Request, spool: Option<&Spool>) -> Result<Self, FormError> {
        let broken = |e: &dyn std::fmt::Display| FormError::Broken(e.to_string());
        let mut parts =
            Multipart::from_request(request, &()).await.map_err(|e| FormError::Broken(e.body_text()))?;
        let mut form = Self::default();
        while let Some(part) = timeout(limits::READ, parts.next_field())
            .await
            .map_err(|_| FormError::Slow)?
            .map_err(|e| broken(&e))?
        {
            let name = part.name().unwrap_or_default().to_owned();
            match spool.filter(|spool| spool.field == name) {
                Some(spool) => drop(form.files.insert(name, spool.store(part).await?)),
                None => {
                    let value = bounded(&name, part).await?;
                    form.take(name, value)?;
                }
            }
        }
        Ok(form)
    }

    fn take(&mut self, name: String, value: Vec<u8>) -> Result<(), FormError> {
        if value.len() > limits::FORM_FIELD_BYTES {
            return Err(FormError::TooLong(name));
        }
        self.values.insert(name, value);
        if self.values.len() > limits::FORM_FIELDS { Err(FormError::TooMany) } else { Ok(()) }
    }

    /// Fields that are not to be read count as not sent.
    pub(crate) fn only(mut self, is_read: impl Fn(&str) -> bool) -> Self {
        self.values.retain(|name, _| is_read(name));
        self.files.retain(|name, _| is_read(name));
        self
    }

    /// The text of a field that must be there.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, FormError> {
        self.text_if_there(name)?.ok_or(FormError::Missing(name))
    }

    pub(crate) fn text_if_there(&self, name: &'static str) -> Result<Option<&str>, FormError> {
        let text = |value| str::from_utf8(value).map_err(|_| FormError::NotText(name));
        self.values.get(name).map(Vec::as_slice).map(text).transpose()
    }

    /// The bytes of a field that must be there and hold something.
    pub(crate) fn bytes(&self, name: &'static str) -> Result<&[u8], FormError> {
        let value = self.values.get(name).map(Vec::as_slice);
        value.filter(|value| !value.is_empty()).ok_or(FormError::Missing(name))
    }

    /// Every field, those in files too.
    pub(crate) fn all(self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let files = self.files.iter().map(|(name, upload)| Ok((name.clone(), fs::read(&upload.path)?)));
        let files: BTreeMap<String, Vec<u8>> = files.collect::<io::Result<_>>()?;
        Ok(self.values.into_iter().chain(files).collect())
    }

    /// The file of a field that must be there and hold something.
    pub(crate) fn file(&mut self, name: &'static str) -> Result<Upload, FormError> {
        self.files.remove(name).filter(|upload| upload.bytes > 0).ok_or(FormError::Missing(name))
    }
}

impl Spool {
    async fn store(&self, mut part: Field<'_>) -> Result<Upload, FormError> {
        let name = hex(&random::bytes::<16>());
        let mut upload = Upload { path: self.dir.join(name), bytes: 0 };
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&upload.path).await?;
        while let Some(chunk) = next(&mut part).await? {
            upload.bytes += chunk.len() as u64;
            if upload.bytes > self.max_bytes {
                return Err(FormError::FileTooLong(self.field, self.max_bytes));
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        Ok(upload)
    }
}

async fn next(part: &mut Field<'_>) -> Result<Option<Bytes>, FormError> {
    let chunk = timeout(limits::READ, part.chunk()).await.map_err(|_| FormError::Slow)?;
    chunk.map_err(|e| FormError::Broken(e.body_text()))
}

async fn bounded(name: &str, mut part: Field<'_>) -> Result<Vec<u8>, FormError> {
    let mut value = Vec::new();
    while let Some(chunk) = next(&mut part).await? {
        value.extend_from_slice(&chunk);
        if value.len() > limits::FORM_FIELD_BYTES {
            return Err(FormError::TooLong(name.to_owned()));
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn read(kind: &str, body: impl Into<Body>) -> Result<Form, FormError> {
        let request = Request::post("/").header(header::CONTENT_TYPE, kind).body(body.into()).unwrap();
        Form::read(request).await
    }

    fn part(name: &str, value: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    }

    const MULTIPART: &str = "multipart/form-data; boundary=b";
    const URLENCODED: &str = "application/x-www-form-urlencoded";

    #[tokio::test]
    async fn both_kinds_of_form() {
        let file = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.json\"\r\nContent-Type: a/b\r\n\r\n{}\r\n";
        let body = format!("{}{file}{}--b--\r\n", part("a", "1"), part("a", "2"));
        let form = read(MULTIPART, body).await.unwrap();
        assert_eq!((form.text("a").unwrap(), form.text("f").unwrap()), ("2", "{}"));
        let form = read(URLENCODED, "a=x%20y&f=%7B%7D").await.unwrap();
        assert_eq!((form.text("a").unwrap(), form.text("f").unwrap()), ("x y", "{}"));
        let form = form.only(|name| name != "a");
        assert!(matches!(form.text("a"), Err(FormError::Missing("a"))) && form.text("f").is_ok());
    }

    #[tokio::test]
    async fn a_large_field_goes_to_a_file_that_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool { field: "a", dir: dir.path().to_owned(), max_bytes: 5 };
        let read = async |value: &str| {
            let body = format!("{}--b--\r\n", part("a", value));
            let request =
                Request::post("/").header(header::CONTENT_TYPE, MULTIPART).body(body.into()).unwrap();
            Form::read_with(request, Some(&spool)).await
        };
        let files = || fs::read_dir(dir.path()).unwrap().count();
        let upload = read("12345").await.unwrap().file("a").unwrap();
        assert_eq!((fs::read(upload.path()).unwrap(), files()), (b"12345".to_vec(), 1));
        drop(upload);
        assert!(matches!(read("123456").await, Err(FormError::FileTooLong("a", 5))));
        assert!(matches!(read("").await.unwrap().file("a"), Err(FormError::Missing("a"))));
        assert!(matches!(read("1").await.unwrap().text("a"), Err(FormError::Missing("a"))));
        assert_eq!(files(), 0);
    }

    #[tokio::test]
    async fn what_is_no_form_or_too_much_is_refused() {
        let long = "x".repeat(limits::FORM_FIELD_BYTES + 1);
        let many: String = (0..=limits::FORM_FIELDS).map(|n| part(&n.to_string(), "")).collect();
        for (kind, body, why) in [
            ("application/json", "{}".to_owned(), "must be multipart"),
            (MULTIPART, "nothing".to_owned(), "cannot be read"),
            (MULTIPART, part("a", "cut short"), "cannot be read"),
            (MULTIPART, format!("{}--b--\r\n", part("a", &long)), "a has more than"),
            (MULTIPART, format!("{many}--b--\r\n"), "more than 32 fields"),
            (URLENCODED, format!("a={long}"), "a has more than"),
        ] {
            let error = read(kind, body).await.unwrap_err().to_string();
            assert!(error.contains(why), "{kind}: {error}");
        }
        let form = read(MULTIPART, [part("a", "").as_bytes(), b"--b--\r\n"].concat()).await.unwrap();
        assert_eq!(form.text("a").unwrap(), "");
    }
}
