//! POST publish.

use std::collections::BTreeSet;

use axum::extract::State;
use dataplane::node::NodeError;
use uuid::Uuid;

use super::{Export, Pair, check_local, find_host, find_volume, grant, targets_of, withdraw::withdraw};
use crate::{
    Replication,
    api::tenants::Tenant,
    app::{App, Observed, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    limits,
    model::{
        replica::{Replica, ReplicaState},
        target::{Scope, TargetRecord},
        volume::{Protocol, VolumeRecord},
    },
    openapi::{Status, bodies::Publish},
    reconcile::subsystems,
    request::JsonBody,
    state::{Change, Stored},
};

/// Op 40. The intent is recorded, then the nodes export the copies; what they cannot is taken back. One copy is enough
/// (D37): the others follow with the next publish.
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
        let recorded = retry(|| record(&this, tenant.id(), &host, &pair)).await?;
        let refused = export(&this, &recorded.exports).await?;
        if let Some((_, reason)) = refused.first() {
            let replicas: Vec<Uuid> = refused.iter().map(|(replica, _)| *replica).collect();
            retry(|| take_back(&this, tenant.id(), &host, &pair, &replicas)).await?;
            if refused.len() == recorded.exports.len() && !recorded.was_published {
                return Err(Failure::new(Code::PublishFailed, reason.to_string()).into());
            }
        }
        if !recorded.was_published || refused.len() < recorded.exports.len() {
            let published = format!("published volume {} to host {host}", pair.volume);
            this.events.add(Kind::VolumePublished, &pair.volume, published).await;
        }
        Ok(())
    })
    .await?;
    Ok(success())
}

/// What was recorded of a publish.
struct Recorded {
    /// A copy of the volume was published to the host before.
    was_published: bool,
    /// What is new.
    exports: Vec<Export>,
}

/// The copies that their nodes do not export, with the reasons.
async fn export(app: &App, exports: &[Export]) -> Result<Vec<(Uuid, NodeError)>, ApiError> {
    let mut failed = subsystems(app).await?;
    let refused = exports.iter().filter_map(|export| {
        let error = failed.remove(&(export.nqn.clone(), export.backend.clone()))?;
        Some((export.replica, error))
    });
    Ok(refused.collect())
}

async fn record(app: &App, tenant: &str, host_id: &str, pair: &Pair) -> Result<Recorded, ApiError> {
    let host = find_host(app, host_id).await?;
    let mut volume = find_volume(app, tenant, pair).await?;
    grant::check(app, &volume.value, &host.value).await?;
    let change = Change::default().rest_on(&host);
    let (recorded, change) = match volume.value.protocol {
        Protocol::Local => {
            check_local(app, &volume.value, host_id).await?;
            if volume.value.published_to.contains(host_id) {
                return Err(already(&volume.value, host_id).into());
            }
            (Recorded { was_published: false, exports: Vec::new() }, change)
        }
        Protocol::Nvmeof => add_to_targets(app, &volume.value, host_id, change).await?,
    };
    volume.value.published_to.insert(host_id.to_owned());
    app.state.commit(change.replace(&volume)).await?;
    Ok(recorded)
}

fn already(volume: &VolumeRecord, host_id: &str) -> Failure {
    let why = format!("volume {} is published to host {host_id:?} already", volume.uuid);
    Failure::new(Code::AlreadyPublished, why)
}

/// Every copy that the host does not have yet and can get now; a Terminating one is never given anew.
async fn add_to_targets(
    app: &App,
    volume: &VolumeRecord,
    host: &str,
    mut change: Change,
) -> Result<(Recorded, Change), ApiError> {
    let targets = targets_of(app, host).await?;
    let is_exported = |replica: &Replica| targets.iter().any(|t| t.value.exports(replica.uuid));
    let was_published = volume.shown_replicas().any(is_exported);
    let is_missing = |replica: &&Replica| replica.state != ReplicaState::Terminating && !is_exported(replica);
    let missing: Vec<&Replica> = volume.shown_replicas().filter(is_missing).collect();
    if missing.is_empty() && was_published {
        return Err(already(volume, host).into());
    }
    let observed = app.observe().await;
    let (mut exports, mut reasons) = (Vec::new(), Vec::new());
    for replica in missing {
        match (Copy { volume, replica, host }).add_to_target(app, &targets, &observed).await {
            Ok(added) => {
                exports.push(added.export(replica));
                change = added.with(change);
            }
            Err(reason) => reasons.push(reason),
        }
    }
    if exports.is_empty() && !was_published {
        let reason = reasons.into_iter().next();
        let reason = reason.unwrap_or_else(|| "its copies are about to be removed".to_owned());
        return Err(Failure::new(Code::PublishFailed, reason).into());
    }
    Ok((Recorded { was_published, exports }, change))
}

