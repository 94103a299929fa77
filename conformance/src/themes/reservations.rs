//! Reservations: every type by role and command, and the commands that change them (Base §7.5 to §7.8, §8.1.25).

use nvmeof::{
    Status,
    host::sqe,
    reservation::{AcquireAction, RegisterAction, ReleaseAction, ReservationType},
    wire::{Sqe, reservation::ReservationSqe},
};
use zerocopy::transmute;

use crate::{
    check::{
        Check, Need, Verdict, broken, expect, expect_equal, expect_status, expect_success, skip, status_name,
    },
    lab::{Lab, Session},
    queue::{Answer, Data},
};

const ACQUIRE: &str = "Base §7.5";
const REGISTER: &str = "Base §7.6";
const RELEASE: &str = "Base §7.7";
const REPORT: &str = "Base §7.8";
const MODEL: &str = "Base §8.1.25";
const NEEDS: &[Need] = &[Need::Namespace, Need::Write, Need::Reservations, Need::SecondHost];

/// Keys of the two hosts; no host has the third.
const KEY: [u64; 2] = [0xBA5A_17A0, 0xBA5A_17B0];
const NO_KEY: u64 = 0xBAD;

const TYPES: [(&str, ReservationType); 6] = [
    ("write_exclusive", ReservationType::WriteExclusive),
    ("exclusive_access", ReservationType::ExclusiveAccess),
    ("write_exclusive_registrants", ReservationType::WriteExclusiveRegistrantsOnly),
    ("exclusive_access_registrants", ReservationType::ExclusiveAccessRegistrantsOnly),
    ("write_exclusive_all", ReservationType::WriteExclusiveAllRegistrants),
    ("exclusive_access_all", ReservationType::ExclusiveAccessAllRegistrants),
];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = accesses();
    checks.extend(held());
    checks.extend(refused());
    checks.extend(reserved_values());
    checks.extend(registrations());
    checks
}

/// Two hosts at one namespace that nobody had anything registered with.
struct Hosts {
    sessions: [Session; 2],
    nsid: u32,
    lba: u64,
    block: Vec<u8>,
}

/// Ours, which acquires, and the other.
const FIRST: usize = 0;
const SECOND: usize = 1;

impl Hosts {
    fn open(lab: &Lab<'_>) -> Verdict<Self> {
        let namespace = lab.facts.namespace()?;
        let Some(second) = lab.second_host else { return broken("there is no second host") };
        let mut hosts = Self {
            sessions: [lab.fresh()?, lab.fresh_as(second)?],
            nsid: namespace.nsid,
            lba: namespace.blocks - 1,
            block: vec![0; namespace.block_bytes as usize],
        };
        if hosts.report(FIRST)?.registrants != 0 {
            return skip("other hosts are registered with the namespace");
        }
        let read = sqe::read(hosts.nsid, hosts.lba, 1);
        let answer = hosts.sessions[FIRST].io()?.command(read, Data::In(namespace.block_bytes))?;
        expect_success(&answer)?;
        hosts.block = answer.data;
        Ok(hosts)
    }

    fn command(&mut self, who: usize, sqe: Sqe, data: &[u8]) -> Verdict<Answer> {
        self.sessions[who].io()?.command(sqe, Data::Capsule(data))
    }

    fn register(&mut self, who: usize, action: RegisterAction, current: u64, new: u64) -> Verdict<Answer> {
        let sqe = sqe::reservation_register(self.nsid, action, false, None);
        self.command(who, sqe, &sqe::reservation_keys(current, new))
    }

    fn join(&mut self, who: usize) -> Verdict {
        expect_success(&self.register(who, RegisterAction::Register, 0, KEY[who])?)
    }

    fn acquire(
        &mut self,
        who: usize,
        action: AcquireAction,
        kind: ReservationType,
        other: u64,
    ) -> Verdict<Answer> {
        let sqe = sqe::reservation_acquire(self.nsid, action, kind);
        self.command(who, sqe, &sqe::reservation_keys(KEY[who], other))
    }

    /// The first host registers and acquires.
    fn hold(&mut self, kind: ReservationType) -> Verdict {
        self.join(FIRST)?;
        expect_success(&self.acquire(FIRST, AcquireAction::Acquire, kind, 0)?)
    }

    fn release(
        &mut self,
        who: usize,
        action: ReleaseAction,
        kind: ReservationType,
        key: u64,
    ) -> Verdict<Answer> {
        let sqe = sqe::reservation_release(self.nsid, action, kind);
        self.command(who, sqe, &key.to_le_bytes())
    }

