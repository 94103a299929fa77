//! The admin queue: opcodes, Keep Alive, Abort, Asynchronous Event Request (Base §5.1).

use nvmeof::{
    Status,
    host::sqe,
    wire::{Sqe, connect::CNTLID_DYNAMIC, opcode::Cns},
};

use crate::{
    check::{Check, Need, Verdict, expect, expect_equal, expect_refused, expect_status, expect_success},
    lab::Lab,
    limits,
    queue::{Answer, Data, Queue},
};

const KEEP_ALIVE: &str = "Base §5.1.14";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = opcodes();
    checks.extend(events());
    checks.extend(aborts());
    checks.extend(vec![
        Check::new("admin/keep_alive", KEEP_ALIVE, &[], |lab| expect_success(&keep_alive(lab)?)),
        Check::new("admin/keep_alive_dword_0_is_reserved", KEEP_ALIVE, &[], |lab| {
            expect_equal("dword 0", 0, keep_alive(lab)?.dword0())
        }),
        Check::new("admin/reserved_fuse", "Base §3.3.3.1", &[], |lab| {
            let mut sqe = sqe::identify(Cns::CONTROLLER, 0);
            sqe.flags |= 0b11;
            expect_status(&lab.admin(sqe, Data::In(4096))?, &[Status::INVALID_FIELD])
        }),
        Check::new("admin/commands_at_once", "Base §3.3", &[], |lab| {
            let commands = vec![(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096)); 16];
            let admin = &mut lab.session()?.admin;
            for cid in admin.issue_all(&commands)? {
                let answer = admin.answer(cid)?;
                expect_success(&answer)?;
                expect_equal("bytes", 4096, answer.data.len())?;
            }
            Ok(())
        }),
    ]);
    for fctype in [0x02_u8, 0x03, 0x07, 0x09, 0x0C, 0x40, 0x7F, 0xBF] {
        checks.push(Check::new(format!("admin/fabrics_type_{fctype:02x}h"), "Base §6.1", &[], move |lab| {
            let mut sqe = sqe::disconnect();
            sqe.nsid = u32::from(fctype).into();
            expect_refused(&lab.admin(sqe, Data::None)?)
        }));
    }
    checks
}

/// Keep Alive on an association that has a timer.
fn keep_alive(lab: &Lab<'_>) -> Verdict<Answer> {
    const KATO_MS: u32 = 30_000;
    let mut queue = Queue::new(lab.initialized()?);
    let connect = sqe::connect(0, limits::QUEUE_ENTRIES, KATO_MS, true);
    let data = lab.target.connect_data(CNTLID_DYNAMIC);
    let answer = queue.command(connect, Data::Capsule(&data))?;
    expect_success(&answer)?;
    lab.target.authenticate(&mut queue, &answer)?;
    crate::lab::enable(&mut queue)?;
    queue.command(sqe::keep_alive(), Data::None)
}

/// Opcodes that are reserved, and those that create and delete queues, which are not for fabrics (Base §3.1.3.3).
fn opcodes() -> Vec<Check> {
    let check = |opcode: u8| {
        Check::new(format!("admin/opcode_{opcode:02x}h"), "Base §3.1.3.3", &[], move |lab| {
            expect_status(&lab.admin(Sqe::new(opcode), Data::None)?, &[Status::INVALID_OPCODE])
        })
    };
    [0x00, 0x01, 0x03, 0x04, 0x05, 0x07, 0x0B, 0x0E, 0x0F, 0x12, 0x13, 0x16, 0x17, 0x1B, 0x1F]
        .into_iter()
        .chain([
            0x23, 0x26, 0x27, 0x2B, 0x2F, 0x30, 0x37, 0x40, 0x48, 0x50, 0x5F, 0x60, 0x6B, 0x70, 0x77, 0x7B,
        ])
        .map(check)
        .collect()
}

/// How many requests are held (AERL).
fn events() -> Vec<Check> {
    fn hold(lab: &mut Lab<'_>, more: usize) -> Verdict<(crate::lab::Session, Vec<u16>)> {
        let mut session = lab.fresh()?;
        let limit = usize::from(lab.facts.controller.aerl_z) + 1;
        let mut cids = Vec::new();
        for _ in 0..limit + more {
            cids.push(session.admin.issue(sqe::async_event_request(), Data::None)?);
        }
        // What is behind them on the queue is answered when they have been taken.
        expect_success(&session.admin.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?)?;
        Ok((session, cids))
    }
    vec![
        Check::new("admin/aerl_requests_are_held", "Base §5.1.2", &[Need::Io], |lab| {
            let (session, cids) = hold(lab, 0)?;
            let answered = cids.iter().filter(|&&cid| session.admin.is_answered(cid)).count();
            expect_equal("requests answered at once", 0, answered)
        }),
        Check::new("admin/one_request_more_than_aerl", "Base §5.1.2", &[Need::Io], |lab| {
            let (mut session, cids) = hold(lab, 1)?;
            let last = cids[cids.len() - 1];
            expect_status(&session.admin.answer(last)?, &[Status::ASYNC_EVENT_LIMIT_EXCEEDED])
        }),
        Check::new("admin/reset_with_requests_held", "Base §5.1.2", &[Need::Io], |lab| {
            let (mut session, _) = hold(lab, 0)?;
            let off = nvmeof::wire::property::ControllerConfiguration::USUAL & !1;
            let reset = sqe::property_set(nvmeof::wire::property::Property::CC, off);
            expect_success(&session.admin.command(reset, Data::None)?)?;
            crate::lab::enable(&mut session.admin)
        }),
    ]
}

fn aborts() -> Vec<Check> {
    const ABORT: &str = "Base §5.1.1";
    vec![
        Check::new("admin/abort_of_nothing", ABORT, &[Need::Io], |lab| {
            let answer = lab.admin(sqe::abort(0, 0x7ABC), Data::None)?;
            expect_success(&answer)?;
            expect_equal("not aborted", 1, answer.dword0() & 1)
        }),
        Check::new("admin/abort_of_a_held_request", ABORT, &[Need::Io], |lab| {
            let mut session = lab.fresh()?;
            let held = session.admin.issue(sqe::async_event_request(), Data::None)?;
            let answer = session.admin.command(sqe::abort(0, held), Data::None)?;
            expect_success(&answer)?;
            if answer.dword0() & 1 != 0 {
                // A controller may leave it be, and then has to.
                return expect(!session.admin.is_answered(held), "the request still held", "its answer");
            }
            expect_status(&session.admin.answer(held)?, &[Status::ABORT_REQUESTED])
        }),
    ]
}
