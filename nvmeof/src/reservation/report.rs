//! Reservation Report (Base §7.5): the extended data structure.

use zerocopy::{FromZeros, IntoBytes};

use super::Reservations;
use crate::wire::reservation::{RegistrantStatus, ReservationStatus};

/// A registrant is a host, whichever of its controllers registered it.
const CNTLID_NONE: u16 = 0xFFFF;

impl Reservations {
    /// The whole report; the command's length cuts it, or fills it up with zeros.
    pub fn report(&self) -> Vec<u8> {
        let mut header = ReservationStatus::new_zeroed();
        header.r#gen = self.generation.into();
        header.rtype = self.held.map_or(0, |held| held.kind as u8);
        header.regstrnt = (self.registrants.len() as u16).into();
        header.ptpls = u8::from(self.persistent);
        let mut report = header.as_bytes().to_vec();
        for registrant in &self.registrants {
            let mut status = RegistrantStatus::new_zeroed();
            status.cntlid = CNTLID_NONE.into();
            status.rcsts = u8::from(self.is_holder(registrant.host));
            status.rkey = registrant.key.into();
            status.hostid = *registrant.host.as_bytes();
            report.extend_from_slice(status.as_bytes());
        }
        report
    }
}
