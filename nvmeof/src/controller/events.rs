//! Asynchronous events: held requests, pending events, masks (Base §5.1.2).

use std::collections::VecDeque;

use crate::{
    Status, limits,
    transport::Slot,
    wire::{
        identify::{OAES_ANA_CHANGE, OAES_DISCOVERY_CHANGE, OAES_NAMESPACE_ATTRIBUTE},
        log_page::{WARNING_READ_ONLY, WARNING_SPARE},
        opcode::LogPageId,
    },
};

/// What can happen without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A namespace came, went, or changed its size.
    NamespaceAttribute,
    AnaChange,
    DiscoveryChange,
    /// There is a reservation notification.
    ReservationLog,
    /// A drive under a namespace takes no writes any more.
    Reliability,
    /// Free space fell below the threshold.
    SpareLow,
}

const EVENTS: [Event; 6] = [
    Event::NamespaceAttribute,
    Event::AnaChange,
    Event::DiscoveryChange,
    Event::ReservationLog,
    Event::Reliability,
    Event::SpareLow,
];

/// Critical warnings and what is told when one appears (Base §5.1.2.1). Asynchronous Event Configuration enables
/// each by the bit that it has in the SMART log.
const WARNINGS: [(u8, Event); 2] =
    [(WARNING_READ_ONLY, Event::Reliability), (WARNING_SPARE, Event::SpareLow)];

impl Event {
    /// The bit that enables it in Asynchronous Event Configuration. `None`: it has a mask of its own.
    fn enable_bit(self) -> Option<u32> {
        match self {
            Self::NamespaceAttribute => Some(OAES_NAMESPACE_ATTRIBUTE),
            Self::AnaChange => Some(OAES_ANA_CHANGE),
            Self::DiscoveryChange => Some(OAES_DISCOVERY_CHANGE),
            Self::ReservationLog => None,
            Self::Reliability => Some(u32::from(WARNING_READ_ONLY)),
            Self::SpareLow => Some(u32::from(WARNING_SPARE)),
        }
    }

    /// The log page whose reading arms it again.
    fn log_page(self) -> LogPageId {
        match self {
            Self::NamespaceAttribute => LogPageId::CHANGED_NAMESPACES,
            Self::AnaChange => LogPageId::ANA,
            Self::DiscoveryChange => LogPageId::DISCOVERY,
            Self::ReservationLog => LogPageId::RESERVATION_NOTIFICATION,
            Self::Reliability | Self::SpareLow => LogPageId::SMART,
        }
    }

    /// Dword 0 of the completion: type, information and log page.
    fn result(self) -> u32 {
        const SMART: u32 = 1;
        const NOTICE: u32 = 2;
        const IO_COMMAND_SPECIFIC: u32 = 6;
        let (kind, information): (u32, u32) = match self {
            Self::NamespaceAttribute => (NOTICE, 0x00),
            Self::AnaChange => (NOTICE, 0x03),
            Self::DiscoveryChange => (NOTICE, 0xF0),
            Self::ReservationLog => (IO_COMMAND_SPECIFIC, 0x00),
            Self::Reliability => (SMART, 0x00),
            Self::SpareLow => (SMART, 0x02),
        };
        kind | information << 8 | u32::from(self.log_page().0) << 16
    }
}

/// An event's way: Armed -> Pending (it happened) -> Reported (the host was told) -> Armed (it read the log).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EventState {
    Armed,
    Pending,
    Reported,
}

/// A held Asynchronous Event Request to complete now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCompletion {
    pub slot: Slot,
    pub status: Status,
    pub result: u32,
}

/// All of one controller.
#[derive(Debug, Clone)]
pub(super) struct Events {
    states: [EventState; EVENTS.len()],
    /// Asynchronous Event Configuration.
    pub(super) enabled: u32,
    /// Critical warnings at the last look.
    warnings: u8,
    requests: VecDeque<Request>,
    aborted: VecDeque<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    slot: Slot,
    cid: u16,
}

impl Events {
    pub(super) fn new() -> Self {
        Self {
            states: [EventState::Armed; EVENTS.len()],
            enabled: 0,
            warnings: 0,
            requests: VecDeque::new(),
            aborted: VecDeque::new(),
        }
    }

