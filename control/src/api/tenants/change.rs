//! POST tenants, PUT and DELETE tenants/{id}.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{budget::consumed, not_found};
use crate::{
    admin::entitlement::check_new,
    api::backends::backends,
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    limits,
    model::{
        DEFAULT_TENANT,
        backend::members_of_pool,
        snapshot::SnapshotRecord,
        tenant::{Budget, DEFAULT_TENANT_NAME, TenantRecord, is_tenant_id},
        volume::VolumeRecord,
    },
    openapi::{
        Answer, Status, TenantCreated,
        bodies::{TenantCreate, TenantUpdate},
    },
    request::{JsonBody, Params},
    role,
    state::{Change, Stored, TenantNameRecord},
};

/// Op 10.
#[utoipa::path(post, path = "/tenants", tag = "Tenants", summary = "Make a tenant",
    request_body = TenantCreate,
    responses((status = 200, body = Answer<TenantCreated>, description = "done")))]
pub(crate) async fn create(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let tenant = parse_new(&body)?;
    let id = tenant.id.clone();
    let this = SharedApp::clone(&app);
    app.complete(async move {
        require_pool(&this).await?;
        make(&this, tenant).await
    })
    .await?;
    Ok(tenant_created(&id))
}

fn tenant_created(id: &str) -> Response {
    Json(json!({ "status": "Success", "description": "Success.", "tenantId": id })).into_response()
}

fn parse_new(body: &Map<String, Value>) -> Result<TenantRecord, Failure> {
    let fields = Fields::new(body);
    let name = fields.require("name", fields.label("name", limits::NAME_CHARS)?)?.to_owned();
    let budget = parse_budget(fields)?;
    let id = match fields.label("tenantId", limits::NAME_CHARS)? {
        None => Uuid::new_v4().to_string(),
        Some(id) if is_tenant_id(id) => id.to_owned(),
        Some(id) => {
            return Err(Failure::of_field(
                "tenantId",
                format!("must not be {id:?}, which begins other paths"),
            ));
        }
    };
    Ok(TenantRecord { id, name, budget })
}

fn parse_budget(fields: Fields<'_>) -> Result<Budget, Failure> {
    let number = |name: &str| fields.require(name, fields.whole(name)?);
    Ok(Budget {
        capacity_gib: number("capacity")?,
        iops: number("totalIOPS")?,
        bytes_per_second: number("totalBW")?,
    })
}

/// Records a new tenant; `TenantAlreadyExists` if its name or id is taken.
pub(crate) async fn make(app: &App, tenant: TenantRecord) -> Result<(), ApiError> {
    check_new(&app.state).await?;
    retry(|| async {
        refuse_taken(app, &tenant).await?;
        let name = TenantNameRecord { name: tenant.name.to_lowercase(), tenant_id: tenant.id.clone() };
        Ok(app.state.commit(Change::default().create(&tenant).create(&name)).await?)
    })
    .await?;
    let made = format!("made tenant {}", tenant.name);
    app.events.add(Kind::TenantCreated, &tenant.id, made).await;
    Ok(())
}

async fn refuse_taken(app: &App, tenant: &TenantRecord) -> Result<(), ApiError> {
    let TenantRecord { id, name, .. } = tenant;
    let taken = |what: String| Failure::new(Code::TenantAlreadyExists, format!("{what} is taken")).into();
    if id == DEFAULT_TENANT || app.state.get::<TenantRecord>(id).await?.is_some() {
        return Err(taken(format!("the tenantId {id:?}")));
    }
    let name = name.to_lowercase();
    if name == DEFAULT_TENANT_NAME || app.state.get::<TenantNameRecord>(&name).await?.is_some() {
        return Err(taken(format!("the name {name:?}")));
    }
    Ok(())
}

/// `NoBackends` if no backend is in use: there is nothing to have a share of.
async fn require_pool(app: &App) -> Result<(), ApiError> {
    match members_of_pool(&backends(app).await?).next().is_some() {
        true => Ok(()),
        false => Err(Failure::new(Code::NoBackends, "no backend is in use").into()),
    }
}

