//! Success and failure, and what a queue takes afterwards.

use nvmeof::{host::sqe, wire::opcode::Cns};

use super::{FAILURE, NEEDS, ORDER, REPLY, SUCCESS1, TWO_WAY, barred, check, served};
use crate::{
    auth::{
        Transaction,
        explanation::{FAILED, INCORRECT_PAYLOAD},
        failure2, success2,
    },
    check::{Check, Need, Verdict, expect, expect_equal, expect_success, expect_zero},
    queue::{Data, Queue},
};

pub(super) fn checks() -> Vec<Check> {
    let mut checks = successes();
    checks.extend(failures());
    checks.extend(again());
    checks
}

fn successes() -> Vec<Check> {
    vec![
        check("one_way", SUCCESS1, NEEDS, |host| {
            let challenge = host.until_challenge()?;
            let reply = host.one_way(&challenge)?;
            host.tell(&reply.message)?;
            host.finish(&reply)?;
            served(host.queue)
        }),
        check("success1_rvalid_0_unless_asked", SUCCESS1, NEEDS, |host| {
            let challenge = host.until_challenge()?;
            let reply = host.one_way(&challenge)?;
            host.tell(&reply.message)?;
            expect_equal("RVALID", 0, host.success1(&reply)?.fixed.rvalid)
        }),
        check("success1_reserved_bytes", SUCCESS1, NEEDS, |host| {
            let reply = host.until_reply()?;
            host.tell(&reply.message)?;
            let fixed = host.success1(&reply)?.fixed;
            expect_zero("bytes 3:2", &fixed.head.reserved2)?;
            expect_equal("byte 7", 0, fixed.reserved7)?;
            expect_zero("bytes 15:9", &fixed.reserved9)
        }),
        check("two_way", ORDER, TWO_WAY, |host| {
            host.run()?;
            served(host.queue)
        }),
        check("two_way_rvalid", SUCCESS1, TWO_WAY, |host| {
            let reply = host.until_reply()?;
            host.tell(&reply.message)?;
            expect_equal("RVALID", 1, host.success1(&reply)?.fixed.rvalid)
        }),
        check("two_way_response_proves_the_controller", SUCCESS1, TWO_WAY, |host| {
            let reply = host.until_reply()?;
            host.tell(&reply.message)?;
            let success = host.success1(&reply)?;
            host.believe(&reply, &success)
        }),
        check("two_way_response_is_another_each_time", SUCCESS1, TWO_WAY, |host| {
            let mut responses = Vec::new();
            for _ in 0..2 {
                let reply = host.until_reply()?;
                host.tell(&reply.message)?;
                responses.push(host.success1(&reply)?.response);
                host.tell(&success2(host.t_id))?;
            }
            expect(responses[0] != responses[1], "two responses", "one of them twice")
        }),
        check("two_way_challenge_sent_back", REPLY, TWO_WAY, |host| {
            let challenge = host.until_challenge()?;
            let reply = host.asking(&challenge, &challenge.value)?;
            host.tell(&reply.message)?;
            host.refused(&[FAILED, INCORRECT_PAYLOAD])
        }),
    ]
}

fn failures() -> Vec<Check> {
    vec![
        check("failure1_lets_nobody_in", FAILURE, NEEDS, |host| {
            let mut reply = host.until_reply()?.message;
            reply[16] ^= 1;
            host.tell(&reply)?;
            host.refused(&[FAILED])?;
            barred(host.queue)
        }),
        check("failure1_unread_lets_nobody_in", FAILURE, NEEDS, |host| {
            let mut reply = host.until_reply()?.message;
            reply[16] ^= 1;
            host.tell(&reply)?;
            barred(host.queue)
        }),
        check("failure2_instead_of_a_reply_lets_nobody_in", FAILURE, NEEDS, |host| {
            host.until_challenge()?;
            host.tell(&failure2(host.t_id))?;
            barred(host.queue)
        }),
        check("failure2_instead_of_success2_lets_nobody_in", FAILURE, TWO_WAY, |host| {
            let reply = host.until_reply()?;
            host.tell(&reply.message)?;
            host.success1(&reply)?;
            host.tell(&failure2(host.t_id))?;
            barred(host.queue)
        }),
    ]
}

/// A queue that is open authenticates again.
fn again() -> Vec<Check> {
    const IO: &[Need] = &[Need::Authentication, Need::Io, Need::Namespace];
    fn identify(queue: &mut Queue) -> Verdict {
        expect_success(&queue.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?)
    }
    vec![
        Check::new("authentication/again_on_the_admin_queue", ORDER, NEEDS, |lab| {
            let mut session = lab.fresh()?;
            Transaction::new(&mut session.admin, lab.target)?.run()?;
            identify(&mut session.admin)
        }),
        Check::new("authentication/again_while_commands_are_served", ORDER, NEEDS, |lab| {
            let mut session = lab.fresh()?;
            let mut host = Transaction::new(&mut session.admin, lab.target)?;
            let reply = host.until_reply()?;
            identify(host.queue)?;
            host.tell(&reply.message)?;
            identify(host.queue)?;
            host.finish(&reply)?;
            identify(host.queue)
        }),
        Check::new("authentication/again_leaves_the_io_queues", ORDER, IO, |lab| {
            let flush = sqe::flush(lab.facts.namespace()?.nsid);
            let mut session = lab.fresh()?;
            Transaction::new(&mut session.admin, lab.target)?.run()?;
            expect_success(&session.io()?.command(flush, Data::None)?)
        }),
        Check::new("authentication/again_on_an_io_queue", ORDER, IO, |lab| {
            let flush = sqe::flush(lab.facts.namespace()?.nsid);
            let mut session = lab.fresh()?;
            Transaction::new(session.io()?, lab.target)?.run()?;
            expect_success(&session.io()?.command(flush, Data::None)?)
        }),
        Check::new("authentication/again_with_a_wrong_response", ORDER, NEEDS, |lab| {
            let mut session = lab.fresh()?;
            let mut host = Transaction::new(&mut session.admin, lab.target)?;
            let mut reply = host.until_reply()?.message;
            reply[16] ^= 1;
            host.tell(&reply)?;
            host.refused(&[FAILED])
        }),
    ]
}
