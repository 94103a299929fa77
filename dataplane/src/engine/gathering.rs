//! Where drives wait for one another: a change over several of them holds the volumes on all before it switches the
//! first (E3).

use std::sync::{Arc, Mutex};

use super::{
    error::EngineError,
    sync::{Signal, lock},
};

/// Every party is ready to begin; every party holds its volumes.
const MEETINGS: usize = 2;

/// A party's place. One that is dropped before the last meeting lets the others go: they give up as well.
#[derive(Debug)]
pub struct Seat {
    gathering: Arc<Gathering>,
    next_meeting: usize,
}

#[derive(Debug)]
struct Gathering {
    parties: usize,
    state: Mutex<State>,
    changed: Signal,
}

#[derive(Debug, Default)]
struct State {
    arrived: [usize; MEETINGS],
    somebody_left: bool,
}

impl Seat {
    /// For a change on several drives.
    pub fn for_parties(parties: usize) -> Vec<Self> {
        let gathering = Gathering { parties, state: Mutex::default(), changed: Signal::default() };
        let gathering = Arc::new(gathering);
        (0..parties).map(|_| Self { gathering: gathering.clone(), next_meeting: 0 }).collect()
    }

    /// For a change on one drive: nobody is waited for.
    pub fn alone() -> Self {
        Self::for_parties(1).remove(0)
    }

    /// Waits until all parties have come to this meeting.
    ///
    /// # Errors
    /// `Abandoned` if one of them never will.
    pub(super) async fn meet(&mut self) -> Result<(), EngineError> {
        let Gathering { parties, state, changed } = &*self.gathering;
        let meeting = self.next_meeting;
        assert!(meeting < MEETINGS, "all meetings are over");
        self.next_meeting += 1;
        lock(state).arrived[meeting] += 1;
        changed.raise();
        changed
            .wait_until(|| {
                let state = lock(state);
                if state.arrived[meeting] == *parties {
                    return Some(Ok(()));
                }
                state.somebody_left.then_some(Err(EngineError::Abandoned))
            })
            .await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // After the last meeting nobody asks any more.
        lock(&self.gathering.state).somebody_left = true;
        self.gathering.changed.raise();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn all_or_none() {
        let mut seats = Seat::for_parties(2);
        let (mut b, mut a) = (seats.pop().expect("two"), seats.pop().expect("two"));
        {
            let (mut first, mut second) = (pin!(a.meet()), pin!(b.meet()));
            assert!(poll(first.as_mut()).is_pending());
            assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
            assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(())));
        }
        let mut first = pin!(a.meet());
        assert!(poll(first.as_mut()).is_pending());
        drop(b);
        assert_eq!(poll(first.as_mut()), Poll::Ready(Err(EngineError::Abandoned)));
    }

    #[test]
    fn who_leaves_after_the_last_meeting_holds_nobody_up() {
        let mut seats = Seat::for_parties(2);
        let (mut b, mut a) = (seats.pop().expect("two"), seats.pop().expect("two"));
        for _ in 0..MEETINGS {
            let mut first = pin!(a.meet());
            assert!(poll(first.as_mut()).is_pending());
            assert_eq!(poll(pin!(b.meet())), Poll::Ready(Ok(())));
            assert_eq!(poll(first), Poll::Ready(Ok(())));
        }
        drop(b);
    }

    #[test]
    fn nobody_waits_alone() {
        let mut seat = Seat::alone();
        for _ in 0..MEETINGS {
            assert_eq!(poll(pin!(seat.meet())), Poll::Ready(Ok(())));
        }
    }
}
