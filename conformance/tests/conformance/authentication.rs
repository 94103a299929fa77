//! Authentication of our own target: with each hash function, several groups and forms of secrets, and without any.

use conformance::{CannotRun, Outcome, Row, run};
use dataplane::node::{DhGroup, HashFunction};

use crate::site::Site;

fn check(rows: &[Row], skips: impl Fn(&str) -> bool) {
    assert!(!rows.is_empty());
    for row in rows {
        let skipped = matches!(row.outcome, Outcome::Skip { .. });
        assert!(skipped || row.outcome == Outcome::Pass, "{}: {:?}", row.name, row.outcome);
        assert_eq!(skipped, skips(&row.name), "{}: {:?}", row.name, row.outcome);
    }
}

#[test]
fn every_hash_and_form_of_secret_passes() {
    let site = Site::open();
    let table = [
        (HashFunction::Sha256, DhGroup::Null, None, false),
        (HashFunction::Sha384, DhGroup::Ffdhe2048, Some(HashFunction::Sha512), true),
        (HashFunction::Sha512, DhGroup::Null, Some(HashFunction::Sha384), true),
        (HashFunction::Sha512, DhGroup::Ffdhe3072, Some(HashFunction::Sha256), false),
    ];
    for (hash, group, transform, two_way) in table {
        site.require(hash, group, transform);
        let mut options = site.options_with(transform, two_way);
        options.only = Some("authentication/".to_owned());
        let report = run(&options).unwrap();
        check(&report.rows, |name| {
            let needs_controller = name.contains("/two_way") || name.contains("instead_of_success2");
            needs_controller && !two_way || name.contains("reply_dh_value") && group == DhGroup::Null
        });
    }
}

#[test]
fn a_target_that_does_not_ask_is_not_asked_either() {
    let site = Site::open();
    let mut options = site.options_with(None, true);
    options.only = Some("authentication/".to_owned());
    check(&run(&options).unwrap().rows, |_| true);
}

#[test]
fn who_cannot_authenticate_runs_nothing() {
    let site = Site::open();
    site.require(HashFunction::Sha256, DhGroup::Null, None);
    let transform = Some(HashFunction::Sha256);
    for options in [site.options(), site.options_with(transform, false)] {
        assert!(matches!(run(&options), Err(CannotRun::Target(_))));
    }
}