    fn report(&mut self, who: usize) -> Verdict<Seen> {
        let sqe = sqe::reservation_report(self.nsid, 4096);
        let answer = self.sessions[who].io()?.command(sqe, Data::In(4096))?;
        expect_success(&answer)?;
        let data = answer.data;
        let holders = (0..usize::from(data[5]).min(62)).filter(|index| data[64 + index * 64 + 2] & 1 != 0);
        Ok(Seen {
            generation: u32::from_le_bytes([data[0], data[1], data[2], data[3]]),
            rtype: data[4],
            registrants: u16::from_le_bytes([data[5], data[6]]),
            holders: holders.count(),
        })
    }

    fn read(&mut self, who: usize) -> Verdict<Status> {
        let bytes = self.block.len() as u32;
        let read = sqe::read(self.nsid, self.lba, 1);
        Ok(self.sessions[who].io()?.command(read, Data::In(bytes))?.status())
    }

    /// Writes what is there already.
    fn write(&mut self, who: usize) -> Verdict<Status> {
        let write = sqe::write(self.nsid, self.lba, 1, false);
        Ok(self.sessions[who].io()?.command(write, Data::Out(&self.block))?.status())
    }

    /// Leaves nothing registered or held.
    fn clear(&mut self) -> Verdict {
        // Whether the first host is registered still, and with which key, is the check's affair.
        self.register(FIRST, RegisterAction::Register, 0, KEY[FIRST])?;
        let ignoring = sqe::reservation_register(self.nsid, RegisterAction::Replace, true, None);
        self.command(FIRST, ignoring, &sqe::reservation_keys(0, KEY[FIRST]))?;
        let cleared =
            self.release(FIRST, ReleaseAction::Clear, ReservationType::WriteExclusive, KEY[FIRST])?;
        match cleared.status() {
            status if status.is_success() => Ok(()),
            status => broken(format_args!("the reservations could not be cleared: {}", status_name(status))),
        }
    }
}

/// What a report says.
struct Seen {
    generation: u32,
    rtype: u8,
    registrants: u16,
    holders: usize,
}

/// A check with both hosts, which leaves nothing registered.
fn check(
    name: impl Into<String>,
    section: &'static str,
    run: impl Fn(&mut Hosts) -> Verdict + 'static,
) -> Check {
    Check::new(name, section, NEEDS, move |lab| {
        let mut hosts = Hosts::open(lab)?;
        let verdict = run(&mut hosts);
        let cleared = hosts.clear();
        verdict.and(cleared)
    })
}

/// Who may read and write, by type (Base §8.1.25, the table of command behaviour).
fn accesses() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, kind) in TYPES {
        for role in ["holder", "registrant", "stranger"] {
            for command in ["read", "write"] {
                let write_exclusive = name.starts_with("write");
                let shared = name.ends_with("registrants") || name.ends_with("all");
                let allowed = match role {
                    "holder" => true,
                    "registrant" if shared => true,
                    _ => write_exclusive && command == "read",
                };
                checks.push(check(format!("reservations/{name}_{command}_of_{role}"), MODEL, move |hosts| {
                    hosts.hold(kind)?;
                    if role == "registrant" {
                        hosts.join(SECOND)?;
                    }
                    let who = if role == "holder" { FIRST } else { SECOND };
                    let status = if command == "read" { hosts.read(who)? } else { hosts.write(who)? };
                    let wanted = if allowed { Status::SUCCESS } else { Status::RESERVATION_CONFLICT };
                    expect(status.code() == wanted.code(), status_name(wanted), status_name(status))
                }));
            }
        }
    }
    checks
}

