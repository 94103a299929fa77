//! What happened on this node, for people and programs that were not looking: numbered, kept in the store, bounded.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{
    app::now_ms,
    limits,
    state::{Change, Record, State},
    store::StoreError,
    syslog::{Logging, Severity, Syslog},
};

/// The stored form of an event, which is also what the API answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Event {
    /// From 1 on, without gaps; the oldest ones are dropped.
    pub(crate) sequence: u64,
    /// Milliseconds since the epoch.
    pub(crate) time: u64,
    pub(crate) kind: Kind,
    /// For people.
    pub(crate) message: String,
    /// What it is about: a UUID or a name.
    pub(crate) object: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    ServerStarted,
    /// On request.
    ServerRestarts,
    ReleaseInstalled,
    /// It was installed, and did not become ready.
    ReleaseRolledBack,
    NodeJoined,
    NodeRemoved,
    NodeAvailable,
    NodeUnavailable,
    VolumeCreated,
    VolumeExpanded,
    VolumeDeleted,
    VolumePublished,
    VolumeUnpublished,
    VolumePathChanged,
    ReplicaAdded,
    ReplicaRemoved,
    /// For longer than its volume allows.
    ReplicaDown,
    SnapshotCreated,
    SnapshotDeleted,
    TenantCreated,
    /// Its budget.
    TenantChanged,
    TenantDeleted,
    DriveAdded,
    DriveRemoved,
    DriveState,
    /// The pool is getting full.
    CapacityWarning,
    CapacityEased,
    LoggedIn,
    /// Somebody guesses passwords.
    LoginsThrottled,
    /// Users, groups and passwords.
    AccountsChanged,
    AccessTokensChanged,
    /// Tokens that this server issues.
    TokensChanged,
    AuthServerChanged,
    LicenseInstalled,
    /// Roles, policies, resources, role tokens and the members of tenants.
    RolesChanged,
}

impl Kind {
    fn severity(self) -> Severity {
        match self {
            Self::DriveState
            | Self::NodeUnavailable
            | Self::ReplicaDown
            | Self::CapacityWarning
            | Self::LoginsThrottled
            | Self::ReleaseRolledBack => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

impl Record for Event {
    const PREFIX: &'static str = "events/";
    fn id(&self) -> String {
        id(self.sequence)
    }
}

/// In the order of their numbers.
fn id(sequence: u64) -> String {
    format!("{sequence:020}")
}

/// The events of this node.
pub(crate) struct Events {
    state: State,
    /// Hears of each event, too.
    syslog: Syslog,
    /// The last number given out. `None`: to be read from the store.
    last: Mutex<Option<u64>>,
}

impl Events {
    pub(crate) fn new(state: State, syslog: Syslog) -> Self {
        Self { state, syslog, last: Mutex::default() }
    }

    /// Notes and logs an event. One that cannot be stored does not undo what happened: it is in the log.
    pub(crate) async fn add(&self, kind: Kind, object: impl Display, message: impl Into<String>) {
        let (object, message) = (object.to_string(), message.into());
        tracing::info!(?kind, object, "{message}");
        self.tell(kind, &object, &message);
        let mut last = self.last.lock().await;
        match self.append(*last, kind, object, message).await {
            Ok(sequence) => *last = Some(sequence),
            Err(error) => {
                tracing::warn!(%error, "the event could not be stored");
                *last = None;
            }
        }
    }

    fn tell(&self, kind: Kind, object: &str, message: &str) {
        // Its name in the API.
        let name = serde_json::to_value(kind).ok().and_then(|name| Some(name.as_str()?.to_owned()));
        let parameters =
            vec![("kind".to_owned(), name.unwrap_or_default()), ("object".to_owned(), object.to_owned())];
        self.syslog.tell(Logging::Event, kind.severity(), now_ms(), message.to_owned(), parameters);
    }

    async fn append(
        &self,
        last: Option<u64>,
        kind: Kind,
        object: String,
        message: String,
    ) -> Result<u64, StoreError> {
        let last = match last {
            Some(last) => last,
            None => self.all().await?.last().map_or(0, |event| event.sequence),
        };
        let event = Event { sequence: last + 1, time: now_ms(), kind, message, object };
        let sequence = event.sequence;
        let oldest = id(sequence.saturating_sub(limits::EVENTS));
        self.state.create(event, Change::default().forget_id::<Event>(&oldest)).await?;
        Ok(sequence)
    }

    /// Those with a higher number, the oldest first.
    pub(crate) async fn after(&self, sequence: u64) -> Result<Vec<Event>, StoreError> {
        let mut events = self.all().await?;
        events.retain(|event| event.sequence > sequence);
        Ok(events)
    }

    async fn all(&self) -> Result<Vec<Event>, StoreError> {
        Ok(self.state.list::<Event>().await?.into_iter().map(|e| e.value).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::store::RedbStore;

    fn events(dir: &Path) -> Events {
        let state = State::new(Arc::new(RedbStore::open(&dir.join("store.redb")).unwrap()));
        Events::new(state, Syslog::default())
    }

    #[tokio::test]
    async fn numbers_go_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let before = events(dir.path());
        before.add(Kind::ServerStarted, "a", "first").await;
        before.add(Kind::DriveState, "b", "second").await;
        drop(before);
        let after = events(dir.path());
        after.add(Kind::ServerStarted, "a", "third").await;
        let seen: Vec<(u64, String)> =
            after.after(1).await.unwrap().into_iter().map(|e| (e.sequence, e.message)).collect();
        assert_eq!(seen, [(2, "second".to_owned()), (3, "third".to_owned())]);
    }

    #[tokio::test]
    async fn only_the_latest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let events = events(dir.path());
        for n in 0..limits::EVENTS + 3 {
            events.add(Kind::VolumeCreated, n, "one more").await;
        }
        let kept = events.after(0).await.unwrap();
        assert_eq!(kept.len() as u64, limits::EVENTS);
        assert_eq!(kept[0].sequence, 4);
    }
}
