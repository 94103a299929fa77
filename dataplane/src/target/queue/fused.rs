//! Fused Compare and Write (Base §3.4.2): two neighbouring commands of a queue, done as one step or not at all.
//!
//! ```text
//!   nothing --Compare, first--> waiting --Write, second, same range--> paired --> nothing
//!                                  +---- anything else: the first is aborted, the other goes its way
//! ```
//! Each half has its slot, its data and its answer like any command. The first gives its data to the second, which
//! does both. A half that ends early, by whatever way, is dropped, and its other half is aborted.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use nvmeof::{
    Status,
    command::Fuse,
    wire::{Sqe, nvm::RwSqe, opcode::NvmOpcode},
};

use crate::{rt::Buf, target::wait::WakeSlot};

/// What a queue remembers between two capsules.
#[derive(Debug, Default)]
pub(super) struct Fused(RefCell<Option<Waiting>>);

/// A first half whose second must be the next command.
#[derive(Debug)]
struct Waiting {
    nsid: u32,
    slba: u64,
    nlb_z: u16,
    pair: Rc<Pair>,
}

/// What both halves share.
#[derive(Debug, Default)]
struct Pair {
    /// The first half's data.
    expected: RefCell<Option<Buf>>,
    /// How the first half ends.
    verdict: Cell<Option<Status>>,
    first_is_gone: Cell<bool>,
    /// Of the first half, and of the second.
    wakers: [WakeSlot; 2],
}

/// One of two commands that are done together.
#[derive(Debug)]
pub(in crate::target) enum Half {
    First(FirstHalf),
    Second(SecondHalf),
}

#[derive(Debug)]
pub(in crate::target) struct FirstHalf(Rc<Pair>);

#[derive(Debug)]
pub(in crate::target) struct SecondHalf(Rc<Pair>);

impl Fused {
    /// A command came; clears its mark. `None`: it stands alone. Whatever it is, it decides about a first half
    /// before it.
    ///
    /// # Errors
    /// If it is marked and cannot be what it is marked as.
    pub(super) fn arrive(&self, sqe: &mut Sqe) -> Result<Option<Half>, Status> {
        let before = self.0.take();
        let fuse = Fuse::take(sqe);
        let rw: RwSqe = zerocopy::transmute!(*sqe);
        let Ok(Fuse::Second) = fuse else {
            if let Some(waiting) = before {
                waiting.pair.decide(Status::ABORTED_MISSING_FUSED);
            }
            if fuse? == Fuse::Alone {
                return Ok(None);
            }
            if NvmOpcode(rw.opcode) != NvmOpcode::COMPARE {
                return Err(Status::INVALID_FIELD);
            }
            let pair = Rc::new(Pair::default());
            let (nsid, slba, nlb_z) = (rw.nsid.get(), rw.slba.get(), rw.nlb_z.get());
            *self.0.borrow_mut() = Some(Waiting { nsid, slba, nlb_z, pair: pair.clone() });
            return Ok(Some(Half::First(FirstHalf(pair))));
        };
        let waiting = before.ok_or(Status::ABORTED_MISSING_FUSED)?;
        // From here on the first half hears of it if this one ends.
        let second = SecondHalf(waiting.pair);
        let same_range =
            (rw.nsid.get(), rw.slba.get(), rw.nlb_z.get()) == (waiting.nsid, waiting.slba, waiting.nlb_z);
        if NvmOpcode(rw.opcode) != NvmOpcode::WRITE || !same_range {
            return Err(Status::INVALID_FIELD);
        }
        Ok(Some(Half::Second(second)))
    }

    /// No command will come any more.
    pub(super) fn end(&self) {
        if let Some(waiting) = self.0.take() {
            waiting.pair.decide(Status::ABORTED_MISSING_FUSED);
        }
    }
}

impl Pair {
    /// The first decision counts.
    fn decide(&self, first: Status) {
        self.verdict.set(self.verdict.get().or(Some(first)));
        self.wakers[0].wake();
    }
}

impl FirstHalf {
    /// Gives the second half what the volume must hold, and waits for how it went.
    pub(in crate::target) async fn done(self, expected: Buf) -> Status {
        let pair = &self.0;
        *pair.expected.borrow_mut() = Some(expected);
        pair.wakers[1].wake();
        pair.wakers[0].until(|| pair.verdict.get()).await
    }
}

impl Drop for FirstHalf {
    fn drop(&mut self) {
        self.0.first_is_gone.set(true);
        self.0.wakers[1].wake();
    }
}

