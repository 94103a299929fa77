//! The inventory and its reset (provisioner §2, D17).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    api::backends::first_unavailable,
    app::SharedApp,
    envelope::{Code, Failure, Reply},
    inventory,
    model::{
        inventory::{Difference, Inventory, Sample, Sighting, differences},
        task::TaskType,
    },
    openapi::Numbered,
    state::Change,
    tasks,
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InventoryView {
    /// The oldest first; at most 100.
    inventory_samples: Vec<SampleView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct SampleView {
    /// Milliseconds since the epoch.
    timestamp: u64,
    backends: Vec<SightingView>,
    /// What differs from the sample before.
    changes: Vec<ChangeView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SightingView {
    hardware_id: String,
    version: String,
    /// `AVAILABLE` or `UNAVAILABLE`.
    state: &'static str,
    #[serde(rename = "numSSDs")]
    num_ssds: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct ChangeView {
    /// `NEW`, `REMOVED` or `MODIFIED`.
    change: &'static str,
    tags: Vec<TagView>,
}

/// `id`, `version` and `state` are strings, `numSSDs` is a number.
#[derive(Debug, Serialize, ToSchema)]
struct TagView {
    name: &'static str,
    value: Value,
}

fn state(backend: &Sighting) -> &'static str {
    if backend.available { "AVAILABLE" } else { "UNAVAILABLE" }
}

fn view(inventory: &Inventory) -> InventoryView {
    let before = std::iter::once(&[][..]).chain(inventory.samples.iter().map(|s| s.backends.as_slice()));
    let samples = inventory.samples.iter().zip(before).map(|(sample, before)| sample_view(sample, before));
    InventoryView { inventory_samples: samples.collect() }
}

fn sample_view(sample: &Sample, before: &[Sighting]) -> SampleView {
    let sighting = |b: &Sighting| SightingView {
        hardware_id: b.persistent_id.clone(),
        version: b.version.clone(),
        state: state(b),
        num_ssds: b.drives,
    };
    let change = |(difference, backend): (Difference, &Sighting)| ChangeView {
        change: match difference {
            Difference::New => "NEW",
            Difference::Removed => "REMOVED",
            Difference::Modified => "MODIFIED",
        },
        tags: vec![
            TagView { name: "id", value: json!(backend.persistent_id) },
            TagView { name: "version", value: json!(backend.version) },
            TagView { name: "state", value: json!(state(backend)) },
            TagView { name: "numSSDs", value: json!(backend.drives) },
        ],
    };
    SampleView {
        timestamp: sample.time_ms,
        backends: sample.backends.iter().map(sighting).collect(),
        changes: differences(before, &sample.backends).into_iter().map(change).collect(),
    }
}

/// Op 9. The internal task that it is by the contract is done within the call.
#[utoipa::path(get, path = "/inventory", tag = "Backends", summary = "Which storage nodes there were",
    responses((status = 200, body = InventoryView, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Reply {
    app.observe().await;
    let inventory = inventory::look(&app).await?;
    let (done, nothing) = ("the inventory was fetched", Change::default());
    tasks::commit_done(&app.state, TaskType::FetchInventory, done, nothing).await?;
    Ok(Json(view(&inventory)).into_response())
}

/// Op 8.
#[utoipa::path(delete, path = "/reset_inventory", tag = "Backends", summary = "Forget the inventory's samples",
    responses((status = 200, body = Numbered, description = "done")))]
pub(crate) async fn reset(State(app): State<SharedApp>) -> Reply {
    if let Some(id) = first_unavailable(&app).await? {
        return Err(Failure::new(Code::CommunicationError, format!("the backend {id} is unavailable")).into());
    }
    let this = SharedApp::clone(&app);
    let number = app.complete(async move { inventory::reset(&this).await }).await?;
    Ok(Json(json!({ "status": "Success", "description": "Success.", "id": number })).into_response())
}
