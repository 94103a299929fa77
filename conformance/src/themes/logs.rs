//! Get Log Page: which pages there are, windows into them, and what some say (Base §5.1.12).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        admin::{GetLogPageSqe, RAE},
        log_page::ANA_RGO,
        opcode::LogPageId,
    },
};
use zerocopy::transmute;

use crate::{
    check::{
        Check, Need, Verdict, expect, expect_equal, expect_refused, expect_status, expect_success,
        expect_zero, skip,
    },
    lab::Lab,
    queue::{Answer, Data},
};

const LOG: &str = "Base §5.1.12";
const PAGES: &[Need] = &[Need::Io, Need::SupportedPages];
const EFFECTS: &[Need] = &[Need::Io, Need::Effects];
const ANA: &[Need] = &[Need::Io, Need::Ana];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = pages();
    checks.extend(windows());
    checks.extend(effects());
    checks.extend(health());
    checks.extend(ana());
    checks
}

/// Get Log Page of the controller, with no event cleared.
fn get(page: LogPageId, offset: u64, len: u32) -> Sqe {
    let mut get: GetLogPageSqe = transmute!(sqe::get_log_page(page, offset, len));
    get.lsp = RAE;
    transmute!(get)
}

fn try_read(lab: &mut Lab<'_>, page: LogPageId, offset: u64, len: u32) -> Verdict<Answer> {
    lab.admin(get(page, offset, len), Data::In(len))
}

fn read(lab: &mut Lab<'_>, page: LogPageId, offset: u64, len: u32) -> Verdict<Vec<u8>> {
    let answer = try_read(lab, page, offset, len)?;
    expect_success(&answer)?;
    expect_equal("bytes", len as usize, answer.data.len())?;
    Ok(answer.data)
}

/// Pages by what the Supported Log Pages log says of them.
fn pages() -> Vec<Check> {
    let mut checks = Vec::new();
    // Pages that any controller may be asked for without naming more than the page.
    for page in [0x00_u8, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0C, 0x12, 0x13, 0x80] {
        checks.push(Check::new(
            format!("logs/page_{page:02x}h_is_there_if_listed"),
            LOG,
            PAGES,
            move |lab| {
                let listed = is_listed(lab, page);
                let answer = try_read(lab, LogPageId(page), 0, 64)?;
                if listed {
                    expect_success(&answer)
                } else {
                    expect_status(&answer, &[Status::INVALID_LOG_PAGE, Status::INVALID_FIELD])
                }
            },
        ));
    }
    for page in [0x1D_u8, 0x2A, 0x3F, 0x40, 0x5E, 0x6F, 0x78, 0x7F, 0x87, 0xBD] {
        checks.push(Check::new(format!("logs/reserved_page_{page:02x}h"), LOG, &[], move |lab| {
            let answer = try_read(lab, LogPageId(page), 0, 64)?;
            expect_status(&answer, &[Status::INVALID_LOG_PAGE, Status::INVALID_FIELD])
        }));
    }
    for page in [0x01_u8, 0x02, 0x03, 0x05] {
        checks.push(Check::new(
            format!("logs/mandatory_page_{page:02x}h"),
            "Base §3.1.3.5",
            &[Need::Io],
            move |lab| {
                if page == 0x05 && lab.facts.controller.lpa & 2 == 0 {
                    return skip("LPA says that there is none");
                }
                read(lab, LogPageId(page), 0, if page == 0x05 { 4096 } else { 512 }).map(drop)
            },
        ));
    }
    checks
}

fn is_listed(lab: &Lab<'_>, page: u8) -> bool {
    let at = usize::from(page) * 4;
    lab.facts.supported_pages.as_ref().is_some_and(|log| log.get(at).is_some_and(|entry| entry & 1 != 0))
}

/// LPO and NUMD: a window is the same bytes as in the whole.
fn windows() -> Vec<Check> {
    let mut checks = Vec::new();
    for (offset, len) in [(0_u32, 4_u32), (4, 4), (4, 64), (512, 512), (1020, 8), (2044, 4), (4092, 4)] {
        checks.push(Check::new(format!("logs/window_of_{len}_at_{offset}"), LOG, EFFECTS, move |lab| {
            if lab.facts.controller.lpa & 4 == 0 {
                return skip("LPA has no extended data");
            }
            let whole = lab.facts.effects.clone().unwrap_or_default();
            let window = read(lab, LogPageId::COMMAND_EFFECTS, u64::from(offset), len)?;
            let (start, end) = (offset as usize, (offset + len) as usize);
            expect(window == whole[start..end], "the bytes of the whole page", format_args!("{window:02x?}"))
        }));
    }
    checks.push(Check::new("logs/offset_beyond_the_page", LOG, EFFECTS, |lab| {
        if lab.facts.controller.lpa & 4 == 0 {
            return skip("LPA has no extended data");
        }
        expect_status(&try_read(lab, LogPageId::COMMAND_EFFECTS, 1 << 20, 4)?, &[Status::INVALID_FIELD])
    }));
    checks.push(Check::new("logs/length_of_4_gib", LOG, &[], |lab| {
        let Some(_) = lab.facts.transfer_bytes_max() else { return skip("MDTS is no limit") };
        let mut sqe: GetLogPageSqe = transmute!(get(LogPageId::ERROR, 0, 4));
        (sqe.numdl_z, sqe.numdu) = (u16::MAX.into(), 0x3FFF.into());
        expect_refused(&lab.admin(transmute!(sqe), Data::In(4096))?)
    }));
    checks
}

