//! Every command in every state, for every type of reservation.

use NoticeKind::ReservationReleased as Released;
use NoticeKind::{RegistrationPreempted as Unregistered, ReservationPreempted as Cleared};
use ReservationType as T;

use super::*;
use crate::{Status, limits::REGISTRANTS_MAX};

const CONFLICT: Status = Status::RESERVATION_CONFLICT;
const INVALID: Status = Status::INVALID_FIELD;

/// Hosts are letters; a host's key is its letter's number.
fn host(letter: char) -> Uuid {
    Uuid::from_u128(u128::from(u32::from(letter)))
}

fn key(letter: char) -> u64 {
    u64::from(u32::from(letter))
}

/// `AB` is two registrants, `A*B` the same with A as holder of a reservation of that type.
fn state(text: &str, kind: T) -> Reservations {
    let letters: Vec<char> = text.chars().collect();
    let mut state = Reservations::default();
    for (index, &letter) in letters.iter().enumerate() {
        if letter == '*' {
            let holder = (!kind.is_all_registrants()).then(|| host(letters[index - 1]));
            state.held = Some(Held { kind, holder });
        } else {
            state.registrants.push(Registrant { host: host(letter), key: key(letter) });
        }
    }
    state
}

/// The same text for a state, without its type.
fn text(state: &Reservations) -> String {
    let one = |registrant: &Registrant| {
        let letter = char::from_u32(registrant.host.as_u128() as u32).unwrap();
        let star = if state.is_holder(registrant.host) { "*" } else { "" };
        format!("{letter}{star}")
    };
    state.registrants.iter().map(one).collect()
}

/// A command by its words: letters are keys, `0` is the key zero, `!` ignores the existing key. `kind` is the type
/// that Acquire and Release name.
fn command(words: &str, kind: T) -> ReservationCommand {
    let mut words = words.split(' ');
    let verb = words.next().unwrap();
    let keys: Vec<char> = words.map(|word| word.chars().next().unwrap()).collect();
    let number = |index: usize| match keys.get(index) {
        None | Some('0') => 0,
        Some(&letter) => key(letter),
    };
    let register = |action| ReservationCommand::Register {
        action,
        current_key: (keys[0] != '!').then(|| number(0)),
        new_key: number(1),
        persistence: None,
    };
    let acquire = |action| ReservationCommand::Acquire {
        action,
        kind,
        current_key: number(0),
        preempted_key: number(1),
    };
    let release = |action| ReservationCommand::Release { action, kind: Some(kind), current_key: number(0) };
    match verb {
        "register" => register(RegisterAction::Register),
        "replace" => register(RegisterAction::Replace),
        "unregister" => register(RegisterAction::Unregister),
        "acquire" => acquire(AcquireAction::Acquire),
        "preempt" => acquire(AcquireAction::Preempt),
        "abort" => acquire(AcquireAction::PreemptAndAbort),
        "release" => release(ReleaseAction::Release),
        "clear" => release(ReleaseAction::Clear),
        other => panic!("{other}"),
    }
}

/// Plain types, those of registrants only, those of all registrants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Plain,
    Only,
    All,
}

fn group(kind: T) -> Group {
    match (kind.is_all_registrants(), kind.is_shared()) {
        (true, _) => Group::All,
        (false, true) => Group::Only,
        (false, false) => Group::Plain,
    }
}

