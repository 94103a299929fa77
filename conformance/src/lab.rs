//! What checks work with: who we are, what the target said of itself, and connections to it.

use std::{net::SocketAddr, time::Duration};

use nvmeof::{
    Nqn,
    host::sqe,
    wire::{
        Sqe,
        connect::{AUTHENTICATION_REQUIRED, CNTLID_DYNAMIC},
        property::{ControllerConfiguration, ControllerStatus, Property},
    },
};
use uuid::Uuid;
use zerocopy::IntoBytes;

use crate::{
    auth::{Credentials, Transaction},
    check::{Verdict, broken, expect_success},
    facts::Facts,
    limits,
    link::{Incoming, Link},
    pdu::Wishes,
    queue::{Answer, Data, Queue},
};

/// Whom we talk to, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) subsystem: Nqn,
    pub(crate) host: Host,
    /// By which queues authenticate if the target asks; other hosts have the same.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) patience: Duration,
}

/// A host's identity.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) nqn: Nqn,
    pub(crate) id: Uuid,
}

/// An association whose controller is ready.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) admin: Queue,
    /// `None` for a discovery controller.
    io: Option<Queue>,
    pub(crate) cntlid: u16,
}

/// What a check gets.
#[derive(Debug)]
pub(crate) struct Lab<'a> {
    pub(crate) target: &'a Target,
    pub(crate) facts: &'a Facts,
    pub(crate) second_host: Option<&'a Host>,
    /// Kept from check to check, as long as it works.
    session: Option<Session>,
    /// What became of the connection that was broken last, by what broke it.
    last_end: Option<(String, Incoming)>,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(target: &'a Target, facts: &'a Facts, second_host: Option<&'a Host>) -> Self {
        Self { target, facts, second_host, session: None, last_end: None }
    }

    /// The association that checks share. It is ready; whoever changes its state uses [`Self::fresh`] instead.
    pub(crate) fn session(&mut self) -> Verdict<&mut Session> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.fresh()?,
        };
        Ok(self.session.insert(session))
    }

    /// After a check that did not pass nobody knows how the association stands.
    pub(crate) fn forget(&mut self) {
        self.session = None;
    }

    /// How the target ends a connection that `send` breaks and watches. Checks of one and the same break, which follow one another
    /// and have one `key`, share it: a target that is silent costs our patience once.
    pub(crate) fn end_of(
        &mut self,
        key: &str,
        send: impl FnOnce(&mut Self) -> Verdict<Incoming>,
    ) -> Verdict<Incoming> {
        if let Some((last, end)) = &self.last_end
            && last == key
        {
            return Ok(end.clone());
        }
        let end = send(self)?;
        self.last_end = Some((key.to_owned(), end.clone()));
        Ok(end)
    }

    /// An association of the check's own.
    pub(crate) fn fresh(&self) -> Verdict<Session> {
        self.fresh_with(Wishes::default())
    }

    /// The same with other wishes.
    pub(crate) fn fresh_with(&self, wishes: Wishes) -> Verdict<Session> {
        self.target.session(wishes, !self.facts.is_discovery())
    }

    /// Of another host with the same target.
    pub(crate) fn fresh_as(&self, host: &Host) -> Verdict<Session> {
        let target = Target { host: host.clone(), ..self.target.clone() };
        target.session(Wishes::default(), true)
    }

    /// The shared association's admin queue.
    pub(crate) fn admin(&mut self, sqe: Sqe, data: Data<'_>) -> Verdict<Answer> {
        self.session()?.admin.command(sqe, data)
    }

    /// The shared association's I/O queue.
    pub(crate) fn io(&mut self, sqe: Sqe, data: Data<'_>) -> Verdict<Answer> {
        self.session()?.io()?.command(sqe, data)
    }

    /// A connection that has seen ICResp, and no Connect.
    pub(crate) fn initialized(&self) -> Verdict<Link> {
        let mut link = self.target.open()?;
        link.initialize(Wishes::default())?;
        Ok(link)
    }

    /// An admin queue whose controller is not enabled yet, and its CNTLID.
    pub(crate) fn connected(&self) -> Verdict<(Queue, u16)> {
        self.target.connect_admin(Wishes::default())
    }
}

impl Session {
    pub(crate) fn io(&mut self) -> Verdict<&mut Queue> {
        match &mut self.io {
            Some(io) => Ok(io),
            None => broken("a discovery controller has no I/O queue"),
        }
    }

