//! Our own target passes every check that it does not skip, and skips what we know.

use std::collections::BTreeSet;

use conformance::{Outcome, run};
use dataplane::node::{DhGroup, HashFunction};

use crate::site::Site;

/// Checks of what our target does not offer: here no Diffie-Hellman exchange, as the published table has it.
const SKIPS: [&str; 6] = [
    "authentication/reply_dh_value_0",
    "authentication/reply_dh_value_1",
    "authentication/reply_dh_value_p_minus_1",
    "authentication/reply_dh_value_p",
    "authentication/reply_dh_value_of_ones",
    "authentication/reply_dh_value_of_another_exponent",
];

#[test]
fn our_own_target_passes_with_hosts_that_authenticate() {
    let site = Site::open();
    site.require(HashFunction::Sha256, DhGroup::Null, Some(HashFunction::Sha256));
    let report = run(&site.options_with(Some(HashFunction::Sha256), true)).unwrap();
    let mut wrong = Vec::new();
    let mut skipped = BTreeSet::new();
    for row in &report.rows {
        match &row.outcome {
            Outcome::Pass => {}
            Outcome::Skip { .. } => {
                skipped.insert(row.name.as_str());
            }
            outcome => wrong.push(format!("{} ({}): {outcome:?}", row.name, row.section)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), report.rows.len(), wrong.join("\n"));
    assert_eq!(skipped, BTreeSet::from(SKIPS));
}

#[test]
fn names_are_unique_and_have_a_theme_and_a_section() {
    let names = conformance::names();
    let unique: BTreeSet<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(unique.len(), names.len());
    for (name, section) in &names {
        let (theme, what) = name.split_once('/').expect("a theme");
        assert!(!theme.is_empty() && !what.is_empty(), "{name}");
        assert!(["TCP §", "Base §", "NVM §"].iter().any(|prefix| section.starts_with(prefix)), "{name}");
    }
}
