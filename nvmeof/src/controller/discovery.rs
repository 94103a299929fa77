//! The Discovery log page (Base §5.1.12.3.1).

use std::net::IpAddr;

use zerocopy::{FromZeros, IntoBytes};

use super::{DiscoveryKind, DiscoveryRecord, TransportSecurity, View};
use crate::{
    limits,
    wire::log_page::{
        ADRFAM_IPV4, ADRFAM_IPV6, DiscoveryEntry, DiscoveryHeader, EFLAGS_DUPRETINFO, EFLAGS_EPCSD,
        SECTYPE_TLS13, SUBTYPE_CURRENT_DISCOVERY, SUBTYPE_NVM, SUBTYPE_REFERRAL, TREQ_NO_SQ_FLOW_CONTROL,
        TREQ_SECURE_CHANNEL_NOT_REQUIRED, TREQ_SECURE_CHANNEL_REQUIRED, TRTYPE_TCP,
    },
};

/// Least Admin Max SQ Size, in entries (Base §5.1.12.3.1).
const ASQSZ_MIN: u16 = 32;

/// The whole page: only what this host may see is in the view.
pub(super) fn log(view: &View<'_>) -> Vec<u8> {
    let mut header = DiscoveryHeader::new_zeroed();
    header.genctr = view.discovery_generation.into();
    header.numrec = (view.discovery.len() as u64).into();
    let mut page = header.as_bytes().to_vec();
    for record in view.discovery {
        page.extend_from_slice(entry(record).as_bytes());
    }
    page
}

fn entry(record: &DiscoveryRecord) -> DiscoveryEntry {
    let mut entry = DiscoveryEntry::new_zeroed();
    entry.trtype = TRTYPE_TCP;
    entry.adrfam = match record.address.ip() {
        IpAddr::V4(_) => ADRFAM_IPV4,
        IpAddr::V6(_) => ADRFAM_IPV6,
    };
    match record.kind {
        DiscoveryKind::Storage => entry.subtype = SUBTYPE_NVM,
        DiscoveryKind::Current => {
            entry.subtype = SUBTYPE_CURRENT_DISCOVERY;
            // All portals tell a host the same.
            entry.eflags = (EFLAGS_EPCSD | EFLAGS_DUPRETINFO).into();
        }
        DiscoveryKind::Referral => entry.subtype = SUBTYPE_REFERRAL,
    }
    let (secure_channel, sectype) = match record.security {
        TransportSecurity::Off => (0, 0),
        TransportSecurity::Allowed => (TREQ_SECURE_CHANNEL_NOT_REQUIRED, SECTYPE_TLS13),
        TransportSecurity::Required => (TREQ_SECURE_CHANNEL_REQUIRED, SECTYPE_TLS13),
    };
    // Of a service elsewhere nothing more is known than what every one has.
    let is_ours = record.kind != DiscoveryKind::Referral;
    entry.treq = secure_channel | if is_ours { TREQ_NO_SQ_FLOW_CONTROL } else { 0 };
    entry.tsas[0] = sectype;
    entry.asqsz = if is_ours { limits::ADMIN_QUEUE_ENTRIES_MAX } else { ASQSZ_MIN }.into();
    entry.portid = record.port_id.into();
    entry.cntlid = crate::wire::connect::CNTLID_DYNAMIC.into();
    entry.subnqn = record.subsystem_nqn.encode();
    ascii(&mut entry.trsvcid, &record.address.port().to_string());
    ascii(&mut entry.traddr, &record.address.ip().to_string());
    entry
}

/// Text padded with spaces, as Base §5.1.12.3.1 has address and service.
fn ascii(field: &mut [u8], text: &str) {
    field.fill(b' ');
    field[..text.len()].copy_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nqn;

    #[test]
    fn golden_entries() {
        let record = |kind, address: &str| DiscoveryRecord {
            security: TransportSecurity::Off,
            subsystem_nqn: Nqn::new("nqn.x").unwrap(),
            address: address.parse().unwrap(),
            port_id: 0x0102,
            kind,
        };
        let storage = entry(&record(DiscoveryKind::Storage, "192.0.2.7:4420"));
        let bytes = storage.as_bytes();
        assert_eq!(bytes[..12], [3, 1, 2, 4, 2, 1, 0xFF, 0xFF, 128, 0, 0, 0]);
        assert_eq!(&bytes[32..38], b"4420  ");
        assert_eq!(&bytes[256..262], b"nqn.x\0");
        assert_eq!(&bytes[512..522], b"192.0.2.7 ");
        assert_eq!(bytes[768], 0);
        for (security, treq) in [(TransportSecurity::Allowed, 6), (TransportSecurity::Required, 5)] {
            let secured = DiscoveryRecord { security, ..record(DiscoveryKind::Storage, "192.0.2.7:4420") };
            let entry = entry(&secured);
            assert_eq!((entry.as_bytes()[3], entry.as_bytes()[768]), (treq, 2));
        }
        let current = entry(&record(DiscoveryKind::Current, "[2001:db8::7]:8009"));
        let bytes = current.as_bytes();
        assert_eq!(bytes[..12], [3, 2, 3, 4, 2, 1, 0xFF, 0xFF, 128, 0, 3, 0]);
        assert_eq!(&bytes[512..525], b"2001:db8::7  ");
        let referral = entry(&record(DiscoveryKind::Referral, "192.0.2.8:8009"));
        assert_eq!(referral.as_bytes()[..12], [3, 1, 1, 0, 2, 1, 0xFF, 0xFF, 32, 0, 0, 0]);
    }
}
