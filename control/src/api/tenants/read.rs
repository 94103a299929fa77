//! GET tenants.

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::budget::consumed;
use crate::{
    api::backends::backends,
    app::{App, SharedApp},
    envelope::{ApiError, Reply},
    model::{
        DEFAULT_TENANT, GIB, backend,
        tenant::{Budget, DEFAULT_TENANT_NAME, TenantRecord},
        volume::Reserved,
    },
    openapi::Answer,
};

/// Every field always present: Cinder calculates with them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct TenantView {
    tenant_id: String,
    name: String,
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

impl TenantView {
    fn new(tenant: TenantRecord, consumed: Reserved) -> Self {
        Self {
            tenant_id: tenant.id,
            name: tenant.name,
            capacity: tenant.budget.capacity_gib,
            total_iops: tenant.budget.iops,
            total_bw: tenant.budget.bytes_per_second,
            consumed_capacity: consumed.gib(),
            consumed_iops: consumed.iops,
            consumed_bw: consumed.bytes_per_second,
        }
    }
}

/// Op 11. The default tenant first. Its capacity is the pool's, so all that is consumed of that counts in its
/// `consumedCapacity`, whoever consumes it (D19).
#[utoipa::path(get, path = "/tenants", tag = "Tenants", summary = "List tenants",
    responses((status = 200, body = Answer<Vec<TenantView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>) -> Reply {
    let mut consumed = consumed(&app).await?;
    let mut of = |tenant: &str| consumed.remove(tenant).unwrap_or_default();
    let mut default = TenantView::new(default_tenant(&app).await?, of(DEFAULT_TENANT));
    let tenants = app.state.list::<TenantRecord>().await?.into_iter().map(|t| t.value);
    let others: Vec<_> = tenants
        .map(|tenant| {
            let consumed = of(&tenant.id);
            TenantView::new(tenant, consumed)
        })
        .collect();
    default.consumed_capacity += others.iter().map(|view| view.consumed_capacity).sum::<u64>();
    Ok(Json([default].into_iter().chain(others).collect::<Vec<_>>()).into_response())
}

/// Limited by the pool only (D18).
async fn default_tenant(app: &App) -> Result<TenantRecord, ApiError> {
    let observed = app.observe().await;
    let backends = backends(app).await?;
    let in_use = backend::members_of_pool(&backends).count() as u64;
    Ok(TenantRecord {
        id: DEFAULT_TENANT.to_owned(),
        name: DEFAULT_TENANT_NAME.to_owned(),
        budget: Budget {
            capacity_gib: backend::pool(&backends, &observed).total_bytes / GIB,
            iops: app.config.declared_iops * in_use,
            bytes_per_second: app.config.declared_bytes_per_second * in_use,
        },
    })
}
