//! The licence (provisioner §4.7, D44).

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use time::{format_description::BorrowedFormatItem, macros::format_description};
use utoipa::ToSchema;

use super::backends::backends;
use crate::{
    app::{App, SharedApp, now_ms, retry},
    envelope::{ApiError, Reply, success},
    events::Kind,
    fields::Fields,
    license::License,
    limits,
    model::task::TaskType,
    openapi::{Answer, Status, bodies::LicenseInstall},
    request::JsonBody,
    state::Change,
    tasks, utc,
};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct LicenseView {
    /// `POC` or `PRODUCTION`.
    #[serde(rename = "type")]
    license_type: &'static str,
    /// Absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<String>,
    /// Absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_backends: Option<u64>,
}

const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+0000");

fn date(epoch_seconds: u64) -> Option<String> {
    utc::text(i128::from(epoch_seconds) * 1000, DATE)
}

/// Op 35.
#[utoipa::path(get, path = "/license", tag = "About", summary = "The license",
    responses((status = 200, body = Answer<LicenseView>, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Reply {
    let license = app.state.get::<License>(License::KEY).await?.map(|l| l.value).unwrap_or_default();
    let view = LicenseView {
        license_type: license.license_type.name(),
        expiration_date: license.expires_seconds.and_then(date),
        max_backends: license.max_backends,
    };
    Ok(Json(view).into_response())
}

/// Op 34.
#[utoipa::path(post, path = "/license", tag = "About", summary = "Install a license",
    request_body = LicenseInstall,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn install(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let fields = Fields::new(&body);
    let token = fields.require("license", fields.text("license", limits::LICENSE_CHARS)?)?;
    let license = License::read(token, app.license_key.as_ref())?;
    license.check(backends(&app).await?.len() as u64, now_ms())?;
    let this = SharedApp::clone(&app);
    app.complete(async move {
        retry(|| put(&this, &license)).await?;
        let said = format!("a license of type {} was installed", license.license_type.name());
        this.events.add(Kind::LicenseInstalled, "license", said).await;
        Ok(())
    })
    .await?;
    Ok(success())
}

async fn put(app: &App, license: &License) -> Result<(), ApiError> {
    let stored = app.state.get(License::KEY).await?;
    let change = Change::default().set(stored.as_ref(), license);
    let done = "the license was installed";
    Ok(tasks::commit_done(&app.state, TaskType::InstallLicense, done, change).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(1_582_675_200).as_deref(), Some("2020-02-26T00:00:00.000+0000"));
    }
}
