//! The slot table: every state by every event.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zerocopy::FromZeros;

use super::super::{
    Slot, TermReq,
    commands::{Commands, State},
};
use crate::wire::pdu::{DataHeader, Fes, LAST_PDU};

/// One slot in the given state, with CID 5 and, where data arrives, 8 bytes to come.
fn reach(state: State) -> Commands {
    let mut commands = Commands::new(1);
    match state {
        State::Free => {}
        State::InCapsule => drop(commands.capsule(5, 8)),
        State::Held => drop(commands.capsule(5, 0)),
        State::Solicited => {
            commands.capsule(5, 0).unwrap();
            commands.request_data(Slot(0), 8);
        }
    }
    assert_eq!(commands.state(Slot(0)), state);
    commands
}

fn header(cccid: u16, ttag: u16, datao: u32, datal: u32, last: bool) -> DataHeader {
    let mut header = DataHeader::new_zeroed();
    header.ch.flags = if last { LAST_PDU } else { 0 };
    header.cccid = cccid.into();
    header.ttag = ttag.into();
    header.datao = datao.into();
    header.datal = datal.into();
    header
}

#[test]
fn what_the_peer_may_send_in_each_state() {
    let tag = Err(TermReq::header_field(10));
    let identifier = Err(TermReq::header_field(8));
    let full = Err(TermReq::new(Fes::PDU_SEQUENCE_ERROR));
    let table = [
        (State::Free, Ok(Slot(0)), identifier),
        (State::InCapsule, full, tag),
        (State::Held, full, tag),
        (State::Solicited, full, Ok(Slot(0))),
    ];
    for (state, capsule, data) in table {
        assert_eq!(reach(state).capsule(6, 0), capsule, "capsule in {state:?}");
        assert_eq!(reach(state).h2c_data(&header(5, 0, 0, 8, true), 8), data, "data in {state:?}");
    }
}

#[test]
fn what_we_may_do_in_each_state() {
    for state in [State::Free, State::InCapsule, State::Held, State::Solicited] {
        let request = catch_unwind(AssertUnwindSafe(|| reach(state).request_data(Slot(0), 8)));
        assert_eq!(request.is_ok(), state == State::Held, "request in {state:?}");
        let release = catch_unwind(AssertUnwindSafe(|| reach(state).release(Slot(0))));
        assert_eq!(release.is_ok(), state == State::Held, "release in {state:?}");
    }
}

#[test]
fn data_that_came_leads_back_to_held() {
    for state in [State::InCapsule, State::Solicited] {
        let mut commands = reach(state);
        assert_eq!(commands.data(Slot(0), 3), 0);
        assert_eq!(commands.payload_end(Slot(0), true), None);
        assert_eq!(commands.data(Slot(0), 5), 3);
        assert_eq!(commands.payload_end(Slot(0), false), Some(false));
        assert_eq!(commands.state(Slot(0)), State::Held);
    }
}

#[test]
fn each_wrong_field_of_h2c_data_has_its_error() {
    let out_of_range = TermReq::new(Fes::DATA_TRANSFER_OUT_OF_RANGE);
    let table = [
        (header(5, 1, 0, 8, true), 8, TermReq::header_field(10)),
        (header(6, 0, 0, 8, true), 8, TermReq::header_field(8)),
        (header(5, 0, 0, 7, true), 8, TermReq::header_field(16)),
        (header(5, 0, 4, 4, true), 4, out_of_range),
        (header(5, 0, 0, 12, true), 12, out_of_range),
        (header(5, 0, 0, 8, false), 8, TermReq::header_field(1)),
        (header(5, 0, 0, 4, true), 4, TermReq::header_field(1)),
    ];
    for (header, payload, error) in table {
        assert_eq!(reach(State::Solicited).h2c_data(&header, payload), Err(error), "{header:?}");
    }
}