    /// Holds a request.
    pub(super) fn hold(&mut self, slot: Slot, cid: u16) -> Result<(), Status> {
        if self.requests.len() == usize::from(limits::ASYNC_EVENTS_MAX) {
            return Err(Status::ASYNC_EVENT_LIMIT_EXCEEDED);
        }
        self.requests.push_back(Request { slot, cid });
        Ok(())
    }

    /// An event happened. One that the host has been told of and not yet looked into stays told: the log
    /// will have both.
    pub(super) fn raise(&mut self, event: Event) {
        let state = &mut self.states[event as usize];
        if *state == EventState::Armed {
            *state = EventState::Pending;
        }
    }

    /// Looks at the critical warnings: each that appeared is an event.
    pub(super) fn see_warnings(&mut self, warnings: u8) {
        let appeared = warnings & !self.warnings;
        self.warnings = warnings;
        for (warning, event) in WARNINGS {
            if appeared & warning != 0 {
                self.raise(event);
            }
        }
    }

    /// Whether the host wants to hear of critical warnings, so that somebody has to look for them.
    pub(super) fn wants_warnings(&self) -> bool {
        WARNINGS.iter().any(|&(warning, _)| self.enabled & u32::from(warning) != 0)
    }

    /// The host read a log page, and not with Retain Asynchronous Event.
    pub(super) fn log_read(&mut self, page: LogPageId) {
        for event in EVENTS {
            if event.log_page() == page {
                self.states[event as usize] = EventState::Armed;
            }
        }
    }

    /// Aborts a held request by its identifier; whether there was one.
    pub(super) fn abort(&mut self, cid: u16) -> bool {
        let Some(index) = self.requests.iter().position(|request| request.cid == cid) else {
            return false;
        };
        self.aborted.extend(self.requests.remove(index).map(|request| request.slot));
        true
    }

    /// A reset: requests end, nothing is pending or enabled.
    pub(super) fn reset(&mut self) {
        self.aborted.extend(self.requests.drain(..).map(|request| request.slot));
        self.states = [EventState::Armed; EVENTS.len()];
        self.enabled = 0;
        self.warnings = 0;
    }

