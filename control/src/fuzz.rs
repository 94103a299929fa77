//! Fuzz bodies as ordinary functions: `tests/fuzz` runs them without end, a test replays its corpus.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    vec::IntoIter,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::header,
};
use hyper::body::Frame;
use tokio::runtime::{Builder, Runtime};

use crate::{
    admin::{
        backup::Saved,
        form::{Form, Spool},
        hex,
        update::{check, take_apart, unpack_tar},
    },
    outbound::dns::{Family, Question, Reply},
    random,
    role::Yrn,
};

/// Names of the role API: what is accepted says the same when it is read again.
pub fn yrn(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(yrn) = text.parse::<Yrn>() else { return };
    assert_eq!(yrn.to_string().parse(), Ok(yrn.clone()));
    if let Yrn::Object(object) = yrn {
        let parents: Vec<_> = object.parents().collect();
        assert_eq!(parents.len(), object.path.matches('/').count());
        assert!(parents.iter().all(|parent| object.key().starts_with(&format!("{}/", parent.key()))));
    }
}

/// Answers of name servers.
pub fn name_answer(input: &[u8]) {
    for family in [Family::V4, Family::V6] {
        let question = Question::new("a.example", family, 0x1234).expect("a good name");
        if let Ok(Reply::Addresses(addresses)) = question.read(input) {
            assert!(addresses.iter().all(|address| address.is_ipv4() == (family == Family::V4)));
        }
    }
}

/// Backups of the metadata: what is accepted is the same when it is written and read again.
pub fn backup_archive(input: &[u8]) {
    if let Ok(saved) = Saved::from_tar(input) {
        let tar = saved.to_tar().expect("memory takes everything");
        assert_eq!(Saved::from_tar(tar.as_slice()).ok(), Some(saved));
    }
}

/// Forms: what is read does not depend on how the body came in pieces. The first byte is the length of the pieces, less
/// one. The second says whether it is a multipart body with the boundary `b`, and whether its field `f` goes to a file.
pub fn form(input: &[u8]) {
    let [piece, kind, body @ ..] = input else { return };
    let body = Bytes::copy_from_slice(body);
    let read = |length: usize| {
        RUNTIME.with(|runtime| PLACE.with(|place| runtime.block_on(read(*kind, &body, length, &place.0))))
    };
    assert_eq!(read(usize::from(*piece) + 1), read(body.len().max(1)));
}

/// Packages: nothing is made outside the directory that they are unpacked to, and nothing but files and directories.
/// The first byte says whether the rest is the tar that was encrypted, or the one that was signed.
pub fn release_package(input: &[u8]) {
    let [kind, tar @ ..] = input else { return };
    PLACE.with(|place| {
        let dir = place.0.join("package");
        fs::create_dir(&dir).expect("it is not there");
        let target = dir.join("release");
        let unpacked = match kind % 2 {
            0 => take_apart(tar, &dir),
            _ => unpack_tar(tar, &target),
        };
        if unpacked.is_ok() && kind % 2 == 1 {
            // It may be whole; that it is looked at without a panic is what counts.
            drop(check(&target));
        }
        for path in entries(&place.0) {
            assert!(path.starts_with(&dir), "{}", path.display());
        }
        fs::remove_dir_all(&dir).expect("it is ours");
        assert_eq!(entries(&place.0), Vec::<PathBuf>::new());
    });
}

/// Everything below; links are not followed, and must not be there.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut left) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).expect("it is there") {
            let path = entry.expect("it can be read").path();
            let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
            assert!(kind.is_file() || kind.is_dir(), "{}", path.display());
            if kind.is_dir() {
                left.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    static PLACE: Place = Place::make();
}

/// A directory of this thread's own.
struct Place(PathBuf);

impl Place {
    fn make() -> Self {
        let path = std::env::temp_dir().join(format!("basalt-fuzz-{}", hex(&random::bytes::<8>())));
        fs::create_dir(&path).expect("a directory");
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Every field; `None`: it is refused. Why may depend on what came first.
async fn read(kind: u8, body: &Bytes, length: usize, dir: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let pieces: Vec<Bytes> = body.chunks(length).map(|piece| body.slice_ref(piece)).collect();
    let content = match kind % 3 {
        0 => "application/x-www-form-urlencoded",
        _ => "multipart/form-data; boundary=b",
    };
    let body = Body::new(Pieces(pieces.into_iter()));
    let request = Request::post("/").header(header::CONTENT_TYPE, content).body(body).expect("a request");
    let spool = Spool { field: "f", dir: dir.to_owned(), max_bytes: 64 };
    let read = match kind % 3 {
        2 => Form::read_with(request, Some(&spool)).await,
        _ => Form::read(request).await,
    };
    let fields = read.ok().map(|form| form.all().expect("the files are there"));
    assert_eq!(entries(dir), Vec::<PathBuf>::new(), "an upload goes with its form");
    fields
}

/// A body as it comes over a connection.
struct Pieces(IntoIter<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Body = fn(&[u8]);

    const TARGETS: [(&str, Body); 5] = [
        ("yrn", yrn),
        ("name_answer", name_answer),
        ("backup_archive", backup_archive),
        ("form", form),
        ("release_package", release_package),
    ];

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "a corpus has seeds");
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn the_corpus_holds() {
        for (target, body) in TARGETS {
            corpus(target).iter().for_each(|input| body(input));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn mutated_seeds_hold(edits in prop::collection::vec((any::<usize>(), any::<u8>(), 0u8..4), 1..6)) {
            for (target, body) in TARGETS {
                for mut input in corpus(target) {
                    for &(at, value, kind) in &edits {
                        let at = at % (input.len() + 1);
                        match kind {
                            0 => input.truncate(at),
                            1 => input.insert(at, value),
                            _ if at < input.len() => input[at] = value,
                            _ => {}
                        }
                    }
                    body(&input);
                }
            }
        }
    }
}
