//! Flags and configuration files, from the text to the settings.

use std::path::Path;

use clap::Parser;

use super::*;
use crate::serve::flags::{ConfigFileError, LogFormat};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    flags: ServeFlags,
}

fn parse(line: &str) -> Result<ServeFlags, clap::Error> {
    Line::try_parse_from(std::iter::once("serve").chain(line.split_whitespace())).map(|line| line.flags)
}

fn resolve(line: &str) -> Result<Settings, SettingsError> {
    Settings::resolve(parse(line).expect("the flags parse"))
}

fn file(text: &str) -> Result<ServeFlags, ConfigFileError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("basalt.toml");
    std::fs::write(&path, text).expect("a file there");
    ServeFlags::from_file(&path)
}

#[test]
fn serve_alone_has_all_defaults() {
    let settings = resolve("").expect("no flags are fine");
    assert_eq!(settings.data_dir, Path::new("./basalt-data"));
    let drive = DriveFlag::file("./basalt-data/drive0.img".into(), ByteSize(16 << 30));
    assert_eq!(settings.drives, [drive]);
    assert_eq!(settings.api, ["127.0.0.1:30100".parse().expect("literal")]);
    assert_eq!(settings.nvme, ["127.0.0.1:4420".parse().expect("literal")]);
    let discovery = DiscoveryPortal { portal: "127.0.0.1:8009".parse().expect("literal"), optional: true };
    assert_eq!((settings.discovery.as_slice(), settings.referrals.as_slice()), (&[discovery][..], &[][..]));
    assert_eq!(settings.controller_ids, ControllerIds(1..=65519));
    assert_eq!(settings.connections_per_address, 1032);
    assert_eq!(settings.map_memory, ByteSize(64 << 20));
    assert_eq!((settings.log.as_str(), settings.log_format), ("info", LogFormat::Text));
    assert!(settings.cores >= 1);
    let control = settings.control_config();
    assert_eq!(control.auth.require, Require::Any);
    assert!(control.auth.open_info && !control.auth.open_metrics);
}

#[test]
fn an_address_of_the_settings_is_listened_on_once() {
    let mut settings =
        resolve("--api 127.0.0.1:1 --api 0.0.0.0:2 --nvme 127.0.0.1:3 --nvme [::]:4").expect("fine");
    let ip = "192.0.2.7".parse().expect("literal");
    for _ in 0..2 {
        settings.listen_on(ip);
        let api: Vec<String> = settings.api.iter().map(ToString::to_string).collect();
        assert_eq!(api, ["127.0.0.1:1", "0.0.0.0:2", "192.0.2.7:1"]);
        let nvme: Vec<String> = settings.nvme.iter().map(|portal| portal.listen.to_string()).collect();
        assert_eq!(nvme, ["127.0.0.1:3", "[::]:4", "192.0.2.7:3", "192.0.2.7:4"]);
    }
}

#[test]
fn the_administration_api_is_configured_by_flags_or_a_table() {
    let table = file("[admin]\nendpoints = []\nfirst_run = false").expect("a valid table");
    let config =
        |flags: ServeFlags| Settings::resolve(flags).expect("fine").admin.to_config().expect("no file");
    let by_file = config(table.clone());
    assert!(by_file.groups.is_empty() && by_file.first_run_words.is_none());
    let flags = parse("--admin-endpoints settings --admin-first-run true").expect("they parse");
    let both = config(flags.or(table));
    assert!(both.groups.contains(&control::AdminGroup::Settings) && both.first_run_words == Some(4));
    assert!(config(ServeFlags::default()).first_run_words.is_some());
    assert!(parse("--admin-endpoints none").is_err() && file("[admin]\nnone = 1").is_err());
}

#[test]
fn programs_for_storage_are_named_by_flags_or_a_table() {
    let helpers = |flags: ServeFlags| Settings::resolve(flags).expect("fine").storage.helpers();
    let table = file("[storage.helpers]\nnfs = \"/srv/a\"").expect("a valid table");
    let flags = parse("--storage-helper nfs=/srv/a").expect("they parse");
    assert_eq!(helpers(table.clone()), helpers(flags.clone()));
    let other = parse("--storage-helper aoe=/srv/b").expect("they parse");
    assert_ne!(helpers(other.clone().or(table)), helpers(flags));
    for wrong in ["local=/a", "tape=/a", "nfs=a", "nfs"] {
        assert!(parse(&format!("--storage-helper {wrong}")).is_err(), "{wrong}");
    }
    assert!(file("[storage.helpers]\nlocal = \"/a\"").is_err());
}