    /// Both queues at once.
    pub(crate) fn both(&mut self) -> Verdict<(&mut Queue, &mut Queue)> {
        match &mut self.io {
            Some(io) => Ok((&mut self.admin, io)),
            None => broken("a discovery controller has no I/O queue"),
        }
    }
}

impl Target {
    pub(crate) fn open(&self) -> Verdict<Link> {
        Link::open(self.address, self.patience)
    }

    /// Connect's data for the controller `cntlid`.
    pub(crate) fn connect_data(&self, cntlid: u16) -> Vec<u8> {
        sqe::connect_data(&self.host.nqn, self.host.id, &self.subsystem, cntlid).as_bytes().to_vec()
    }

    /// An admin queue whose controller is not enabled yet, and its CNTLID.
    pub(crate) fn connect_admin(&self, wishes: Wishes) -> Verdict<(Queue, u16)> {
        let (mut queue, answer) = self.knock(wishes, CNTLID_DYNAMIC, 0)?;
        self.authenticate(&mut queue, &answer)?;
        Ok((queue, answer.dword0() as u16))
    }

    /// A queue that has connected and not authenticated, and the answer to its Connect.
    pub(crate) fn knock(&self, wishes: Wishes, cntlid: u16, qid: u16) -> Verdict<(Queue, Answer)> {
        let mut link = self.open()?;
        link.initialize(wishes)?;
        let mut queue = Queue::new(link);
        let connect = sqe::connect(qid, limits::QUEUE_ENTRIES, 0, true);
        let answer = queue.command(connect, Data::Capsule(&self.connect_data(cntlid)))?;
        judge_setup(if qid == 0 { "Connect" } else { "Connect of an I/O queue" }, &answer)?;
        Ok((queue, answer))
    }

    /// Authenticates a queue if the answer to its Connect asks for it (Base §6.3).
    pub(crate) fn authenticate(&self, queue: &mut Queue, connected: &Answer) -> Verdict {
        match connected.dword0() {
            asked if asked & SECURE_CHANNEL_REQUIRED != 0 => {
                broken("the target asks for a secure channel (AUTHREQ.ASCR), which the kit cannot give")
            }
            asked if asked & AUTHENTICATION_REQUIRED != 0 => Transaction::new(queue, self)?.run(),
            _ => Ok(()),
        }
    }

    /// A ready controller, with one I/O queue if asked.
    pub(crate) fn session(&self, wishes: Wishes, with_io: bool) -> Verdict<Session> {
        let (mut admin, cntlid) = self.connect_admin(wishes)?;
        enable(&mut admin)?;
        let io = if with_io { Some(self.connect_io(wishes, cntlid, 1)?) } else { None };
        Ok(Session { admin, io, cntlid })
    }

    /// An I/O queue of a ready controller.
    pub(crate) fn connect_io(&self, wishes: Wishes, cntlid: u16, qid: u16) -> Verdict<Queue> {
        let (mut queue, answer) = self.knock(wishes, cntlid, qid)?;
        self.authenticate(&mut queue, &answer)?;
        Ok(queue)
    }
}

/// AUTHREQ.ASCR in the response to a Connect: authentication shall set up a secure channel (Base §6.3).
const SECURE_CHANNEL_REQUIRED: u32 = 1 << 18;

/// Enables the controller and waits until it is ready.
pub(crate) fn enable(admin: &mut Queue) -> Verdict {
    let set = sqe::property_set(Property::CC, ControllerConfiguration::USUAL);
    judge_setup("Property Set CC", &admin.command(set, Data::None)?)?;
    await_status(admin, ControllerStatus::READY, ControllerStatus::READY)
}

/// Waits until the bits of CSTS under `mask` are as wanted, a bounded number of times.
pub(crate) fn await_status(admin: &mut Queue, mask: ControllerStatus, wanted: ControllerStatus) -> Verdict {
    const TRIES: u32 = 500;
    let mut seen = 0;
    for _ in 0..TRIES {
        let answer = admin.command(sqe::property_get(Property::CSTS), Data::None)?;
        expect_success(&answer)?;
        seen = answer.dword0();
        if seen & mask.bits() == wanted.bits() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    broken(format_args!("CSTS stayed {seen:#x} for five seconds"))
}

fn judge_setup(step: &str, answer: &Answer) -> Verdict {
    if answer.status().is_success() {
        return Ok(());
    }
    let status = crate::check::status_name(answer.status());
    broken(format_args!("{step} was answered with {status}, dword 0 {:#x}", answer.dword0()))
}
