//! The table of our own target in the documents is the one that the kit prints.

use std::{collections::BTreeMap, env, fs};

use conformance::run;
use dataplane::node::{DhGroup, HashFunction};

use crate::site::Site;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance/basalt.md");
const HEAD: &str = "# Basalt, judged by its own conformance kit

Every check of `basalt conformance` against Basalt itself, on a memory drive, with `--write`, a second host and
secrets of both sides. CI repeats it and compares. Renewed by `BASALT_UPDATE=1 cargo test -p conformance published`.

";

#[test]
fn the_published_table_is_of_today() {
    let site = Site::open();
    site.require(HashFunction::Sha256, DhGroup::Ffdhe2048, None);
    let seen = format!("{HEAD}{}", run(&site.options_with(None, true)).unwrap().markdown());
    if env::var_os("BASALT_UPDATE").is_some() {
        fs::write(DOCUMENT, &seen).unwrap();
    }
    let published = fs::read_to_string(DOCUMENT).unwrap();
    assert_eq!(results(&published), results(&seen), "renew it: BASALT_UPDATE=1 cargo test -p conformance");
}

/// Results by check.
fn results(table: &str) -> BTreeMap<&str, &str> {
    fn row(line: &str) -> Option<(&str, &str)> {
        let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        Some((name, rest.split(' ').next()?))
    }
    table.lines().filter_map(row).collect()
}