#[test]
fn discovery_has_its_port_beside_the_usual_one() {
    for (line, expected) in [
        ("--nvme 192.0.2.7:4420 --nvme 192.0.2.8:4421", vec![("192.0.2.7:8009", true)]),
        ("--nvme 0.0.0.0:4420,advertise=192.0.2.7", vec![("0.0.0.0:8009,advertise=192.0.2.7", true)]),
        ("--nvme 0.0.0.0:4420,advertise=192.0.2.7:9", vec![]),
        ("--nvme 127.0.0.1:4420 --api 127.0.0.1:8009", vec![]),
        ("--nvme 127.0.0.1:0", vec![]),
        ("--nvme 127.0.0.1:0 --discovery [::1]:7", vec![("[::1]:7", false)]),
        ("--discovery 127.0.0.1:7", vec![("127.0.0.1:7", false)]),
    ] {
        let portal = |(text, optional): (&str, bool)| DiscoveryPortal {
            portal: text.parse().expect("literal"),
            optional,
        };
        let expected: Vec<_> = expected.into_iter().map(portal).collect();
        assert_eq!(resolve(line).expect(line).discovery, expected, "{line}");
    }
}

#[test]
fn the_node_and_the_control_plane_get_what_was_said() {
    let settings = resolve(
        "--drive a.img,size=1G --drive b.img,write-through --format b.img --nqn-prefix nqn.2020-01.org.example: \
         --require token --default-replication host --reserve-floor-gib 2 --controller-ids 100-199 \
         --referral 192.0.2.9:8009 --discovery 127.0.0.1:8009 --connections-per-address 2",
    )
    .expect("no contradiction");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let known = KnownDrives::load(directory.path()).expect("nothing is known yet");
    let node = settings.node_config("02:00:00:00:00:01".to_owned(), &known).expect("no contradiction");
    let drives: Vec<_> =
        node.drives.iter().map(|drive| (drive.size_bytes, drive.format, drive.write_through)).collect();
    assert_eq!(drives, [(Some(1 << 30), false, None), (None, true, Some(true))]);
    assert_eq!((node.controller_ids, node.discovery_portals.len()), (100..=199, 1));
    assert_eq!(node.connections_per_address, 2);
    assert_eq!(node.referrals, ["192.0.2.9:8009".parse().expect("literal")]);
    let control = settings.control_config();
    assert_eq!((node.nqn_prefix, node.node_id.as_str()), (control.nqn_prefix, "02:00:00:00:00:01"));
    assert_eq!(control.auth.require, Require::Token);
    assert_eq!(control.default_replication, Replication::Host);
    assert_eq!(control.reserve_floor_gib, Some(2));
}

#[test]
fn a_drive_that_is_accepted_must_be_named() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let known = KnownDrives::load(directory.path()).expect("nothing is known yet");
    let configure = |line| resolve(line).expect("the flags go together").node_config("id".to_owned(), &known);
    assert!(configure("--drive a.img --accept-drive ./a.img").is_ok());
    let refused = configure("--drive a.img --accept-drive b.img").map(drop);
    assert_eq!(refused, Err(SettingsError::AcceptNoDrive("b.img".into())));
}

#[test]
fn a_file_says_the_same_as_the_flags() {
    let from_flags = parse(
        "--drive /dev/sdb,write-through --drive mem:fast,size=4G --format /dev/sdb \
         --api 127.0.0.1:30100 --api [::1]:8443 --nvme 0.0.0.0:4420,advertise=192.0.2.7 \
         --cores 3 --map-memory 128M --log debug --log-format json --node-name east --server-name a.example \
         --server-name b.example --require both --open-info false --open-metrics true \
         --session-seconds 60 --api-socket /run/basalt.sock \
         --nqn-prefix nqn.2020-01.org.example: --reserve-floor-gib 5 --default-replication host \
         --discovery 0.0.0.0:8009,advertise=192.0.2.7 --referral 192.0.2.9:8009 --controller-ids 1-99 \
         --connections-per-address 4000",
    )
    .expect("the flags parse");
    let from_file = file(
        r#"
        drive = ["/dev/sdb,write-through", "mem:fast,size=4G"]
        format = "/dev/sdb"
        api = ["127.0.0.1:30100", "[::1]:8443"]
        nvme = ["0.0.0.0:4420,advertise=192.0.2.7"]
        cores = 3
        map-memory = "128M"
        log = "debug"
        log-format = "json"
        node-name = "east"
        server-name = ["a.example", "b.example"]
        require = "both"
        open-info = false
        open-metrics = true
        session-seconds = 60
        api-socket = "/run/basalt.sock"
        nqn-prefix = "nqn.2020-01.org.example:"
        reserve-floor-gib = 5
        default-replication = "host"
        discovery = ["0.0.0.0:8009,advertise=192.0.2.7"]
        referral = ["192.0.2.9:8009"]
        controller-ids = "1-99"
        connections-per-address = 4000
        "#,
    )
    .expect("the file parses");
    assert_eq!(from_flags, from_file);
    let nothing = ServeFlags::default();
    assert_eq!(from_flags.clone().or(nothing.clone()), nothing.or(from_flags));
}

