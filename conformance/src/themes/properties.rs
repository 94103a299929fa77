//! Properties and the controller's life (Base §3.1.4, §3.5, §3.6, §6.5, §6.6).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        connect::PropertySqe,
        opcode::Cns,
        property::{ControllerConfiguration, ControllerStatus, Property},
    },
};
use zerocopy::transmute;

use crate::{
    check::{
        Check, Need, Verdict, broken, expect, expect_equal, expect_refused, expect_status, expect_success,
    },
    lab::{Lab, await_status, enable},
    link::Incoming,
    queue::{Data, Queue},
};

const PROPERTIES: &str = "Base §3.1.4";
const GET: &str = "Base §6.5";
const SET: &str = "Base §6.6";
const LIFE: &str = "Base §3.5.1";
const SHUTDOWN: &str = "Base §3.6.1";

pub(super) fn checks() -> Vec<Check> {
    let mut checks = capabilities();
    checks.extend(accesses());
    checks.extend(life());
    checks.extend(shutdown());
    checks
}

fn get(property: Property, eight: bool) -> Sqe {
    let mut get: PropertySqe = transmute!(sqe::property_get(property));
    get.attrib = u8::from(eight);
    transmute!(get)
}

fn value(queue: &mut Queue, property: Property) -> Verdict<u64> {
    let answer = queue.command(sqe::property_get(property), Data::None)?;
    expect_success(&answer)?;
    Ok(answer.result())
}

/// Fields of CAP and VS.
fn capabilities() -> Vec<Check> {
    type Field = (&'static str, &'static str, fn(u64) -> Verdict);
    let fields: [Field; 6] = [
        ("cap_mqes_is_not_zero", "Base §3.1.4.1", |cap| {
            expect(cap & 0xFFFF >= 1, "MQES of 1 at least", format_args!("CAP {cap:#x}"))
        }),
        ("cap_reserved_bits", "Base §3.1.4.1", |cap| expect_equal("bits 23:19", 0, cap >> 19 & 0x1F)),
        ("cap_dstrd_is_zero", "Base §3.1.4.1", |cap| expect_equal("DSTRD", 0, cap >> 32 & 0xF)),
        ("cap_css_has_a_command_set", "Base §3.1.4.1", |cap| {
            expect(cap >> 37 & 0xFF != 0, "a bit of CSS", format_args!("CAP {cap:#x}"))
        }),
        ("cap_mpsmin_is_at_most_mpsmax", "Base §3.1.4.1", |cap| {
            expect(cap >> 48 & 0xF <= cap >> 52 & 0xF, "MPSMIN up to MPSMAX", format_args!("CAP {cap:#x}"))
        }),
        ("cap_to_is_not_zero", "Base §3.1.4.1", |cap| {
            expect(cap >> 24 & 0xFF > 0, "TO above zero", format_args!("CAP {cap:#x}"))
        }),
    ];
    let check = |(name, section, judge): Field| {
        Check::new(format!("properties/{name}"), section, &[], move |lab| judge(lab.facts.cap))
    };
    let mut checks: Vec<Check> = fields.into_iter().map(check).collect();
    checks.push(Check::new("properties/vs_is_a_version", "Base §3.1.4.2", &[], |lab| {
        let vs = value(&mut lab.session()?.admin, Property::VS)?;
        expect((1..=2).contains(&(vs >> 16)), "NVMe 1 or 2", format_args!("VS {vs:#x}"))
    }));
    checks.push(Check::new("properties/vs_is_as_identify_has_it", "Base §5.1.13.2.1", &[], |lab| {
        let vs = value(&mut lab.session()?.admin, Property::VS)?;
        expect_equal("VER", vs, u64::from(lab.facts.controller.ver.get()))
    }));
    checks
}

/// Widths, reserved offsets, and what cannot be written.
fn accesses() -> Vec<Check> {
    let mut checks = Vec::new();
    for attrib in 2..8_u8 {
        checks.push(Check::new(
            format!("properties/get_with_reserved_size_{attrib}"),
            GET,
            &[],
            move |lab| {
                let mut get: PropertySqe = transmute!(sqe::property_get(Property::VS));
                get.attrib = attrib;
                expect_refused(&lab.admin(transmute!(get), Data::None)?)
            },
        ));
    }
    // Offsets that are no property of a controller on a message-based transport.
    for offset in [0x0C, 0x10, 0x18, 0x24, 0x28, 0x30, 0x40, 0x58, 0x70, 0x100, 0xE00, 0xFFC] {
        checks.push(Check::new(format!("properties/get_of_reserved_{offset:03x}h"), GET, &[], move |lab| {
            let answer = lab.admin(get(Property(offset), false), Data::None)?;
            if !answer.status().is_success() {
                return Ok(());
            }
            expect(answer.result() as u32 == 0, "an error, or zero", format_args!("{:#x}", answer.result()))
        }));
    }
    for (name, property, eight) in
        [("cap", Property::CAP, true), ("vs", Property::VS, false), ("csts", Property::CSTS, false)]
    {
        checks.push(Check::new(format!("properties/{name}_cannot_be_written"), SET, &[], move |lab| {
            let mut session = lab.fresh()?;
            let before = value(&mut session.admin, property)?;
            let mut set: PropertySqe = transmute!(sqe::property_set(property, !(before as u32)));
            set.attrib = u8::from(eight);
            // Whether that is an error or nothing: it changes nothing.
            session.admin.command(transmute!(set), Data::None)?;
            expect_equal("value", before, value(&mut session.admin, property)?)
        }));
    }
    checks.push(Check::new("properties/cc_reads_as_written", PROPERTIES, &[], |lab| {
        let cc = value(&mut lab.session()?.admin, Property::CC)?;
        expect_equal("CC", u64::from(ControllerConfiguration::USUAL), cc)
    }));
    checks.push(Check::new("properties/get_after_get_is_the_same", GET, &[], |lab| {
        let again = value(&mut lab.session()?.admin, Property::CAP)?;
        expect_equal("CAP", lab.facts.cap, again)
    }));
    checks
}

