//! Publishing volumes to hosts and taking them back (provisioner §4.5).

pub(crate) mod export;
pub(crate) mod grant;
pub(crate) mod withdraw;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::volumes;
use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    fields::Fields,
    limits,
    model::{
        backend::BackendRecord,
        host::HostRecord,
        target::TargetRecord,
        volume::{Phase, VolumeRecord},
    },
    state::Stored,
};

/// What both requests name. A volume that is no UUID cannot exist, which is not a syntax error.
struct Pair {
    host: Option<String>,
    volume: String,
}

impl Pair {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let host = fields.text("hostId", limits::NAME_CHARS)?;
        let volume = fields.require("volId", fields.text("volId", limits::NAME_CHARS)?)?;
        Ok(Self { host: host.map(str::to_owned), volume: volume.to_owned() })
    }

    fn no_volume(&self) -> Failure {
        Failure::new(Code::VolumeNotFound, format!("there is no volume {:?}", self.volume))
    }

    /// The volume's UUID, to lock it by; whether it exists is looked up under the lock.
    fn uuid(&self) -> Uuid {
        Uuid::try_parse(&self.volume).unwrap_or_default()
    }
}

/// A copy of a volume in a subsystem, as its backend exports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) nqn: String,
    /// persistentID.
    pub(crate) backend: String,
    pub(crate) replica: Uuid,
}

async fn targets_of(app: &App, host: &str) -> Result<Vec<Stored<TargetRecord>>, ApiError> {
    Ok(app.state.list_under::<TargetRecord>(&format!("{host}/")).await?)
}

async fn find_host(app: &App, id: &str) -> Result<Stored<HostRecord>, ApiError> {
    let host = app.state.get::<HostRecord>(id).await?;
    host.ok_or_else(|| {
        Failure::new(Code::HostNotFound, format!("host {id:?} has never announced itself")).into()
    })
}

async fn find_volume(app: &App, tenant: &str, pair: &Pair) -> Result<Stored<VolumeRecord>, ApiError> {
    let found = volumes::find(app, tenant, &pair.volume).await?;
    let found = found.filter(|v| v.value.phase != Phase::Deleting);
    found.ok_or_else(|| pair.no_volume().into())
}

/// A Local volume is for the host that its backend is too (D37).
async fn check_local(app: &App, volume: &VolumeRecord, host: &str) -> Result<(), ApiError> {
    for replica in &volume.replicas {
        let backend = app.state.get::<BackendRecord>(&replica.backend).await?;
        if backend.is_some_and(|b| b.value.host_id.as_deref() == Some(host)) {
            return Ok(());
        }
    }
    let why = format!("volume {} is local to another host than {host:?}", volume.uuid);
    Err(Failure::new(Code::VolumeNotInHost, why).into())
}
