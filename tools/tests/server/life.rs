//! Start, stop, death and return of a server.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{FileExt, PermissionsExt},
};

use crate::support::{Place, Server};

#[test]
fn a_clean_stop_and_a_kill_both_keep_everything() {
    let place = Place::new();
    let server = place.serve_file();
    place.text(&["volume", "create", "vol1", "1G"]);
    place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    let published = place.json(&["publish", "vol1", "web"]);
    let volumes = place.json(&["volume", "list"]);
    assert_eq!(server.terminate().code(), Some(0), "SIGTERM is a clean end");

    let server = place.serve_file();
    assert_eq!(place.json(&["volume", "list"]), volumes);
    place.text(&["volume", "create", "vol2", "1G", "--thick"]);
    let volumes = place.json(&["volume", "list"]);
    server.kill();

    let _server = place.serve_file();
    assert_eq!(place.json(&["volume", "list"]), volumes);
    let again = place.json(&["publish", "vol1", "web"]);
    assert_eq!(again["paths"][0]["nqn"], published["paths"][0]["nqn"], "hosts find the subsystem again");
}

#[test]
fn after_a_kill_the_same_addresses_can_be_bound_at_once() {
    let place = Place::new();
    let drive = place.file_drive();
    let server = place.serve_file();
    let (api, nvme) = (server.port("API"), server.port("NVMe/TCP"));
    // Connections that the dead server leaves behind in the kernel.
    let sockets = [api, nvme].map(|port| TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    server.kill();
    let (api, nvme) = (format!("127.0.0.1:{api}"), format!("127.0.0.1:{nvme}"));
    let server = place.serve(&["--drive", &drive, "--api", &api, "--nvme", &nvme]);
    assert_eq!(format!("127.0.0.1:{}", server.port("NVMe/TCP")), nvme);
    assert!(place.text(&["status"]).contains("drive.img"));
    drop(sockets);
}

#[test]
fn a_second_server_is_refused() {
    let place = Place::new();
    let server = place.serve_file();
    let (code, text) = place.serve_fails(&["--drive", "mem:other,size=1G"]);
    assert!(code == 1 && text.contains("--data-dir") && text.contains("in use"), "{text}");

    let elsewhere = Place::new();
    let drive = place.path("drive.img").display().to_string();
    let (code, text) = elsewhere.serve_fails(&["--drive", &drive]);
    assert!(code == 1 && text.contains(&drive), "{text}");
    let (code, text) = elsewhere.serve_fails(&["--drive", &drive, "--format", &drive]);
    assert!(code == 1 && text.contains(&drive), "not even --format: {text}");
    assert!(place.text(&["status"]).contains("drive.img"), "the first server goes on");
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_foreign_drive_is_refused_untouched_and_formatted_when_named() {
    let place = Place::new();
    let path = place.path("foreign.img");
    let file = fs::File::create_new(&path).expect("a file");
    file.set_len(4 << 30).expect("sparse");
    for offset in [0, 1 << 20, (4 << 30) - 4096] {
        file.write_all_at(b"somebody else's", offset).expect("written");
    }
    let path = path.display().to_string();
    let (code, text) = place.serve_fails(&["--drive", &path]);
    assert!(code == 1 && text.contains(&path) && text.contains("--format"), "{text}");
    let file = fs::File::open(&path).expect("still there");
    for offset in [0, 1 << 20, (4 << 30) - 4096] {
        let mut bytes = [0; 15];
        file.read_exact_at(&mut bytes, offset).expect("read");
        assert_eq!(&bytes, b"somebody else's", "at {offset}");
    }
    let server = place.serve(&["--drive", &path, "--format", &path]);
    place.text(&["volume", "create", "vol1", "1G"]);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_truncated_drive_is_refused() {
    let place = Place::new();
    assert_eq!(place.serve_file().terminate().code(), Some(0));
    let path = place.path("drive.img");
    fs::OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(1 << 30)).expect("cut");
    let path = path.display().to_string();
    let (code, text) = place.serve_fails(&["--drive", &path]);
    assert!(code == 1 && text.contains(&path), "{text}");
    assert_eq!(fs::metadata(&path).expect("still there").len(), 1 << 30, "and not repaired either");
}

#[test]
fn an_existing_drive_keeps_its_size() {
    let place = Place::new();
    assert_eq!(place.serve_file().terminate().code(), Some(0));
    let path = place.path("drive.img").display().to_string();
    let length = || fs::metadata(&path).expect("there").len();
    let before = length();
    assert_eq!(place.serve(&["--drive", &path]).terminate().code(), Some(0));
    assert_eq!(length(), before, "no size= is needed for a drive that exists");
}

#[test]
fn the_first_start_leaves_credentials_that_only_the_owner_reads() {
    let place = Place::new();
    let server = place.serve(&["--drive", "mem:a,size=1G"]);
    let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&server.data_dir().join("credentials")), 0o700);
    for name in ["ca.pem", "server.pem", "server.key", "ssdtoolbox.pem", "token", "admin-password"] {
        assert_eq!(mode(&place.credential(name)), 0o600, "{name}");
    }
    for name in ["token", "admin-password"] {
        let text = fs::read_to_string(place.credential(name)).expect("readable");
        assert_eq!(text.lines().count(), 1, "{name}");
    }
}

#[test]
fn a_server_that_listens_everywhere_prints_no_unspecified_address() {
    let place = Place::new();
    let server = place.serve(&[
        "--drive",
        "mem:a,size=2G",
        "--api",
        "0.0.0.0:0",
        "--nvme",
        "0.0.0.0:0,advertise=192.0.2.7:9",
    ]);
    place.text(&["volume", "create", "vol1", "1G"]);
    place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    let published = place.text(&["publish", "vol1", "web"]);
    assert!(published.contains("--traddr=192.0.2.7 --trsvcid=9 "), "{published}");
    assert!(server.ready.contains("192.0.2.7:9\n"), "{}", server.ready);
    for text in [&server.ready, &published, &place.text(&["status"]), &place.url()] {
        assert!(!text.contains("0.0.0.0"), "{text}");
    }
}

#[test]
fn without_an_advertised_address_hosts_are_told_the_one_they_came_to() {
    let place = Place::new();
    let server = place.serve(&["--drive", "mem:a,size=2G", "--nvme", "0.0.0.0:0"]);
    place.text(&["volume", "create", "vol1", "1G"]);
    place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    let published = place.text(&["publish", "vol1", "web"]);
    assert!(published.contains("--traddr=127.0.0.1 "), "{published}");
    assert!(!server.ready.contains("0.0.0.0") && !published.contains("0.0.0.0"), "{published}");
}

#[test]
fn a_configuration_file_serves_as_the_flags_do() {
    let place = Place::new();
    let config = place.path("basalt.toml");
    let text = format!(
        "data-dir = {:?}\ndrive = [{:?}, \"mem:fast,size=1G\"]\napi = [\"127.0.0.1:0\"]\n\
         nvme = [\"127.0.0.1:0\"]\ncores = 1\nlog = \"info\"\nlog-format = \"json\"\n",
        place.data_dir(),
        place.file_drive()
    );
    fs::write(&config, text).expect("written");
    let mut command = crate::support::basalt();
    command.arg("serve").arg("--config").arg(&config);
    let _server = Server::start(command, place.data_dir());
    let drives = place.text(&["drive", "list"]);
    assert!(drives.contains("drive.img") && drives.contains("mem:fast"), "{drives}");
}