impl SecondHalf {
    /// Waits for what the volume must hold. `None`: the first half has failed.
    pub(in crate::target) async fn expected(&self) -> Option<Buf> {
        let pair = &self.0;
        let ready = || pair.expected.take().map(Some).or(pair.first_is_gone.get().then_some(None));
        pair.wakers[1].until(ready).await
    }

    /// It was done, or the comparison failed.
    pub(in crate::target) fn first_ends(&self, status: Status) {
        self.0.decide(status);
    }
}

impl Drop for SecondHalf {
    fn drop(&mut self) {
        self.0.decide(Status::ABORTED_FAILED_FUSED);
    }
}

#[cfg(test)]
mod tests {
    use nvmeof::host::sqe;

    use super::*;

    fn marked(mut sqe: Sqe, fuse: u8) -> Sqe {
        sqe.flags |= fuse;
        sqe
    }

    /// What each command finds, after none or a waiting first half; and what becomes of that half.
    #[test]
    fn every_command_after_nothing_and_after_a_first_half() {
        #[derive(Debug, PartialEq)]
        enum Is {
            Alone,
            First,
            Second,
            Refused(Status),
        }
        let (compare, write) = (sqe::compare(1, 8, 1), sqe::write(1, 8, 1, false));
        let missing = Status::ABORTED_MISSING_FUSED;
        let failed = Status::ABORTED_FAILED_FUSED;
        let invalid = Status::INVALID_FIELD;
        let table = [
            (write, Is::Alone, Is::Alone, Some(missing)),
            (marked(compare, 1), Is::First, Is::First, Some(missing)),
            (marked(write, 1), Is::Refused(invalid), Is::Refused(invalid), Some(missing)),
            (marked(write, 3), Is::Refused(invalid), Is::Refused(invalid), Some(missing)),
            (marked(write, 2), Is::Refused(missing), Is::Second, None),
            (marked(compare, 2), Is::Refused(missing), Is::Refused(invalid), Some(failed)),
            (marked(sqe::write(2, 8, 1, false), 2), Is::Refused(missing), Is::Refused(invalid), Some(failed)),
            (marked(sqe::write(1, 9, 1, false), 2), Is::Refused(missing), Is::Refused(invalid), Some(failed)),
            (marked(sqe::write(1, 8, 2, false), 2), Is::Refused(missing), Is::Refused(invalid), Some(failed)),
        ];
        let is = |half: &Result<Option<Half>, Status>| match half {
            Ok(None) => Is::Alone,
            Ok(Some(Half::First(_))) => Is::First,
            Ok(Some(Half::Second(_))) => Is::Second,
            Err(status) => Is::Refused(*status),
        };
        for (entry, after_nothing, after_first, verdict) in table {
            let fused = Fused::default();
            let mut sqe = entry;
            assert_eq!(is(&fused.arrive(&mut sqe)), after_nothing, "{entry:?} after nothing");
            assert_eq!(sqe.flags & 3, if entry.flags & 3 == 3 { 3 } else { 0 });

            let fused = Fused::default();
            let Ok(Some(Half::First(first))) = fused.arrive(&mut marked(compare, 1)) else { unreachable!() };
            let half = fused.arrive(&mut { entry });
            assert_eq!(is(&half), after_first, "{entry:?} after a first half");
            assert_eq!(first.0.verdict.get(), verdict, "the first half before {entry:?}");
            drop(half);
            assert!(first.0.verdict.get().is_some(), "nobody is left to decide");
        }
    }

    #[test]
    fn a_second_half_hears_that_the_first_is_gone() {
        let fused = Fused::default();
        let first = fused.arrive(&mut marked(sqe::compare(1, 0, 1), 1)).unwrap();
        let Ok(Some(Half::Second(second))) = fused.arrive(&mut marked(sqe::write(1, 0, 1, false), 2)) else {
            unreachable!()
        };
        drop(first);
        let mut expected = std::pin::pin!(second.expected());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(matches!(expected.as_mut().poll(&mut cx), std::task::Poll::Ready(None)));
    }

    #[test]
    fn a_first_half_without_a_next_command_ends_with_the_queue() {
        let fused = Fused::default();
        let Ok(Some(Half::First(first))) = fused.arrive(&mut marked(sqe::compare(1, 0, 1), 1)) else {
            unreachable!()
        };
        fused.end();
        assert_eq!(first.0.verdict.get(), Some(Status::ABORTED_MISSING_FUSED));
    }
}
