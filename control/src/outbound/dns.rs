//! Questions for addresses, and answers to them (RFC 1035 §4).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// TYPE A and AAAA.
    fn kind(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// A question for the addresses of one name.
#[derive(Debug)]
pub(crate) struct Question {
    message: Vec<u8>,
    family: Family,
}

/// What a message says to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// None where the name has none of this family.
    Addresses(Vec<IpAddr>),
    /// There is more than fits.
    Truncated,
    /// It answers another question.
    ToAnother,
}

const HEAD_BYTES: usize = 12;
const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const CLASS_INTERNET: u8 = 1;
const NO_ERROR: u8 = 0;
/// NXDOMAIN.
const NO_SUCH_NAME: u8 = 3;
/// A pointer to a name that stands elsewhere.
const POINTER: u8 = 0xC0;

impl Question {
    /// `id`: a random one.
    pub(crate) fn new(host: &str, family: Family, id: u16) -> io::Result<Self> {
        let [high, low] = [(id >> 8) as u8, id as u8];
        let mut message = vec![high, low, RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in host.strip_suffix('.').unwrap_or(host).split('.') {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length));
            let length = length.ok_or_else(|| invalid("is no host name"))?;
            message.push(length);
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, family.kind(), 0, CLASS_INTERNET]);
        match message.len() - HEAD_BYTES <= 255 + 4 {
            true => Ok(Self { message, family }),
            false => Err(invalid("is too long for a host name")),
        }
    }

    pub(crate) fn message(&self) -> &[u8] {
        &self.message
    }

    /// The addresses that the message tells. What stands in it of other types, such as aliases on the way, is passed over:
    /// a server that resolves sends the addresses that they lead to with them.
    pub(crate) fn read(&self, message: &[u8]) -> io::Result<Reply> {
        let is_answer = message.len() >= HEAD_BYTES
            && message[..2] == self.message[..2]
            && message[2] & RESPONSE != 0
            && message.get(HEAD_BYTES..self.message.len()).is_some_and(|asked| self.asks(asked));
        if !is_answer {
            return Ok(Reply::ToAnother);
        }
        match message[3] & 0x0F {
            NO_ERROR => {}
            NO_SUCH_NAME => return Ok(Reply::Addresses(Vec::new())),
            code => return Err(invalid(&format!("answers with the error {code}"))),
        }
        if message[2] & TRUNCATED != 0 {
            return Ok(Reply::Truncated);
        }
        let count = usize::from(message[6]) << 8 | usize::from(message[7]);
        let mut rest = &message[self.message.len()..];
        let mut addresses = Vec::new();
        for _ in 0..count {
            let (record, after) =
                Record::split(rest).ok_or_else(|| invalid("sends an answer that is cut short"))?;
            addresses.extend(record.address(self.family));
            rest = after;
        }
        Ok(Reply::Addresses(addresses))
    }

    /// Servers may answer in letters of another case.
    fn asks(&self, asked: &[u8]) -> bool {
        asked.eq_ignore_ascii_case(&self.message[HEAD_BYTES..])
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

struct Record<'a> {
    kind: [u8; 2],
    class: [u8; 2],
    data: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first one, and what comes after it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let bytes = skip_name(bytes)?;
        let (head, bytes) = bytes.split_first_chunk::<10>()?;
        let length = usize::from(head[8]) << 8 | usize::from(head[9]);
        let (data, rest) = bytes.split_at_checked(length)?;
        Some((Self { kind: [head[0], head[1]], class: [head[2], head[3]], data }, rest))
    }

    fn address(&self, family: Family) -> Option<IpAddr> {
        if self.kind != [0, family.kind()] || self.class != [0, CLASS_INTERNET] {
            return None;
        }
        match family {
            Family::V4 => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(self.data).ok()?))),
            Family::V6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(self.data).ok()?))),
        }
    }
}

/// What comes after the name; where a pointer leads does not matter.
fn skip_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        bytes = match length {
            0 => return Some(rest),
            pointer if pointer & POINTER == POINTER => return rest.get(1..),
            length if length & POINTER == 0 => rest.get(usize::from(length)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn question(family: Family) -> Question {
        Question::new("a.example", family, 0x1234).unwrap()
    }

    /// An answer with an alias first, and then these.
    fn answer(question: &Question, records: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = question.message().to_vec();
        (message[2], message[7]) = (0x81, 1 + records.len() as u8);
        message.extend([0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xC0, 14]);
        for (kind, data) in records {
            message.extend([1, b'b', 0xC0, 14, 0, *kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
            message.extend(*data);
        }
        message
    }

    #[test]
    fn addresses_of_the_family_are_found() {
        let records: [(u8, &[u8]); 4] =
            [(1, &[192, 0, 2, 1]), (28, &[1; 16]), (1, &[192, 0, 2, 2]), (1, &[1])];
        let v4 = question(Family::V4);
        let found = v4.read(&answer(&v4, &records)).unwrap();
        assert_eq!(found, Reply::Addresses(["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap()).into()));
        let v6 = question(Family::V6);
        let Reply::Addresses(found) = v6.read(&answer(&v6, &records)).unwrap() else { panic!() };
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn other_messages_are_told_apart() {
        let asked = question(Family::V4);
        let good = answer(&asked, &[(1, &[192, 0, 2, 1])]);
        let with = |at: usize, value: u8| {
            let mut other = good.clone();
            other[at] = value;
            asked.read(&other)
        };
        for (at, value) in [(0, 0), (1, 0), (2, 1), (13, b'x'), (24, 28)] {
            assert_eq!(with(at, value).unwrap(), Reply::ToAnother, "{at}");
        }
        assert_eq!(with(13, b'A').unwrap(), asked.read(&good).unwrap(), "in other letters");
        assert_eq!(with(2, 0x83).unwrap(), Reply::Truncated);
        assert_eq!(with(3, 3).unwrap(), Reply::Addresses(Vec::new()));
        assert!(with(3, 2).is_err() && with(7, 9).is_err());
        for host in ["", "a..b", &"x".repeat(64), &"x.".repeat(140)] {
            assert!(Question::new(host, Family::V4, 0).is_err(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(at in 0usize..80, value: u8, cut in 0usize..80, tail: Vec<u8>) {
            let asked = question(Family::V4);
            let mut message = answer(&asked, &[(1, &[192, 0, 2, 1])]);
            let at = at % message.len();
            message[at] = value;
            let _ = asked.read(&message);
            message.truncate(cut);
            message.extend(tail);
            let _ = asked.read(&message);
        }
    }
}
