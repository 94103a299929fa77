//! The page on metrics names exactly those that are served, and alert rules use no others.

use std::{collections::BTreeSet, path::Path};

use hyper::Method;

use crate::common::Running;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The words of a text that look like metrics of ours.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ks_") || word.starts_with("basalt_")).collect()
}

#[tokio::test]
async fn the_page_names_exactly_the_metrics_that_are_served() {
    let running = Running::start().await;
    let (_, _, text) = running.client().raw(Method::GET, "/metrics", "").await;
    let served: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let page = document("metrics.md");
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(rows.len(), served.len(), "none stands there twice");
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), served);
    let alerts = document("alerts.yml");
    assert!(named(&alerts).len() > 8);
    // A histogram's series have names of their own.
    let family = |name: &'_ str| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name).to_owned()
    };
    let is_served = |name: &&str| served.contains(*name) || served.contains(family(name).as_str());
    let unknown: Vec<_> = named(&alerts).into_iter().filter(|name| !is_served(name)).collect();
    assert_eq!(unknown, Vec::<&str>::new());
    // One that there is no drive, volume or host for has a value all the same.
    assert!(text.lines().any(|line| line == "basalt_controllers 0"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("basalt_drive_online{node=\"") && line.ends_with(" 1")));
}