#[test]
fn flags_win_over_the_file_one_by_one() {
    let from_file =
        file("drive = [\"a.img\", \"b.img\"]\ncores = 3\ndata-dir = \"/srv/basalt\"").expect("parses");
    let settings = Settings::resolve(parse("--drive c.img --log warn").expect("parse").or(from_file));
    let settings = settings.expect("no contradiction");
    assert_eq!(settings.drives, ["c.img".parse().expect("a drive")]);
    assert_eq!(settings.cores, 3);
    assert_eq!(settings.log, "warn");
    assert_eq!(settings.data_dir, Path::new("/srv/basalt"));
}

#[test]
fn a_wrong_file_is_refused_with_the_key_and_the_reason() {
    for (text, reason) in [
        ("drives = [\"a.img\"]", "unknown field `drives`"),
        ("drive = [\"a.img,fast\"]", "unknown option `fast`"),
        ("drive = \"a.img\"", "drive = \"a.img\""),
        ("cores = \"two\"", "cores = \"two\""),
        ("map-memory = \"much\"", "`much` is not a size"),
        ("log-format = \"xml\"", "log-format = \"xml\""),
        ("cores = ", "cores = "),
    ] {
        let error = file(text).expect_err(text).to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let missing = ServeFlags::from_file(Path::new("/nonexistent/basalt.toml"));
    assert!(matches!(missing, Err(ConfigFileError::Read { .. })));
}

#[test]
fn a_wrong_flag_is_named_with_the_reason() {
    for (line, flag, reason) in [
        ("--drive a.img,fast", "--drive", "unknown option `fast`"),
        ("--drive mem:a", "--drive", "needs a size"),
        ("--api localhost:1", "--api", "literal IP address"),
        ("--nvme 127.0.0.1:4420,advertise=0.0.0.0", "--nvme", "no address that a host can connect to"),
        ("--map-memory much", "--map-memory", "`much` is not a size"),
        ("--cores two", "--cores", "invalid digit"),
        ("--log-format xml", "--log-format", "text, json"),
        ("--referral 0.0.0.0:8009", "--referral", "literal IP address and a port"),
        ("--controller-ids 9-8", "--controller-ids", "`9-8` is not FIRST-LAST"),
    ] {
        let error = parse(line).expect_err(line).to_string();
        assert!(error.contains(flag) && error.contains(reason), "{line}: {error}");
    }
}

#[test]
fn contradictions_are_refused() {
    use SettingsError as E;
    let address = |text: &str| text.parse::<SocketAddr>().expect("literal");
    for (line, error) in [
        ("--cores 0", E::Cores(0)),
        ("--cores 257", E::Cores(257)),
        ("--connections-per-address 1", E::ConnectionsPerAddress(1)),
        ("--map-memory 64k", E::MapMemory(ByteSize(64 << 10))),
        ("--drive a.img --drive a.img,lossy", E::DriveTwice("a.img".into())),
        ("--drive mem:a,size=1G --drive mem:a,size=2G", E::DriveTwice("mem:a".into())),
        ("--api 127.0.0.1:1 --api 127.0.0.1:1", E::ApiTwice(address("127.0.0.1:1"))),
        ("--nvme 127.0.0.1:1 --nvme 127.0.0.1:1", E::NvmeTwice(address("127.0.0.1:1"))),
        ("--api 127.0.0.1:4420", E::ApiIsNvme(address("127.0.0.1:4420"))),
        ("--discovery 127.0.0.1:4420", E::DiscoveryIsOther(address("127.0.0.1:4420"))),
        ("--discovery [::1]:7 --discovery [::1]:7", E::DiscoveryTwice(address("[::1]:7"))),
        ("--referral [::1]:7 --referral [::1]:7", E::ReferralTwice(address("[::1]:7"))),
        ("--nqn-prefix nqn.2020-01.org.example", E::NqnPrefix("nqn.2020-01.org.example".into())),
        ("--nqn-prefix iqn.2020-01.org.example:", E::NqnPrefix("iqn.2020-01.org.example:".into())),
        ("--node-name=", E::NodeName),
        ("--drive a,lossy --drive b --test-fault no-flush", E::FaultOnRealDrive("b".into())),
        ("--drive a.img --format b.img", E::FormatNoDrive("b.img".into())),
        ("--drive mem:a,size=1G --format mem:a", E::FormatNoDrive("mem:a".into())),
    ] {
        assert_eq!(resolve(line), Err(error), "{line}");
    }
    resolve("--drive a --test-fault late-records").expect("a real drive can be recorded late");
    let free_ports = resolve("--api 127.0.0.1:0 --api 127.0.0.1:0 --nvme 127.0.0.1:0").expect("all differ");
    assert_eq!(free_ports.api.len(), 2);
}