    /// The next request to complete, if an event or an abort waits for one.
    pub(super) fn take(&mut self) -> Option<EventCompletion> {
        if let Some(slot) = self.aborted.pop_front() {
            return Some(EventCompletion { slot, status: Status::ABORT_REQUESTED, result: 0 });
        }
        // One report for each log page until it is read: what else it says, the host will see there.
        let is_told = |page: LogPageId| {
            EVENTS
                .iter()
                .any(|other| other.log_page() == page && self.states[*other as usize] == EventState::Reported)
        };
        let ready = |event: &Event| {
            let enabled = event.enable_bit().is_none_or(|bit| self.enabled & bit != 0);
            let is_pending = self.states[*event as usize] == EventState::Pending;
            enabled && is_pending && !is_told(event.log_page())
        };
        let event = EVENTS.into_iter().find(ready)?;
        let request = self.requests.pop_front()?;
        self.states[event as usize] = EventState::Reported;
        Some(EventCompletion { slot: request.slot, status: Status::SUCCESS, result: event.result() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled() -> Events {
        let mut events = Events::new();
        events.enabled = OAES_NAMESPACE_ATTRIBUTE;
        events
    }

    #[test]
    fn an_event_waits_for_a_request_and_is_told_once_until_its_log_is_read() {
        let mut events = enabled();
        events.raise(Event::NamespaceAttribute);
        assert_eq!(events.take(), None);
        events.hold(Slot(1), 11).unwrap();
        events.hold(Slot(2), 12).unwrap();
        let told = events.take().unwrap();
        assert_eq!((told.slot, told.result), (Slot(1), 0x0004_0002));
        events.raise(Event::NamespaceAttribute);
        assert_eq!(events.take(), None);
        events.log_read(LogPageId::CHANGED_NAMESPACES);
        assert_eq!(events.take(), None);
        events.raise(Event::NamespaceAttribute);
        assert_eq!(events.take().unwrap().slot, Slot(2));
    }

    #[test]
    fn what_is_not_enabled_is_not_told() {
        let mut events = enabled();
        events.hold(Slot(1), 11).unwrap();
        events.raise(Event::AnaChange);
        assert_eq!(events.take(), None);
        events.enabled |= OAES_ANA_CHANGE;
        assert_eq!(events.take().unwrap().result, 0x000C_0302);
        events.hold(Slot(2), 12).unwrap();
        events.raise(Event::ReservationLog);
        assert_eq!(events.take().unwrap().result, 0x0080_0006);
    }

    /// What can happen to an event; each step tells whether the host is told of it then.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Raise,
        Enable,
        Disable,
        ReadLog,
        ReadOtherLog,
        Reset,
    }

    #[test]
    fn every_state_by_every_step() {
        use EventState::{Armed, Pending, Reported};
        let table = [
            (Armed, Step::Raise, true),
            (Armed, Step::Enable, false),
            (Armed, Step::Disable, false),
            (Armed, Step::ReadLog, false),
            (Armed, Step::ReadOtherLog, false),
            (Armed, Step::Reset, false),
            (Pending, Step::Raise, false),
            (Pending, Step::Enable, true),
            (Pending, Step::Disable, false),
            (Pending, Step::ReadLog, false),
            (Pending, Step::ReadOtherLog, false),
            (Pending, Step::Reset, false),
            (Reported, Step::Raise, false),
            (Reported, Step::Enable, false),
            (Reported, Step::Disable, false),
            (Reported, Step::ReadLog, false),
            (Reported, Step::ReadOtherLog, false),
            (Reported, Step::Reset, false),
        ];
        for (from, step, told) in table {
            let mut events = Events::new();
            // Masked where it is pending: else it would not stay so with a request held.
            events.enabled = if from == Pending { 0 } else { OAES_ANA_CHANGE };
            events.states[Event::AnaChange as usize] = from;
            events.hold(Slot(1), 1).unwrap();
            match step {
                Step::Raise => events.raise(Event::AnaChange),
                Step::Enable => events.enabled = OAES_ANA_CHANGE,
                Step::Disable => events.enabled = 0,
                Step::ReadLog => events.log_read(LogPageId::ANA),
                Step::ReadOtherLog => events.log_read(LogPageId::CHANGED_NAMESPACES),
                Step::Reset => events.reset(),
            }
            let success = std::iter::from_fn(|| events.take()).any(|event| event.status == Status::SUCCESS);
            assert_eq!(success, told, "{from:?} by {step:?}");
            let then = match (from, step) {
                (_, Step::ReadLog | Step::Reset) => Armed,
                _ if told => Reported,
                (from, _) => from,
            };
            assert_eq!(events.states[Event::AnaChange as usize], then, "{from:?} by {step:?}");
        }
    }

    #[test]
    fn a_warning_is_told_when_it_appears_and_both_are_one_report() {
        let mut events = Events::new();
        events.see_warnings(WARNING_SPARE);
        events.hold(Slot(1), 1).unwrap();
        events.hold(Slot(2), 2).unwrap();
        assert_eq!((events.take(), events.wants_warnings()), (None, false));
        events.enabled = u32::from(WARNING_SPARE | WARNING_READ_ONLY);
        assert!(events.wants_warnings());
        assert_eq!(events.take().unwrap().result, 0x0002_0201);
        events.see_warnings(WARNING_SPARE | WARNING_READ_ONLY);
        assert_eq!(events.take(), None, "the log that the host was told of says both");
        events.log_read(LogPageId::SMART);
        events.see_warnings(WARNING_SPARE | WARNING_READ_ONLY);
        assert_eq!(events.take(), None, "nothing new");
        events.see_warnings(0);
        events.see_warnings(WARNING_READ_ONLY);
        assert_eq!(events.take().unwrap().result, 0x0002_0001);
    }

    #[test]
    fn requests_are_bounded_and_can_be_aborted() {
        let mut events = enabled();
        for cid in 0..u16::from(limits::ASYNC_EVENTS_MAX) {
            events.hold(Slot(cid), cid).unwrap();
        }
        assert_eq!(events.hold(Slot(9), 9), Err(Status::ASYNC_EVENT_LIMIT_EXCEEDED));
        assert!(events.abort(2));
        assert!(!events.abort(2));
        let aborted = EventCompletion { slot: Slot(2), status: Status::ABORT_REQUESTED, result: 0 };
        assert_eq!(events.take(), Some(aborted));
        events.reset();
        assert_eq!(std::iter::from_fn(|| events.take()).count(), 3);
    }
}
