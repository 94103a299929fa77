//! The file: a tar of a manifest and of the records, one a line.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::is_saved;
use crate::{admin::hex, limits};

/// Changes when older programs could no longer read it.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const RECORDS: &str = "records.jsonl";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    /// persistentID of the node that it was made at.
    pub(crate) system: String,
    /// Seconds since the epoch.
    pub(crate) created_seconds: u64,
    /// Revision of the newest record.
    pub(crate) sequence: u64,
    /// JSON texts by key.
    pub(crate) records: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    system: String,
    created_seconds: u64,
    sequence: u64,
    members: BTreeMap<String, Member>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    /// As it was stored: what is not known here is kept, too.
    value: String,
}

/// The file is no backup, or not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadBackup {
    #[error("archive is no tar: {0}")]
    NoTar(#[from] io::Error),
    #[error("archive holds {0:?}, which no backup does")]
    Foreign(String),
    #[error("archive has no {0}")]
    Missing(&'static str),
    #[error("archive: {0} has more than {max} bytes", max = limits::BACKUP_BYTES)]
    TooLarge(String),
    #[error("archive: {0} is not what {MANIFEST} says: it was changed or cut short")]
    Changed(&'static str),
    #[error("archive: {0} cannot be read: {1}")]
    Unreadable(&'static str, String),
    #[error("archive has the format {0}; this server reads {FORMAT}")]
    Format(u32),
}

impl Saved {
    pub(crate) fn to_tar(&self) -> io::Result<Vec<u8>> {
        let mut records = Vec::new();
        for (key, value) in &self.records {
            let line = Line { key: key.clone(), value: value.clone() };
            serde_json::to_writer(&mut records, &line)?;
            records.push(b'\n');
        }
        let member = Member { bytes: records.len() as u64, sha256: hex(&Sha256::digest(&records)) };
        let manifest = Manifest {
            format: FORMAT,
            system: self.system.clone(),
            created_seconds: self.created_seconds,
            sequence: self.sequence,
            members: BTreeMap::from([(RECORDS.to_owned(), member)]),
        };
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in [(MANIFEST, serde_json::to_vec_pretty(&manifest)?), (RECORDS, records)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(self.created_seconds);
            tar.append_data(&mut header, name, bytes.as_slice())?;
        }
        tar.into_inner()
    }

    /// Checks everything that can be without looking at this server.
    pub(crate) fn from_tar(file: impl Read) -> Result<Self, BadBackup> {
        let mut members = members(file)?;
        let mut take = |name: &'static str| members.remove(name).ok_or(BadBackup::Missing(name));
        let unreadable = |name| move |e: serde_json::Error| BadBackup::Unreadable(name, e.to_string());
        let manifest = take(MANIFEST)?;
        let kind: Value = serde_json::from_slice(&manifest).map_err(unreadable(MANIFEST))?;
        match kind["format"].as_u64() {
            Some(format) if format != u64::from(FORMAT) => {
                return Err(BadBackup::Format(u32::try_from(format).unwrap_or(u32::MAX)));
            }
            _ => {}
        }
        let manifest: Manifest = serde_json::from_value(kind).map_err(unreadable(MANIFEST))?;
        let records = take(RECORDS)?;
        let found = Member { bytes: records.len() as u64, sha256: hex(&Sha256::digest(&records)) };
        if manifest.members.get(RECORDS) != Some(&found) {
            return Err(BadBackup::Changed(RECORDS));
        }
        let Manifest { system, created_seconds, sequence, .. } = manifest;
        Ok(Self { system, created_seconds, sequence, records: parse(&records)? })
    }
}

fn members(file: impl Read) -> Result<BTreeMap<String, Vec<u8>>, BadBackup> {
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(file).entries()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_ours = entry.header().entry_type().is_file() && [MANIFEST, RECORDS].contains(&name.as_str());
        if !is_ours || found.contains_key(&name) {
            return Err(BadBackup::Foreign(name));
        }
        let mut bytes = Vec::new();
        // Not by what the header says: that is whatever its writer wanted.
        if entry.take(limits::BACKUP_BYTES + 1).read_to_end(&mut bytes)? as u64 > limits::BACKUP_BYTES {
            return Err(BadBackup::TooLarge(name));
        }
        found.insert(name, bytes);
    }
    Ok(found)
}

fn parse(records: &[u8]) -> Result<BTreeMap<String, String>, BadBackup> {
    let unreadable = |why: String| BadBackup::Unreadable(RECORDS, why);
    let mut seen = BTreeSet::new();
    let mut found = BTreeMap::new();
    for line in records.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        let Line { key, value } = serde_json::from_slice(line).map_err(|e| unreadable(e.to_string()))?;
        if !is_saved(&key) || !seen.insert(key.clone()) {
            return Err(unreadable(format!("{key:?} does not belong there, or stands there twice")));
        }
        serde_json::from_str::<Value>(&value).map_err(|e| unreadable(format!("{key}: {e}")))?;
        found.insert(key, value);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saved() -> Saved {
        let records = [("volumes/1", r#"{"a":"b\n"}"#), ("x/2", "5")];
        let records = records.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        Saved { system: "s".to_owned(), created_seconds: 7, sequence: 9, records }
    }

    fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, *bytes).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let tar = saved().to_tar().unwrap();
        assert_eq!(Saved::from_tar(tar.as_slice()).unwrap(), saved());
    }

    #[test]
    fn what_is_no_backup_is_refused() {
        let whole = saved().to_tar().unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        let forged = |from: &str, to: &str| text.replacen(from, to, 1).into_bytes();
        let manifest = br#"{"format":1,"system":"s","created_seconds":1,"sequence":1,"members":{}}"#;
        for (tar, why) in [
            (b"junk that is long enough to be no header at all".repeat(20), "no tar"),
            (Vec::new(), "has no manifest.json"),
            (tar_of(&[("manifest.json", b"{}")]), "manifest.json cannot be read"),
            (tar_of(&[("manifest.json", br#"{"format":2}"#)]), "format 2"),
            (tar_of(&[("manifest.json", manifest)]), "has no records.jsonl"),
            (tar_of(&[("manifest.json", manifest), ("records.jsonl", b"")]), "not what manifest.json says"),
            (tar_of(&[("passwd", b"")]), "\"passwd\""),
            (tar_of(&[("manifest.json", manifest), ("manifest.json", manifest)]), "\"manifest.json\""),
            (forged("volumes/1", "volumes/2"), "not what manifest.json says"),
        ] {
            let error = Saved::from_tar(tar.as_slice()).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
        }
        for key in ["sessions/1", "credentials/token"] {
            let mut other = saved();
            other.records.insert(key.to_owned(), "{}".to_owned());
            let error = Saved::from_tar(other.to_tar().unwrap().as_slice()).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(at in 0usize..3072, byte: u8, cut in 0usize..3072) {
            let mut tar = saved().to_tar().unwrap();
            let at = at % tar.len();
            tar[at] = byte;
            let _ = Saved::from_tar(tar.as_slice());
            let _ = Saved::from_tar(&tar[..cut.min(tar.len())]);
        }
    }
}
