//! Which errors an operation may answer with, by the API that it belongs to.

use utoipa::openapi::{
    Components, Content, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, Parameter, ParameterIn},
    security::SecurityRequirement,
};

use super::operations;

/// A status, and what it says here.
type Said = (&'static str, &'static str);

/// The errors of one API.
pub(crate) struct Errors {
    /// The schema of their bodies.
    schema: &'static str,
    /// Of operations that are not open to all.
    credential: &'static [Said],
    /// Of operations that take a body.
    body: &'static [Said],
    /// Of every operation: what is wrong with its object.
    object: &'static [Said],
    /// Methods whose refusals have no body.
    silent: &'static [&'static str],
}

const MALFORMED: Said = ("400", "the request is malformed, or a field of it is wrong");
const FAILED: Said = ("500", "the server failed");
const FORBIDDEN: Said = ("403", "the caller's role does not allow it");
const CREDENTIAL: &[Said] = &[("401", "no credential, or none that counts"), FORBIDDEN];
const BODY: &[Said] = &[("408", "the body did not come in time"), ("413", "the body is too long")];

/// What is wrong with an object is said with HTTP 200 (D5).
pub(crate) const PROVISIONER: Errors =
    Errors { schema: "Status", credential: CREDENTIAL, body: BODY, object: &[], silent: &[] };

pub(crate) const BASALT: Errors = Errors {
    schema: "Problem",
    credential: CREDENTIAL,
    body: BODY,
    object: &[
        ("404", "there is no such object"),
        ("409", "the object's state does not allow it"),
        ("503", "a node or a drive does not answer"),
        ("507", "there is not enough space"),
    ],
    silent: &[],
};

pub(crate) const SESSION: Errors = Errors {
    schema: "SessionProblem",
    credential: CREDENTIAL,
    body: BODY,
    object: &[
        ("404", "there is no such object"),
        ("409", "taken, or the object's state does not allow it"),
        ("412", "it is not any more as If-Match says"),
    ],
    silent: &[],
};

pub(crate) const ROLE: Errors = Errors {
    schema: "RoleProblem",
    credential: CREDENTIAL,
    body: BODY,
    object: &[MALFORMED, ("404", "there is no such object")],
    // role.md §1.
    silent: &["head", "delete"],
};

/// Its forms are as long as they need to be, and it has one status for every credential that does not count.
pub(crate) const ADMIN: Errors = Errors {
    schema: "AdminProblem",
    credential: &[("403", "no credential, or none that counts")],
    body: &[],
    object: &[MALFORMED, ("404", "there is no such thing, or not yet")],
    silent: &[],
};

/// Adds to every operation the errors that it may answer with; what its handler describes stays.
pub(crate) fn add_errors(document: &mut OpenApi, errors: &Errors) {
    let described = &mut document.components.get_or_insert_with(Components::new).responses;
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let is_silent = errors.silent.contains(&method);
            for (status, description) in statuses(path, operation, errors) {
                let silent = if is_silent { "Silent" } else { "" };
                let name = format!("{}{silent}{status}", errors.schema);
                let reference = RefOr::Ref(Ref::from_response_name(&name));
                operation.responses.responses.entry(status.to_owned()).or_insert(reference);
                let schema = (!is_silent).then_some(errors.schema);
                described.entry(name).or_insert_with(|| RefOr::T(response(schema, description)));
            }
        }
    }
}

/// Without a schema it has no body.
fn response(schema: Option<&str>, description: &str) -> Response {
    let response = ResponseBuilder::new().description(description);
    match schema {
        Some(schema) => {
            response.content("application/json", Content::new(Some(Ref::from_schema_name(schema)))).build()
        }
        None => response.build(),
    }
}

fn statuses(path: &str, operation: &Operation, errors: &Errors) -> Vec<Said> {
    let has_body = operation.request_body.is_some();
    let in_query = |p: &RefOr<Parameter>| matches!(p, RefOr::T(p) if p.parameter_in == ParameterIn::Query);
    let has_query = operation.parameters.iter().flatten().any(in_query);
    let is_open = operation.security.as_ref().is_some_and(|s| *s == [SecurityRequirement::default()]);
    let mut statuses = vec![FAILED];
    statuses.extend((has_body || has_query || path.contains('{')).then_some(MALFORMED));
    statuses.extend(errors.body.iter().filter(|_| has_body));
    statuses.extend(errors.credential.iter().filter(|_| !is_open));
    statuses.extend(errors.object);
    statuses
}
