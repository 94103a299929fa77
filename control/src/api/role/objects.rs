//! Resources that stand for what is stored: `volume/<id>`, `snapshot/<id>`, `pool/default`. They come and go with it, so nobody makes or
//! deletes them here (role.md §5).

use serde_json::{Map, Value, json};

use super::RoleError;
use crate::{
    api::backends::backends,
    app::SharedApp,
    fields::parse_uuid,
    model::{
        backend, host::HostRecord, snapshot::SnapshotRecord, target::TargetRecord, volume::VolumeRecord,
    },
    role::{Member, ObjectYrn, ResourceRecord, Tenant, means, tenants},
    store::StoreError,
};

const OURS: [&str; 3] = ["volume", "snapshot", "pool"];

/// All tenants share the one pool that there is.
const POOL: &str = "default";

/// Whether the name belongs to what is stored.
pub(super) fn is_ours(name: &ObjectYrn) -> bool {
    OURS.contains(&name.path.split('/').next().unwrap_or_default())
}

/// Before such a name is written.
pub(super) fn refuse(name: &ObjectYrn) -> Result<(), RoleError> {
    match is_ours(name) {
        true => {
            Err(RoleError::bad(format!("{name} stands for what is stored: it is made and deleted there")))
        }
        false => Ok(()),
    }
}

/// What there is to know of it; a host sees the subsystems that it may connect to, a user all of them.
pub(super) async fn find(
    app: &SharedApp,
    name: &ObjectYrn,
    host: Option<&Member>,
) -> Result<Option<ResourceRecord>, RoleError> {
    let Some(tenant) = tenants(&app.state).await?.into_iter().find(|t| t.name == name.tenant) else {
        return Ok(None);
    };
    let keys = match name.path.split_once('/') {
        Some(("volume", id)) => volume(app, &tenant, id, host).await?,
        Some(("snapshot", id)) => snapshot(app, &tenant, id).await?,
        Some(("pool", POOL)) => Some(pool(app).await?),
        _ => None,
    };
    let record = |keys: Map<String, Value>| ResourceRecord {
        keys: keys.into_iter().collect(),
        ..ResourceRecord::new(name.clone())
    };
    Ok(keys.map(record))
}

async fn volume(
    app: &SharedApp,
    tenant: &Tenant,
    id: &str,
    host: Option<&Member>,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let Some(uuid) = parse_uuid(id) else { return Ok(None) };
    let found = app.state.get::<VolumeRecord>(&uuid.to_string()).await?.map(|stored| stored.value);
    let Some(volume) = found.filter(|v| v.tenant_id == tenant.id && v.exists()) else { return Ok(None) };
    let mut subsystems = Map::new();
    for target in app.state.list::<TargetRecord>().await? {
        let target = target.value;
        let record = app.state.get::<HostRecord>(&target.host_id).await?;
        let theirs = |member: &Member| record.as_ref().is_some_and(|record| means(member, &record.value));
        if target.has(uuid) && host.is_none_or(theirs) {
            subsystems.insert(target.host_id.clone(), Value::from(target.nqn.clone()));
        }
    }
    let observed = app.observe().await;
    let nodes = volume.replicas.iter().filter_map(|replica| observed.nodes.get(&replica.backend));
    let portals: Vec<String> = nodes.flat_map(|node| &node.portals).map(ToString::to_string).collect();
    let view = json!({
        "uuid": uuid, "alias": volume.alias, "capacity": volume.size.capacity_bytes(),
        "subsystems": subsystems, "portals": portals,
    });
    Ok(view.as_object().cloned())
}

async fn snapshot(
    app: &SharedApp,
    tenant: &Tenant,
    id: &str,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let Some(uuid) = parse_uuid(id) else { return Ok(None) };
    let found = app.state.get::<SnapshotRecord>(&uuid.to_string()).await?.map(|stored| stored.value);
    let view = found
        .filter(|snapshot| snapshot.tenant_id == tenant.id)
        .map(|snapshot| json!({ "uuid": uuid, "alias": snapshot.alias, "volume": snapshot.volume }));
    Ok(view.and_then(|view| view.as_object().cloned()))
}

/// In bytes.
async fn pool(app: &SharedApp) -> Result<Map<String, Value>, StoreError> {
    let (backends, observed) = (backends(app).await?, app.observe().await);
    let space = backend::pool(&backends, &observed);
    Ok(Map::from_iter([
        ("name".to_owned(), json!(POOL)),
        ("capacity".to_owned(), json!(space.total_bytes)),
        ("available".to_owned(), json!(space.available_bytes)),
    ]))
}

/// Their names in a tenant.
pub(super) async fn paths(app: &SharedApp, tenant: &str) -> Result<Vec<String>, StoreError> {
    let Some(tenant) = tenants(&app.state).await?.into_iter().find(|t| t.name == tenant) else {
        return Ok(Vec::new());
    };
    let volumes = app.state.list::<VolumeRecord>().await?.into_iter().map(|v| v.value);
    let volumes =
        volumes.filter(|v| v.tenant_id == tenant.id && v.exists()).map(|v| format!("volume/{}", v.uuid));
    let snapshots = app.state.list::<SnapshotRecord>().await?.into_iter().map(|s| s.value);
    let snapshots = snapshots.filter(|s| s.tenant_id == tenant.id).map(|s| format!("snapshot/{}", s.uuid));
    Ok(volumes.chain(snapshots).chain([format!("pool/{POOL}")]).collect())
}
