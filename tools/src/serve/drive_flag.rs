//! `--drive PATH[,size=16G][,write-through][,torn-safe|assume-4k-atomic][,lossy]` or `mem:NAME,size=4G`.

use std::{path::PathBuf, str::FromStr};

use dataplane::node::{DriveMedium, TornPolicy};

use crate::size::{ByteSize, SizeError};

/// One `--drive` as written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct DriveFlag {
    pub(crate) medium: DriveMedium,
    /// For creation only.
    pub(crate) size: Option<ByteSize>,
    pub(crate) write_through: bool,
    pub(crate) torn: Option<TornPolicy>,
    pub(crate) lossy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DriveFlagError {
    #[error("it begins with no path and no mem:NAME")]
    NoPath,
    #[error("a memory drive is mem:NAME,size=SIZE, with a name of letters, digits, `-`, `_` or `.`")]
    MemoryName,
    #[error("a memory drive needs a size, as in mem:{0},size=4G")]
    MemorySize(String),
    #[error("`{0}` means nothing for a memory drive, which ends with the process")]
    NotForMemory(&'static str),
    #[error("size= : {0}")]
    Size(#[from] SizeError),
    #[error("`{0}` is written twice")]
    Twice(&'static str),
    #[error("torn-safe and assume-4k-atomic exclude each other")]
    BothTornPolicies,
    #[error("unknown option `{0}` (there are size=, write-through, torn-safe, assume-4k-atomic and lossy)")]
    UnknownOption(String),
}

impl DriveFlag {
    /// A file that is created when it is missing.
    pub(crate) fn file(path: PathBuf, size: ByteSize) -> Self {
        Self {
            medium: DriveMedium::Path(path),
            size: Some(size),
            write_through: false,
            torn: None,
            lossy: false,
        }
    }

    fn set_option(&mut self, option: &str) -> Result<(), DriveFlagError> {
        match option.split_once('=') {
            Some(("size", size)) => match self.size.replace(size.parse()?) {
                None => Ok(()),
                Some(_) => Err(DriveFlagError::Twice("size")),
            },
            None if option == "write-through" => set_once(&mut self.write_through, "write-through"),
            None if option == "lossy" => set_once(&mut self.lossy, "lossy"),
            None if option == "torn-safe" => self.set_torn(TornPolicy::TornSafe, "torn-safe"),
            None if option == "assume-4k-atomic" => {
                self.set_torn(TornPolicy::Assume4kAtomic, "assume-4k-atomic")
            }
            _ => Err(DriveFlagError::UnknownOption(option.to_owned())),
        }
    }

    fn set_torn(&mut self, torn: TornPolicy, name: &'static str) -> Result<(), DriveFlagError> {
        match self.torn.replace(torn) {
            None => Ok(()),
            Some(earlier) if earlier == torn => Err(DriveFlagError::Twice(name)),
            Some(_) => Err(DriveFlagError::BothTornPolicies),
        }
    }

    fn check_memory(&self, name: &str) -> Result<(), DriveFlagError> {
        if self.write_through {
            return Err(DriveFlagError::NotForMemory("write-through"));
        }
        if self.torn == Some(TornPolicy::TornSafe) {
            return Err(DriveFlagError::NotForMemory("torn-safe"));
        }
        if self.lossy {
            return Err(DriveFlagError::NotForMemory("lossy"));
        }
        if self.size.is_none() {
            return Err(DriveFlagError::MemorySize(name.to_owned()));
        }
        Ok(())
    }
}

impl FromStr for DriveFlag {
    type Err = DriveFlagError;

    fn from_str(text: &str) -> Result<Self, DriveFlagError> {
        let mut parts = text.split(',');
        let place = parts.next().filter(|place| !place.is_empty()).ok_or(DriveFlagError::NoPath)?;
        let medium = match place.strip_prefix("mem:") {
            Some(name) if is_memory_name(name) => DriveMedium::Memory(name.to_owned()),
            Some(_) => return Err(DriveFlagError::MemoryName),
            None => DriveMedium::Path(PathBuf::from(place)),
        };
        let mut drive = Self { medium, size: None, write_through: false, torn: None, lossy: false };
        for option in parts {
            drive.set_option(option)?;
        }
        if let DriveMedium::Memory(name) = &drive.medium {
            drive.check_memory(name)?;
        }
        Ok(drive)
    }
}

fn is_memory_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn set_once(flag: &mut bool, name: &'static str) -> Result<(), DriveFlagError> {
    if std::mem::replace(flag, true) { Err(DriveFlagError::Twice(name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> DriveFlag {
        DriveFlag {
            medium: DriveMedium::Path(PathBuf::from(text)),
            size: None,
            write_through: false,
            torn: None,
            lossy: false,
        }
    }

    #[test]
    fn every_form_parses() {
        let size = |size| Some(ByteSize(size));
        let memory =
            DriveFlag { medium: DriveMedium::Memory("fast".into()), size: size(4 << 30), ..path("") };
        let table = [
            ("/dev/nvme0n1", path("/dev/nvme0n1")),
            ("a.img,size=16G", DriveFlag { size: size(16 << 30), ..path("a.img") }),
            ("a.img,write-through", DriveFlag { write_through: true, ..path("a.img") }),
            ("a.img,torn-safe", DriveFlag { torn: Some(TornPolicy::TornSafe), ..path("a.img") }),
            ("a.img,assume-4k-atomic", DriveFlag { torn: Some(TornPolicy::Assume4kAtomic), ..path("a.img") }),
            (
                "a.img,lossy,write-through,size=1G",
                DriveFlag { lossy: true, write_through: true, size: size(1 << 30), ..path("a.img") },
            ),
            ("mem:fast,size=4G", memory),
        ];
        for (text, drive) in table {
            assert_eq!(text.parse(), Ok(drive), "{text}");
        }
    }

    #[test]
    fn every_mistake_has_its_reason() {
        use DriveFlagError as E;
        let table = [
            ("", E::NoPath),
            (",size=1G", E::NoPath),
            ("mem:,size=1G", E::MemoryName),
            ("mem:a/b,size=1G", E::MemoryName),
            ("mem:a", E::MemorySize("a".into())),
            ("mem:a,size=1G,lossy", E::NotForMemory("lossy")),
            ("mem:a,size=1G,write-through", E::NotForMemory("write-through")),
            ("mem:a,size=1G,torn-safe", E::NotForMemory("torn-safe")),
            ("a,size=big", E::Size(SizeError::NotASize("big".into()))),
            ("a,size=0", E::Size(SizeError::Zero)),
            ("a,size=1G,size=1G", E::Twice("size")),
            ("a,lossy,lossy", E::Twice("lossy")),
            ("a,torn-safe,torn-safe", E::Twice("torn-safe")),
            ("a,torn-safe,assume-4k-atomic", E::BothTornPolicies),
            ("a,fast", E::UnknownOption("fast".into())),
            ("a,lossy=yes", E::UnknownOption("lossy=yes".into())),
            ("a,", E::UnknownOption(String::new())),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<DriveFlag>(), Err(error), "{text}");
        }
    }
}