/// Commands Supported and Effects.
fn effects() -> Vec<Check> {
    let marked = |name: &str, at: usize, opcode: u8| {
        Check::new(format!("logs/effects_list_{name}"), "Base §5.1.12.1.6", EFFECTS, move |lab| {
            let log = lab.facts.effects.clone().unwrap_or_default();
            let entry = log.get(at + usize::from(opcode) * 4).copied().unwrap_or(0);
            expect(entry & 1 != 0, "CSUPP", format_args!("{entry:#04x}"))
        })
    };
    let mut checks = vec![
        marked("get_log_page", 0, 0x02),
        marked("identify", 0, 0x06),
        marked("abort", 0, 0x08),
        marked("set_features", 0, 0x09),
        marked("get_features", 0, 0x0A),
        marked("async_event_request", 0, 0x0C),
        marked("keep_alive", 0, 0x18),
        marked("flush", 1024, 0x00),
        marked("write", 1024, 0x01),
        marked("read", 1024, 0x02),
    ];
    checks.push(Check::new("logs/effects_reserved_bytes", "Base §5.1.12.1.6", EFFECTS, |lab| {
        expect_zero("bytes 4095:2048", lab.facts.effects.as_ref().map_or(&[], |log| &log[2048..]))
    }));
    for (bit, name, opcode) in [
        (0, "compare", 0x05_u8),
        (2, "dataset_management", 0x09),
        (3, "write_zeroes", 0x08),
        (7, "verify", 0x0C),
        (8, "copy", 0x19),
    ] {
        checks.push(Check::new(
            format!("logs/effects_of_{name}_agree_with_oncs"),
            "Base §5.1.12.1.6",
            EFFECTS,
            move |lab| {
                let offered = lab.facts.controller.oncs.get() >> bit & 1;
                let log = lab.facts.effects.clone().unwrap_or_default();
                let entry = log.get(1024 + usize::from(opcode) * 4).copied().unwrap_or(0);
                expect_equal("CSUPP", offered, u16::from(entry & 1))
            },
        ));
    }
    checks
}

/// SMART and the error log.
fn health() -> Vec<Check> {
    const SMART: &str = "Base §5.1.12.1.3";
    const ERRORS: &str = "Base §5.1.12.1.2";
    vec![
        Check::new("logs/smart_of_nsid_0_is_the_controllers", SMART, &[Need::Io], |lab| {
            let mut sqe = get(LogPageId::SMART, 0, 512);
            sqe.nsid = 0.into();
            expect_success(&lab.admin(sqe, Data::In(512))?)
        }),
        Check::new("logs/smart_critical_warning_reserved_bits", SMART, &[Need::Io], |lab| {
            expect_equal("bits 7:6", 0, read(lab, LogPageId::SMART, 0, 512)?[0] >> 6)
        }),
        Check::new("logs/smart_spare_is_a_percentage", SMART, &[Need::Io], |lab| {
            let spare = read(lab, LogPageId::SMART, 0, 512)?[3];
            expect(spare <= 100, "at most 100", format_args!("{spare}"))
        }),
        Check::new("logs/smart_reads_go_up", SMART, &[Need::Namespace], |lab| {
            let before = host_reads(&read(lab, LogPageId::SMART, 0, 512)?);
            let namespace = lab.facts.namespace()?;
            let (nsid, bytes) = (namespace.nsid, namespace.block_bytes);
            for _ in 0..4 {
                expect_success(&lab.io(sqe::read(nsid, 0, 1), Data::In(bytes))?)?;
            }
            let after = host_reads(&read(lab, LogPageId::SMART, 0, 512)?);
            expect(after >= before + 4, format_args!("{} or more", before + 4), format_args!("{after}"))
        }),
        Check::new("logs/error_log_is_newest_first", ERRORS, &[Need::Io], |lab| {
            let log = read(lab, LogPageId::ERROR, 0, 256)?;
            let counts: Vec<u64> = log
                .chunks_exact(64)
                .filter_map(|entry| entry.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)))
                .take_while(|&count| count != 0)
                .collect();
            expect(
                counts.windows(2).all(|pair| pair[0] > pair[1]),
                "descending counts",
                format_args!("{counts:?}"),
            )
        }),
        Check::new("logs/smart_counts_the_error_log", ERRORS, &[Need::Io], |lab| {
            let newest = read(lab, LogPageId::ERROR, 0, 64)?;
            let newest = newest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let smart = read(lab, LogPageId::SMART, 0, 512)?;
            let entries = u64::from_le_bytes(std::array::from_fn(|at| smart[176 + at]));
            expect(entries >= newest, format_args!("{newest} or more entries"), format_args!("{entries}"))
        }),
    ]
}

