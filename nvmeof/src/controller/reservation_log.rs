//! What a host is told about reservations: the Reservation Notification log and its masks (Base §5.1.12.1.32,
//! §5.1.25.1.30).

use std::collections::{BTreeMap, VecDeque};

use zerocopy::{FromZeros, IntoBytes};

use crate::{
    limits::RESERVATION_NOTICES_MAX, reservation::NoticeKind, wire::reservation::ReservationNotification,
};

/// Of one controller.
#[derive(Debug, Clone, Default)]
pub(super) struct ReservationLog {
    /// Oldest first; the host reads them one by one.
    notices: VecDeque<ReservationNotification>,
    /// Notices so far, those that were dropped included: a host sees a gap.
    count: u64,
    /// Reservation Notification Mask of each namespace that has one: a set bit keeps its notices away.
    masks: BTreeMap<u32, u32>,
}

/// The bits of the mask that mean something.
const MASKABLE: u32 = 0b1110;

impl ReservationLog {
    /// Something happened to this host's part in a namespace. False if the host does not want to know.
    pub(super) fn add(&mut self, nsid: u32, kind: NoticeKind) -> bool {
        if self.mask(nsid) & 1 << (kind as u32) != 0 {
            return false;
        }
        self.count += 1;
        let mut notice = ReservationNotification::new_zeroed();
        notice.count = self.count.into();
        notice.kind = kind as u8;
        notice.nsid = nsid.into();
        if self.notices.len() == RESERVATION_NOTICES_MAX {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.notices.is_empty()
    }

    /// The log page: the oldest notice, all zero if there is none.
    pub(super) fn page(&self) -> Vec<u8> {
        let mut page = self.notices.front().copied().unwrap_or_else(ReservationNotification::new_zeroed);
        page.available = self.notices.len().saturating_sub(1) as u8;
        page.as_bytes().to_vec()
    }

    /// The host has read it.
    pub(super) fn next(&mut self) {
        self.notices.pop_front();
    }

    pub(super) fn mask(&self, nsid: u32) -> u32 {
        self.masks.get(&nsid).copied().unwrap_or(0)
    }

    pub(super) fn set_mask(&mut self, nsid: u32, mask: u32) {
        self.masks.insert(nsid, mask & MASKABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_read_one_by_one_unless_masked() {
        let mut log = ReservationLog::default();
        assert_eq!(log.page(), [0; 64]);
        log.set_mask(2, u32::MAX);
        assert_eq!(log.mask(2), 0b1110);
        for kind in [NoticeKind::RegistrationPreempted, NoticeKind::ReservationReleased] {
            assert!(!log.add(2, kind));
            assert!(log.add(1, kind));
        }
        let head = |log: &ReservationLog| log.page()[..16].to_vec();
        assert_eq!(head(&log), [1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0]);
        log.next();
        assert_eq!(head(&log), [2, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
        log.next();
        assert!(log.is_empty());
    }

    #[test]
    fn the_oldest_notices_go_first() {
        let mut log = ReservationLog::default();
        for _ in 0..=RESERVATION_NOTICES_MAX {
            log.add(1, NoticeKind::ReservationPreempted);
        }
        let page = log.page();
        assert_eq!((page[0], page[9]), (2, RESERVATION_NOTICES_MAX as u8 - 1));
    }
}
