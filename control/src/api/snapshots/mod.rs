//! Snapshots and the volumes that show them (provisioner §4.3).

pub(crate) mod delete;
pub(crate) mod read;
pub(crate) mod take;
mod view;
pub(crate) mod volume;

pub(crate) use take::take;

use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    fields::parse_uuid,
    model::snapshot::SnapshotRecord,
    state::Stored,
};

/// The snapshot of that tenant that a path or body names, if the API may show it.
async fn find(app: &App, tenant: &str, id: &str) -> Result<Option<Stored<SnapshotRecord>>, ApiError> {
    let Some(uuid) = parse_uuid(id) else { return Ok(None) };
    let found = app.state.get::<SnapshotRecord>(&uuid.to_string()).await?;
    Ok(found.filter(|s| s.value.tenant_id == tenant && s.value.exists()))
}

fn not_exists(id: &str) -> Failure {
    Failure::new(Code::NotExists, format!("there is no snapshot {id:?}"))
}
