//! The discovery subsystem at the same address, and its log (Base §3.1.3.2, §5.1.12.3.1).

use nvmeof::{
    Nqn,
    host::sqe,
    wire::{
        Sqe,
        identify::CNTRLTYPE_DISCOVERY,
        log_page::DiscoveryEntry,
        opcode::{Cns, LogPageId},
    },
};
use zerocopy::FromBytes;

use crate::{
    check::{
        Check, Need, Verdict, broken, expect, expect_equal, expect_refused, expect_success, expect_zero,
    },
    lab::{Lab, Session, Target},
    limits,
    pdu::Wishes,
    queue::{Data, Queue},
};

const LOG: &str = "Base §5.1.12.3.1";
const CONTROLLER: &str = "Base §3.1.3.2";
const NEEDS: &[Need] = &[Need::Discovery];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = controller();
    checks.extend(header());
    checks.extend(entries());
    checks
}

fn target(lab: &Lab<'_>) -> Verdict<Target> {
    match Nqn::new(Nqn::DISCOVERY) {
        Ok(subsystem) => Ok(Target { subsystem, ..lab.target.clone() }),
        Err(error) => broken(error),
    }
}

fn open(lab: &Lab<'_>) -> Verdict<Session> {
    target(lab)?.session(Wishes::default(), false)
}

