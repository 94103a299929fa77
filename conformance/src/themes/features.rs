//! Get and Set Features (Base §5.1.11, §5.1.25).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        admin::{FeaturesSqe, SAVE},
        opcode::FeatureId,
    },
};
use zerocopy::transmute;

use crate::{
    check::{
        Check, Need, Verdict, expect, expect_equal, expect_refused, expect_status, expect_success, skip,
    },
    lab::Lab,
    queue::{Answer, Data},
};

const GET: &str = "Base §5.1.11";
const SET: &str = "Base §5.1.25";
const IO: &[Need] = &[Need::Io];
/// ONCS: Save and Select.
const SELECT: u16 = 1 << 4;

pub(super) fn checks() -> Vec<Check> {
    let mut checks = numbers();
    checks.extend(selects());
    checks.extend(changes());
    checks.extend(host_identifier());
    checks
}

fn get(feature: FeatureId, select: u8) -> Sqe {
    let mut get: FeaturesSqe = transmute!(sqe::get_features(feature));
    get.sel = select;
    transmute!(get)
}

fn value(lab: &mut Lab<'_>, feature: FeatureId, select: u8) -> Verdict<u32> {
    let answer = lab.admin(get(feature, select), Data::None)?;
    expect_success(&answer)?;
    Ok(answer.dword0())
}

/// Features that every controller for I/O has, and those that nobody has.
fn numbers() -> Vec<Check> {
    let mandatory = [
        ("number_of_queues", FeatureId::NUMBER_OF_QUEUES),
        ("async_event_configuration", FeatureId::ASYNC_EVENT_CONFIGURATION),
        ("keep_alive_timer", FeatureId::KEEP_ALIVE_TIMER),
    ];
    let mut checks: Vec<Check> = mandatory
        .into_iter()
        .map(|(name, feature)| {
            Check::new(format!("features/{name}_is_there"), "Base §3.1.3.6", IO, move |lab| {
                value(lab, feature, 0).map(drop)
            })
        })
        .collect();
    for feature in [0x00_u8, 0x30, 0x3F, 0x40, 0x5A, 0x77, 0x7C, 0xA0, 0xBF] {
        checks.push(Check::new(format!("features/get_of_reserved_{feature:02x}h"), GET, &[], move |lab| {
            let answer = lab.admin(get(FeatureId(feature), 0), Data::None)?;
            expect_status(&answer, &[Status::INVALID_FIELD])
        }));
        checks.push(Check::new(format!("features/set_of_reserved_{feature:02x}h"), SET, &[], move |lab| {
            let answer = lab.admin(sqe::set_features(FeatureId(feature), 0), Data::None)?;
            expect_status(&answer, &[Status::INVALID_FIELD])
        }));
    }
    checks.push(Check::new("features/volatile_write_cache_is_there_if_vwc_says", GET, IO, |lab| {
        if lab.facts.controller.vwc & 1 == 0 {
            return skip("VWC says that there is no cache");
        }
        value(lab, FeatureId::VOLATILE_WRITE_CACHE, 0).map(drop)
    }));
    checks
}

/// The Select field.
fn selects() -> Vec<Check> {
    let mut checks = Vec::new();
    for select in 4..8_u8 {
        checks.push(Check::new(format!("features/reserved_select_{select}"), GET, IO, move |lab| {
            select_is_offered(lab)?;
            let answer = lab.admin(get(FeatureId::NUMBER_OF_QUEUES, select), Data::None)?;
            expect_status(&answer, &[Status::INVALID_FIELD])
        }));
    }
    let features = [
        ("number_of_queues", FeatureId::NUMBER_OF_QUEUES),
        ("async_event_configuration", FeatureId::ASYNC_EVENT_CONFIGURATION),
    ];
    for (name, feature) in features {
        for (which, select) in [("default", 1), ("saved", 2), ("capabilities", 3)] {
            checks.push(Check::new(format!("features/{which}_of_{name}"), GET, IO, move |lab| {
                select_is_offered(lab)?;
                value(lab, feature, select).map(drop)
            }));
        }
        checks.push(Check::new(
            format!("features/capabilities_of_{name}_reserved_bits"),
            GET,
            IO,
            move |lab| {
                select_is_offered(lab)?;
                expect_equal("bits 31:3", 0, value(lab, feature, 3)? >> 3)
            },
        ));
        checks.push(Check::new(
            format!("features/save_of_{name}_as_its_capabilities_say"),
            SET,
            IO,
            move |lab| {
                select_is_offered(lab)?;
                if value(lab, feature, 3)? & 1 != 0 {
                    return skip("the feature can be saved, and would be");
                }
                let mut set: FeaturesSqe = transmute!(sqe::set_features(feature, 0));
                set.save = SAVE;
                let answer = lab.admin(transmute!(set), Data::None)?;
                expect_status(&answer, &[Status::FEATURE_NOT_SAVEABLE])
            },
        ));
    }
    checks
}