/// What each type looks like, and how it ends.
fn held() -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, kind) in TYPES {
        let all = name.ends_with("all");
        checks.push(check(format!("reservations/{name}_is_reported"), REPORT, move |hosts| {
            hosts.hold(kind)?;
            hosts.join(SECOND)?;
            let seen = hosts.report(SECOND)?;
            expect_equal("RTYPE", kind as u8, seen.rtype)?;
            expect_equal("REGSTRNT", 2, seen.registrants)?;
            expect_equal("holders", if all { 2 } else { 1 }, seen.holders)
        }));
        checks.push(check(format!("reservations/{name}_is_released"), RELEASE, move |hosts| {
            hosts.hold(kind)?;
            expect_success(&hosts.release(FIRST, ReleaseAction::Release, kind, KEY[FIRST])?)?;
            expect_equal("RTYPE", 0, hosts.report(FIRST)?.rtype)?;
            expect(hosts.write(SECOND)?.is_success(), "a stranger's write", "it was refused")
        }));
        checks.push(check(format!("reservations/{name}_goes_with_its_holder"), MODEL, move |hosts| {
            hosts.hold(kind)?;
            expect_success(&hosts.register(FIRST, RegisterAction::Unregister, KEY[FIRST], 0)?)?;
            let seen = hosts.report(SECOND)?;
            expect_equal("RTYPE", 0, seen.rtype)?;
            expect_equal("REGSTRNT", 0, seen.registrants)
        }));
        for (action_name, action) in
            [("preempted", AcquireAction::Preempt), ("preempted_and_aborted", AcquireAction::PreemptAndAbort)]
        {
            checks.push(check(format!("reservations/{name}_is_{action_name}"), ACQUIRE, move |hosts| {
                hosts.hold(kind)?;
                hosts.join(SECOND)?;
                // A key of zero names the holders of an all-registrants reservation.
                let victim = if all { 0 } else { KEY[FIRST] };
                expect_success(&hosts.acquire(SECOND, action, kind, victim)?)?;
                let seen = hosts.report(SECOND)?;
                expect_equal("RTYPE", kind as u8, seen.rtype)?;
                expect_equal("REGSTRNT", 1, seen.registrants)?;
                let lets_write = hosts.write(SECOND)?;
                expect(lets_write.is_success(), "the new holder's write", status_name(lets_write))
            }));
        }
        checks.push(check(format!("reservations/{name}_is_cleared"), RELEASE, move |hosts| {
            hosts.hold(kind)?;
            hosts.join(SECOND)?;
            expect_success(&hosts.release(SECOND, ReleaseAction::Clear, kind, KEY[SECOND])?)?;
            let seen = hosts.report(FIRST)?;
            expect_equal("RTYPE", 0, seen.rtype)?;
            expect_equal("REGSTRNT", 0, seen.registrants)
        }));
    }
    checks
}

/// Commands that a reservation or a wrong key refuses.
fn refused() -> Vec<Check> {
    const CONFLICT: &[Status] = &[Status::RESERVATION_CONFLICT];
    let mut checks = Vec::new();
    for (name, kind) in TYPES {
        checks.push(check(
            format!("reservations/{name}_cannot_be_acquired_by_a_stranger"),
            ACQUIRE,
            move |hosts| expect_status(&hosts.acquire(SECOND, AcquireAction::Acquire, kind, 0)?, CONFLICT),
        ));
        if !name.ends_with("all") {
            checks.push(check(
                format!("reservations/{name}_cannot_be_acquired_twice"),
                ACQUIRE,
                move |hosts| {
                    hosts.hold(kind)?;
                    hosts.join(SECOND)?;
                    expect_status(&hosts.acquire(SECOND, AcquireAction::Acquire, kind, 0)?, CONFLICT)
                },
            ));
        }
        checks.push(check(format!("reservations/{name}_release_with_another_type"), RELEASE, move |hosts| {
            hosts.hold(kind)?;
            let other = TYPES.into_iter().map(|(_, other)| other).find(|&other| other != kind);
            let Some(other) = other else { return skip("there is one type") };
            let answer = hosts.release(FIRST, ReleaseAction::Release, other, KEY[FIRST])?;
            expect_status(&answer, &[Status::INVALID_FIELD])
        }));
        checks.push(check(format!("reservations/{name}_release_with_a_wrong_key"), RELEASE, move |hosts| {
            hosts.hold(kind)?;
            let answer = hosts.release(FIRST, ReleaseAction::Release, kind, NO_KEY)?;
            expect_status(&answer, CONFLICT)
        }));
    }
    checks
}

