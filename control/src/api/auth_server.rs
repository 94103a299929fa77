//! The authorization server (provisioner §4.10).

use axum::{Extension, Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{
    accounts::Caller,
    api::backends::first_unavailable,
    app::{App, SharedApp},
    envelope::{ApiError, Code, Failure, Reply, success},
    events::Kind,
    fields::Fields,
    jwt_key::public_key,
    limits,
    oidc::{KeySource, OidcConfig, OidcError, Party, Whose},
    openapi::{Status, bodies::AuthServer},
    outbound::HttpsUrl,
    request::JsonBody,
};

/// What GET answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum AuthServerSetting {
    Set(Box<AuthServerView>),
    Unset(Empty),
}

/// An object without fields.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Empty {}

/// The contract's configuration object.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthServerView {
    #[serde(rename = "provisionerResourceID")]
    provisioner_resource_id: String,
    #[serde(rename = "provisionerClientID")]
    provisioner_client_id: String,
    provisioner_client_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioner_client_scope: Option<String>,
    #[serde(rename = "backendsResourceID")]
    backends_resource_id: String,
    #[serde(rename = "backendsClientID")]
    backends_client_id: String,
    backends_client_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    backends_client_scope: Option<String>,
    #[serde(rename = "authorizationServerTokenURL")]
    token_url: String,
    #[serde(rename = "authorizationServerPublicKey", skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    #[serde(rename = "authorizationServerJwkSetURL", skip_serializing_if = "Option::is_none")]
    jwk_set_url: Option<String>,
}

impl From<OidcConfig> for AuthServerView {
    fn from(config: OidcConfig) -> Self {
        let OidcConfig { token_url, keys, provisioner, backends } = config;
        let (public_key, jwk_set_url) = match keys {
            KeySource::PublicKey(key) => (Some(key), None),
            KeySource::JwkSetUrl(url) => (None, Some(url)),
        };
        Self {
            provisioner_resource_id: provisioner.resource_id,
            provisioner_client_id: provisioner.client_id,
            provisioner_client_secret: provisioner.client_secret.to_string(),
            provisioner_client_scope: provisioner.client_scope,
            backends_resource_id: backends.resource_id,
            backends_client_id: backends.client_id,
            backends_client_secret: backends.client_secret.to_string(),
            backends_client_scope: backends.client_scope,
            token_url,
            public_key,
            jwk_set_url,
        }
    }
}

/// Op 48. Secrets are in it (D50), so Observers do not see it.
#[utoipa::path(get, path = "/auth_server", tag = "Authorization server", summary = "The authorization server, with secrets; needs Administrators",
    responses((status = 200, body = AuthServerSetting, description = "an empty object if there is none")))]
pub(crate) async fn get(State(app): State<SharedApp>, Extension(caller): Extension<Caller>) -> Reply {
    if !caller.roles.administrator {
        return Err(ApiError::protocol(StatusCode::FORBIDDEN, "this needs the role Administrators"));
    }
    Ok(Json(match app.auth.oidc.config() {
        Some(config) => AuthServerSetting::Set(Box::new(config.into())),
        None => AuthServerSetting::Unset(Empty {}),
    })
    .into_response())
}

/// Op 46.
#[utoipa::path(post, path = "/auth_server", tag = "Authorization server", summary = "Accept the tokens of an authorization server",
    request_body = AuthServer,
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn set(State(app): State<SharedApp>, JsonBody(body): JsonBody) -> Reply {
    let config = parse(&body)?;
    if app.auth.oidc.config().as_ref() == Some(&config) {
        return Err(refused(OidcError::NoChange));
    }
    require_backends(&app).await?;
    let this = SharedApp::clone(&app);
    let change = async move {
        this.auth.oidc.set(config, &this.seal).await.map_err(refused)?;
        this.events
            .add(Kind::AuthServerChanged, "auth_server", "tokens of an authorization server count")
            .await;
        Ok(())
    };
    app.complete(change).await?;
    Ok(success())
}

/// Op 47.
#[utoipa::path(delete, path = "/auth_server", tag = "Authorization server", summary = "Accept no authorization server's tokens any more",
    responses((status = 200, body = Status, description = "done")))]
pub(crate) async fn clear(State(app): State<SharedApp>) -> Reply {
    if !app.auth.oidc.is_set() {
        return Err(refused(OidcError::NotSet));
    }
    require_backends(&app).await?;
    let this = SharedApp::clone(&app);
    let change = async move {
        this.auth.oidc.clear().await.map_err(refused)?;
        let said = "tokens of the authorization server count no more";
        this.events.add(Kind::AuthServerChanged, "auth_server", said).await;
        Ok(())
    };
    app.complete(change).await?;
    Ok(success())
}

/// Every storage node must hear of it.
async fn require_backends(app: &App) -> Result<(), ApiError> {
    let why = |id: String| Failure::new(Code::NotAvailable, format!("the backend {id} is unavailable"));
    first_unavailable(app).await?.map_or(Ok(()), |id| Err(why(id).into()))
}