fn select_is_offered(lab: &Lab<'_>) -> Verdict {
    if lab.facts.controller.oncs.get() & SELECT == 0 { skip("no Save and Select (ONCS)") } else { Ok(()) }
}

/// Values that are set are read again, on an association of the check's own.
fn changes() -> Vec<Check> {
    fn set(lab: &Lab<'_>, feature: FeatureId, new: u32) -> Verdict<(Answer, Answer)> {
        let mut session = lab.fresh()?;
        let set = session.admin.command(sqe::set_features(feature, new), Data::None)?;
        Ok((set, session.admin.command(get(feature, 0), Data::None)?))
    }
    let mut checks = Vec::new();
    for (name, new) in [("nothing", 0_u32), ("namespace_attributes", 1 << 8), ("smart_warnings", 0x1F)] {
        checks.push(Check::new(format!("features/events_on_for_{name}_read_again"), SET, IO, move |lab| {
            if new == 1 << 8 && lab.facts.controller.oaes.get() & new == 0 {
                return skip("OAES does not offer it");
            }
            let (done, read) = set(lab, FeatureId::ASYNC_EVENT_CONFIGURATION, new)?;
            expect_success(&done)?;
            expect_equal("the value", new, read.dword0())
        }));
    }
    for kato_ms in [5_000_u32, 30_000] {
        checks.push(Check::new(
            format!("features/kato_of_{kato_ms}_reads_again"),
            "Base §3.9",
            IO,
            move |lab| {
                let (done, read) = set(lab, FeatureId::KEEP_ALIVE_TIMER, kato_ms)?;
                expect_success(&done)?;
                // It may be rounded up to the granularity.
                let granularity = u32::from(lab.facts.controller.kas.get()) * 100;
                let seen = read.dword0();
                expect(
                    seen >= kato_ms && seen <= kato_ms + granularity,
                    format_args!("{kato_ms} ms, or rounded up by less than {granularity}"),
                    format_args!("{seen} ms"),
                )
            },
        ));
    }
    for (name, new) in [
        ("65536_submission_queues", 0x0000_FFFF),
        ("65536_completion_queues", 0xFFFF_0000),
        ("65536_of_both", u32::MAX),
    ] {
        checks.push(Check::new(format!("features/{name}"), "Base §5.1.25.1.5", IO, move |lab| {
            let mut session = lab.target.session(crate::pdu::Wishes::default(), false)?;
            let set = sqe::set_features(FeatureId::NUMBER_OF_QUEUES, new);
            let done = session.admin.command(set, Data::None)?;
            expect_status(&done, &[Status::INVALID_FIELD])
        }));
    }
    for queues in [1_u32, 2, 4] {
        checks.push(Check::new(
            format!("features/ask_for_{queues}_queues"),
            "Base §5.1.25.1.5",
            IO,
            move |lab| {
                let mut session = lab.target.session(crate::pdu::Wishes::default(), false)?;
                let asked = (queues - 1) << 16 | (queues - 1);
                let answer = session
                    .admin
                    .command(sqe::set_features(FeatureId::NUMBER_OF_QUEUES, asked), Data::None)?;
                expect_success(&answer)?;
                let granted = (answer.dword0() & 0xFFFF, answer.dword0() >> 16);
                expect(
                    granted.0 < 0xFFFF && granted.1 < 0xFFFF,
                    "numbers, 0's based",
                    format_args!("{granted:x?}"),
                )
            },
        ));
    }
    checks
}

fn host_identifier() -> Vec<Check> {
    const SECTION: &str = "Base §5.1.25.1.28";
    vec![
        Check::new("features/host_identifier_cannot_be_set", SECTION, IO, |lab| {
            let sqe = sqe::set_features(FeatureId::HOST_IDENTIFIER, 1);
            let answer = lab.admin(sqe, Data::Capsule(&[7; 16]))?;
            expect_refused(&answer)
        }),
        Check::new("features/host_identifier_is_connects", SECTION, IO, |lab| {
            let mut sqe: FeaturesSqe = transmute!(get(FeatureId::HOST_IDENTIFIER, 0));
            // EXHID: the extended host identifier.
            sqe.value = 1.into();
            let answer = lab.admin(transmute!(sqe), Data::In(16))?;
            if answer.status().code() == Status::INVALID_FIELD.code() {
                return skip("the feature is not supported");
            }
            expect_success(&answer)?;
            let host = lab.target.host.id;
            expect(
                answer.data == host.as_bytes(),
                "the host identifier of Connect",
                format_args!("{:02x?}", answer.data),
            )
        }),
    ]
}
