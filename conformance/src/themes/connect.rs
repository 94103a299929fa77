//! Connect: who comes in, and what a refusal points at (Base §6.3).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        connect::{CNTLID_DYNAMIC, ConnectSqe},
        opcode::{Cns, FabricsType},
        property::{ControllerConfiguration, Property},
        sqe::{SGL_IN_CAPSULE, SGL_TRANSPORT},
    },
};
use zerocopy::transmute;

use crate::{
    check::{
        Check, Need, Verdict, expect, expect_equal, expect_refused, expect_status, expect_success, skip,
    },
    lab::Lab,
    limits,
    pdu::Wishes,
    queue::{Answer, Data, Queue, descriptor},
};

const CONNECT: &str = "Base §6.3";

/// Offsets in Connect's data.
const CNTLID: usize = 16;
const SUBNQN: usize = 256;
const HOSTNQN: usize = 512;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = wrong_commands();
    checks.extend(wrong_data());
    checks.extend(first_commands());
    checks.extend(admitted());
    checks.extend(io_queues());
    checks
}

/// Sends a Connect of an admin queue over a connection of its own.
fn connect(lab: &Lab<'_>, sqe: Sqe, data: Data<'_>) -> Verdict<Answer> {
    Queue::new(lab.initialized()?).command(sqe, data)
}

/// Connect Invalid Parameters, and the parameter that dword 0 points at.
fn expect_parameter(answer: &Answer, in_data: bool, offset: usize) -> Verdict {
    expect_status(answer, &[Status::CONNECT_INVALID_PARAMETERS])?;
    let expected = u32::from(in_data) << 16 | offset as u32;
    expect_equal("IATTR and IPO", expected, answer.dword0() & 0x1_FFFF)
}

