//! What a person reads once everything listens: one line per thing that is needed next.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use dataplane::node::{DriveInfo, DriveState};

use crate::{
    DEFAULT_DATA_DIR,
    size::{ByteSize, GIB},
};

/// A running server, as far as people are told about it.
pub(crate) struct Ready<'a> {
    pub(crate) data_dir: &'a Path,
    /// The passphrase of the first start waits to be used.
    pub(crate) has_setup_token: bool,
    /// Where the API listens.
    pub(crate) api: &'a [SocketAddr],
    /// Where hosts find NVMe/TCP: the advertised addresses, else the listeners'.
    pub(crate) portals: &'a [SocketAddr],
    /// The same of discovery alone.
    pub(crate) discovery: &'a [SocketAddr],
    pub(crate) drives: &'a [DriveInfo],
    /// How this program was started, for commands that can be pasted.
    pub(crate) program: &'a str,
}

impl Ready<'_> {
    /// The lines, with the commands that make and attach a first volume.
    pub(crate) fn lines(&self) -> String {
        let mut text = self.head();
        for &address in self.portals {
            line(&mut text, "NVMe/TCP", &reach(address, ""));
        }
        for &address in self.discovery {
            line(&mut text, "discovery", &reach(address, ""));
        }
        for drive in self.drives {
            line(&mut text, "drive", &drive_text(drive));
        }
        let credentials = self.data_dir.join("credentials");
        line(&mut text, "credentials", &format!("{} (token, client certificate, CA)", credentials.display()));
        if self.has_setup_token {
            let file = credentials.join("setup-token");
            line(
                &mut text,
                "setup",
                &format!("{} opens the administration API's first call", file.display()),
            );
        }
        let basalt = self.command();
        line(&mut text, "then", &format!("{basalt} volume create vol1 {}G", self.first_volume_gib()));
        line(&mut text, "", &format!("{basalt} host add \"$(hostname)\" --nqn \"$(cat /etc/nvme/hostnqn)\""));
        line(
            &mut text,
            "",
            &format!("{basalt} publish vol1 \"$(hostname)\"   # prints the nvme connect line"),
        );
        text
    }

    /// The same of a provisioner without a node: how nodes come to it.
    pub(crate) fn provisioner_lines(&self) -> String {
        let mut text = self.head();
        let credentials = self.data_dir.join("credentials");
        line(&mut text, "credentials", &format!("{} (token, client certificate, CA)", credentials.display()));
        line(&mut text, "then", &format!("{} node invite   # lets a storage node join", self.command()));
        text
    }

    fn head(&self) -> String {
        let mut text = format!("basalt {} is ready\n", env!("CARGO_PKG_VERSION"));
        for &address in self.api {
            line(&mut text, "API", &reach(address, "https://"));
        }
        text
    }

    fn command(&self) -> String {
        match self.data_dir == Path::new(DEFAULT_DATA_DIR) {
            true => self.program.to_owned(),
            false => format!("{} --data-dir {}", self.program, self.data_dir.display()),
        }
    }

    /// 10 GiB, or less if no drive has that much room.
    fn first_volume_gib(&self) -> u64 {
        let room = self.drives.iter().map(|drive| drive.unreserved_bytes / GIB).max().unwrap_or(0);
        room.clamp(1, 10)
    }
}

fn line(text: &mut String, title: &str, value: &str) {
    writeln!(text, "  {title:<12} {value}").expect("a String takes everything");
}

/// An address to connect to. Who listens everywhere is reached at the loopback address from here, and at any
/// address of the machine from elsewhere.
fn reach(listen: SocketAddr, scheme: &str) -> String {
    match usable(listen) {
        (address, false) => format!("{scheme}{address}"),
        (address, true) => {
            format!("{scheme}{address} (and port {} of every address of this machine)", address.port())
        }
    }
}

/// The listen address, made one that can be connected to; and whether it was the unspecified one.
pub(crate) fn usable(listen: SocketAddr) -> (SocketAddr, bool) {
    let loopback = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => return (listen, false),
    };
    (SocketAddr::new(loopback, listen.port()), true)
}

fn drive_text(drive: &DriveInfo) -> String {
    let mode = if drive.write_through { ", write-through" } else { "" };
    let (capacity, free) = (ByteSize(drive.capacity_bytes), ByteSize(drive.unreserved_bytes));
    match &drive.state {
        DriveState::Online | DriveState::Evacuating => {
            format!("{}: {capacity}, {free} unreserved{mode}", drive.name)
        }
        DriveState::ReadOnly(reason) => format!("{}: {capacity}, READ-ONLY: {reason}", drive.name),
        DriveState::Failed(reason) => format!("{}: FAILED: {reason}", drive.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_tells_an_unspecified_address() {
        let any_v4: SocketAddr = "0.0.0.0:30100".parse().expect("literal");
        let any_v6: SocketAddr = "[::]:4420".parse().expect("literal");
        let portals = [any_v6, "192.0.2.7:9".parse().expect("literal")];
        let drive = DriveInfo {
            uuid: uuid::Uuid::nil(),
            name: "a.img".to_owned(),
            state: DriveState::Online,
            sequence: 1,
            size_bytes: 6 * GIB,
            capacity_bytes: 5 * GIB,
            unreserved_bytes: 4 * GIB + 1,
            used_bytes: 0,
            write_through: true,
            evacuation: None,
        };
        let ready = Ready {
            data_dir: Path::new("/srv/b"),
            has_setup_token: true,
            api: &[any_v4],
            portals: &portals,
            discovery: &["127.0.0.1:8009".parse().expect("literal")],
            drives: &[drive],
            program: "basalt",
        };
        let expected = format!(
            r#"basalt {} is ready
  API          https://127.0.0.1:30100 (and port 30100 of every address of this machine)
  NVMe/TCP     [::1]:4420 (and port 4420 of every address of this machine)
  NVMe/TCP     192.0.2.7:9
  discovery    127.0.0.1:8009
  drive        a.img: 5 GiB, 4.00 GiB unreserved, write-through
  credentials  /srv/b/credentials (token, client certificate, CA)
  setup        /srv/b/credentials/setup-token opens the administration API's first call
  then         basalt --data-dir /srv/b volume create vol1 4G
               basalt --data-dir /srv/b host add "$(hostname)" --nqn "$(cat /etc/nvme/hostnqn)"
               basalt --data-dir /srv/b publish vol1 "$(hostname)"   # prints the nvme connect line
"#,
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(ready.lines(), expected);
    }
}
