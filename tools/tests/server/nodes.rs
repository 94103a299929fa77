//! A provisioner and three storage nodes, each a process of its own, that are killed and come back.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{PATIENCE, Place, Server, basalt};

/// A node on an address and in a rack of its own, and both it and its rack bear the same name.
struct Node {
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
    fn restart(&mut self) {
        self.start(self.command());
    }

    fn kill(&mut self) {
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
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Names of the nodes that answer.
fn alive(place: &Place) -> BTreeSet<String> {
    let nodes = place.json(&["node", "list"]);
    let answering = nodes.as_array().expect("a list").iter().filter(|node| node["available"] == true);
    answering.map(|node| node["name"].as_str().expect("text").to_owned()).collect()
}

fn volumes(place: &Place) -> Vec<Value> {
    place.json(&["volume", "list"]).as_array().expect("a list").clone()
}

fn names(place: &Place) -> BTreeSet<String> {
    volumes(place).iter().map(|v| v["alias"].as_str().expect("text").to_owned()).collect()
}

fn volume(place: &Place, name: &str) -> Value {
    volumes(place).into_iter().find(|v| v["alias"] == name).expect("it is listed")
}

fn state(place: &Place, name: &str) -> Value {
    volume(place, name)["location"][0]["replicaState"].clone()
}

/// Nothing is unfinished and nothing is wrong.
fn is_settled(place: &Place) -> bool {
    place.json(&["status"])["problems"].as_array().expect("a list").is_empty()
}

struct Cluster {
    place: Place,
    provisioner: Option<Server>,
    nodes: Vec<Node>,
}

impl Cluster {
    fn start() -> Self {
        let place = Place::new();
        let provisioner = Some(serve_provisioner(&place));
        let named = [("n1", [127, 0, 0, 1]), ("n2", [127, 0, 0, 2]), ("n3", [127, 0, 0, 3])];
        let nodes: Vec<Node> = named.map(|(name, ip)| Node::join(name, ip, &place)).into();
        let this = Self { place, provisioner, nodes };
        until("all nodes answer", || alive(&this.place).len() == 3);
        this
    }

    fn create_on(&self, name: &str, node: &str) {
        self.place.text(&["volume", "create", name, "1G", "--racks", node]);
    }

    fn kill_provisioner(&mut self) {
        self.provisioner.take().expect("it runs").kill();
    }

    fn restart_provisioner(&mut self) {
        self.provisioner = Some(serve_provisioner(&self.place));
        until("all nodes answer", || alive(&self.place).len() == 3);
        until("all is settled", || is_settled(&self.place));
    }
}

#[test]
fn nodes_and_provisioner_are_killed_and_nothing_is_lost_or_left_over() {
    let mut cluster = Cluster::start();
    cluster.place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    for (volume, node) in [("one", "n1"), ("two", "n2"), ("three", "n3")] {
        cluster.create_on(volume, node);
        cluster.place.text(&["publish", volume, "web"]);
    }
    let before = names(&cluster.place);
    assert_eq!(before.len(), 3);

    cluster.nodes[0].kill();
    until("its state turns", || !alive(&cluster.place).contains("n1"));
    assert_eq!((names(&cluster.place), state(&cluster.place, "one")), (before.clone(), "Missing".into()));
    assert_eq!(state(&cluster.place, "two"), "Available");
    let shown = cluster.place.text(&["volume", "show", "one"]);
    assert!(shown.contains("path") && shown.contains("not known"), "{shown}");
    let refused = cluster.place.run(&["volume", "create", "more", "1G", "--racks", "n1"]);
    assert!(refused.code == 1 && refused.stderr.contains("NoMatchingBackend"), "{}", refused.stderr);
    cluster.create_on("more", "n2");
    cluster.place.text(&["publish", "more", "web"]);
    cluster.place.text(&["unpublish", "one", "web"]);

    // Neither knows of the other's death, and the node still exports what was taken back meanwhile.
    cluster.kill_provisioner();
    cluster.nodes[0].restart();
    cluster.restart_provisioner();
    until("its volume is back", || state(&cluster.place, "one") == "Available");
    assert_eq!(volume(&cluster.place, "one")["inUse"], false);
    cluster.place.text(&["publish", "one", "web"]);

    killed_in_the_middle(&mut cluster);
    everything_can_be_taken_back(&cluster);
}

/// What was acknowledged before each kill of the provisioner is there afterwards; what was not is there or not, whole.
fn killed_in_the_middle(cluster: &mut Cluster) {
    for round in 0..3 {
        let before = names(&cluster.place);
        let worker = {
            let data_dir = cluster.place.data_dir();
            thread::spawn(move || create_until_refused(&data_dir, round))
        };
        // Another moment of the work in each round.
        until("some volumes are made", || names(&cluster.place).len() > before.len() + round);
        cluster.kill_provisioner();
        let (made, in_doubt) = worker.join().expect("it ends with the server");
        if round == 1 {
            cluster.nodes[1].kill();
            cluster.nodes[1].restart();
        }
        cluster.restart_provisioner();
        let after = names(&cluster.place);
        let expected: BTreeSet<String> = before.union(&made).cloned().collect();
        let extra: Vec<&String> = after.difference(&expected).filter(|name| **name != in_doubt).collect();
        assert!(after.is_superset(&expected) && extra.is_empty(), "{after:?}, expected {expected:?}");
        until("all copies are there", || {
            volumes(&cluster.place).iter().all(|v| v["location"][0]["replicaState"] == "Available")
        });
    }
}

/// Volumes whose creation was acknowledged, and the last one, of which nobody knows.
fn create_until_refused(data_dir: &Path, round: usize) -> (BTreeSet<String>, String) {
    let mut made = BTreeSet::new();
    for n in 0.. {
        let name = format!("r{round}v{n}");
        let mut command = basalt();
        command.arg("--data-dir").arg(data_dir).args(["volume", "create", &name, "1G"]);
        let done = command.output().expect("basalt starts");
        if !done.status.success() {
            return (made, name);
        }
        made.insert(name);
    }
    unreachable!("the server is killed before")
}

fn everything_can_be_taken_back(cluster: &Cluster) {
    let place = &cluster.place;
    for volume in volumes(place) {
        let id = volume["uuid"].as_str().expect("text");
        if volume["inUse"] == true {
            place.text(&["unpublish", id, "web"]);
        }
        place.text(&["volume", "delete", id]);
    }
    until("all space is free again", || {
        let drives = place.json(&["drive", "list"]);
        let drives = drives.as_array().expect("a list");
        drives.len() == 3 && drives.iter().all(|drive| drive["unreservedBytes"] == drive["capacityBytes"])
    });
    assert!(is_settled(place));
}
