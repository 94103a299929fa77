//! Publishing volumes to hosts and taking them back (provisioner §4.5).

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::NodeError;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{tenants::Tenant, volumes};
use crate::{
    Replication,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    limits,
    model::{
        backend::BackendRecord,
        host::HostRecord,
        target::{Scope, TargetRecord},
        volume::{Phase, Protocol, VolumeRecord},
    },
    openapi::{
        Status,
        bodies::{Publish, Unpublish},
    },
    reconcile::{self, Unexported},
    request::JsonBody,
    state::{Change, Stored, target_id},
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

/// Op 40. The intent is recorded, then the node exports the namespace; if it cannot, the record is taken back.
#[utoipa::path(post, path = "/publish", tag = "Publishing", summary = "Export a volume to a host",
    request_body = Publish,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn publish(State(app): State<SharedApp>, tenant: Tenant, JsonBody(body): JsonBody) -> Reply {
    let pair = Pair::parse(&body)?;
    let host = Fields::new(&body).require("hostId", pair.host.clone())?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(pair.uuid()).await;
        let _host = this.host_locks.lock(&host).await;
        let exports = retry(|| record_publish(&this, tenant.id(), &host, &pair)).await?;
        let Err(failure) = exported(Code::PublishFailed, &exports, reconcile::subsystems(&this).await?)
        else {
            let published = format!("published volume {} to host {host}", pair.volume);
            this.events.add(Kind::VolumePublished, &pair.volume, published).await;
            return Ok(());
        };
        retry(|| take_back(&this, tenant.id(), &host, &pair)).await?;
        Err(failure.into())
    })
    .await?;
    Ok(success())
}

/// A subsystem by its NQN, and the backend that exports the volume in it.
type Export = (String, String);

/// The node's reason if it did not do its part for one of the exports.
fn exported(code: Code, exports: &[Export], mut failed: Unexported) -> Result<(), Failure> {
    match exports.iter().find_map(|export| failed.remove(export)) {
        Some(error) => Err(Failure::new(code, error.to_string())),
        None => Ok(()),
    }
}

/// Returns through what the host now gets the volume; nothing for a Local one.
async fn record_publish(
    app: &App,
    tenant: &str,
    host_id: &str,
    pair: &Pair,
) -> Result<Vec<Export>, ApiError> {
    let host = find_host(app, host_id).await?;
    let mut volume = find_volume(app, tenant, pair).await?;
    if volume.value.protocol == Protocol::Local {
        check_local(app, &volume.value, host_id).await?;
    }
    if !volume.value.published_to.insert(host_id.to_owned()) {
        let why = format!("volume {} is published to host {host_id:?} already", pair.volume);
        return Err(Failure::new(Code::AlreadyPublished, why).into());
    }
    let mut change = Change::default().replace(&volume).rest_on(&host);
    let mut exports = Vec::new();
    if volume.value.protocol == Protocol::Nvmeof {
        let (target, with_target) = add_to_target(app, &volume.value, host_id, change).await?;
        let backends = volume.value.replicas.iter().map(|replica| replica.backend.clone());
        exports.extend(backends.map(|backend| (target.nqn.clone(), backend)));
        change = with_target;
    }
    app.state.commit(change).await?;
    Ok(exports)
}

async fn add_to_target(
    app: &App,
    volume: &VolumeRecord,
    host_id: &str,
    change: Change,
) -> Result<(TargetRecord, Change), ApiError> {
    let fail = |why: String| Err(Failure::new(Code::PublishFailed, why).into());
    let [replica] = volume.replicas.as_slice() else {
        unreachable!("volumes have one replica: create refuses more");
    };
    let observed = app.observe().await;
    if !observed.is_available(&replica.backend) {
        return fail(format!("backend {} is unavailable", replica.backend));
    }
    if !observed.volumes.contains_key(&replica.uuid) {
        return fail(format!("the volume is on no drive of backend {}", replica.backend));
    }
    let scope = match app.config.default_replication {
        Replication::Target => Scope::AllBackends,
        Replication::Host => Scope::Backend(replica.backend.clone()),
    };
    match app.state.get::<TargetRecord>(&target_id(host_id, &scope)).await? {
        Some(mut target) => {
            let known = match known_nsids(app, &target.value.nqn).await {
                Ok(known) => known,
                Err(error) => return fail(error.to_string()),
            };
            if target.value.publish(volume.uuid, replica.uuid, &known).is_none() {
                return fail(no_nsid(host_id, target.value.len()));
            }
            let change = change.replace(&target);
            Ok((target.value, change))
        }
        None => {
            let mut target = TargetRecord::new(host_id, scope, &app.config.nqn_prefix);
            target
                .publish(volume.uuid, replica.uuid, &BTreeSet::new())
                .expect("a new target has every NSID free");
            let change = change.create(&target);
            Ok((target, change))
        }
    }
}

