//! POST migrate_volume.

use axum::extract::State;
use serde_json::{Map, Value};

use super::{MOST_REPLICAS, Names, holders, one_more, refuse_terminating, require_replicated};
use crate::{
    api::{
        tenants::Tenant,
        volumes::{candidates, settled},
    },
    app::{App, Observed, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    fields::{Fields, parse_uuid},
    limits,
    model::{
        host::HostRecord,
        placement::place_further,
        replica::Replica,
        task::{TaskRecord, TaskType},
        volume::VolumeRecord,
    },
    openapi::{Status, bodies::VolumeMigrate},
    request::JsonBody,
    state::{Change, Stored},
    tasks,
};

/// What is no UUID cannot exist, which is not a syntax error.
fn parse(body: &Map<String, Value>) -> Result<Names, Failure> {
    let fields = Fields::new(body);
    let text = |name: &str| fields.require(name, fields.text(name, limits::NAME_CHARS)?);
    Ok(Names { volume: text("volId")?.to_owned(), replica: text("repId")?.to_owned() })
}

/// Op 30. A task for the agent of the volume's host, who adds a copy, lets it catch up and removes this one. The server
/// moves no data.
#[utoipa::path(post, path = "/migrate_volume", tag = "Replicas", summary = "Ask a volume's host to move a copy elsewhere",
    request_body = VolumeMigrate,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn migrate(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let names = parse(&body)?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(names.lock_by()).await;
        retry(|| make_task(&this, tenant.id(), &names)).await
    })
    .await?;
    Ok(success())
}

async fn make_task(app: &App, tenant: &str, names: &Names) -> Result<(), ApiError> {
    let no_volume = || Failure::new(Code::VolumeNotFound, format!("there is no volume {:?}", names.volume));
    let volume = settled(app, tenant, &names.volume).await?.ok_or_else(no_volume)?;
    let record = &volume.value;
    require_replicated(record)?;
    let replica = parse_uuid(&names.replica).and_then(|uuid| record.replica(uuid)).ok_or_else(|| {
        let why = format!("volume {:?} has no replica {:?}", names.volume, names.replica);
        Failure::new(Code::ReplicaNotFound, why)
    })?;
    refuse_terminating([replica])?;
    let host = the_host(app, record).await?;
    let observed = app.observe().await;
    require_enough(record, &observed)?;
    refuse_second(app, record).await?;
    let candidates = candidates(app, &observed).await?;
    let (holders, class) = (holders(record), &record.class);
    let no_place = |why: String| Failure::new(Code::NoBackendToMigrateReplica, why);
    if record.replicas.len() >= MOST_REPLICAS {
        return Err(no_place(format!("the volume has {MOST_REPLICAS} copies already")).into());
    }
    place_further(one_more(record, class, &holders), &candidates).map_err(|f| no_place(f.description))?;
    let task = TaskRecord::migration(record, replica.uuid, &host.value.id, now_ms());
    // Written unchanged, so that of two who ask at once one fails and looks again.
    app.state.commit(Change::default().rest_on(&host).replace(&volume).create(&task)).await?;
    Ok(())
}

/// The only one that the volume is published to.
async fn the_host(app: &App, volume: &VolumeRecord) -> Result<Stored<HostRecord>, ApiError> {
    let mut hosts = volume.published_to.iter();
    let uuid = volume.uuid;
    let failure = match (hosts.next(), hosts.next()) {
        (None, _) => Failure::new(Code::VolumeNotPublished, format!("volume {uuid} is not published")),
        (Some(_), Some(_)) => {
            let why = format!("volume {uuid} is published to {} hosts", volume.published_to.len());
            Failure::new(Code::VolumePublishedToMultipleHosts, why)
        }
        (Some(id), None) => match app.state.get::<HostRecord>(id).await? {
            Some(host) => return Ok(host),
            None => Failure::new(Code::HostNotFound, format!("there is no host {id:?}")),
        },
    };
    Err(failure.into())
}

/// D36: while a copy is away, none is moved.
fn require_enough(volume: &VolumeRecord, observed: &Observed) -> Result<(), Failure> {
    let is_good = |r: &&Replica| r.is_usable() && observed.is_available(&r.backend);
    let (usable, made_with) = (volume.replicas.iter().filter(is_good).count(), volume.class.num_replicas);
    if usable as u64 >= made_with {
        return Ok(());
    }
    let why = format!("volume {} was made with {made_with} copies, {usable} are usable", volume.uuid);
    Err(Failure::new(Code::NotEnoughReplicas, why))
}

async fn refuse_second(app: &App, volume: &VolumeRecord) -> Result<(), ApiError> {
    let is_one = |task: &TaskRecord| {
        task.task_type == TaskType::RemoteMigration
            && task.volume == Some(volume.uuid)
            && !task.state.has_ended()
    };
    match tasks::list(&app.state).await?.into_iter().find(|task| is_one(&task.value)) {
        None => Ok(()),
        Some(task) => {
            let why = format!("volume {} is being migrated already: task {}", volume.uuid, task.value.id);
            Err(Failure::new(Code::TaskAlreadyRunning, why).into())
        }
    }
}
