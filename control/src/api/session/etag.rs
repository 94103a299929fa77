//! ETags and If-Match (session.md §1, §2): who read an object can demand to change that and nothing newer.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::SessionError;

/// What the header If-Match says; `None` without one, or with `*`, which any object satisfies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IfMatch(Option<Vec<String>>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionError> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(header::IF_MATCH) {
            let text = value.to_str().map_err(|_| SessionError::invalid("If-Match must be text"))?;
            tags.extend(text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
        }
        let any = tags.is_empty() || tags.iter().any(|tag| tag == "*");
        Ok(Self((!any).then_some(tags)))
    }
}

impl IfMatch {
    /// Whether the object, as it is shown, may be changed.
    pub(super) fn admits(&self, shown: &impl Serialize) -> bool {
        self.0.as_ref().is_none_or(|tags| tags.contains(&tag(shown)))
    }

    pub(super) fn require(&self, shown: &impl Serialize) -> Result<(), SessionError> {
        match self.admits(shown) {
            true => Ok(()),
            false => {
                let why = "If-Match names another state than the present one";
                Err(SessionError::new(StatusCode::PRECONDITION_FAILED, why))
            }
        }
    }
}

/// 200 with the object and its tag.
pub(super) fn tagged(shown: &impl Serialize) -> Response {
    let tag = HeaderValue::from_str(&tag(shown)).expect("a tag is hex digits");
    ([(header::ETAG, tag)], Json(shown)).into_response()
}

/// Objects that look the same have the same tag.
fn tag(shown: &impl Serialize) -> String {
    let text = serde_json::to_vec(shown).expect("what is shown has string keys and no failing parts");
    let digest = Sha256::digest(&text);
    let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn given(values: &[&str]) -> IfMatch {
        let request = values.iter().fold(Request::builder(), |r, value| r.header(header::IF_MATCH, *value));
        let mut parts = request.body(()).unwrap().into_parts().0;
        IfMatch::from_request_parts(&mut parts, &()).await.unwrap()
    }

    #[tokio::test]
    async fn only_what_it_names_may_be_changed() {
        let (one, two) = (tag(&1), tag(&2));
        for (values, admits) in [
            (vec![], true),
            (vec!["*"], true),
            (vec![one.as_str()], true),
            (vec![two.as_str()], false),
            (vec![two.as_str(), one.as_str()], true),
            (vec!["\"x\", *"], true),
            (vec!["W/\"x\""], false),
        ] {
            assert_eq!(given(&values).await.admits(&1), admits, "{values:?}");
        }
        assert!(given(&[&format!("{two}, {one}")]).await.admits(&1));
        assert!(!given(&[&format!("W/{one}")]).await.admits(&1), "weak tags change nothing");
    }
}