/// Fields of the command.
fn wrong_commands() -> Vec<Check> {
    type Row = (&'static str, fn(&mut ConnectSqe), Status);
    let table: [Row; 4] = [
        ("recfmt_1", |connect| connect.recfmt = 1.into(), Status::CONNECT_INCOMPATIBLE_FORMAT),
        ("recfmt_255", |connect| connect.recfmt = 255.into(), Status::CONNECT_INCOMPATIBLE_FORMAT),
        ("recfmt_65535", |connect| connect.recfmt = u16::MAX.into(), Status::CONNECT_INCOMPATIBLE_FORMAT),
        ("sqsize_0", |connect| connect.sqsize_z = 0.into(), Status::CONNECT_INVALID_PARAMETERS),
    ];
    let check = |(name, change, status): Row| {
        Check::new(format!("connect/{name}"), CONNECT, &[], move |lab| {
            let mut sqe: ConnectSqe = transmute!(sqe::connect(0, limits::QUEUE_ENTRIES, 0, true));
            change(&mut sqe);
            let data = lab.target.connect_data(CNTLID_DYNAMIC);
            expect_status(&connect(lab, transmute!(sqe), Data::Capsule(&data))?, &[status])
        })
    };
    let mut checks: Vec<Check> = table.into_iter().map(check).collect();
    for len in [0_usize, 16, 512, 1023] {
        checks.push(Check::new(format!("connect/data_of_{len}_bytes"), CONNECT, &[], move |lab| {
            let data = lab.target.connect_data(CNTLID_DYNAMIC);
            let sqe = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
            expect_refused(&connect(lab, sqe, Data::Capsule(&data[..len]))?)
        }));
    }
    checks.push(Check::new("connect/sgl_says_more_than_the_capsule_has", CONNECT, &[], |lab| {
        let data = lab.target.connect_data(CNTLID_DYNAMIC);
        let mut sqe = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
        sqe.sgl = descriptor(SGL_IN_CAPSULE, 1024);
        expect_refused(&connect(lab, sqe, Data::AsIs(&data[..512]))?)
    }));
    checks.push(Check::new("connect/data_in_capsule_is_all_there_is", "TCP §3.3.1.3", &[], |lab| {
        let mut sqe = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
        sqe.sgl = descriptor(SGL_TRANSPORT, 0);
        expect_refused(&connect(lab, sqe, Data::AsIs(&[]))?)
    }));
    checks
}

/// Fields of the data, each with where a refusal has to point.
fn wrong_data() -> Vec<Check> {
    type Row = (&'static str, usize, fn(&mut [u8]));
    let table: [Row; 4] = [
        ("subnqn_of_nobody", SUBNQN, |data| name(data, SUBNQN, "nqn.2026-11.invalid:nobody")),
        ("subnqn_empty", SUBNQN, |data| data[SUBNQN..SUBNQN + 256].fill(0)),
        ("subnqn_without_end", SUBNQN, |data| data[SUBNQN..SUBNQN + 256].fill(b'x')),
        ("subnqn_is_no_nqn", SUBNQN, |data| name(data, SUBNQN, "iqn.2026-11.invalid:nobody")),
    ];
    let send = |lab: &Lab<'_>, change: fn(&mut [u8])| {
        let mut data = lab.target.connect_data(CNTLID_DYNAMIC);
        change(&mut data);
        connect(lab, sqe::connect(0, limits::QUEUE_ENTRIES, 0, true), Data::Capsule(&data))
    };
    let mut checks = Vec::new();
    for (name, offset, change) in table {
        checks.push(Check::new(format!("connect/{name}"), CONNECT, &[], move |lab| {
            expect_status(&send(lab, change)?, &[Status::CONNECT_INVALID_PARAMETERS])
        }));
        checks.push(Check::new(format!("connect/{name}_is_pointed_at"), CONNECT, &[], move |lab| {
            expect_parameter(&send(lab, change)?, true, offset)
        }));
    }
    for cntlid in [0_u16, 1, 0xFFEF] {
        checks.push(Check::new(
            format!("connect/cntlid_{cntlid:04x}h_in_the_dynamic_model"),
            CONNECT,
            &[],
            move |lab| {
                if lab.facts.controller.fcatt & 1 != 0 {
                    return skip("the subsystem has static controllers (FCATT)");
                }
                let data = lab.target.connect_data(cntlid);
                let sqe = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
                expect_parameter(&connect(lab, sqe, Data::Capsule(&data))?, true, CNTLID)
            },
        ));
    }
    checks
}

fn name(data: &mut [u8], at: usize, text: &str) {
    data[at..at + 256].fill(0);
    data[at..at + text.len()].copy_from_slice(text.as_bytes());
}

/// Whatever is no Connect may not come first.
fn first_commands() -> Vec<Check> {
    type Row = (&'static str, fn() -> Sqe);
    let table: [Row; 7] = [
        ("property_get", || sqe::property_get(Property::VS)),
        ("property_set", || sqe::property_set(Property::CC, ControllerConfiguration::USUAL)),
        ("disconnect", sqe::disconnect),
        ("identify", || sqe::identify(Cns::CONTROLLER, 0)),
        ("keep_alive", sqe::keep_alive),
        ("flush", || sqe::flush(1)),
        ("unknown_fabrics_type", || {
            let mut sqe = sqe::disconnect();
            sqe.nsid = u32::from(FabricsType(0x42).0).into();
            sqe
        }),
    ];
    let check = |(name, sqe): Row| {
        Check::new(format!("connect/{name}_before_connect"), "Base §3.3.2.2", &[], move |lab| {
            expect_refused(&connect(lab, sqe(), Data::None)?)
        })
    };
    table.into_iter().map(check).collect()
}

/// What holds of an association.
fn admitted() -> Vec<Check> {
    let mut checks = vec![
        Check::new("connect/cntlid_is_not_reserved", CONNECT, &[], |lab| {
            let cntlid = lab.session()?.cntlid;
            expect(cntlid < 0xFFF0, "CNTLID below FFF0h", format_args!("{cntlid:04x}h"))
        }),
        Check::new("connect/cntlid_is_as_identify_has_it", "Base §5.1.13.2.1", &[], |lab| {
            let session = lab.session()?;
            let cntlid = session.cntlid;
            let answer = session.admin.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_success(&answer)?;
            let seen = u16::from_le_bytes([answer.data[78], answer.data[79]]);
            expect_equal("CNTLID", cntlid, seen)
        }),
        Check::new("connect/two_associations_have_two_cntlids", "Base §3.1.1", &[], |lab| {
            if lab.facts.controller.fcatt & 1 != 0 {
                return skip("the subsystem has static controllers (FCATT)");
            }
            let (_first, one) = lab.connected()?;
            let (_second, two) = lab.connected()?;
            expect(one != two, "two CNTLIDs", format_args!("{one:04x}h twice"))
        }),
        Check::new("connect/again_on_the_same_queue", CONNECT, &[], |lab| {
            let (mut queue, _) = lab.connected()?;
            let data = lab.target.connect_data(CNTLID_DYNAMIC);
            let connect = sqe::connect(0, limits::QUEUE_ENTRIES, 0, true);
            expect_status(&queue.command(connect, Data::Capsule(&data))?, &[Status::COMMAND_SEQUENCE_ERROR])
        }),
        Check::new("connect/without_flow_control", "Base §6.3", &[], |lab| {
            let mut queue = Queue::new(lab.initialized()?);
            let data = lab.target.connect_data(CNTLID_DYNAMIC);
            let connect = sqe::connect(0, limits::QUEUE_ENTRIES, 0, false);
            let answer = queue.command(connect, Data::Capsule(&data))?;
            expect_success(&answer)?;
            lab.target.authenticate(&mut queue, &answer)?;
            crate::lab::enable(&mut queue)?;
            expect_success(&queue.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?)
        }),
        Check::new("connect/sqhd_moves_with_flow_control", "Base §3.3.1.2.1", &[], |lab| {
            let (mut queue, _) = lab.connected()?;
            let mut heads = Vec::new();
            for _ in 0..3 {
                let answer = queue.command(sqe::property_get(Property::VS), Data::None)?;
                heads.push(answer.cqe.map_or(0, |cqe| cqe.sqhd.get()));
            }
            let entries = limits::QUEUE_ENTRIES;
            let next = |head: u16| (head + 1) % entries;
            expect(
                heads[0] < entries && heads[1] == next(heads[0]) && heads[2] == next(heads[1]),
                "SQHD one further with each command",
                format_args!("{heads:?}"),
            )
        }),
        Check::new("connect/sqhd_wraps_at_the_queue_size", "Base §3.3.1.2.1", &[], |lab| {
            let (mut queue, _) = lab.connected()?;
            for _ in 0..limits::QUEUE_ENTRIES + 2 {
                let answer = queue.command(sqe::property_get(Property::VS), Data::None)?;
                let head = answer.cqe.map_or(0, |cqe| cqe.sqhd.get());
                expect(
                    head < limits::QUEUE_ENTRIES,
                    format_args!("SQHD below {}", limits::QUEUE_ENTRIES),
                    format_args!("SQHD {head}"),
                )?;
            }
            Ok(())
        }),
    ];
    for kato_ms in [1000_u32, 15_000, 120_000] {
        checks.push(Check::new(format!("connect/kato_of_{kato_ms}_ms"), "Base §3.9", &[], move |lab| {
            let data = lab.target.connect_data(CNTLID_DYNAMIC);
            let sqe = sqe::connect(0, limits::QUEUE_ENTRIES, kato_ms, true);
            expect_success(&connect(lab, sqe, Data::Capsule(&data))?)
        }));
    }
    checks
}

/// Connect of an I/O queue.
fn io_queues() -> Vec<Check> {
    const IO: &[Need] = &[Need::Io];
    fn join(lab: &mut Lab<'_>, sqe: impl Fn(u16) -> Sqe, data: impl Fn(&mut Vec<u8>)) -> Verdict<Answer> {
        let cntlid = lab.session()?.cntlid;
        let mut bytes = lab.target.connect_data(cntlid);
        data(&mut bytes);
        connect(lab, sqe(cntlid), Data::Capsule(&bytes))
    }
    let entries = limits::QUEUE_ENTRIES;
    vec![
        Check::new("connect/io_queue_twice", CONNECT, IO, move |lab| {
            let answer = join(lab, |_| sqe::connect(1, entries, 0, true), |_| {})?;
            expect_status(&answer, &[Status::COMMAND_SEQUENCE_ERROR])
        }),
        Check::new("connect/io_queue_65535", CONNECT, IO, move |lab| {
            let answer = join(lab, |_| sqe::connect(u16::MAX, entries, 0, true), |_| {})?;
            expect_status(&answer, &[Status::CONNECT_INVALID_PARAMETERS])
        }),
        Check::new("connect/io_queue_of_more_than_mqes", CONNECT, IO, |lab| {
            let mqes_z = (lab.facts.cap & 0xFFFF) as u16;
            if mqes_z >= u16::MAX - 1 {
                return skip("MQES leaves no larger size");
            }
            let answer = join(lab, |_| sqe::connect(2, mqes_z + 2, 0, true), |_| {})?;
            expect_parameter(&answer, false, 44)
        }),
        Check::new("connect/io_queue_of_sqsize_0", CONNECT, IO, move |lab| {
            let zero = |_| {
                let mut sqe: ConnectSqe = transmute!(sqe::connect(2, entries, 0, true));
                sqe.sqsize_z = 0.into();
                transmute!(sqe)
            };
            expect_status(&join(lab, zero, |_| {})?, &[Status::CONNECT_INVALID_PARAMETERS])
        }),
        Check::new("connect/io_queue_of_unknown_cntlid", CONNECT, IO, move |lab| {
            let other = |data: &mut Vec<u8>| data[CNTLID..CNTLID + 2].copy_from_slice(&[0xEE, 0xFF]);
            let answer = join(lab, |_| sqe::connect(2, entries, 0, true), other)?;
            expect_status(&answer, &[Status::CONNECT_INVALID_PARAMETERS])
        }),
        Check::new("connect/io_queue_of_another_hostnqn", CONNECT, IO, move |lab| {
            let other = |data: &mut Vec<u8>| name(data, HOSTNQN, "nqn.2026-11.invalid:another");
            let answer = join(lab, |_| sqe::connect(2, entries, 0, true), other)?;
            let refusals = [Status::CONNECT_INVALID_PARAMETERS, Status::CONNECT_INVALID_HOST];
            expect_status(&answer, &refusals)
        }),
        Check::new("connect/io_queue_of_another_subsystem", CONNECT, IO, move |lab| {
            let other = |data: &mut Vec<u8>| name(data, SUBNQN, "nqn.2026-11.invalid:nobody");
            let answer = join(lab, |_| sqe::connect(2, entries, 0, true), other)?;
            expect_status(&answer, &[Status::CONNECT_INVALID_PARAMETERS])
        }),
        Check::new("connect/several_io_queues", CONNECT, IO, |lab| {
            let mut session = lab.fresh()?;
            let cntlid = session.cntlid;
            let mut queue = lab.target.connect_io(Wishes::default(), cntlid, 2)?;
            expect_refused(&queue.command(Sqe::new(0x7E), Data::None)?)?;
            expect_refused(&session.io()?.command(Sqe::new(0x7E), Data::None)?)
        }),
        Check::new("connect/admin_command_on_an_io_queue", "Base §3.3", IO, |lab| {
            // Identify's opcode is none of an I/O queue's.
            let answer = lab.io(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_refused(&answer)
        }),
        Check::new("connect/property_get_on_an_io_queue", "Base §6.5", IO, |lab| {
            expect_refused(&lab.io(sqe::property_get(Property::VS), Data::None)?)
        }),
    ]
}
