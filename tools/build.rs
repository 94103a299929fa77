//! Tells the program which commit it is built from; outside a repository it is "unknown".

use std::process::Command;

fn main() {
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let date = git(&["log", "-1", "--format=%cI"]).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned());
    println!("cargo::rustc-env=BASALT_COMMIT={commit}");
    println!("cargo::rustc-env=BASALT_COMMIT_DATE={date}");
    // It grows with every commit and every checkout.
    match git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        Some(log) => println!("cargo::rerun-if-changed={log}"),
        None => println!("cargo::rerun-if-changed=build.rs"),
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
