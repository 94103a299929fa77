//! The OpenAPI document: collected from the routes' handlers, completed with what holds for all of them.

mod answers;
pub(crate) mod bodies;
mod errors;

use std::sync::Arc;

use axum::{
    Extension,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        Components, ObjectBuilder, OpenApi, PathItem, RefOr, Required, Schema, Type,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::AnyOf,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use crate::api::admin::AdminProblem;
pub(crate) use answers::{
    Answer, Created, Numbered, Problem, RoleProblem, SessionProblem, Status, TenantCreated,
};
pub(crate) use errors::{ADMIN, BASALT, PROVISIONER, ROLE, SESSION, add_errors};

/// The document as it is sent.
#[derive(Clone)]
pub(crate) struct Document(Arc<str>);

impl Document {
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// One item a line, for the snapshot in the repository.
    #[cfg(test)]
    pub(crate) fn pretty(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.0).expect("it was made as JSON");
        format!("{value:#}\n")
    }
}

/// GET openapi.json.
#[utoipa::path(get, path = "/openapi.json", tag = "About", summary = "This document", security(()),
    responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
pub(crate) async fn openapi(Extension(Document(text)): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.to_string()).into_response()
}

/// What stands above the operations.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Basalt",
        description = "An NVMe/TCP storage node. Reading needs the role Observers, changing Administrators.",
    ),
    components(schemas(Status, Problem, SessionProblem, AdminProblem, RoleProblem)),
    modifiers(&Credentials),
    security(("bearer" = []), ("certificate" = [])),
)]
struct Head;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_with(Components::new);
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("a session's or access token's bearer, or the administrator's token"));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let token = ApiKeyValue::with_description(
            "x-auth-token",
            "of the role API: `U=` and a user token or bearer, or `R=` and a role token",
        );
        components.add_security_scheme("token", SecurityScheme::ApiKey(ApiKey::Header(token)));
        let certificate = SecurityScheme::MutualTls {
            description: Some("a client certificate of the server's CA".to_owned()),
            deprecated: None,
            extensions: None,
        };
        components.add_security_scheme("certificate", certificate);
        for (name, parameter, what) in [
            ("adminToken", "token", "the administration token"),
            ("adminHash", "hash", "an HMAC of method and path under that token's digest"),
        ] {
            let key = ApiKey::Query(ApiKeyValue::with_description(parameter, what));
            components.add_security_scheme(name, SecurityScheme::ApiKey(key));
        }
    }
}

/// An empty document for the routes to be collected into.
pub(crate) fn head() -> OpenApi {
    Head::openapi()
}

/// Every operation takes one of these credentials, and none of the others.
pub(crate) fn set_security(document: &mut OpenApi, schemes: &[&str]) {
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        let alternatives = schemes.iter().map(|name| SecurityRequirement::new(*name, Vec::<String>::new()));
        operation.security = Some(alternatives.collect());
    }
}

/// A route's path as the document writes it: OpenAPI has no word for a parameter that takes the rest of the path.
pub(crate) fn written(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => "/".to_owned(),
        path => path.replace("{*", "{"),
    }
}

/// Gives every operation a name of its own and the parameters of its path.
pub(crate) fn complete(mut document: OpenApi) -> Document {
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (written(&path), item)).collect();
    for (name, schema) in document.components.iter_mut().flat_map(|c| &mut c.schemas) {
        if name.starts_with(ANSWER) {
            let_overlap(schema);
        }
    }
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            operation.parameters.get_or_insert_default().extend(path_parameters(path).map(RefOr::T));
        }
    }
    Document(document.to_json().expect("a document has string keys and no failing parts").into())
}

/// Of the schemas of [`Answer`].
const ANSWER: &str = "Answer_";

/// A verdict with a UUID is a verdict, too, so an answer may be both of its kinds; enums are described as exactly one.
fn let_overlap(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(one)) = schema {
        let mut any = AnyOf::new();
        any.items = std::mem::take(&mut one.items);
        any.description = one.description.take();
        *schema = RefOr::T(Schema::AnyOf(any));
    }
}

/// `get_volumes_id` for GET /volumes/{id}.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    [method].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &str) -> impl Iterator<Item = Parameter> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .build()
    })
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, head, patch, .. } = item;
    [("get", get), ("put", put), ("post", post), ("delete", delete), ("head", head), ("patch", patch)]
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