/// A copy that a host is to get.
struct Copy<'a> {
    volume: &'a VolumeRecord,
    replica: &'a Replica,
    host: &'a str,
}

/// A target with a new namespace.
enum Added {
    New(TargetRecord),
    Known(Stored<TargetRecord>),
}

impl Added {
    fn export(&self, replica: &Replica) -> Export {
        let nqn = match self {
            Self::New(target) => &target.nqn,
            Self::Known(target) => &target.value.nqn,
        };
        Export { nqn: nqn.clone(), backend: replica.backend.clone(), replica: replica.uuid }
    }

    fn with(self, change: Change) -> Change {
        match self {
            Self::New(target) => change.create(&target),
            Self::Known(target) => change.replace(&target),
        }
    }
}

impl Copy<'_> {
    /// `targets`: all of the host. The error says why it cannot be.
    async fn add_to_target(
        &self,
        app: &App,
        targets: &[Stored<TargetRecord>],
        observed: &Observed,
    ) -> Result<Added, String> {
        let Replica { uuid, backend, .. } = self.replica;
        if self.replica.is_lost() {
            return Err("its backend was removed".to_owned());
        }
        if !observed.is_available(backend) {
            return Err(format!("backend {backend} is unavailable"));
        }
        if !observed.volumes.contains_key(uuid) {
            return Err(format!("the volume is on no drive of backend {backend}"));
        }
        let scope = self.scope(app);
        let Some(mut target) = targets.iter().find(|t| t.value.scope == scope).cloned() else {
            let mut target = TargetRecord::new(self.host, scope, &app.config.nqn_prefix);
            let first = target.publish(self.volume.uuid, *uuid, &BTreeSet::new());
            first.expect("a new target has every NSID free");
            return Ok(Added::New(target));
        };
        let known = known_nsids(app, &target.value).await;
        match target.value.publish(self.volume.uuid, *uuid, &known) {
            Some(_) => Ok(Added::Known(target)),
            None => Err(no_nsid(self.host, target.value.len())),
        }
    }

    /// Each of several copies that the host keeps equal is a target of its own (D39), and so is that of a simple volume
    /// where all are mirrored by hosts (D61).
    fn scope(&self, app: &App) -> Scope {
        let default = app.config.default_replication;
        let own = self.volume.class.replication.filter(|_| self.volume.is_replicated());
        match own.unwrap_or(default) {
            Replication::Target => Scope::AllBackends,
            Replication::Host => Scope::Backend(self.replica.backend.clone()),
        }
    }
}

/// NSIDs that a host may still know, through any node that exports the target (H2). What one that does not answer would
/// say is not known: it may be any that was ever given back.
async fn known_nsids(app: &App, target: &TargetRecord) -> BTreeSet<u32> {
    let mut known = BTreeSet::new();
    for member in app.nodes.all() {
        if target.scope.covers(&member.persistent_id) {
            let told = member.handle.known_nsids(target.nqn.clone()).await;
            known.append(&mut told.unwrap_or_else(|_| target.given_back().clone()));
        }
    }
    known
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

/// Undoes what nodes refused of a publish.
async fn take_back(
    app: &App,
    tenant: &str,
    host: &str,
    pair: &Pair,
    replicas: &[Uuid],
) -> Result<(), ApiError> {
    let mut volume = find_volume(app, tenant, pair).await?;
    let hosts = [host.to_owned()];
    let (_, change) =
        withdraw(app, &mut volume.value, &hosts, |replica| replicas.contains(&replica.uuid)).await?;
    Ok(app.state.commit(change.replace(&volume)).await?)
}