/// NSIDs that a host may still know, through any node: all must say so (H2).
async fn known_nsids(app: &App, nqn: &str) -> Result<BTreeSet<u32>, NodeError> {
    let mut known = BTreeSet::new();
    for member in app.nodes.all() {
        known.append(&mut member.handle.known_nsids(nqn.to_owned()).await?);
    }
    Ok(known)
}

/// Why a host that is published `published` volumes gets no other one now.
fn no_nsid(host_id: &str, published: usize) -> String {
    if published == limits::NAMESPACES as usize {
        return format!("host {host_id:?} is published {published} volumes already");
    }
    format!(
        "host {host_id:?} is published {published} volumes, and has not seen yet that others went which had the \
         remaining namespace identifiers: they can be given again once it has rescanned its namespaces or disconnected"
    )
}

/// Op 41. Without a host: from all of them (D38).
#[utoipa::path(post, path = "/unpublish", tag = "Publishing", summary = "Take a volume back from a host",
    request_body = Unpublish,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn unpublish(
    State(app): State<SharedApp>,
    tenant: Tenant,
    JsonBody(body): JsonBody,
) -> Reply {
    let pair = Pair::parse(&body)?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(pair.uuid()).await;
        let _host = match &pair.host {
            Some(host) => Some(this.host_locks.lock(host).await),
            None => None,
        };
        let exports = retry(|| record_unpublish(&this, tenant.id(), &pair)).await?;
        // Once recorded it is not taken back: the node is told again until it has done it.
        exported(Code::UnpublishFailed, &exports, reconcile::subsystems(&this).await?)?;
        let host = pair.host.as_ref().map_or("every host".to_owned(), |host| format!("host {host}"));
        let unpublished = format!("unpublished volume {} from {host}", pair.volume);
        this.events.add(Kind::VolumeUnpublished, &pair.volume, unpublished).await;
        Ok(())
    })
    .await?;
    Ok(success())
}

/// Returns what no longer exports the volume.
async fn record_unpublish(app: &App, tenant: &str, pair: &Pair) -> Result<Vec<Export>, ApiError> {
    if let Some(host) = &pair.host {
        find_host(app, host).await?;
    }
    let volume = find_volume(app, tenant, pair).await?;
    let published = &volume.value.published_to;
    let hosts: Vec<String> = match &pair.host {
        Some(host) => published.get(host).cloned().into_iter().collect(),
        None => published.iter().cloned().collect(),
    };
    if hosts.is_empty() {
        if let (Some(host), Protocol::Local) = (&pair.host, volume.value.protocol) {
            check_local(app, &volume.value, host).await?;
        }
        let to = pair.host.as_ref().map_or("any host".to_owned(), |host| format!("host {host:?}"));
        let why = format!("volume {} is not published to {to}", pair.volume);
        return Err(Failure::new(Code::VolumeNotPublished, why).into());
    }
    let (exports, change) = removal(app, volume, &hosts).await?;
    app.state.commit(change).await?;
    Ok(exports)
}

/// Undoes a publish that the node refused.
async fn take_back(app: &App, tenant: &str, host: &str, pair: &Pair) -> Result<(), ApiError> {
    let volume = find_volume(app, tenant, pair).await?;
    let (_, change) = removal(app, volume, &[host.to_owned()]).await?;
    Ok(app.state.commit(change).await?)
}

/// Takes the volume from those hosts' targets; a target goes with its last namespace.
async fn removal(
    app: &App,
    mut volume: Stored<VolumeRecord>,
    hosts: &[String],
) -> Result<(Vec<Export>, Change), ApiError> {
    let mut change = Change::default();
    let mut exports = Vec::new();
    for host in hosts {
        volume.value.published_to.remove(host);
        for mut target in app.state.list_under::<TargetRecord>(&format!("{host}/")).await? {
            if target.value.unpublish(volume.value.uuid) {
                let backends = volume.value.replicas.iter().map(|replica| replica.backend.clone());
                exports.extend(backends.map(|backend| (target.value.nqn.clone(), backend)));
                change =
                    if target.value.is_empty() { change.remove(&target) } else { change.replace(&target) };
            }
        }
    }
    Ok((exports, change.replace(&volume)))
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