/// Not ready, ready, reset.
fn life() -> Vec<Check> {
    let check = |name: &str, section, run: fn(&mut Lab<'_>) -> Verdict| {
        Check::new(format!("properties/{name}"), section, &[], run)
    };
    let mut checks = vec![
        check("cc_en_is_clear_after_connect", LIFE, |lab| {
            expect_equal("CC.EN", 0, value(&mut lab.connected()?.0, Property::CC)? & 1)
        }),
        check("csts_is_not_ready_after_connect", LIFE, |lab| {
            expect_equal("CSTS.RDY", 0, value(&mut lab.connected()?.0, Property::CSTS)? & 1)
        }),
        check("csts_has_no_fatal_status_when_ready", LIFE, |lab| {
            expect_equal("CSTS.CFS", 0, value(&mut lab.session()?.admin, Property::CSTS)? >> 1 & 1)
        }),
        check("csts_reserved_bits", "Base §3.1.4.6", |lab| {
            expect_equal("bits 31:7", 0, value(&mut lab.session()?.admin, Property::CSTS)? >> 7)
        }),
        check("csts_is_not_shut_down_when_ready", SHUTDOWN, |lab| {
            expect_equal("CSTS.SHST", 0, value(&mut lab.session()?.admin, Property::CSTS)? >> 2 & 3)
        }),
        check("reset_clears_ready", "Base §3.7.2", |lab| {
            let mut session = lab.fresh()?;
            reset(&mut session.admin)
        }),
        check("reset_and_enable_again", "Base §3.7.2", |lab| {
            let mut session = lab.fresh()?;
            reset(&mut session.admin)?;
            enable(&mut session.admin)?;
            let identify = sqe::identify(Cns::CONTROLLER, 0);
            expect_success(&session.admin.command(identify, Data::In(4096))?)
        }),
        check("identify_before_enable", "Base §3.5.3", |lab| {
            let (mut queue, _) = lab.connected()?;
            let answer = queue.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_status(&answer, &[Status::COMMAND_SEQUENCE_ERROR])
        }),
        check("keep_alive_before_enable", "Base §3.5.3", |lab| {
            let (mut queue, _) = lab.connected()?;
            expect_status(&queue.command(sqe::keep_alive(), Data::None)?, &[Status::COMMAND_SEQUENCE_ERROR])
        }),
        check("identify_after_reset", "Base §3.5.3", |lab| {
            let mut session = lab.fresh()?;
            reset(&mut session.admin)?;
            let answer = session.admin.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_status(&answer, &[Status::COMMAND_SEQUENCE_ERROR])
        }),
    ];
    checks.push(Check::new("properties/reset_ends_io_queues", "Base §3.7.2", &[Need::Io], |lab| {
        let mut session = lab.fresh()?;
        let (admin, io) = session.both()?;
        reset(admin)?;
        queue_is_gone(io)
    }));
    checks
}

/// Clears EN and waits until the controller is not ready.
fn reset(admin: &mut Queue) -> Verdict {
    let off = ControllerConfiguration::USUAL & !ControllerConfiguration::ENABLE;
    expect_success(&admin.command(sqe::property_set(Property::CC, off), Data::None)?)?;
    await_status(admin, ControllerStatus::READY, ControllerStatus::empty())
}

/// The queue's connection ended, or nothing on it is done any more.
fn queue_is_gone(io: &mut Queue) -> Verdict {
    io.link.provoke(&crate::pdu::capsule(&sqe::keep_alive(), &[], &io.link.agreed));
    match io.link.receive()? {
        Incoming::Closed => Ok(()),
        Incoming::Silence => broken("the connection is still open, and silent"),
        Incoming::Pdu(pdu) => {
            let refused = pdu.u16_at(22) >> 1 != 0;
            expect(refused, "the end of the connection, or an error", "a command that succeeded")
        }
    }
}

/// CC.SHN (Base §3.6.1).
fn shutdown() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, shn) in [("normal", 1_u32), ("abrupt", 2)] {
        let shut_down = move |lab: &mut Lab<'_>| {
            let mut session = lab.fresh()?;
            let cc = ControllerConfiguration::USUAL | shn << 14;
            expect_success(&session.admin.command(sqe::property_set(Property::CC, cc), Data::None)?)?;
            let all = ControllerStatus::from_bits_retain(0b11 << 2);
            await_status(&mut session.admin, all, ControllerStatus::SHUTDOWN_COMPLETE)?;
            Ok(session)
        };
        checks.push(Check::new(format!("properties/{name}_shutdown_completes"), SHUTDOWN, &[], move |lab| {
            shut_down(lab).map(drop)
        }));
        checks.push(Check::new(
            format!("properties/{name}_shutdown_then_reset"),
            SHUTDOWN,
            &[],
            move |lab| {
                let mut session = shut_down(lab)?;
                reset(&mut session.admin)?;
                enable(&mut session.admin)
            },
        ));
    }
    checks
}
