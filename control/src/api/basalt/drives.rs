//! GET drives.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use dataplane::node::{DriveInfo, DriveState};
use serde::Serialize;
use uuid::Uuid;

use crate::app::SharedApp;

/// A drive of this node; sizes in bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DriveView {
    id: Uuid,
    name: String,
    state: &'static str,
    /// Why it is not online.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    capacity_bytes: u64,
    unreserved_bytes: u64,
    used_bytes: u64,
    write_through: bool,
}

impl From<DriveInfo> for DriveView {
    fn from(drive: DriveInfo) -> Self {
        let (state, reason) = match drive.state {
            DriveState::Online => ("online", None),
            DriveState::ReadOnly(why) => ("read-only", Some(why)),
            DriveState::Failed(why) => ("failed", Some(why)),
        };
        Self {
            id: drive.uuid,
            name: drive.name,
            state,
            reason,
            capacity_bytes: drive.capacity_bytes,
            unreserved_bytes: drive.unreserved_bytes,
            used_bytes: drive.used_bytes,
            write_through: drive.write_through,
        }
    }
}

pub(crate) async fn list(State(app): State<SharedApp>) -> Response {
    let drives = app.observe().await.drives.into_iter().map(DriveView::from);
    Json(drives.collect::<Vec<_>>()).into_response()
}
