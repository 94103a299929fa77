//! Of the administration API (admin.md): forms.
#![expect(dead_code, reason = "these types stand for what is received; only their schemas are used")]

use utoipa::ToSchema;

#[derive(ToSchema)]
pub(crate) struct AdminSetup {
    /// Printable ASCII without spaces.
    #[schema(min_length = 1, max_length = 255)]
    newtoken: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminBackupPost {
    /// `START` or `STOP`.
    #[schema(example = "START")]
    action: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminRestorePost {
    /// As `GET /backup/download` gave it.
    #[schema(format = Binary)]
    archive: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminCertsPost {
    /// A certificate in PEM.
    public: String,
    /// Its RSA or ECDSA key in PEM, not encrypted.
    private: String,
    /// What stands between the certificate and a root, in PEM.
    ca: Option<String>,
}

#[derive(ToSchema)]
pub(crate) struct AdminSettingsPost {
    /// A JSON document.
    #[schema(example = r#"{"network":{"interface":"eth0","hostname":"node1"},"app":{}}"#)]
    settings: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminStoragePost {
    /// A JSON document.
    #[schema(example = r#"{"storage":{"type":"local"}}"#)]
    settings: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminLicensePost {
    /// Encrypted and signed like a release package.
    #[schema(format = Binary)]
    license: String,
}

#[derive(ToSchema)]
pub(crate) struct AdminUpdatePost {
    /// A release package.
    #[schema(format = Binary)]
    update: String,
}