fn read(session: &mut Session, offset: u64, len: u32) -> Verdict<Vec<u8>> {
    let get = sqe::get_log_page(LogPageId::DISCOVERY, offset, len);
    let answer = session.admin.command(get, Data::In(len))?;
    expect_success(&answer)?;
    expect_equal("bytes", len as usize, answer.data.len())?;
    Ok(answer.data)
}

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn controller() -> Vec<Check> {
    vec![
        Check::new("discovery/cntrltype", CONTROLLER, NEEDS, |lab| {
            let mut session = open(lab)?;
            let answer = session.admin.command(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_success(&answer)?;
            expect_equal("CNTRLTYPE", CNTRLTYPE_DISCOVERY, answer.data[111])
        }),
        Check::new("discovery/has_no_io_queues", CONTROLLER, NEEDS, |lab| {
            let session = open(lab)?;
            let mut queue = Queue::new(lab.initialized()?);
            let data = target(lab)?.connect_data(session.cntlid);
            let connect = sqe::connect(1, limits::QUEUE_ENTRIES, 0, true);
            expect_refused(&queue.command(connect, Data::Capsule(&data))?)
        }),
        Check::new("discovery/unknown_opcode", CONTROLLER, NEEDS, |lab| {
            expect_refused(&open(lab)?.admin.command(Sqe::new(0x50), Data::None)?)
        }),
        Check::new("discovery/keep_alive", "Base §3.9", NEEDS, |lab| {
            // Without a timer it may be refused, but not stay unanswered.
            open(lab)?.admin.command(sqe::keep_alive(), Data::None).map(drop)
        }),
    ]
}

fn header() -> Vec<Check> {
    let check = |name: &str, run: fn(&mut Session) -> Verdict| {
        Check::new(format!("discovery/{name}"), LOG, NEEDS, move |lab| run(&mut open(lab)?))
    };
    vec![
        check("recfmt", |session| expect_equal("RECFMT", 0, number(&read(session, 0, 1024)?, 16) & 0xFFFF)),
        check("header_reserved_bytes", |session| {
            expect_zero("bytes 1023:18", &read(session, 0, 1024)?[18..])
        }),
        check("genctr_stays_while_nothing_changes", |session| {
            let first = number(&read(session, 0, 1024)?, 0);
            expect_equal("GENCTR", first, number(&read(session, 0, 1024)?, 0))
        }),
        check("log_has_an_entry", |session| {
            let records = number(&read(session, 0, 1024)?, 8);
            expect(records > 0, "NUMREC above zero", "0")
        }),
        check("window_of_the_first_entry", |session| {
            let whole = read(session, 0, 2048)?;
            expect(read(session, 1024, 1024)? == whole[1024..], "the bytes of the whole log", "others")
        }),
        check("window_of_numrec", |session| {
            let whole = read(session, 0, 1024)?;
            expect(read(session, 8, 8)? == whole[8..16], "the bytes of the whole log", "others")
        }),
    ]
}

fn entries() -> Vec<Check> {
    type Judge = (&'static str, fn(&DiscoveryEntry) -> Verdict);
    let judges: [Judge; 10] = [
        ("trtype_is_defined", |entry| {
            expect(matches!(entry.trtype, 1..=3 | 254), "a transport", format_args!("{}", entry.trtype))
        }),
        ("adrfam_is_defined", |entry| {
            expect(matches!(entry.adrfam, 1..=4 | 254), "an address family", format_args!("{}", entry.adrfam))
        }),
        ("subtype_is_defined", |entry| {
            expect((1..=3).contains(&entry.subtype), "1 to 3", format_args!("{}", entry.subtype))
        }),
        ("treq_is_defined", |entry| {
            expect(entry.treq & 3 < 3, "bits 1:0 of 0 to 2", format_args!("{:#x}", entry.treq))
        }),
        ("asqsz_is_32_at_least", |entry| {
            let asqsz = entry.asqsz.get();
            expect(asqsz >= 32, "ASQSZ of 32 at least", format_args!("{asqsz}"))
        }),
        ("cntlid_can_be_connected_to", |entry| {
            let cntlid = entry.cntlid.get();
            let right = !(0xFFF0..0xFFFE).contains(&cntlid);
            expect(right, "below FFF0h, FFFEh or FFFFh", format_args!("{cntlid:04x}h"))
        }),
        ("trsvcid_is_a_port", |entry| {
            let text = String::from_utf8_lossy(&entry.trsvcid);
            let text = text.trim_matches(['\0', ' ']);
            expect(entry.trtype != 3 || text.parse::<u16>().is_ok(), "a port in decimal", text)
        }),
        ("subnqn_ends", |entry| {
            expect(entry.subnqn.contains(&0) && entry.subnqn.starts_with(b"nqn."), "an NQN that ends", "none")
        }),
        ("traddr_is_there", |entry| {
            expect(entry.traddr.iter().any(|byte| byte.is_ascii_graphic()), "an address", "none")
        }),
        ("sectype_is_defined", |entry| {
            expect(
                entry.trtype != 3 || entry.tsas[0] <= 2,
                "SECTYPE 0 to 2",
                format_args!("{}", entry.tsas[0]),
            )
        }),
    ];
    let mut checks: Vec<Check> = judges
        .into_iter()
        .map(|(name, judge)| {
            Check::new(format!("discovery/{name}"), LOG, NEEDS, move |lab| {
                log(lab)?.iter().try_for_each(judge)
            })
        })
        .collect();
    checks.push(Check::new("discovery/lists_the_subsystem", LOG, NEEDS, |lab| {
        let named = lab.target.subsystem.encode();
        let there = lab.facts.is_discovery() || log(lab)?.iter().any(|entry| entry.subnqn == named);
        expect(there, format_args!("an entry of {}", lab.target.subsystem), "none")
    }));
    checks
}

/// All entries, as many as there may be of.
fn log(lab: &Lab<'_>) -> Verdict<Vec<DiscoveryEntry>> {
    let mut session = open(lab)?;
    let records = number(&read(&mut session, 0, 1024)?, 8).min(limits::LIST_ENTRIES as u64);
    let mut entries = Vec::new();
    for index in 0..records {
        let bytes = read(&mut session, 1024 * (index + 1), 1024)?;
        match DiscoveryEntry::read_from_bytes(&bytes) {
            Ok(entry) => entries.push(entry),
            Err(_) => return broken("an entry has 1024 bytes"),
        }
    }
    Ok(entries)
}
