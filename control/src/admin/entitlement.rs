//! What the operator is entitled to (admin.md §5.9): a document that was signed like a release, and what it forbids. It never
//! stops I/O or reads.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use utoipa::ToSchema;

use super::{sealed_file, update::UpdateKeys};
use crate::{
    app::now_ms,
    envelope::{ApiError, Code, Failure},
    limits,
    state::{Change, Record, State},
    store::StoreError,
};

const DOCUMENT: &str = "license.json";
const SIGNATURE: &str = "license.json.sign";

/// `19 January 2038`.
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[day padding:none] [month repr:long] [year]");

/// The document, which is also what the API shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Entitlement {
    pub(crate) app: String,
    /// Enabled local users that there may be.
    pub(crate) users: u64,
    /// The last day on which volumes and tenants may be made.
    #[schema(example = "19 January 2038")]
    pub(crate) expires: String,
    pub(crate) name: String,
    pub(crate) contact: String,
}

impl Record for Entitlement {
    const PREFIX: &'static str = "entitlement/";
    fn id(&self) -> String {
        Self::KEY.to_owned()
    }
}

/// The file is no license for this server; the one that is installed stays.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the license cannot be used: {0}")]
pub(crate) struct BadEntitlement(String);

fn bad(why: impl ToString) -> BadEntitlement {
    BadEntitlement(why.to_string())
}

impl Entitlement {
    /// There is one.
    pub(crate) const KEY: &'static str = "installed";

    /// Opens a file as `POST license` takes it: encrypted like a release package, a tar inside, of the document and its
    /// signature.
    pub(crate) fn open(file: &[u8], keys: &UpdateKeys) -> Result<Self, BadEntitlement> {
        let mut tar = Vec::new();
        sealed_file::decrypt(&keys.pass_phrase, file, &mut tar).map_err(bad)?;
        let mut members = members(&tar)?;
        let mut take = |name: &str| members.remove(name).ok_or_else(|| bad(format!("it has no {name}")));
        let (document, signature) = (take(DOCUMENT)?, take(SIGNATURE)?);
        if !keys.release.has_signed_bytes(&document, &signature) {
            return Err(bad("it is not signed with the release key"));
        }
        let this: Self = serde_json::from_slice(&document).map_err(|e| bad(format!("{DOCUMENT}: {e}")))?;
        match this.last_day() {
            Some(_) => Ok(this),
            None => Err(bad(format!("expires is {:?} and no date like 19 January 2038", this.expires))),
        }
    }

    fn last_day(&self) -> Option<Date> {
        Date::parse(&self.expires, DATE).ok()
    }

    /// `LicenseError` when its last day is over.
    fn check_day(&self, today: Date) -> Result<(), Failure> {
        match self.last_day() {
            Some(last) if today <= last => Ok(()),
            _ => Err(Failure::new(
                Code::LicenseError,
                format!("the license of {} has expired ({})", self.name, self.expires),
            )),
        }
    }

    pub(crate) async fn installed(state: &State) -> Result<Option<Self>, StoreError> {
        Ok(state.get::<Self>(Self::KEY).await?.map(|stored| stored.value))
    }

    /// Takes the place of the one that is installed.
    pub(crate) async fn install(&self, state: &State) -> Result<(), StoreError> {
        let stored = state.get::<Self>(Self::KEY).await?;
        state.commit(Change::default().set(stored.as_ref(), self)).await
    }
}

/// Whether volumes and tenants may be made: without a license they may.
pub(crate) async fn check_new(state: &State) -> Result<(), ApiError> {
    let Some(entitlement) = Entitlement::installed(state).await? else { return Ok(()) };
    let now = i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX);
    let today = OffsetDateTime::from_unix_timestamp(now).map_or(Date::MAX, OffsetDateTime::date);
    Ok(entitlement.check_day(today)?)
}

fn members(tar: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, BadEntitlement> {
    let no_tar = |e: io::Error| bad(format!("it is no tar: {e}"));
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().map_err(no_tar)? {
        let entry = entry.map_err(no_tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let is_ours = entry.header().entry_type().is_file() && [DOCUMENT, SIGNATURE].contains(&name.as_str());
        if !is_ours || found.contains_key(&name) {
            return Err(bad(format!("it holds {name:?}")));
        }
        let mut bytes = Vec::new();
        entry.take(limits::FORM_FIELD_BYTES as u64).read_to_end(&mut bytes).map_err(no_tar)?;
        found.insert(name, bytes);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn its_last_day_is_a_day_of_it() {
        let mut entitlement = Entitlement {
            app: "enterprise".to_owned(),
            users: 20,
            expires: "9 January 2038".to_owned(),
            name: "Somebody".to_owned(),
            contact: String::new(),
        };
        assert_eq!(entitlement.check_day(date!(2038 - 01 - 09)), Ok(()));
        let expired = entitlement.check_day(date!(2038 - 01 - 10)).unwrap_err();
        assert!(expired.code == Code::LicenseError && expired.description.contains("9 January 2038"));
        for wrong in ["", "2038-01-09", "31 February 2038", "9 january 2038"] {
            wrong.clone_into(&mut entitlement.expires);
            assert_eq!(entitlement.last_day(), None, "{wrong}");
        }
    }
}