/// Op 12.
#[utoipa::path(put, path = "/tenants/{id}", tag = "Tenants", summary = "Change a tenant's budget",
    request_body = TenantUpdate,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn update(State(app): State<SharedApp>, params: Params, JsonBody(body): JsonBody) -> Reply {
    let id = changeable(&params)?;
    let fields = Fields::new(&body);
    if fields.text("tenantId", limits::NAME_CHARS)?.is_some_and(|given| given != id) {
        return Err(Failure::of_field("tenantId", "must be the path's").into());
    }
    let budget = parse_budget(fields)?;
    let this = SharedApp::clone(&app);
    app.complete(async move { retry(|| set_budget(&this, &id, budget)).await }).await?;
    Ok(success())
}

async fn set_budget(app: &App, id: &str, budget: Budget) -> Result<(), ApiError> {
    let _turn = app.tenant_locks.lock(id).await;
    let mut tenant = find(app, id).await?;
    require_pool(app).await?;
    let taken = consumed(app).await?.remove(id).unwrap_or_default();
    if let Err(shortage) = budget.check(taken) {
        let why = format!("must be at least the {} that are consumed", shortage.needed);
        return Err(Failure::of_field(shortage.field, why).into());
    }
    tenant.value.budget = budget;
    let changed = format!("changed the budget of tenant {}", tenant.value.name);
    app.state.update(tenant).await?;
    app.events.add(Kind::TenantChanged, id, changed).await;
    Ok(())
}

/// Op 13.
#[utoipa::path(delete, path = "/tenants/{id}", tag = "Tenants", summary = "Delete a tenant that has nothing",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn delete(State(app): State<SharedApp>, params: Params) -> Reply {
    let id = changeable(&params)?;
    let this = SharedApp::clone(&app);
    app.complete(async move { remove_tenant(&this, &id).await }).await?;
    Ok(success())
}

/// Removes a tenant that has nothing, with its roles and all that belongs to them.
pub(crate) async fn remove_tenant(app: &App, id: &str) -> Result<(), ApiError> {
    retry(|| remove(app, id)).await
}

async fn remove(app: &App, id: &str) -> Result<(), ApiError> {
    let _turn = app.tenant_locks.lock(id).await;
    let tenant = find(app, id).await?;
    require_pool(app).await?;
    // Read after the tenant: whoever makes something for it writes the tenant, too, and then this fails.
    let volumes = app.state.list::<VolumeRecord>().await?;
    let volumes = volumes.iter().filter(|v| v.value.tenant_id == id).count();
    let snapshots = app.state.list::<SnapshotRecord>().await?;
    let snapshots = snapshots.iter().filter(|s| s.value.tenant_id == id).count();
    if volumes + snapshots > 0 {
        let why = format!("tenant {id:?} has {volumes} volumes and {snapshots} snapshots");
        return Err(Failure::new(Code::TenantHasVolumes, why).into());
    }
    let change =
        Change::default().remove(&tenant).forget_id::<TenantNameRecord>(&tenant.value.name.to_lowercase());
    let change = role::forget(&app.state, id, &tenant.value.name, change).await?;
    app.state.commit(change).await?;
    app.events.add(Kind::TenantDeleted, id, format!("deleted tenant {}", tenant.value.name)).await;
    Ok(())
}

async fn find(app: &App, id: &str) -> Result<Stored<TenantRecord>, ApiError> {
    app.state.get::<TenantRecord>(id).await?.ok_or_else(|| not_found(id).into())
}

/// The path's tenant, which must not be the default one (provisioner §1.2).
fn changeable(params: &Params) -> Result<String, Failure> {
    match params.get("id") {
        DEFAULT_TENANT => Err(Failure::of_field("tenantId", "must not be the default tenant's")),
        id => Ok(id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("name", json!({"name": null})),
            ("name", json!({"name": ""})),
            ("name", json!({"name": "a/b"})),
            ("capacity", json!({"capacity": null})),
            ("capacity", json!({"capacity": -1})),
            ("capacity", json!({"capacity": "5"})),
            ("totalIOPS", json!({"totalIOPS": 1.5})),
            ("totalBW", json!({"totalBW": null})),
            ("totalBW", json!({"totalBW": 1u64 << 60})),
            ("tenantId", json!({"tenantId": ""})),
            ("tenantId", json!({"tenantId": "a/b"})),
            ("tenantId", json!({"tenantId": "Volumes"})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"name": "a", "capacity": 0, "totalIOPS": 0, "totalBW": 0});
            assert!(parse_new(body.as_object().unwrap()).is_ok());
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse_new(body.as_object().unwrap()).unwrap_err();
            assert_eq!(
                (failure.code, failure.field.as_deref()),
                (Code::InvalidInput, Some(field)),
                "{change}"
            );
        }
    }
}
