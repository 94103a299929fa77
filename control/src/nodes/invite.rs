//! What lets a node join: a text that is good once, and tells the node whom to trust.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::random;

/// `basalt-invite.CA.ID.SECRET`: the digest of the API's CA, so that the node knows the server before it sends the
/// secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Invite {
    pub(crate) ca_digest: [u8; 32],
    pub(crate) id: Uuid,
    pub(crate) secret: String,
}

const KIND: &str = "basalt-invite";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no invite: it begins with basalt-invite. and `basalt node invite` prints it")]
pub struct NoInvite;

impl Invite {
    /// For servers of this CA.
    pub(crate) fn generate(ca: &[u8]) -> Self {
        Self { ca_digest: Sha256::digest(ca).into(), id: Uuid::new_v4(), secret: random::text(43) }
    }

    /// What the server keeps of it.
    pub(crate) fn digest(secret: &str) -> [u8; 32] {
        Sha256::digest(secret.as_bytes()).into()
    }

    /// To be shown once.
    pub(crate) fn text(&self) -> String {
        let digest: String = self.ca_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{KIND}.{digest}.{}.{}", self.id.simple(), self.secret)
    }
}

/// Without its secret.
impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Invite").field(&self.id).finish()
    }
}

impl FromStr for Invite {
    type Err = NoInvite;

    fn from_str(text: &str) -> Result<Self, NoInvite> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let [KIND, digest, id, secret] = parts.as_slice() else { return Err(NoInvite) };
        let mut ca_digest = [0; 32];
        let hex = digest.as_bytes();
        if hex.len() != 64 || !hex.is_ascii() || secret.is_empty() {
            return Err(NoInvite);
        }
        for (byte, pair) in ca_digest.iter_mut().zip(hex.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NoInvite)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoInvite)?;
        }
        Ok(Self { ca_digest, id: Uuid::try_parse(id).map_err(|_| NoInvite)?, secret: (*secret).to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_survives_its_text_and_nothing_else_is_one() {
        let invite = Invite::generate(b"ca");
        let text = invite.text();
        assert_eq!(format!(" {text}\n").parse(), Ok(invite.clone()));
        assert!(!format!("{invite:?}").contains(&invite.secret));
        for wrong in ["", "basalt-invite.a.b.c", &text.replace("basalt", "other"), &text[..text.len() - 44]] {
            assert_eq!(wrong.parse::<Invite>(), Err(NoInvite), "{wrong}");
        }
    }
}