type Expected = Result<(&'static str, &'static [(char, NoticeKind)]), Status>;
/// In which types, from which state, whose command; the state after it and who is told.
type Row = (&'static [Group], &'static str, char, &'static str, Expected);

const ANY: &[Group] = &[Group::Plain, Group::Only, Group::All];
const ONE: &[Group] = &[Group::Plain, Group::Only];
const PLAIN: &[Group] = &[Group::Plain];
const ONLY: &[Group] = &[Group::Only];
const ALL: &[Group] = &[Group::All];

const FREE: &[Row] = &[
    (ANY, "", 'A', "register 0 A", Ok(("A", &[]))),
    (ANY, "", 'A', "register 0 0", Err(INVALID)),
    (ANY, "A", 'A', "register 0 A", Ok(("A", &[]))),
    (ANY, "A", 'A', "register 0 B", Err(CONFLICT)),
    (ANY, "A", 'A', "register ! B", Err(CONFLICT)),
    (ANY, "A", 'B', "unregister A", Err(CONFLICT)),
    (ANY, "A", 'A', "unregister B", Err(CONFLICT)),
    (ANY, "A", 'A', "unregister A", Ok(("", &[]))),
    (ANY, "AB", 'A', "unregister !", Ok(("B", &[]))),
    (ANY, "A", 'A', "replace B C", Err(CONFLICT)),
    (ANY, "A", 'B', "replace ! C", Err(CONFLICT)),
    (ANY, "A", 'A', "replace A 0", Err(INVALID)),
    (ANY, "A", 'A', "replace ! C", Ok(("A", &[]))),
    (ANY, "A", 'B', "acquire A", Err(CONFLICT)),
    (ANY, "A", 'A', "acquire B", Err(CONFLICT)),
    (ONE, "AB", 'A', "acquire A", Ok(("A*B", &[]))),
    (ALL, "AB", 'A', "acquire A", Ok(("A*B*", &[]))),
    (ANY, "AB", 'A', "preempt A C", Err(CONFLICT)),
    (ANY, "AB", 'A', "preempt A 0", Err(CONFLICT)),
    (ANY, "AB", 'C', "preempt C A", Err(CONFLICT)),
    (ANY, "AB", 'A', "preempt A B", Ok(("A", &[('B', Unregistered)]))),
    (ANY, "AB", 'A', "abort A A", Ok(("B", &[]))),
    (ANY, "AB", 'A', "release A", Ok(("AB", &[]))),
    (ANY, "AB", 'C', "release A", Err(CONFLICT)),
    (ANY, "AB", 'A', "clear B", Err(CONFLICT)),
    (ANY, "AB", 'A', "clear A", Ok(("", &[('B', Cleared)]))),
];

const HELD: &[Row] = &[
    (ONE, "A*B", 'C', "register 0 C", Ok(("A*BC", &[]))),
    (ALL, "A*B", 'C', "register 0 C", Ok(("A*B*C*", &[]))),
    (PLAIN, "A*B", 'A', "unregister A", Ok(("B", &[]))),
    (ONLY, "A*B", 'A', "unregister A", Ok(("B", &[('B', Released)]))),
    (ALL, "A*B", 'A', "unregister A", Ok(("B*", &[]))),
    (ALL, "A*", 'A', "unregister A", Ok(("", &[]))),
    (ONE, "A*B", 'B', "unregister B", Ok(("A*", &[]))),
    (ONE, "A*B", 'A', "acquire A", Ok(("A*B", &[]))),
    (ONE, "A*B", 'B', "acquire B", Err(CONFLICT)),
    (ALL, "A*B", 'B', "acquire B", Ok(("A*B*", &[]))),
    (ANY, "A*B", 'C', "acquire C", Err(CONFLICT)),
    (ONE, "A*B", 'B', "preempt B A", Ok(("B*", &[('A', Unregistered)]))),
    (ONE, "A*B", 'B', "abort B A", Ok(("B*", &[('A', Unregistered)]))),
    (ONE, "A*B", 'A', "preempt A A", Ok(("A*B", &[]))),
    (ONE, "A*B", 'A', "preempt A B", Ok(("A*", &[('B', Unregistered)]))),
    (ONE, "A*BC", 'C', "preempt C B", Ok(("A*C", &[('B', Unregistered)]))),
    (ONE, "A*B", 'B', "preempt B B", Ok(("A*", &[]))),
    (ONE, "A*B", 'B', "preempt B 0", Err(INVALID)),
    (ONE, "A*B", 'B', "preempt B D", Err(CONFLICT)),
    (ALL, "A*BC", 'B', "preempt B 0", Ok(("B*", &[('A', Unregistered), ('C', Unregistered)]))),
    (ALL, "A*BC", 'B', "preempt B A", Ok(("B*C*", &[('A', Unregistered)]))),
    (ALL, "A*B", 'B', "preempt B B", Ok(("A*", &[]))),
    (ALL, "A*B", 'B', "abort B D", Err(CONFLICT)),
    (ANY, "A*B", 'D', "preempt D A", Err(CONFLICT)),
    (PLAIN, "A*B", 'A', "release A", Ok(("AB", &[]))),
    (ONLY, "A*B", 'A', "release A", Ok(("AB", &[('B', Released)]))),
    (ALL, "A*B", 'B', "release B", Ok(("AB", &[('A', Released)]))),
    (ONE, "A*B", 'B', "release B", Ok(("A*B", &[]))),
    (ANY, "A*B", 'A', "release B", Err(CONFLICT)),
    (ANY, "A*BC", 'B', "clear B", Ok(("", &[('A', Cleared), ('C', Cleared)]))),
    (ANY, "A*B", 'C', "clear C", Err(CONFLICT)),
];

#[test]
fn every_command_in_every_state_for_every_type() {
    for kind in T::ALL {
        let rows = FREE.iter().chain(HELD).filter(|row| row.0.contains(&group(kind)));
        for &(_, before, who, words, expected) in rows {
            let what = format!("{before:?} by {who}: {words}, {kind:?}");
            let mut now = state(before, kind);
            let old = now.clone();
            match now.execute(host(who), &command(words, kind)) {
                Ok(told) => {
                    let told: Vec<_> = told.iter().map(|notice| (notice.host, notice.kind)).collect();
                    let (after, others) = expected.unwrap_or_else(|status| panic!("{what}: not {status:?}"));
                    let others: Vec<_> = others.iter().map(|&(letter, kind)| (host(letter), kind)).collect();
                    assert_eq!((text(&now).as_str(), told), (after, others), "{what}");
                    let moves = !words.starts_with("acquire") && !words.starts_with("release");
                    assert_eq!(now.generation - old.generation, u32::from(moves), "{what}");
                    assert!(now.held.is_none_or(|held| held.kind == kind), "{what}");
                }
                Err(status) => {
                    assert_eq!(Err(status), expected, "{what}");
                    assert_eq!(now, old, "{what}");
                }
            }
        }
    }
}

/// The type that Acquire, Preempt and Release name is not the held one.
#[test]
fn another_type_than_the_held_one() {
    for held in T::ALL {
        for other in T::ALL.into_iter().filter(|other| *other != held) {
            let run = |who, words| {
                let mut now = state("A*BC", held);
                now.execute(host(who), &command(words, other)).map(|told| (now, told))
            };
            assert_eq!(run('A', "acquire A"), Err(CONFLICT));
            assert_eq!(run('A', "release A"), Err(INVALID), "{held:?} as {other:?}");
            let words = if held.is_all_registrants() { "preempt B 0" } else { "preempt B A" };
            let (now, told) = run('B', words).unwrap();
            let holder = (!other.is_all_registrants()).then(|| host('B'));
            assert_eq!(now.held, Some(Held { kind: other, holder }));
            let third = if held.is_all_registrants() { Unregistered } else { Released };
            let expected = [('A', Unregistered), ('C', third)];
            let expected = expected.map(|(letter, kind)| Notice { host: host(letter), kind });
            assert_eq!(told, expected, "{held:?} to {other:?}");
        }
    }
}

#[test]
fn who_may_do_what_under_which_type() {
    // Reads and writes of the holder A, the registrant B, the stranger C.
    let table = [
        (T::WriteExclusive, ["rw", "r", "r"]),
        (T::ExclusiveAccess, ["rw", "", ""]),
        (T::WriteExclusiveRegistrantsOnly, ["rw", "rw", "r"]),
        (T::ExclusiveAccessRegistrantsOnly, ["rw", "rw", ""]),
        (T::WriteExclusiveAllRegistrants, ["rw", "rw", "r"]),
        (T::ExclusiveAccessAllRegistrants, ["rw", "rw", ""]),
    ];
    for (kind, rights) in table {
        let held = state("A*B", kind);
        for (letter, rights) in ['A', 'B', 'C'].into_iter().zip(rights) {
            for (right, access) in [('r', Access::Read), ('w', Access::Write)] {
                let may = held.allows(host(letter), access);
                assert_eq!(may, rights.contains(right), "{kind:?}: {access:?} of {letter}");
                assert!(state("AB", kind).allows(host(letter), access), "nothing is held");
            }
        }
    }
}

#[test]
fn registrants_are_bounded_and_persistence_follows_the_command() {
    let mut state = Reservations::default();
    for number in 1..=REGISTRANTS_MAX as u128 {
        let register = ReservationCommand::Register {
            action: RegisterAction::Register,
            current_key: None,
            new_key: 1,
            persistence: Some(number % 2 == 1),
        };
        state.execute(Uuid::from_u128(number), &register).unwrap();
        assert_eq!(state.is_persistent(), number % 2 == 1);
    }
    let before = state.clone();
    assert_eq!(
        state.execute(Uuid::from_u128(1000), &command("register 0 A", T::WriteExclusive)),
        Err(Status::INTERNAL_ERROR)
    );
    assert_eq!(state, before);
}

#[test]
fn what_was_written_down_is_restored_or_refused() {
    for kind in T::ALL {
        let original = state("A*B", kind);
        let Reservations { registrants, held, .. } = original.clone();
        assert_eq!(Reservations::restore(registrants.clone(), held, 0, false), Some(original));
        let nobody = Reservations::restore(Vec::new(), held, 0, false);
        assert_eq!(nobody, None, "{kind:?} without a holder");
        let doubled = [registrants.clone(), registrants].concat();
        assert_eq!(Reservations::restore(doubled, None, 0, false), None);
    }
    let zero = vec![Registrant { host: host('A'), key: 0 }];
    assert_eq!(Reservations::restore(zero, None, 0, false), None);
}

#[test]
fn the_report_names_registrants_and_holders() {
    let mut state = state("A*B", T::WriteExclusiveRegistrantsOnly);
    (state.generation, state.persistent) = (0x0102, true);
    let report = state.report();
    assert_eq!(report.len(), 64 + 2 * 64);
    assert_eq!(report[..10], [2, 1, 0, 0, 3, 2, 0, 0, 0, 1]);
    assert_eq!(report[64..67], [0xFF, 0xFF, 1]);
    assert_eq!(report[72..80], key('A').to_le_bytes());
    assert_eq!(report[80..96], *host('A').as_bytes());
    assert_eq!(report[128 + 2], 0);
}
