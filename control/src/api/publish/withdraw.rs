//! POST unpublish, and whatever else takes copies from hosts.

use axum::extract::State;
use dataplane::node::NodeError;

use super::{Export, Pair, check_local, find_host, find_volume, targets_of};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    model::{
        replica::Replica,
        volume::{Protocol, VolumeRecord},
    },
    openapi::{Status, bodies::Unpublish},
    reconcile::{Unexported, subsystems},
    request::JsonBody,
    state::Change,
    tasks,
};

/// Op 41. Without a host: from all of them (D38). Ends what agents were asked to do about the volume.
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
        let exports = retry(|| record(&this, tenant.id(), &pair)).await?;
        if let Some(error) = refusal(&exports, subsystems(&this).await?) {
            return Err(Failure::new(Code::UnpublishFailed, error.to_string()).into());
        }
        let host = pair.host.as_ref().map_or("every host".to_owned(), |host| format!("host {host}"));
        let unpublished = format!("unpublished volume {} from {host}", pair.volume);
        this.events.add(Kind::VolumeUnpublished, &pair.volume, unpublished).await;
        Ok(())
    })
    .await?;
    Ok(success())
}

/// What a node says that did not do its part. Once recorded it is not taken back: each node is told again until it has
/// done it, and so a node that is away does not keep the host from letting go of the other copies.
fn refusal(exports: &[Export], mut failed: Unexported) -> Option<NodeError> {
    let errors = exports.iter().filter_map(|e| failed.remove(&(e.nqn.clone(), e.backend.clone())));
    errors.into_iter().find(|error| !matches!(error, NodeError::NoAnswer(_)))
}

/// Returns what no longer exports the volume.
async fn record(app: &App, tenant: &str, pair: &Pair) -> Result<Vec<Export>, ApiError> {
    if let Some(host) = &pair.host {
        find_host(app, host).await?;
    }
    let mut volume = find_volume(app, tenant, pair).await?;
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
    let (exports, change) = withdraw(app, &mut volume.value, &hosts, |_| true).await?;
    let change = tasks::abort_migrations(&app.state, volume.value.uuid, &hosts, change).await?;
    app.state.commit(change.replace(&volume)).await?;
    Ok(exports)
}

/// Takes those copies of the volume that are meant from the hosts' targets. A target goes with its last namespace, a host
/// from those that the volume is published to with the volume's last copy. To be committed with the volume.
pub(crate) async fn withdraw(
    app: &App,
    volume: &mut VolumeRecord,
    hosts: &[String],
    is_meant: impl Fn(&Replica) -> bool,
) -> Result<(Vec<Export>, Change), ApiError> {
    let (mut exports, mut change) = (Vec::new(), Change::default());
    for host in hosts {
        let mut keeps_one = false;
        for mut target in targets_of(app, host).await? {
            let exported = volume.replicas.iter().find(|replica| target.value.exports(replica.uuid));
            let Some(Replica { uuid, backend, .. }) = exported.filter(|replica| is_meant(replica)) else {
                keeps_one |= exported.is_some();
                continue;
            };
            let export = Export { nqn: target.value.nqn.clone(), backend: backend.clone(), replica: *uuid };
            exports.push(export);
            target.value.unpublish(volume.uuid);
            change = if target.value.is_empty() { change.remove(&target) } else { change.replace(&target) };
        }
        if !keeps_one {
            volume.published_to.remove(host);
        }
    }
    Ok((exports, change))
}
