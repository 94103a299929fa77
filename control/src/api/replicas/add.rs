//! POST replica/{id}.

use axum::extract::State;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{MOST_REPLICAS, Names, holders, one_more, refuse_terminating, require_replicated};
use crate::{
    api::{
        tenants::{Admission, Tenant, admit},
        volumes::{candidates, not_exists, settled, spec},
    },
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    model::{
        placement::place_further,
        replica::Replica,
        volume::{Phase, Reserved, StorageClass},
    },
    openapi::{Status, bodies::ReplicaAdd},
    reconcile::{finish_add_replica, undo_add_replica},
    request::{JsonBody, Params},
};

/// Where the copy may lie; what is absent or empty is as the volume's class says (D32).
#[derive(Debug, Default, PartialEq, Eq)]
struct AddRequest {
    same_rack_allowed: bool,
    racks: Vec<String>,
    zones: Vec<String>,
    regions: Vec<String>,
}

impl AddRequest {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let list = |name: &str| Ok::<_, Failure>(fields.texts(name)?.unwrap_or_default());
        Ok(Self {
            same_rack_allowed: fields.truth("sameRackAllowed")?.unwrap_or(false),
            racks: list("racks")?,
            zones: list("zones")?,
            regions: list("regions")?,
        })
    }

    /// The volume's class, for this copy.
    fn class(&self, of_volume: &StorageClass) -> StorageClass {
        let or =
            |own: &[String], class: &[String]| if own.is_empty() { class.to_vec() } else { own.to_vec() };
        StorageClass {
            // Agents always send false.
            same_rack_allowed: self.same_rack_allowed || of_volume.same_rack_allowed,
            racks: or(&self.racks, &of_volume.racks),
            zones: or(&self.zones, &of_volume.zones),
            regions: or(&self.regions, &of_volume.regions),
            ..of_volume.clone()
        }
    }
}

/// Op 20. All or nothing, as a volume. The copy is exported when the volume is published again.
#[utoipa::path(post, path = "/replica/{id}", tag = "Replicas", summary = "Add a copy to a volume of several",
    request_body = Option<ReplicaAdd>,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn add(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    body: Option<JsonBody>,
) -> Reply {
    let request = body.map(|JsonBody(body)| AddRequest::parse(&body)).transpose()?.unwrap_or_default();
    let names = Names::of(&params);
    let this = SharedApp::clone(&app);
    app.complete(async move {
        let _volume = this.volume_locks.lock(names.lock_by()).await;
        retry(|| make(&this, tenant.id(), &names, &request)).await
    })
    .await?;
    Ok(success())
}

async fn make(app: &App, tenant: &str, names: &Names, request: &AddRequest) -> Result<(), ApiError> {
    let volume = settled(app, tenant, &names.volume).await?;
    let mut volume = volume.ok_or_else(|| not_exists(&names.volume))?;
    require_replicated(&volume.value)?;
    refuse_terminating(&volume.value.replicas)?;
    if volume.value.replicas.len() >= MOST_REPLICAS {
        let why = format!("volume {} has {MOST_REPLICAS} copies already", volume.value.uuid);
        return Err(Failure::new(Code::InvalidReplicas, why).into());
    }
    let candidates = candidates(app, &app.observe().await).await?;
    let class = request.class(&volume.value.class);
    let takes = Reserved::of_copies(&class, volume.value.size, 1);
    let Admission { change, turn } = admit(app, tenant, takes).await?;
    let holders = holders(&volume.value);
    let place = place_further(one_more(&volume.value, &class, &holders), &candidates)?;
    let node = app.nodes.of(&place.backend)?;
    let replica = Replica::new(Uuid::new_v4(), &place.backend, now_ms());
    let added =
        format!("added replica {} of volume {} on {}", replica.uuid, volume.value.alias, place.backend);
    let spec = spec(&volume.value, &replica, place);
    volume.value.enter(Phase::AddingReplica(replica.uuid));
    volume.value.replicas.push(replica);
    let volume = app.state.update_and(volume, change).await?;
    drop(turn);
    let uuid = volume.value.uuid;
    if let Err(error) = node.create_volume(spec).await {
        undo_add_replica(app, volume).await?;
        return Err(error.into());
    }
    finish_add_replica(app, volume).await?;
    app.events.add(Kind::ReplicaAdded, uuid, added).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::volume::tests::class;

    #[test]
    fn empty_lists_are_the_classs_and_either_may_allow_the_rack() {
        let class = StorageClass { zones: vec!["nova".into()], same_rack_allowed: true, ..class() };
        let parse = |body: Value| AddRequest::parse(body.as_object().unwrap());
        let agents = parse(json!({"sameRackAllowed": false, "racks": [], "zones": [], "regions": []}));
        assert_eq!(agents.unwrap().class(&class), class);
        let own = parse(json!({"zones": ["west"], "racks": ["r"]})).unwrap().class(&class);
        assert_eq!((own.zones, own.racks), (vec!["west".to_owned()], vec!["r".to_owned()]));
        let wrong = parse(json!({"zones": "west"})).unwrap_err();
        assert_eq!((wrong.code, wrong.field.as_deref()), (Code::InvalidInput, Some("zones")));
    }
}
