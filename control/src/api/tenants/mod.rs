//! Tenants (provisioner §3).

mod budget;
pub(crate) mod change;
pub(crate) mod read;

use axum::{extract::FromRequestParts, http::request::Parts};

pub(crate) use budget::{Admission, admit};

use crate::{
    app::{App, SharedApp},
    envelope::{ApiError, Code, Failure},
    model::{DEFAULT_TENANT, tenant::TenantRecord},
    request::Params,
};

/// The tenant that a path is about; without a prefix the default one (D2). It existed when the request came.
pub(crate) struct Tenant(String);

impl Tenant {
    pub(crate) fn id(&self) -> &str {
        &self.0
    }

    /// `TenantNotFound` if there is none of that id; an empty one means the default tenant.
    pub(crate) async fn find(app: &App, id: &str) -> Result<Self, ApiError> {
        match id {
            "" | DEFAULT_TENANT => Ok(Self(DEFAULT_TENANT.to_owned())),
            id => match app.state.get::<TenantRecord>(id).await? {
                Some(tenant) => Ok(Self(tenant.value.id)),
                None => Err(not_found(id).into()),
            },
        }
    }
}

impl FromRequestParts<SharedApp> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, ApiError> {
        let params = Params::from_request_parts(parts, app).await?;
        Self::find(app, params.get("tenant")).await
    }
}

fn not_found(id: &str) -> Failure {
    Failure::new(Code::TenantNotFound, format!("there is no tenant {id:?}"))
}
