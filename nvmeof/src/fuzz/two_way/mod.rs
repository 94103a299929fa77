//! Our host and our controller joined by two lines, on which bytes are cut, delayed, changed and lost.

mod controller_end;
mod host_end;
mod line;
mod model;

use self::{
    controller_end::ControllerEnd,
    host_end::HostEnd,
    line::{Line, Part},
    model::{End, Ended, Harm, Model},
};
use crate::{
    transport::{HostTransfer, ICRequest},
    wire::pdu::Fes,
};

const ENTRIES: u16 = 4;
/// Steps of one run.
const STEPS_MAX: usize = 2000;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;
const NEITHER: u8 = 0x00;

fn opcode(transfer: HostTransfer) -> u8 {
    match transfer {
        HostTransfer::None => NEITHER,
        HostTransfer::In(_) => READ,
        HostTransfer::InCapsule(_) | HostTransfer::Out(_) => WRITE,
    }
}

/// Both ends of a connection, whose steps the input chooses: commands of every kind, their answers in any order, data
/// in parts, bytes in pieces, one byte that is changed on its way, an early close. Its first byte chooses the digests
/// and the alignment; then each step is a byte, followed by those that it needs.
///
/// Neither end ever panics. Beyond that, by what the changed byte is of:
///
/// - none, or padding: every command ends, once, with the status and the data of the model, and nobody ends the
///   connection;
/// - data, or its digest, with data digests: the same, but this command's data is found not to be intact;
/// - data without: the same, with exactly this byte changed in this command's data;
/// - a header with a digest: its receiver ends the connection with a TermReq, which the other end reads as it is
///   meant, and nothing of that PDU or behind it counts; what ended before did so by the model;
/// - a header without a digest, those of the handshake among them: nothing covers it, so that it may mean another
///   command or another length. Still each end's events are about commands that it has in flight, lie within their
///   data, and end each at most once; the controller holds what the transport holds; and if the receiver ends the
///   connection the other end hears it, or has found fault itself.
pub fn two_way(input: &[u8]) {
    let mut input = Input(input);
    let mut joined = Joined::new(input.byte());
    for _ in 0..STEPS_MAX {
        if input.0.is_empty() {
            joined.drain();
            joined.judge();
            return;
        }
        if joined.step(&mut input) == Step::Close {
            return;
        }
    }
}

/// Bytes to choose by; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// How many bytes arrive, or are given, at once.
    fn piece(&mut self) -> usize {
        match usize::from(self.byte()) {
            few @ 0..200 => few + 1,
            many => (many - 199) * 150,
        }
    }

    fn transfer_len(&mut self) -> u32 {
        const LENGTHS: [u32; 8] = [1, 3, 64, 511, 512, 700, 4096, 8192];
        LENGTHS[usize::from(self.byte()) % LENGTHS.len()]
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    GoOn,
    Close,
}

struct Joined {
    host: HostEnd,
    controller: ControllerEnd,
    to_host: Line,
    to_controller: Line,
    model: Model,
}

impl Joined {
    fn new(wanted: u8) -> Self {
        let request = ICRequest {
            header_digest: wanted & 1 != 0,
            data_digest: wanted & 2 != 0,
            hpda_z: (wanted >> 2) % 32,
        };
        let mut to_controller = Line::default();
        let host = HostEnd::new(request, &mut to_controller);
        let (controller, model) = (ControllerEnd::new(), Model::default());
        Self { host, controller, to_host: Line::default(), to_controller, model }
    }

    fn step(&mut self, input: &mut Input<'_>) -> Step {
        let (model, out) = (&mut self.model, &mut self.to_controller);
        match input.byte() % 11 {
            0 => self.host.begin(HostTransfer::None, input.byte(), model, out),
            1 => self.host.begin(HostTransfer::In(input.transfer_len()), input.byte(), model, out),
            2 => self.host.begin(HostTransfer::InCapsule(input.transfer_len()), input.byte(), model, out),
            3 => self.host.begin(HostTransfer::Out(input.transfer_len()), input.byte(), model, out),
            4 => drop(self.host.give(input.byte(), input.piece() as u32, out)),
            5 | 6 => drop(self.controller.go_on(input.byte(), input.byte(), model, &mut self.to_host)),
            7 => self.arrive(End::Controller, input.piece()),
            8 => self.arrive(End::Host, input.piece()),
            9 => self.corrupt(input),
            _ if input.byte() == 0xFF => return Step::Close,
            _ => {}
        }
        Step::GoOn
    }

    fn arrive(&mut self, to: End, len: usize) {
        match to {
            End::Controller => {
                let next = self.to_controller.front();
                let bytes = self.to_controller.take(len);
                self.controller.receive(&bytes, next, &self.model, &mut self.to_host);
            }
            End::Host => {
                let next = self.to_host.front();
                let bytes = self.to_host.take(len);
                self.host.receive(&bytes, next, &mut self.model, &mut self.to_controller);
            }
        }
    }

    /// One byte in a run: what it brings about can then be told exactly.
    fn corrupt(&mut self, input: &mut Input<'_>) {
        let (to, place, mask) = (input.byte(), usize::from(input.byte()) << 8, input.byte());
        let place = place | usize::from(input.byte());
        let (to, line) = match to & 1 {
            0 => (End::Host, &mut self.to_host),
            _ => (End::Controller, &mut self.to_controller),
        };
        if self.model.harm.is_none()
            && mask != 0
            && let Some(part) = line.corrupt(place, mask)
        {
            self.model.harm = Some(Harm { to, part, mask });
        }
    }

    /// Everything arrives, and both ends do all that they can.
    fn drain(&mut self) {
        loop {
            self.arrive(End::Controller, usize::MAX);
            self.arrive(End::Host, usize::MAX);
            let given = self.host.give(0, u32::MAX, &mut self.to_controller);
            let went_on = self.controller.go_on(0, 0, &mut self.model, &mut self.to_host);
            if !given && !went_on && self.to_controller.is_empty() && self.to_host.is_empty() {
                return;
            }
        }
    }

    fn judge(&self) {
        let (host, controller) = (self.host.ended, self.controller.ended);
        let Some(harm) = self.model.harm else { return self.all_is_well() };
        let (receiver, other) = match harm.to {
            End::Host => (host, controller),
            End::Controller => (controller, host),
        };
        match harm.part {
            Part::Padding | Part::Data { .. } | Part::DataDigest { .. } => self.all_is_well(),
            Part::Header { checked: true } => {
                let Some(Ended::Broke(error)) = receiver else { panic!("{harm:?} was not found") };
                let faults = [
                    Fes::HEADER_DIGEST_ERROR,
                    Fes::INVALID_PDU_HEADER_FIELD,
                    Fes::PDU_SEQUENCE_ERROR,
                    Fes::LIMIT_EXCEEDED,
                ];
                assert!(faults.contains(&error.fes), "{error:?}");
                assert_eq!(other, Some(Ended::Told(error)));
            }
            Part::Header { checked: false } => {
                if let Some(Ended::Broke(error)) = receiver {
                    assert!(
                        other == Some(Ended::Told(error)) || matches!(other, Some(Ended::Broke(_))),
                        "{error:?} was not heard: {other:?}"
                    );
                }
            }
        }
    }

    fn all_is_well(&self) {
        assert_eq!((self.host.ended, self.controller.ended), (None, None));
        assert!(self.host.is_idle() && self.controller.is_idle(), "every command has ended");
    }
}
