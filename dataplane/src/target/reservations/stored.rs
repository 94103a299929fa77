//! How a volume's attachment holds its reservations. Little-endian, like everything on a drive.

use nvmeof::{
    limits::REGISTRANTS_MAX,
    reservation::{Held, Registrant, ReservationType, Reservations},
};
use uuid::Uuid;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::engine::ATTACHMENT_BYTES_MAX;

const VERSION: u8 = 1;

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct Header {
    version: u8,
    /// 0: nothing is held.
    rtype: u8,
    registrants: U16,
    generation: U32,
    /// All zero with an all-registrants type.
    holder: [u8; 16],
    reserved: [u8; 8],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
struct StoredRegistrant {
    host: [u8; 16],
    key: U64,
}

/// The document that outlives a power cut: empty unless the state shall.
pub(super) fn encode(state: &Reservations) -> Vec<u8> {
    if !state.is_persistent() {
        return Vec::new();
    }
    let mut header = Header::new_zeroed();
    header.version = VERSION;
    header.registrants = (state.registrants().len() as u16).into();
    header.generation = state.generation().into();
    if let Some(held) = state.held() {
        header.rtype = held.kind as u8;
        header.holder = held.holder.map_or([0; 16], Uuid::into_bytes);
    }
    let mut bytes = header.as_bytes().to_vec();
    for registrant in state.registrants() {
        let stored = StoredRegistrant { host: registrant.host.into_bytes(), key: registrant.key.into() };
        bytes.extend_from_slice(stored.as_bytes());
    }
    bytes
}

/// What such a document says. `None`: we did not write it.
pub(super) fn decode(bytes: &[u8]) -> Option<Reservations> {
    if bytes.is_empty() {
        return Some(Reservations::default());
    }
    let (header, rest) = Header::read_from_prefix(bytes).ok()?;
    let stored = <[StoredRegistrant]>::ref_from_bytes(rest).ok()?;
    if header.version != VERSION || stored.len() != usize::from(header.registrants.get()) {
        return None;
    }
    let registrant =
        |stored: &StoredRegistrant| Registrant { host: Uuid::from_bytes(stored.host), key: stored.key.get() };
    let held = match header.rtype {
        0 => None,
        rtype => {
            let kind = ReservationType::from_code(rtype)?;
            let holder = (header.holder != [0; 16]).then(|| Uuid::from_bytes(header.holder));
            Some(Held { kind, holder })
        }
    };
    Reservations::restore(stored.iter().map(registrant).collect(), held, header.generation.get(), true)
}

const _: () = assert!(
    size_of::<Header>() + REGISTRANTS_MAX * size_of::<StoredRegistrant>() <= ATTACHMENT_BYTES_MAX,
    "every state fits an attachment"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: ReservationType, holder: Option<u128>) -> Reservations {
        let registrants = [3, 9].map(|host| Registrant { host: Uuid::from_u128(host), key: 7 }).to_vec();
        let held = Some(Held { kind, holder: holder.map(Uuid::from_u128) });
        Reservations::restore(registrants, held, 5, true).unwrap()
    }

    #[test]
    fn what_persists_comes_back_and_what_does_not_leaves_nothing() {
        let of_one = state(ReservationType::WriteExclusive, Some(9));
        let of_all = state(ReservationType::ExclusiveAccessAllRegistrants, None);
        for mut state in [of_one, of_all] {
            assert_eq!(decode(&encode(&state)), Some(state.clone()));
            state.set_persistent(false);
            assert_eq!(encode(&state), []);
        }
        assert_eq!(decode(&[]), Some(Reservations::default()));
    }

    #[test]
    fn what_we_did_not_write_is_refused() {
        let good = encode(&state(ReservationType::WriteExclusive, Some(9)));
        for len in 1..good.len() {
            assert_eq!(decode(&good[..len]), None, "cut at {len}");
        }
        // Another version, no such type, one registrant more, a holder who is not registered.
        for (at, byte) in [(0, 2), (1, 7), (2, 3), (8 + 15, 8)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(decode(&bad), None, "byte {at}");
        }
    }
}
