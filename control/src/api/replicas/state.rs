//! PATCH replica/{id}/{replica}/{state}.

use axum::extract::State;

use super::{Names, refuse_terminating, require_replicated};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Failure, Reply, success},
    model::replica::{Replica, ReplicaState},
    openapi::Status,
    request::Params,
};

/// What an agent may say of a copy.
const STATES: [(&str, ReplicaState); 3] = [
    ("Available", ReplicaState::Available),
    ("Missing", ReplicaState::Missing),
    ("Synchronizing", ReplicaState::Synchronizing),
];

/// Op 23: what the host's agent has to say of a copy.
#[utoipa::path(patch, path = "/replica/{id}/{replica}/{state}", tag = "Replicas", summary = "Report the state of a copy",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn set(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let state = parse(params.get("state"))?;
    let names = Names::of(&params);
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(names.lock_by()).await;
        retry(|| enter(&this, tenant.id(), &names, state)).await
    })
    .await?;
    Ok(success())
}

fn parse(text: &str) -> Result<ReplicaState, Failure> {
    let found = STATES.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    let words = STATES.map(|(word, _)| word).join(", ");
    found
        .map(|(_, state)| *state)
        .ok_or_else(|| Failure::of_field("replicaState", format!("must be one of {words}")))
}

async fn enter(app: &App, tenant: &str, names: &Names, state: ReplicaState) -> Result<(), ApiError> {
    let (mut volume, uuid) = names.find(app, tenant).await?;
    require_replicated(&volume.value)?;
    let is_meant = |replica: &&mut Replica| replica.uuid == uuid;
    if let Some(replica) = volume.value.replicas.iter_mut().find(is_meant) {
        refuse_terminating([&*replica])?;
        replica.enter(state, now_ms());
    }
    app.state.update(volume).await?;
    Ok(())
}
