//! The PSK identities that a ClientHello offers (RFC 8446 §4.1.2 and §4.2.11).

/// Extension type `pre_shared_key`.
const PRE_SHARED_KEY: usize = 41;
/// Identities looked at in one ClientHello: two hashes times two versions, and room for a rotated key's.
const IDENTITIES_MAX: usize = 8;

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    /// A big-endian number of `width` bytes.
    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    /// A vector whose length stands before it in `width` bytes.
    fn vector(&mut self, width: usize) -> Option<&'a [u8]> {
        let len = self.number(width)?;
        self.take(len)
    }
}

/// The identities in the order in which the client prefers them. None for anything but a ClientHello with PSKs.
pub(super) fn offered_identities(client_hello: &[u8]) -> Vec<&[u8]> {
    let mut identities = Vec::new();
    if let Some(list) = identity_list(client_hello) {
        let mut list = Bytes(list);
        while identities.len() < IDENTITIES_MAX
            && let (Some(identity), Some(_age)) = (list.vector(2), list.number(4))
        {
            identities.push(identity);
        }
    }
    identities
}

fn identity_list(client_hello: &[u8]) -> Option<&[u8]> {
    let mut hello = Bytes(client_hello);
    let (_legacy_version, _random) = (hello.number(2)?, hello.take(32)?);
    let (_session, _suites, _compression) = (hello.vector(1)?, hello.vector(2)?, hello.vector(1)?);
    let mut extensions = Bytes(hello.vector(2)?);
    loop {
        let (kind, body) = (extensions.number(2)?, extensions.vector(2)?);
        if kind == PRE_SHARED_KEY {
            return Bytes(body).vector(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(identities: &[&[u8]]) -> Vec<u8> {
        let vector = |bytes: &[u8]| {
            let len = u16::try_from(bytes.len()).unwrap();
            [&[(len >> 8) as u8, len as u8], bytes].concat()
        };
        let list: Vec<u8> =
            identities.iter().flat_map(|identity| [vector(identity), vec![0; 4]].concat()).collect();
        let psk = [vector(&list), vector(&[33; 33])].concat();
        let extensions = [&[0, 43], &vector(&[2, 3, 4])[..], &[0, 41], &vector(&psk)[..]].concat();
        [&[3, 3], &[7; 32][..], &[1, 9], &vector(&[0x13, 0x01]), &[1, 0], &vector(&extensions)].concat()
    }

    #[test]
    fn identities_come_in_the_clients_order() {
        assert_eq!(offered_identities(&hello(&[b"first", b"second"])), [&b"first"[..], b"second"]);
        assert_eq!(offered_identities(&hello(&[])).len(), 0);
        assert_eq!(offered_identities(&hello(&[&b"x"[..]; 20])).len(), IDENTITIES_MAX);
    }

    #[test]
    fn a_message_cut_anywhere_offers_nothing_more() {
        let whole = hello(&[b"first", b"second"]);
        for len in 0..whole.len() {
            assert!(offered_identities(&whole[..len]).len() <= 2);
        }
        assert!(offered_identities(&[0xFF; 300]).is_empty());
    }
}