/// Host Read Commands, as far as 64 bits go.
fn host_reads(smart: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|at| smart[64 + at]))
}

/// The ANA log.
fn ana() -> Vec<Check> {
    const SECTION: &str = "Base §5.1.12.1.13";
    type Judge = fn(&[Group], &Lab<'_>) -> Verdict;
    let judges: [(&str, Judge); 5] = [
        ("groups_are_ascending", |groups, _| {
            let ids: Vec<u32> = groups.iter().map(|group| group.id).collect();
            expect(ids.windows(2).all(|pair| pair[0] < pair[1]), "ascending groups", format_args!("{ids:?}"))
        }),
        ("group_identifiers_are_valid", |groups, lab| {
            let max = lab.facts.controller.anagrpmax.get();
            let wrong = groups.iter().find(|group| !(1..=max).contains(&group.id));
            expect(
                wrong.is_none(),
                format_args!("1 to {max}"),
                format_args!("{:?}", wrong.map(|group| group.id)),
            )
        }),
        ("states_are_defined", |groups, _| {
            let wrong = groups.iter().find(|group| !matches!(group.state, 1..=4 | 0xF));
            expect(
                wrong.is_none(),
                "states 1h to 4h and Fh",
                format_args!("{:?}", wrong.map(|group| group.state)),
            )
        }),
        ("groups_have_namespaces_in_order", |groups, _| {
            let sorted = groups.iter().all(|group| group.nsids.windows(2).all(|pair| pair[0] < pair[1]));
            expect(sorted, "ascending NSIDs in each group", "others")
        }),
        ("namespace_is_in_its_group", |groups, lab| {
            let Some(namespace) = &lab.facts.namespace else { return skip("there is no namespace") };
            let id = namespace.identify.anagrpid.get();
            let there = groups.iter().any(|group| group.id == id && group.nsids.contains(&namespace.nsid));
            expect(there, format_args!("NSID {} in group {id}", namespace.nsid), "it is not there")
        }),
    ];
    let mut checks: Vec<Check> = judges
        .into_iter()
        .map(|(name, judge)| {
            Check::new(format!("logs/ana_{name}"), SECTION, ANA, move |lab| judge(&groups(lab, 0)?, lab))
        })
        .collect();
    checks.push(Check::new("logs/ana_groups_only", SECTION, ANA, |lab| {
        let groups = groups(lab, ANA_RGO)?;
        let with = groups.iter().filter(|group| !group.nsids.is_empty()).count();
        expect_equal("groups with NSIDs", 0, with)
    }));
    checks.push(Check::new("logs/ana_reserved_bytes", SECTION, ANA, |lab| {
        expect_zero("bytes 15:10", &read(lab, LogPageId::ANA, 0, 16)?[10..])
    }));
    checks
}

/// One descriptor of the ANA log.
struct Group {
    id: u32,
    state: u8,
    nsids: Vec<u32>,
}

fn groups(lab: &mut Lab<'_>, lsp: u8) -> Verdict<Vec<Group>> {
    const LEN: u32 = 4096;
    let mut sqe: GetLogPageSqe = transmute!(get(LogPageId::ANA, 0, LEN));
    sqe.lsp |= lsp;
    let answer = lab.admin(transmute!(sqe), Data::In(LEN))?;
    expect_success(&answer)?;
    let log = answer.data;
    let number = |at: usize| log.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let (mut groups, mut at) = (Vec::new(), 16);
    for _ in 0..number(8) & 0xFFFF {
        let count = number(at + 4) as usize;
        let end = at + 32 + count.min(LEN as usize) * 4;
        if end > log.len() {
            break;
        }
        groups.push(Group {
            id: number(at),
            state: log[at + 16] & 0xF,
            nsids: (0..count).map(|index| number(at + 32 + index * 4)).collect(),
        });
        at = end;
    }
    Ok(groups)
}
