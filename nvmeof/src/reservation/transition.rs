//! What each reservation command makes of the state (Base §8.1.25.2 to §8.1.25.9).

use uuid::Uuid;

use super::{Held, Registrant, ReservationType, Reservations};
use crate::{Status, limits::REGISTRANTS_MAX};

/// A reservation command with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationCommand {
    Register {
        action: RegisterAction,
        /// `None`: Ignore Existing Key.
        current_key: Option<u64>,
        new_key: u64,
        /// Also makes the state persistent, or not.
        persistence: Option<bool>,
    },
    Acquire {
        action: AcquireAction,
        kind: ReservationType,
        current_key: u64,
        preempted_key: u64,
    },
    Release {
        action: ReleaseAction,
        /// Must be the held type; `None` is none of the six.
        kind: Option<ReservationType>,
        current_key: u64,
    },
}

/// RREGA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterAction {
    Register,
    Unregister,
    Replace,
}

/// RACQA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireAction {
    Acquire,
    Preempt,
    /// As Preempt; the caller also sees to it that no command of a preempted host is under way when it answers.
    PreemptAndAbort,
}

/// RRELA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseAction {
    Release,
    Clear,
}

/// Somebody to be told by Reservation Notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    pub host: Uuid,
    pub kind: NoticeKind,
}

/// Reservation Notification Log Page Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NoticeKind {
    /// Another host unregistered it.
    RegistrationPreempted = 1,
    /// What bound non-registrants is released.
    ReservationReleased = 2,
    /// Another host cleared everything.
    ReservationPreempted = 3,
}

impl Reservations {
    /// Executes a command of `host` and says whom to tell. With an error nothing has changed.
    pub fn execute(&mut self, host: Uuid, command: &ReservationCommand) -> Result<Vec<Notice>, Status> {
        match *command {
            ReservationCommand::Register { action, current_key, new_key, persistence } => {
                let notices = match action {
                    RegisterAction::Register => self.register(host, new_key)?,
                    RegisterAction::Unregister => self.unregister(host, current_key)?,
                    RegisterAction::Replace => self.replace(host, current_key, new_key)?,
                };
                self.generation = self.generation.wrapping_add(1);
                self.persistent = persistence.unwrap_or(self.persistent);
                Ok(notices)
            }
            ReservationCommand::Acquire { action, kind, current_key, preempted_key } => {
                self.check_key(host, current_key)?;
                if action == AcquireAction::Acquire {
                    return self.acquire(host, kind).map(|()| Vec::new());
                }
                let notices = self.preempt(host, kind, preempted_key)?;
                self.generation = self.generation.wrapping_add(1);
                Ok(notices)
            }
            ReservationCommand::Release { action, kind, current_key } => {
                self.check_key(host, current_key)?;
                match action {
                    ReleaseAction::Release => self.release(host, kind),
                    ReleaseAction::Clear => Ok(self.clear(host)),
                }
            }
        }
    }

    fn check_key(&self, host: Uuid, current_key: u64) -> Result<(), Status> {
        if self.key_of(host) == Some(current_key) { Ok(()) } else { Err(Status::RESERVATION_CONFLICT) }
    }

    fn register(&mut self, host: Uuid, new_key: u64) -> Result<Vec<Notice>, Status> {
        if new_key == 0 {
            // Zero is no key: Preempt means something else by it.
            return Err(Status::INVALID_FIELD);
        }
        match self.position(host) {
            // Through a second controller, say.
            Ok(index) if self.registrants[index].key == new_key => {}
            Ok(_) => return Err(Status::RESERVATION_CONFLICT),
            Err(_) if self.registrants.len() == REGISTRANTS_MAX => return Err(Status::INTERNAL_ERROR),
            Err(index) => self.registrants.insert(index, Registrant { host, key: new_key }),
        }
        Ok(Vec::new())
    }

    fn replace(&mut self, host: Uuid, current_key: Option<u64>, new_key: u64) -> Result<Vec<Notice>, Status> {
        let index = self.own_registration(host, current_key)?;
        if new_key == 0 {
            return Err(Status::INVALID_FIELD);
        }
        self.registrants[index].key = new_key;
        Ok(Vec::new())
    }

    fn unregister(&mut self, host: Uuid, current_key: Option<u64>) -> Result<Vec<Notice>, Status> {
        self.own_registration(host, current_key)?;
        let held = self.held;
        self.remove(|registrant| registrant.host == host);
        let released = held.filter(|held| self.held.is_none() && held.kind.is_shared());
        Ok(released.map_or(Vec::new(), |_| self.tell_others(host, NoticeKind::ReservationReleased)))
    }