/// Values that are reserved in the commands' fields (Base §1.4.2 asks for an error).
fn reserved_values() -> Vec<Check> {
    type Row = (&'static str, &'static str, u8, &'static [u8]);
    const TABLE: [Row; 4] = [
        ("rrega", REGISTER, 0x0D, &[3, 4, 5, 6, 7]),
        ("racqa", ACQUIRE, 0x11, &[3, 4, 5, 6, 7]),
        ("rrela", RELEASE, 0x15, &[2, 3, 4, 5, 6, 7]),
        ("rtype", ACQUIRE, 0x11, &[0, 7, 8, 255]),
    ];
    let mut checks = Vec::new();
    for (field, section, opcode, values) in TABLE {
        for &value in values {
            checks.push(check(format!("reservations/reserved_{field}_{value}"), section, move |hosts| {
                hosts.join(FIRST)?;
                let mut sqe: ReservationSqe = transmute!(Sqe::new(opcode));
                sqe.nsid = hosts.nsid.into();
                match field {
                    "rtype" => (sqe.action, sqe.rtype) = (0, value),
                    _ => (sqe.action, sqe.rtype) = (value, 1),
                }
                let keys = sqe::reservation_keys(KEY[FIRST], 0);
                let data = if opcode == 0x15 { &keys[..8] } else { &keys[..] };
                expect_status(&hosts.command(FIRST, transmute!(sqe), data)?, &[Status::INVALID_FIELD])
            }));
        }
    }
    checks
}

fn registrations() -> Vec<Check> {
    const CONFLICT: &[Status] = &[Status::RESERVATION_CONFLICT];
    vec![
        check("reservations/register_is_reported", REPORT, |hosts| {
            hosts.join(FIRST)?;
            expect_equal("REGSTRNT", 1, hosts.report(SECOND)?.registrants)
        }),
        check("reservations/register_again_with_the_same_key", REGISTER, |hosts| {
            hosts.join(FIRST)?;
            hosts.join(FIRST)?;
            expect_equal("REGSTRNT", 1, hosts.report(FIRST)?.registrants)
        }),
        check("reservations/register_again_with_another_key", REGISTER, |hosts| {
            hosts.join(FIRST)?;
            expect_status(&hosts.register(FIRST, RegisterAction::Register, 0, NO_KEY)?, CONFLICT)
        }),
        check("reservations/unregister_with_a_wrong_key", REGISTER, |hosts| {
            hosts.join(FIRST)?;
            expect_status(&hosts.register(FIRST, RegisterAction::Unregister, NO_KEY, 0)?, CONFLICT)
        }),
        check("reservations/unregister_of_a_stranger", REGISTER, |hosts| {
            expect_status(&hosts.register(SECOND, RegisterAction::Unregister, NO_KEY, 0)?, CONFLICT)
        }),
        check("reservations/replace_with_a_wrong_key", REGISTER, |hosts| {
            hosts.join(FIRST)?;
            expect_status(&hosts.register(FIRST, RegisterAction::Replace, NO_KEY, 5)?, CONFLICT)
        }),
        check("reservations/replace_changes_the_key", REGISTER, |hosts| {
            hosts.join(FIRST)?;
            expect_success(&hosts.register(FIRST, RegisterAction::Replace, KEY[FIRST], 5)?)?;
            let old = hosts.register(FIRST, RegisterAction::Unregister, KEY[FIRST], 0)?;
            expect_status(&old, CONFLICT)?;
            expect_success(&hosts.register(FIRST, RegisterAction::Unregister, 5, 0)?)
        }),
        check("reservations/release_of_nothing", RELEASE, |hosts| {
            hosts.join(FIRST)?;
            let kind = ReservationType::WriteExclusive;
            expect_success(&hosts.release(FIRST, ReleaseAction::Release, kind, KEY[FIRST])?)
        }),
        check("reservations/clear_by_a_stranger", RELEASE, |hosts| {
            hosts.join(FIRST)?;
            let kind = ReservationType::WriteExclusive;
            expect_status(&hosts.release(SECOND, ReleaseAction::Clear, kind, NO_KEY)?, CONFLICT)
        }),
        check("reservations/preempt_of_an_unknown_key", ACQUIRE, |hosts| {
            hosts.join(FIRST)?;
            let kind = ReservationType::WriteExclusive;
            expect_status(&hosts.acquire(FIRST, AcquireAction::Preempt, kind, NO_KEY)?, CONFLICT)
        }),
        check("reservations/generation_counts_registrations", REPORT, |hosts| {
            let before = hosts.report(FIRST)?.generation;
            hosts.join(FIRST)?;
            let after = hosts.report(FIRST)?.generation;
            expect_equal("GEN", before.wrapping_add(1), after)
        }),
        check("reservations/generation_stays_with_acquire", REPORT, |hosts| {
            hosts.join(FIRST)?;
            let before = hosts.report(FIRST)?.generation;
            let kind = ReservationType::WriteExclusive;
            expect_success(&hosts.acquire(FIRST, AcquireAction::Acquire, kind, 0)?)?;
            expect_equal("GEN", before, hosts.report(FIRST)?.generation)
        }),
    ]
}
