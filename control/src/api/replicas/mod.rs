//! The copies of a volume, one by one (provisioner §4.2). Their host keeps them equal: here they are added, said to be
//! usable or not, and removed in two steps.

pub(crate) mod add;
pub(crate) mod lost;
pub(crate) mod migrate;
pub(crate) mod remove;
pub(crate) mod state;

use uuid::Uuid;

use super::volumes::{self, not_exists, settled};
use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    fields::parse_uuid,
    model::{
        placement::Wanted,
        replica::{Replica, ReplicaState},
        volume::{Phase, StorageClass, VolumeRecord},
    },
    request::Params,
    state::Stored,
};

/// Of one volume, while one is being moved (D27).
const MOST_REPLICAS: usize = 4;

/// What a path names. What is no UUID cannot exist, which is not a syntax error.
struct Names {
    volume: String,
    replica: String,
}

impl Names {
    fn of(params: &Params) -> Self {
        Self { volume: params.get("id").to_owned(), replica: params.get("replica").to_owned() }
    }

    /// The volume's UUID, to lock it by; whether it exists is looked up under the lock.
    fn lock_by(&self) -> Uuid {
        parse_uuid(&self.volume).unwrap_or_default()
    }

    /// The volume and its copy, whatever else is unfinished about the volume: a node that is away must not keep an agent
    /// from saying so. The caller holds the volume's lock.
    async fn find(&self, app: &App, tenant: &str) -> Result<(Stored<VolumeRecord>, Uuid), ApiError> {
        let volume = volumes::find(app, tenant, &self.volume).await?;
        let volume = volume.filter(|v| v.value.phase != Phase::Deleting);
        self.copy_of(volume)
    }

    /// As `find`, settled.
    async fn find_settled(&self, app: &App, tenant: &str) -> Result<(Stored<VolumeRecord>, Uuid), ApiError> {
        self.copy_of(settled(app, tenant, &self.volume).await?)
    }

    fn copy_of(
        &self,
        volume: Option<Stored<VolumeRecord>>,
    ) -> Result<(Stored<VolumeRecord>, Uuid), ApiError> {
        let volume = volume.ok_or_else(|| not_exists(&self.volume))?;
        let named = parse_uuid(&self.replica);
        let found = volume.value.shown_replicas().find(|replica| Some(replica.uuid) == named);
        let replica = found.map(|replica| replica.uuid).ok_or_else(|| {
            let why = format!("volume {:?} has no replica {:?}", self.volume, self.replica);
            Failure::new(Code::NotExists, why)
        })?;
        Ok((volume, replica))
    }
}

fn require_replicated(volume: &VolumeRecord) -> Result<(), Failure> {
    if volume.is_replicated() {
        return Ok(());
    }
    let why = format!("volume {} was made with one copy, and stays so", volume.uuid);
    Err(Failure::new(Code::NotReplicated, why))
}

fn refuse_terminating<'a>(replicas: impl IntoIterator<Item = &'a Replica>) -> Result<(), Failure> {
    match replicas.into_iter().find(|replica| replica.state == ReplicaState::Terminating) {
        None => Ok(()),
        Some(Replica { uuid, .. }) => {
            Err(Failure::new(Code::ReplicaTerminating, format!("replica {uuid} is being removed")))
        }
    }
}

/// One more copy of the volume; `holders` have the others.
fn one_more<'a>(volume: &VolumeRecord, class: &'a StorageClass, holders: &'a [String]) -> Wanted<'a> {
    Wanted {
        class,
        protocol: volume.protocol,
        capacity_gib: volume.size.capacity_gib,
        reserved_bytes: volume.size.reserved_bytes,
        copies: 1,
        holders,
    }
}

/// persistentIDs of the volume's backends.
fn holders(volume: &VolumeRecord) -> Vec<String> {
    volume.replicas.iter().map(|replica| replica.backend.clone()).collect()
}