    /// The host's registration, if the key is right or need not be.
    fn own_registration(&self, host: Uuid, current_key: Option<u64>) -> Result<usize, Status> {
        let index = self.position(host).map_err(|_| Status::RESERVATION_CONFLICT)?;
        if current_key.is_some_and(|key| key != self.registrants[index].key) {
            return Err(Status::RESERVATION_CONFLICT);
        }
        Ok(index)
    }

    fn acquire(&mut self, host: Uuid, kind: ReservationType) -> Result<(), Status> {
        match self.held {
            None => self.hold(host, kind),
            Some(held) if held.kind == kind && self.is_holder(host) => {}
            Some(_) => return Err(Status::RESERVATION_CONFLICT),
        }
        Ok(())
    }

    fn preempt(
        &mut self,
        host: Uuid,
        kind: ReservationType,
        preempted_key: u64,
    ) -> Result<Vec<Notice>, Status> {
        let Some(held) = self.held else { return self.unregister_key(host, preempted_key) };
        let is_holders_key = match held.holder {
            Some(holder) if preempted_key == 0 => {
                debug_assert!(self.key_of(holder).is_some(), "a holder is a registrant");
                return Err(Status::INVALID_FIELD);
            }
            Some(holder) => self.key_of(holder) == Some(preempted_key),
            // Zero stands for all of them.
            None => preempted_key == 0,
        };
        if !is_holders_key {
            return self.unregister_key(host, preempted_key);
        }
        let everybody = held.holder.is_none();
        let gone = self
            .remove(|registrant| registrant.host != host && (everybody || registrant.key == preempted_key));
        self.hold(host, kind);
        let mut notices = preempted(&gone, host);
        if held.kind != kind {
            notices.extend(self.tell_others(host, NoticeKind::ReservationReleased));
        }
        Ok(notices)
    }

    /// Preempt of a key that is not the reservation's: only registrations go.
    fn unregister_key(&mut self, host: Uuid, key: u64) -> Result<Vec<Notice>, Status> {
        let gone = self.remove(|registrant| registrant.key == key);
        if gone.is_empty() { Err(Status::RESERVATION_CONFLICT) } else { Ok(preempted(&gone, host)) }
    }

    fn release(&mut self, host: Uuid, kind: Option<ReservationType>) -> Result<Vec<Notice>, Status> {
        let Some(held) = self.held.filter(|_| self.is_holder(host)) else {
            // Of no effect, and no error.
            return Ok(Vec::new());
        };
        if kind != Some(held.kind) {
            return Err(Status::INVALID_FIELD);
        }
        self.held = None;
        Ok(if held.kind.is_shared() {
            self.tell_others(host, NoticeKind::ReservationReleased)
        } else {
            Vec::new()
        })
    }

    fn clear(&mut self, host: Uuid) -> Vec<Notice> {
        let notices = self.tell_others(host, NoticeKind::ReservationPreempted);
        self.registrants.clear();
        self.held = None;
        self.generation = self.generation.wrapping_add(1);
        notices
    }

    fn hold(&mut self, host: Uuid, kind: ReservationType) {
        let holder = (!kind.is_all_registrants()).then_some(host);
        self.held = Some(Held { kind, holder });
    }

    /// Takes registrants away, and the reservation with its last holder.
    fn remove(&mut self, is_meant: impl Fn(&Registrant) -> bool) -> Vec<Registrant> {
        let (gone, staying): (Vec<_>, Vec<_>) = self.registrants.iter().copied().partition(is_meant);
        self.registrants = staying;
        let has_holder = |held: Held| match held.holder {
            Some(holder) => self.key_of(holder).is_some(),
            None => !self.registrants.is_empty(),
        };
        self.held = self.held.filter(|held| has_holder(*held));
        gone
    }

    fn tell_others(&self, host: Uuid, kind: NoticeKind) -> Vec<Notice> {
        let others = self.registrants.iter().filter(|registrant| registrant.host != host);
        others.map(|registrant| Notice { host: registrant.host, kind }).collect()
    }
}

fn preempted(gone: &[Registrant], by: Uuid) -> Vec<Notice> {
    let others = gone.iter().filter(|registrant| registrant.host != by);
    others.map(|other| Notice { host: other.host, kind: NoticeKind::RegistrationPreempted }).collect()
}
