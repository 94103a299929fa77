//! A provisioner and three storage nodes, each a process of its own, that can be killed and come back.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{PATIENCE, Place, Server, basalt};

/// A node on an address and in a rack of its own, and both it and its rack bear the same name.
pub(crate) struct Node {
    name: &'static str,
    place: Place,
    /// The port is chosen at the first start.
    api: SocketAddr,
    server: Option<Server>,
}

impl Node {
    fn join(name: &'static str, ip: [u8; 4], provisioner: &Place) -> Self {
        let mut node = Self { name, place: Place::new(), api: (ip, 0).into(), server: None };
        let invite = node.place.path("invite");
        fs::write(&invite, provisioner.text(&["node", "invite"])).expect("a file");
        let mut command = node.command();
        command.arg("--provisioner").arg(provisioner.url()).arg("--invite").arg(invite);
        node.start(command);
        node
    }

    fn command(&self) -> Command {
        let mut command = basalt();
        let drive = format!("{},size=8G", self.place.path("drive.img").display());
        let nvme = SocketAddr::new(self.api.ip(), 0).to_string();
        let (data_dir, api) = (self.place.data_dir(), self.api.to_string());
        command.arg("serve").arg("--data-dir").arg(data_dir).args(["--role", "node", "--cores", "1"]);
        command.args(["--log", "warn", "--drive", &drive, "--nvme", &nvme, "--node-api", &api]);
        command.args(["--node-name", self.name, "--rack", self.name]);
        command
    }

    fn start(&mut self, command: Command) {
        let title = "node API";
        let server = Server::start_until(command, self.place.data_dir(), title);
        let line = server.ready.lines().find_map(|line| line.trim().strip_prefix(title)).expect("its line");
        self.api = line.trim().parse().expect("ADDRESS:PORT");
        self.server = Some(server);
    }

    /// As it is, without an invite.
    pub(crate) fn restart(&mut self) {
        self.start(self.command());
    }

    pub(crate) fn kill(&mut self) {
        self.server.take().expect("it runs").kill();
    }
}

fn serve_provisioner(place: &Place) -> Server {
    let mut command = basalt();
    command.arg("serve").arg("--data-dir").arg(place.data_dir());
    command.args(["--role", "provisioner", "--api", "127.0.0.1:0", "--log", "warn"]);
    command.args(["--reserve-floor-gib", "0"]);
    Server::start_until(command, place.data_dir(), "node invite")
}

/// Asks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Names of the nodes that answer.
pub(crate) fn alive(place: &Place) -> BTreeSet<String> {
    let nodes = place.json(&["node", "list"]);
    let answering = nodes.as_array().expect("a list").iter().filter(|node| node["available"] == true);
    answering.map(|node| node["name"].as_str().expect("text").to_owned()).collect()
}

pub(crate) fn volumes(place: &Place) -> Vec<Value> {
    place.json(&["volume", "list"]).as_array().expect("a list").clone()
}

/// Nothing is unfinished and nothing is wrong.
pub(crate) fn is_settled(place: &Place) -> bool {
    place.json(&["status"])["problems"].as_array().expect("a list").is_empty()
}

pub(crate) struct Cluster {
    /// Of the provisioner, and whom commands speak to.
    pub(crate) place: Place,
    provisioner: Option<Server>,
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let place = Place::new();
        let provisioner = Some(serve_provisioner(&place));
        let named = [("n1", [127, 0, 0, 1]), ("n2", [127, 0, 0, 2]), ("n3", [127, 0, 0, 3])];
        let nodes: Vec<Node> = named.map(|(name, ip)| Node::join(name, ip, &place)).into();
        let this = Self { place, provisioner, nodes };
        until("all nodes answer", || alive(&this.place).len() == 3);
        this
    }

    /// The two, for commands that run while the other is killed.
    pub(crate) fn apart(&mut self) -> (&Place, &mut Option<Server>) {
        (&self.place, &mut self.provisioner)
    }

    /// Nothing is left on any drive, and nothing is wrong.
    pub(crate) fn is_empty(&self) {
        until("all space is free again", || {
            let drives = self.place.json(&["drive", "list"]);
            let drives = drives.as_array().expect("a list");
            drives.len() == 3 && drives.iter().all(|drive| drive["unreservedBytes"] == drive["capacityBytes"])
        });
        assert!(is_settled(&self.place));
    }

    pub(crate) fn kill_provisioner(&mut self) {
        self.provisioner.take().expect("it runs").kill();
    }

    pub(crate) fn restart_provisioner(&mut self) {
        self.provisioner = Some(serve_provisioner(&self.place));
        until("all nodes answer", || alive(&self.place).len() == 3);
        until("all is settled", || is_settled(&self.place));
    }
}
