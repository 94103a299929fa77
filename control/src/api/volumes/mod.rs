//! Volumes (provisioner §4.1).

pub(crate) mod clone;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod expand;
mod placing;
pub(crate) mod read;
mod record;
mod replica;
mod request;
mod view;

pub(crate) use placing::candidates;
pub(crate) use record::{create_as, refuse_taken, refuse_taken_uuid, reserve_floor_gib, settled};
pub(crate) use replica::{only_copy, spec};
pub(crate) use request::VolumeRequest;
pub(crate) use view::{BackendRef, replica_state};

use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    fields::parse_uuid,
    model::volume::VolumeRecord,
    state::Stored,
};

/// The volume of that tenant that a path or body names, if the API may show it.
pub(crate) async fn find(
    app: &App,
    tenant: &str,
    id: &str,
) -> Result<Option<Stored<VolumeRecord>>, ApiError> {
    Ok(find_of_any_tenant(app, id).await?.filter(|v| v.value.tenant_id == tenant))
}

/// For what belongs to the node rather than to a tenant.
pub(crate) async fn find_of_any_tenant(
    app: &App,
    id: &str,
) -> Result<Option<Stored<VolumeRecord>>, ApiError> {
    let Some(uuid) = parse_uuid(id) else { return Ok(None) };
    let found = app.state.get::<VolumeRecord>(&uuid.to_string()).await?;
    Ok(found.filter(|v| v.value.exists()))
}

/// The `NotExists` of paths.
pub(super) fn not_exists(id: &str) -> Failure {
    Failure::new(Code::NotExists, format!("there is no volume {id:?}"))
}
