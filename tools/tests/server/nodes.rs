//! Nodes and the provisioner are killed, and come back.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    cluster::{Cluster, alive, until, volumes},
    support::Place,
};

fn names(place: &Place) -> BTreeSet<String> {
    volumes(place).iter().map(|v| v["alias"].as_str().expect("text").to_owned()).collect()
}

fn volume(place: &Place, name: &str) -> Value {
    volumes(place).into_iter().find(|v| v["alias"] == name).expect("it is listed")
}

fn state(place: &Place, name: &str) -> Value {
    volume(place, name)["location"][0]["replicaState"].clone()
}

fn create_on(place: &Place, name: &str, node: &str) {
    place.text(&["volume", "create", name, "1G", "--racks", node]);
}

#[test]
fn nodes_and_provisioner_are_killed_and_nothing_is_lost_or_left_over() {
    let mut cluster = Cluster::start();
    cluster.place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    for (volume, node) in [("one", "n1"), ("two", "n2"), ("three", "n3")] {
        create_on(&cluster.place, volume, node);
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
    create_on(&cluster.place, "more", "n2");
    cluster.place.text(&["publish", "more", "web"]);
    cluster.place.text(&["unpublish", "one", "web"]);

    // Neither knows of the other's death, and the node still exports what was taken back meanwhile.
    cluster.kill_provisioner();
    cluster.nodes[0].restart();
    cluster.restart_provisioner();
    until("its volume is back", || state(&cluster.place, "one") == "Available");
    assert_eq!(volume(&cluster.place, "one")["inUse"], false);
    cluster.place.text(&["publish", "one", "web"]);

    everything_can_be_taken_back(&cluster);
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
    cluster.is_empty();
}
