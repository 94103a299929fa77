//! The load generator against a real node in this process: it reads and writes, and says what is wrong.
#![forbid(unsafe_code)]

use std::{net::SocketAddr, process::Command};

use dataplane::node::{
    BlockSize, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, PortalConfig, SubsystemSpec,
    VolumeSpec,
};
use serde_json::Value;
use uuid::Uuid;

const NQN: &str = "nqn.2026-11.io.basalt:bench";
const HOST: &str = "nqn.2014-08.org.nvmexpress:uuid:11111111-2222-4333-8444-555555555555";
const VOLUME_BYTES: u64 = 64 << 20;

/// A node with one volume of 4 KiB blocks, on a memory drive.
async fn node() -> Node {
    let drive = DriveConfig {
        size_bytes: Some(1 << 30),
        ..DriveConfig::new(DriveMedium::Memory("bench".to_owned()))
    };
    let config = NodeConfig {
        cores: 1,
        drives: vec![drive],
        portals: vec![PortalConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), advertise: None }],
        map_memory_bytes: 4 << 20,
        ..NodeConfig::new("02:00:00:00:00:01")
    };
    let node = Node::start(config).expect("a free port and some memory");
    let volume = Uuid::from_u128(7);
    let spec = VolumeSpec {
        uuid: volume,
        size_bytes: VOLUME_BYTES,
        block_size: BlockSize::B4096,
        reserved_bytes: 0,
        drives: Vec::new(),
    };
    node.create_volume(spec).await.expect("there is room");
    let subsystem = SubsystemSpec {
        nqn: NQN.to_owned(),
        allowed_hosts: vec![HOST.to_owned()],
        namespaces: vec![NamespaceSpec { nsid: 1, volume, uuid: volume }],
    };
    node.set_subsystem(subsystem).await.expect("the volume is there");
    node
}

fn bench(node: &Node, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let address = node.portals()[0].to_string();
    command.args(["run", "--addr", &address, "--nqn", NQN, "--time", "0.3", "--warm-up", "0.1", "--json"]);
    command.args(arguments);
    command
}

fn measure(node: &Node, arguments: &[&str]) -> Value {
    let output = bench(node, arguments).output().expect("bench starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("--json prints JSON")
}

#[tokio::test]
async fn every_pattern_does_what_it_says() {
    let node = node().await;
    let own_pid = std::process::id().to_string();
    for (arguments, reads, writes) in [
        (&["--rw", "randwrite", "--fill"][..], false, true),
        (&["--rw", "randread", "--pid", &own_pid], true, false),
        (&["--rw", "randrw", "--conns", "4", "--threads", "2", "--qd", "8"], true, true),
        (&["--rw", "read", "--bs", "128k", "--qd", "4", "--digests"], true, false),
        (&["--rw", "write", "--bs", "128k", "--qd", "4", "--digests", "--conns", "2"], false, true),
    ] {
        let report = measure(&node, arguments);
        let count = |direction: &str| report[direction]["count"].as_u64().expect("a count");
        assert_eq!((count("read") > 0, count("write") > 0), (reads, writes), "{arguments:?}: {report:#}");
    }
    let filled = node.volume(Uuid::from_u128(7)).await.expect("it is there");
    assert_eq!(filled.used_bytes, VOLUME_BYTES, "--fill wrote every block");
    node.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let node = node().await;
    for (arguments, reason) in [
        (&["--rw", "read", "--bs", "512"][..], "--bs"),
        (&["--rw", "read", "--bs", "1m"], "--bs"),
        (&["--rw", "read", "--qd", "1024"], "--qd"),
        (&["--rw", "read", "--nsid", "9"], "no such namespace"),
        (&["--rw", "read", "--hostnqn", "nqn.2014-08.org.example:stranger"], "CONNECT_INVALID_HOST"),
        (&["--rw", "read", "--pid", "4000000000"], "--pid"),
    ] {
        let output = bench(&node, arguments).output().expect("bench starts");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && errors.contains(reason), "{arguments:?}: {errors}");
    }
    node.shutdown().await;
}

#[test]
fn a_comparison_measures_everybody_and_tells_their_shares() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(["compare", "--volume", "64M", "--rounds", "1", "--time", "0.1", "--json"]);
    command.args(["--only", "randrw", "--before", env!("CARGO_BIN_EXE_bench")]);
    let output = command.output().expect("bench starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("--json prints JSON");
    let parties = report["loads"][0]["parties"].as_array().expect("a list");
    let names: Vec<_> = parties.iter().map(|party| party["who"].as_str().expect("a name")).collect();
    assert_eq!(names, ["ceiling", "ours", "before"]);
    for party in parties {
        assert!(party["median"]["iops"].as_f64().expect("a rate") > 0.0, "{report:#}");
        assert!(party["median"]["target_cpu_us"].as_f64().expect("it is known") > 0.0, "{report:#}");
    }
}
