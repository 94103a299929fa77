//! Where a core's commands wait for their turn at a limited volume.
//!
//! Fair among lanes by start tags: a lane's command is tagged with where its lane stands in a virtual time that
//! runs on by the prices of what the lane asks for, and the smallest tag goes first.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    limiter::Limiter,
    rate::{Lease, Price, purchase},
};
use crate::{
    node::RateLimits,
    rt::{self, CoreId, Nanos},
};

/// How often waiting commands are looked through for those that have waited too long.
const SWEEP: Duration = Duration::from_secs(1);
/// How soon waiting commands notice changed limits.
const LOOK: Duration = Duration::from_millis(20);

/// A queue pair's commands for one volume, in order.
#[derive(Debug)]
pub(in crate::target) struct Lane {
    gate: Rc<Gate>,
    /// Virtual time up to which the lane has asked.
    asked_ns: Cell<u64>,
}

/// How waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::target) enum Leave {
    Given,
    /// The command's own time was over first; it has used nothing up.
    TooLate,
}

/// One core's waiting commands of one volume.
#[derive(Debug)]
struct Gate {
    core: CoreId,
    limiter: Arc<Limiter>,
    line: RefCell<Line>,
    /// The task that lets commands in is running: nobody may pass it by.
    working: Cell<bool>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<Tag, Waiting>,
    /// Start tag of the command that began last.
    virtual_ns: u64,
    arrivals: u64,
    lease: Lease,
    /// What the core might have bought last time and did not, because the next command did not fit.
    put_off: Price,
    /// The limits under which the lease was bought.
    limits: RateLimits,
}

/// A command's place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tag {
    start_ns: u64,
    arrival: u64,
}

#[derive(Debug)]
struct Waiting {
    bytes: u64,
    give_up: Option<Nanos>,
    waker: Option<Waker>,
}

thread_local! {
    /// The gates of this thread's cores; the simulator has several on one thread.
    static GATES: RefCell<Vec<Weak<Gate>>> = RefCell::default();
}

impl Lane {
    /// A new lane to a volume on this core.
    pub(in crate::target) fn new(limiter: &Arc<Limiter>) -> Self {
        Self { gate: Gate::of(limiter), asked_ns: Cell::new(0) }
    }

    /// Waits until a command that moves `bytes` may begin, until `give_up` at most (looked at once per [`SWEEP`]).
    /// Whoever drops the future has used nothing up.
    pub(in crate::target) async fn leave(&self, bytes: u64, give_up: Option<Nanos>) -> Leave {
        let gate = &self.gate;
        let (price, now) = (gate.limiter.price(bytes), rt::now());
        if !gate.working.get() && gate.limiter.is_free(now) {
            gate.limiter.reserve(now, price);
            return Leave::Given;
        }
        let tag = self.enqueue(price, Waiting { bytes, give_up, waker: None });
        if !gate.working.replace(true) {
            rt::spawn(work(gate.clone()));
        }
        Turn { gate, tag, give_up }.await
    }

    fn enqueue(&self, price: Price, waiting: Waiting) -> Tag {
        let mut line = self.gate.line.borrow_mut();
        let start_ns = self.asked_ns.get().max(line.virtual_ns);
        self.asked_ns.set(start_ns.saturating_add(price.time_ns()));
        line.arrivals += 1;
        let tag = Tag { start_ns, arrival: line.arrivals };
        line.waiting.insert(tag, waiting);
        tag
    }
}

impl Gate {
    fn of(limiter: &Arc<Limiter>) -> Rc<Self> {
        let core = rt::core_id();
        GATES.with_borrow_mut(|gates| {
            gates.retain(|gate| gate.strong_count() > 0);
            let own = |gate: &Rc<Self>| gate.core == core && Arc::ptr_eq(&gate.limiter, limiter);
            gates.iter().filter_map(Weak::upgrade).find(own).unwrap_or_else(|| {
                let gate = Rc::new(Self {
                    core,
                    limiter: limiter.clone(),
                    line: RefCell::default(),
                    working: Cell::new(false),
                });
                gates.push(Rc::downgrade(&gate));
                gate
            })
        })
    }

    /// Lets in whose time has come, and says when to look again; `None` when nobody waits.
    fn let_in(&self, now: Nanos) -> Option<Nanos> {
        let mut line = self.line.borrow_mut();
        let limits = self.limiter.limits();
        if line.limits != limits {
            line.limits = limits;
            line.lease = Lease::default();
            line.put_off = Price::default();
        }
        loop {
            let (&tag, first) = line.waiting.first_key_value()?;
            let price = self.limiter.price(first.bytes);
            if is_over(first.give_up, now) {
                line.dismiss(tag);
                continue;
            }
            if !price.is_within(line.lease.left()) {
                self.buy(&mut line, now);
            }
            if !line.lease.is_due(now) {
                return Some(line.lease.due());
            }
            line.lease.spend(price);
            line.virtual_ns = tag.start_ns;
            line.dismiss(tag);
        }
    }

    /// A new lease for those who wait; what is left of the present one counts.
    fn buy(&self, line: &mut Line, now: Nanos) {
        let prices = line.waiting.values().map(|waiting| self.limiter.price(waiting.bytes));
        let turn = self.limiter.turn();
        let (bought, put_off) = purchase(turn.plus(line.put_off), prices);
        line.put_off = put_off.at_most(turn);
        let start = self.limiter.reserve(now, bought.minus(line.lease.left()));
        line.lease = Lease::new(start, bought);
    }

    /// Lets those look up whose time is over.
    fn sweep(&self, now: Nanos) {
        for waiting in self.line.borrow_mut().waiting.values_mut() {
            if is_over(waiting.give_up, now)
                && let Some(waker) = waiting.waker.take()
            {
                waker.wake();
            }
        }
    }
}

impl Line {
    /// Its wait is over; it sees itself which way.
    fn dismiss(&mut self, tag: Tag) {
        if let Some(waker) = self.waiting.remove(&tag).and_then(|waiting| waiting.waker) {
            waker.wake();
        }
    }
}

/// The task of a gate with commands in its line: buys time, and lets them in when it has come.
async fn work(gate: Rc<Gate>) {
    let mut swept = rt::now();
    while let Some(due) = gate.let_in(rt::now()) {
        rt::sleep(due.since(rt::now()).min(LOOK)).await;
        let now = rt::now();
        if now.since(swept) >= SWEEP {
            swept = now;
            gate.sweep(now);
        }
    }
    gate.working.set(false);
}

fn is_over(give_up: Option<Nanos>, now: Nanos) -> bool {
    give_up.is_some_and(|give_up| give_up < now)
}

/// A place in the line, given up when dropped.
struct Turn<'a> {
    gate: &'a Gate,
    tag: Tag,
    give_up: Option<Nanos>,
}

impl Future for Turn<'_> {
    type Output = Leave;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Leave> {
        if is_over(self.give_up, rt::now()) {
            // Dropping this takes it out of the line.
            return Poll::Ready(Leave::TooLate);
        }
        match self.gate.line.borrow_mut().waiting.get_mut(&self.tag) {
            None => Poll::Ready(Leave::Given),
            Some(waiting) => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.gate.line.borrow_mut().waiting.remove(&self.tag);
    }
}
