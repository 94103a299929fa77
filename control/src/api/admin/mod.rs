//! The administration API (admin.md): its own credential, answers in its own shape.

mod answer;
pub(crate) mod backup;
pub(crate) mod bundles;
pub(crate) mod certs;
mod download;
mod gate;
pub(crate) mod info;
pub(crate) mod license;
pub(crate) mod reboot;
pub(crate) mod services;
pub(crate) mod settings;
pub(crate) mod setup;
pub(crate) mod storage;
pub(crate) mod update;

use axum::http::Method;

pub(crate) use answer::{AdminError, AdminProblem};
pub(crate) use gate::admit;

use crate::admin::AdminGroup;

/// Begins every path of this API.
pub(crate) const PREFIX: &str = "/api/v1/admin";

/// What there is under the prefix.
struct Endpoint {
    path: &'static str,
    methods: &'static [Method],
    group: Option<AdminGroup>,
}

const fn always(path: &'static str, methods: &'static [Method]) -> Endpoint {
    Endpoint { path, methods, group: None }
}

const fn optional(group: AdminGroup, path: &'static str, methods: &'static [Method]) -> Endpoint {
    Endpoint { path, methods, group: Some(group) }
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::POST];

/// In the order of their names (admin.md §3).
const ENDPOINTS: &[Endpoint] = &[
    optional(AdminGroup::Backup, "backup", BOTH),
    optional(AdminGroup::Backup, "backup/download", GET),
    optional(AdminGroup::Backup, "backup/log", GET),
    optional(AdminGroup::Backup, "backup/restore", POST),
    always("build", GET),
    optional(AdminGroup::Certs, "certs", BOTH),
    always("changelog", GET),
    always("debug", GET),
    always("endpoints", GET),
    always("health", GET),
    optional(AdminGroup::License, "license", BOTH),
    always("logs", GET),
    always("reboot", GET),
    always("services", GET),
    optional(AdminGroup::Settings, "settings", BOTH),
    always("setup", POST),
    optional(AdminGroup::Storage, "storage", BOTH),
    always("update", BOTH),
    always("update/log", GET),
    always("version", GET),
];

impl Endpoint {
    /// `None`: there is no such path.
    fn find(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix(PREFIX)?.strip_prefix('/')?;
        ENDPOINTS.iter().find(|endpoint| endpoint.path == name)
    }

    fn takes(&self, method: &Method) -> bool {
        // Where GET is answered HEAD is, too.
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(method)
    }
}