fn parse(body: &Map<String, Value>) -> Result<OidcConfig, Failure> {
    // The one field whose spelling is free (D4).
    let mut body = body.clone();
    if let Some(id) = body.remove("ProvisionerClientID") {
        body.entry("provisionerClientID").or_insert(id);
    }
    let fields = Fields::new(&body);
    let text = |name: &str| fields.text(name, limits::AUTH_SERVER_CHARS).map(|t| t.filter(|t| !t.is_empty()));
    let required = |name: &str| fields.require(name, text(name)?).map(str::to_owned);
    let url = |name: &str, given: String| match given.parse::<HttpsUrl>() {
        Ok(_) => Ok(given),
        Err(reason) => Err(Failure::of_field(name, reason)),
    };
    let party = |resource: &str, client: &str, secret: &str, scope: &str| {
        Ok::<_, Failure>(Party {
            resource_id: required(resource)?,
            client_id: required(client)?,
            client_secret: Zeroizing::new(required(secret)?),
            client_scope: text(scope)?.map(str::to_owned),
        })
    };
    let provisioner = party(
        "provisionerResourceID",
        "provisionerClientID",
        "provisionerClientSecret",
        "provisionerClientScope",
    )?;
    let backends =
        party("backendsResourceID", "backendsClientID", "backendsClientSecret", "backendsClientScope")?;
    let token_url = url(TOKEN_URL, required(TOKEN_URL)?)?;
    let keys = match (text(PUBLIC_KEY)?, text(JWK_SET_URL)?) {
        (Some(key), None) if public_key(key).is_some() => KeySource::PublicKey(key.to_owned()),
        (Some(_), None) => {
            return Err(Failure::of_field(PUBLIC_KEY, "must be a public RSA or EC key, in PEM or base64"));
        }
        (None, Some(given)) => KeySource::JwkSetUrl(url(JWK_SET_URL, given.to_owned())?),
        (None, None) => return Err(Failure::of_field(PUBLIC_KEY, format!("is required, or {JWK_SET_URL}"))),
        (Some(_), Some(_)) => return Err(Failure::of_field(JWK_SET_URL, format!("excludes {PUBLIC_KEY}"))),
    };
    Ok(OidcConfig { token_url, keys, provisioner, backends })
}

const TOKEN_URL: &str = "authorizationServerTokenURL";
const PUBLIC_KEY: &str = "authorizationServerPublicKey";
const JWK_SET_URL: &str = "authorizationServerJwkSetURL";

fn refused(error: OidcError) -> ApiError {
    let why = error.to_string();
    let code = match error {
        OidcError::NoChange => Code::NoChange,
        OidcError::NotSet => Code::InvalidAuthMode,
        OidcError::Create(Whose::Provisioner, _) => Code::CreateProvisionerClientTokenFailed,
        OidcError::Create(Whose::Backends, _) => Code::CreateBackendsClientTokenFailed,
        OidcError::Decrypt(Whose::Provisioner, _) => Code::DecryptProvisionerClientTokenFailed,
        OidcError::Decrypt(Whose::Backends, _) => Code::DecryptBackendsClientTokenFailed,
        OidcError::Unauthorized(Whose::Provisioner) => Code::ProvisionerClientUnauthorized,
        OidcError::Unauthorized(Whose::Backends) => Code::BackendsClientUnauthorized,
        OidcError::Keys(_) => Code::InvalidInput,
        OidcError::Store(error) => return error.into(),
    };
    Failure::new(code, why).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> Value {
        json!({"provisionerResourceID": "p", "provisionerClientID": "pc", "provisionerClientSecret": "ps",
            "backendsResourceID": "b", "backendsClientID": "bc", "backendsClientSecret": "bs",
            "authorizationServerTokenURL": "https://idp/token", "authorizationServerJwkSetURL": "https://idp/jwks"})
    }

    #[test]
    fn each_missing_or_wrong_field_is_named() {
        assert!(parse(full().as_object().unwrap()).is_ok());
        let required: Vec<String> =
            full().as_object().unwrap().keys().filter(|name| *name != JWK_SET_URL).cloned().collect();
        for field in required {
            for wrong in [json!(null), json!(""), json!(7)] {
                let mut body = full();
                body[&field] = wrong;
                let failure = parse(body.as_object().unwrap()).err().unwrap();
                assert_eq!(failure.field.as_deref(), Some(field.as_str()));
            }
        }
        for (field, name, value) in [
            (JWK_SET_URL, PUBLIC_KEY, json!("AAAA")),
            (PUBLIC_KEY, JWK_SET_URL, json!(null)),
            (JWK_SET_URL, JWK_SET_URL, json!("http://idp/jwks")),
            (TOKEN_URL, TOKEN_URL, json!("https://u:p@idp/")),
        ] {
            let mut body = full();
            body[name] = value;
            let failure = parse(body.as_object().unwrap()).err().unwrap();
            assert_eq!(failure.field.as_deref(), Some(field));
        }
        let mut body = full();
        (body[JWK_SET_URL], body[PUBLIC_KEY]) = (json!(null), json!("AAAA"));
        assert_eq!(parse(body.as_object().unwrap()).err().unwrap().field.as_deref(), Some(PUBLIC_KEY));
    }
}
