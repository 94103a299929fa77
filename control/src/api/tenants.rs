//! Tenants (provisioner §3). So far there is the default one.

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::request::Parts,
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::backends::backends;
use crate::{
    app::SharedApp,
    envelope::{ApiError, Code, Failure, Reply},
    model::{
        DEFAULT_TENANT, GIB, backend,
        snapshot::SnapshotRecord,
        volume::{Reserved, VolumeRecord},
    },
    openapi::Answer,
    request::Params,
};

/// The tenant that a path is about; without a prefix the default one (D2).
pub(crate) struct Tenant(String);

impl Tenant {
    pub(crate) fn id(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = Params::from_request_parts(parts, state).await?;
        match params.get("tenant") {
            "" | DEFAULT_TENANT => Ok(Self(DEFAULT_TENANT.to_owned())),
            other => Err(Failure::new(Code::TenantNotFound, format!("there is no tenant {other:?}")).into()),
        }
    }
}

/// Every field always present: Cinder calculates with them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TenantView {
    tenant_id: &'static str,
    name: &'static str,
    /// GiB, as is `consumed_capacity`.
    capacity: u64,
    #[serde(rename = "totalIOPS")]
    total_iops: u64,
    #[serde(rename = "totalBW")]
    total_bw: u64,
    consumed_capacity: u64,
    #[serde(rename = "consumedIOPS")]
    consumed_iops: u64,
    #[serde(rename = "consumedBW")]
    consumed_bw: u64,
}

/// Op 11. Tenant 0 is limited by the pool only (D18); it consumes what is physically promised (D19).
#[utoipa::path(get, path = "/tenants", tag = "Tenants", summary = "List tenants",
    responses((status = 200, body = Answer<Vec<TenantView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Reply {
    let observed = app.observe().await;
    let in_use = backends(&app).await?.iter().filter(|b| b.value.in_use).count() as u64;
    let volumes = app.state.list::<VolumeRecord>().await?;
    let snapshots = app.state.list::<SnapshotRecord>().await?;
    let consumed =
        Reserved::by(volumes.iter().map(|v| &v.value)).and_snapshots(snapshots.iter().map(|s| &s.value));
    let tenant = TenantView {
        tenant_id: DEFAULT_TENANT,
        name: "default",
        capacity: backend::space(&observed.drives).total_bytes * in_use / GIB,
        total_iops: app.config.declared_iops * in_use,
        total_bw: app.config.declared_bytes_per_second * in_use,
        consumed_capacity: consumed.bytes.div_ceil(GIB),
        consumed_iops: consumed.iops,
        consumed_bw: consumed.bytes_per_second,
    };
    Ok(Json([tenant]).into_response())
}
