//! Reservations of a namespace (Base §8.1.25): who is registered, who holds what, and who may do what because of it.
//!
//! ```text
//!              acquire, preempt                      acquire, preempt
//!   Free ----------------------------> Held by one <----------------> Held by all registrants
//!    ^                                     |                                 |
//!    +--- release, clear, holder unregisters or is unregistered --+  ... the last of them
//! ```
//! A host is unregistered, registered, or a holder. Pure values: a command either changes all it should and says
//! whom to tell, or has a status and changes nothing. Making a change durable is the caller's part.

mod report;
#[cfg(test)]
mod tests;
mod transition;

use uuid::Uuid;

pub use self::transition::{
    AcquireAction, Notice, NoticeKind, RegisterAction, ReleaseAction, ReservationCommand,
};

/// What a reservation keeps other hosts from (Base, Reservation Type Encoding).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ReservationType {
    WriteExclusive = 1,
    ExclusiveAccess = 2,
    WriteExclusiveRegistrantsOnly = 3,
    ExclusiveAccessRegistrantsOnly = 4,
    WriteExclusiveAllRegistrants = 5,
    ExclusiveAccessAllRegistrants = 6,
}

/// What a command does to a namespace, as far as reservations ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A host that registered a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registrant {
    /// Host Identifier.
    pub host: Uuid,
    /// Never zero.
    pub key: u64,
}

/// Who holds the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub kind: ReservationType,
    /// One of the registrants. With the two all-registrants types all of them are holders, and this is `None`.
    pub holder: Option<Uuid>,
}

/// A namespace's registrants and reservation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reservations {
    /// Ascending by host, at most [`REGISTRANTS_MAX`](crate::limits::REGISTRANTS_MAX).
    registrants: Vec<Registrant>,
    held: Option<Held>,
    /// GEN: changes with every change of registrants.
    generation: u32,
    /// Persist Through Power Loss.
    persistent: bool,
}

impl ReservationType {
    pub const ALL: [Self; 6] = [
        Self::WriteExclusive,
        Self::ExclusiveAccess,
        Self::WriteExclusiveRegistrantsOnly,
        Self::ExclusiveAccessRegistrantsOnly,
        Self::WriteExclusiveAllRegistrants,
        Self::ExclusiveAccessAllRegistrants,
    ];

    /// The type of that RTYPE.
    pub fn from_code(rtype: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == rtype)
    }

    fn is_all_registrants(self) -> bool {
        matches!(self, Self::WriteExclusiveAllRegistrants | Self::ExclusiveAccessAllRegistrants)
    }

    /// Whether its release means something to other registrants: one of the plain types bound them before, too.
    fn is_shared(self) -> bool {
        !matches!(self, Self::WriteExclusive | Self::ExclusiveAccess)
    }

    /// Whether hosts without a part in it may still do that.
    fn lets_strangers(self, access: Access) -> bool {
        match self {
            Self::WriteExclusive
            | Self::WriteExclusiveRegistrantsOnly
            | Self::WriteExclusiveAllRegistrants => access == Access::Read,
            Self::ExclusiveAccess
            | Self::ExclusiveAccessRegistrantsOnly
            | Self::ExclusiveAccessAllRegistrants => false,
        }
    }
}

impl Reservations {
    /// What was written down before. `None`: it contradicts itself.
    pub fn restore(
        mut registrants: Vec<Registrant>,
        held: Option<Held>,
        generation: u32,
        persistent: bool,
    ) -> Option<Self> {
        registrants.sort_by_key(|registrant| registrant.host);
        let unique = registrants.windows(2).all(|pair| pair[0].host != pair[1].host);
        let bounded = registrants.len() <= crate::limits::REGISTRANTS_MAX;
        let restored = Self { registrants, held, generation, persistent };
        let held_rightly = held.is_none_or(|held| match held.holder {
            None => held.kind.is_all_registrants() && !restored.registrants.is_empty(),
            Some(host) => !held.kind.is_all_registrants() && restored.key_of(host).is_some(),
        });
        let keys = restored.registrants.iter().all(|registrant| registrant.key != 0);
        (unique && bounded && held_rightly && keys).then_some(restored)
    }

    /// Ascending by host.
    pub fn registrants(&self) -> &[Registrant] {
        &self.registrants
    }

    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// GEN.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Persist Through Power Loss: whether all of this outlives the subsystem's power.
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Feature Reservation Persistence.
    pub fn set_persistent(&mut self, persistent: bool) {
        self.persistent = persistent;
    }

    /// Whether a command of that host may be executed now; if not, it ends with Reservation Conflict.
    pub fn allows(&self, host: Uuid, access: Access) -> bool {
        let Some(held) = self.held else { return true };
        let takes_part =
            if held.kind.is_shared() { self.key_of(host).is_some() } else { held.holder == Some(host) };
        takes_part || held.kind.lets_strangers(access)
    }

    fn is_holder(&self, host: Uuid) -> bool {
        self.held.is_some_and(|held| match held.holder {
            Some(holder) => holder == host,
            None => self.key_of(host).is_some(),
        })
    }

    fn key_of(&self, host: Uuid) -> Option<u64> {
        self.position(host).ok().and_then(|index| self.registrants.get(index)).map(|found| found.key)
    }

    /// Where the host is, or where it belongs.
    fn position(&self, host: Uuid) -> Result<usize, usize> {
        self.registrants.binary_search_by_key(&host, |registrant| registrant.host)
    }
}
