//! What a queue takes before its host has authenticated, and the fields of the two commands (Base §6.1, §6.2).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        authentication::AuthenticationSqe,
        connect::{AUTHENTICATION_REQUIRED, CNTLID_DYNAMIC},
        opcode::{Cns, FeatureId, LogPageId},
        property::{ControllerConfiguration, Property},
    },
};
use zerocopy::transmute;

use super::{NEEDS, asked, check, served};
use crate::{
    auth::{Offer, Transaction},
    check::{Check, Need, Verdict, expect_equal, expect_refused, expect_status, expect_success, skip},
    lab::Lab,
    limits,
    pdu::Wishes,
    queue::{Answer, Data, Queue},
};

const GATE: &str = "Base §8.3.4";
const SEND: &str = "Base §6.2";
const RECEIVE: &str = "Base §6.1";
const IO: &[Need] = &[Need::Authentication, Need::Io, Need::Namespace];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = before();
    checks.extend(fields());
    checks.extend(io_queues());
    checks
}

fn before() -> Vec<Check> {
    type Row = (&'static str, fn() -> Sqe, u32);
    let table: [Row; 8] = [
        ("property_get", || sqe::property_get(Property::CAP), 0),
        ("property_set", || sqe::property_set(Property::CC, ControllerConfiguration::USUAL), 0),
        ("identify", || sqe::identify(Cns::CONTROLLER, 0), 4096),
        ("get_log_page", || sqe::get_log_page(LogPageId::ERROR, 0, 64), 64),
        ("get_features", || sqe::get_features(FeatureId::NUMBER_OF_QUEUES), 0),
        ("set_features", || sqe::set_features(FeatureId::NUMBER_OF_QUEUES, 0), 0),
        ("keep_alive", sqe::keep_alive, 0),
        ("async_event_request", sqe::async_event_request, 0),
    ];
    fn early(queue: &mut Queue, sqe: Sqe, bytes: u32) -> Verdict {
        let data = if bytes == 0 { Data::None } else { Data::In(bytes) };
        expect_status(&queue.command(sqe, data)?, &[Status::AUTHENTICATION_REQUIRED])
    }
    let mut checks: Vec<Check> = table
        .into_iter()
        .map(|(name, sqe, bytes)| {
            check(format!("{name}_before"), GATE, NEEDS, move |host| early(host.queue, sqe(), bytes))
        })
        .collect();
    checks.push(check("early_commands_leave_the_queue", GATE, NEEDS, move |host| {
        for (_, sqe, bytes) in table {
            early(host.queue, sqe(), bytes)?;
        }
        host.run()?;
        served(host.queue)
    }));
    checks.push(check("early_commands_between_messages", GATE, NEEDS, move |host| {
        let reply = host.until_reply()?;
        early(host.queue, sqe::property_get(Property::CAP), 0)?;
        host.tell(&reply.message)?;
        host.finish(&reply)?;
        served(host.queue)
    }));
    checks.push(Check::new("authentication/connect_result_reserved_bits", "Base §6.3", NEEDS, |lab| {
        let (_, answer) = lab.target.knock(Wishes::default(), CNTLID_DYNAMIC, 0)?;
        expect_equal("dwords 1 and 0 but for CNTLID and AUTHREQ", 0, answer.result() >> 19)?;
        expect_equal("bit 16 of dword 0", 0, answer.result() >> 16 & 1)
    }));
    checks
}

/// What is wrong, and the change that makes it so.
type Wrong = (&'static str, fn(&mut AuthenticationSqe));

/// Fields that neither command may have.
const WRONG: [Wrong; 7] = [
    ("secp_00h", |sqe| sqe.secp = 0),
    ("secp_eah", |sqe| sqe.secp = 0xEA),
    ("spsp0_00h", |sqe| sqe.spsp0 = 0),
    ("spsp0_02h", |sqe| sqe.spsp0 = 2),
    ("spsp1_00h", |sqe| sqe.spsp1 = 0),
    ("spsp1_02h", |sqe| sqe.spsp1 = 2),
    ("length_0", |sqe| sqe.length = 0.into()),
];
/// Bytes that Authentication Receive asks for here.
const ROOM: u32 = 2048;

/// AUTH_Negotiate by a changed command.
fn send(host: &mut Transaction<'_>, change: impl Fn(&mut AuthenticationSqe)) -> Verdict<Answer> {
    let message = host.negotiate(&Offer::all());
    let mut sqe: AuthenticationSqe = transmute!(sqe::authentication_send(message.len() as u32));
    change(&mut sqe);
    host.queue.command(transmute!(sqe), Data::Capsule(&message))
}

/// Receives by a changed command, when there is a challenge.
fn receive(host: &mut Transaction<'_>, change: impl Fn(&mut AuthenticationSqe)) -> Verdict<Answer> {
    host.tell(&host.negotiate(&Offer::all()))?;
    let mut sqe: AuthenticationSqe = transmute!(sqe::authentication_receive(ROOM));
    change(&mut sqe);
    host.queue.command(transmute!(sqe), Data::In(ROOM))
}

fn fields() -> Vec<Check> {
    let invalid = |answer: &Answer| expect_status(answer, &[Status::INVALID_FIELD]);
    let mut checks = Vec::new();
    for (name, change) in WRONG {
        checks.push(check(format!("send_{name}"), SEND, NEEDS, move |host| invalid(&send(host, change)?)));
        checks.push(check(format!("receive_{name}"), RECEIVE, NEEDS, move |host| {
            invalid(&receive(host, change)?)
        }));
    }
    checks.push(check("send_of_more_than_its_data", SEND, NEEDS, |host| {
        expect_refused(&send(host, |sqe| sqe.length = 4096.into())?)
    }));
    checks.push(check("receive_of_more_than_its_buffer", RECEIVE, NEEDS, |host| {
        expect_refused(&receive(host, |sqe| sqe.length = 4096.into())?)
    }));
    checks.push(check("wrong_commands_change_nothing", SEND, NEEDS, |host| {
        for (_, change) in WRONG {
            expect_refused(&send(host, change)?)?;
        }
        host.run()?;
        served(host.queue)
    }));
    checks.push(check("send_by_r2t", SEND, NEEDS, |host| {
        let message = host.negotiate(&Offer::all());
        let sqe = sqe::authentication_send(message.len() as u32);
        expect_success(&host.queue.command(sqe, Data::Out(&message))?)?;
        host.challenge().map(drop)
    }));
    checks
}

fn io_queues() -> Vec<Check> {
    /// An I/O queue that is asked to authenticate.
    fn second(lab: &Lab<'_>, cntlid: u16) -> Verdict<Queue> {
        match lab.target.knock(Wishes::default(), cntlid, 2)? {
            (queue, answer) if answer.dword0() & AUTHENTICATION_REQUIRED != 0 => Ok(queue),
            _ => skip("the target does not ask I/O queues to authenticate"),
        }
    }
    fn flush(lab: &Lab<'_>) -> Verdict<Sqe> {
        Ok(sqe::flush(lab.facts.namespace()?.nsid))
    }
    vec![
        Check::new("authentication/io_queue_before_the_admin_queue", GATE, IO, |lab| {
            let (_admin, answer) = lab.target.knock(Wishes::default(), CNTLID_DYNAMIC, 0)?;
            let data = lab.target.connect_data(answer.dword0() as u16);
            let connect = sqe::connect(1, limits::QUEUE_ENTRIES, 0, true);
            expect_refused(&Queue::new(lab.initialized()?).command(connect, Data::Capsule(&data))?)
        }),
        Check::new("authentication/io_command_before", GATE, IO, |lab| {
            let session = lab.fresh()?;
            let mut io = second(lab, session.cntlid)?;
            let answer = io.command(flush(lab)?, Data::None)?;
            expect_status(&answer, &[Status::AUTHENTICATION_REQUIRED])
        }),
        Check::new("authentication/io_command_after", GATE, IO, |lab| {
            let session = lab.fresh()?;
            let mut io = second(lab, session.cntlid)?;
            Transaction::new(&mut io, lab.target)?.run()?;
            expect_success(&io.command(flush(lab)?, Data::None)?)
        }),
        Check::new("authentication/every_queue_by_itself", GATE, IO, |lab| {
            let mut session = lab.fresh()?;
            let mut io = second(lab, session.cntlid)?;
            // That the other queues are open opens none.
            expect_success(&session.io()?.command(flush(lab)?, Data::None)?)?;
            expect_refused(&io.command(flush(lab)?, Data::None)?)
        }),
        Check::new("authentication/a_queue_that_waits_does_not_hold_up_others", GATE, NEEDS, |lab| {
            let mut waiting = asked(lab)?;
            let mut host = Transaction::new(&mut waiting, lab.target)?;
            let reply = host.until_reply()?;
            let mut other = asked(lab)?;
            Transaction::new(&mut other, lab.target)?.run()?;
            served(&mut other)?;
            host.tell(&reply.message)?;
            host.finish(&reply)
        }),
    ]
}
