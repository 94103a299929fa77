//! The path of a registration script: a role and a token of it, sealed (role.md §3.4).

use serde::{Deserialize, Serialize};

use crate::{role::ObjectYrn, sealed::Seal};

const PLACE: &str = "register-path";

/// What a path says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Registration {
    pub(super) role: ObjectYrn,
    pub(super) token: String,
}

/// Opaque, and safe in a URL.
pub(super) fn of(seal: &Seal, role: &ObjectYrn, token: &str) -> String {
    let registration = Registration { role: role.clone(), token: token.to_owned() };
    let text = serde_json::to_string(&registration).expect("two texts");
    seal.seal(PLACE, &text).replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned()
}

/// `None` for anything that we never gave out.
pub(super) fn read(seal: &Seal, path: &str) -> Option<Registration> {
    let padding = "=".repeat((4 - path.len() % 4) % 4);
    let sealed = path.replace('-', "+").replace('_', "/") + &padding;
    serde_json::from_str(&seal.unseal(PLACE, &sealed).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Kind;

    #[test]
    fn a_path_tells_us_alone_what_it_stands_for() {
        let dir = tempfile::tempdir().unwrap();
        let seal = Seal::open(dir.path()).unwrap();
        let role = ObjectYrn::new(Kind::Role, "demo", "r1").unwrap();
        for length in 0..6 {
            let token = "t".repeat(length);
            let path = of(&seal, &role, &token);
            assert!(path.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "{path}");
            let registration = read(&seal, &path).unwrap();
            assert_eq!((registration.role, registration.token), (role.clone(), token));
            assert!(read(&seal, &path[1..]).is_none());
        }
        assert!(read(&seal, "").is_none() && read(&seal, "ä").is_none());
    }
}
