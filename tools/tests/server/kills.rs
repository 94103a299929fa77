//! The provisioner is killed in the middle of a mixed stream of commands, again and again: what was answered is there, what
//! was not is there as a whole or not at all, and in the end nothing is left of anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    cluster::{Cluster, until},
    support::{Outcome, Place},
};

/// The stream is the same each time; which of its commands a kill meets is not.
const SEED: u64 = 20_261_122;
const WORKERS: u64 = 3;
const ROUNDS: u64 = 3;
/// The exit code of a command that got no answer.
const NO_ANSWER: i32 = 4;

/// Xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What lists say of an object; `None`: it is not there.
type Fact = Option<String>;

/// A command, and what it makes of an object.
struct Step {
    /// `COPY` stands for the last copy of the object.
    command: String,
    object: String,
    then: Fact,
}

#[derive(Default)]
struct Known {
    sure: BTreeMap<String, String>,
    /// Of objects whose last command was not answered: what they are if it was done.
    in_doubt: BTreeMap<String, Fact>,
}

impl Known {
    fn answered(&mut self, object: &str) {
        match self.in_doubt.remove(object).flatten() {
            Some(fact) => drop(self.sure.insert(object.to_owned(), fact)),
            None => drop(self.sure.remove(object)),
        }
    }

    /// From now on what is there is known again.
    fn compare(&mut self, found: BTreeMap<String, String>) {
        let objects: BTreeSet<&String> =
            found.keys().chain(self.sure.keys()).chain(self.in_doubt.keys()).collect();
        for object in objects {
            let (is, was) = (found.get(object), self.sure.get(object));
            let is_done = self.in_doubt.get(object).is_some_and(|then| then.as_ref() == is);
            let doubt = self.in_doubt.get(object);
            assert!(is == was || is_done, "{object} is {is:?}, was {was:?}, in doubt {doubt:?}");
        }
        self.sure = found;
        self.in_doubt.clear();
    }
}

fn volume(gib: u64, copies: u64, is_published: bool) -> Fact {
    Some(format!("{gib} GiB in {copies} copies, published: {is_published}"))
}

/// Everything that one can do with a volume and what belongs to it; the next life may find some of it left.
fn life(name: &str, random: &mut Random) -> Vec<Step> {
    let there = || Some("there".to_owned());
    let step =
        |command: String, kind: &str, then: Fact| Step { command, object: format!("{kind} {name}"), then };
    let of_volume = |command: String, then: Fact| step(command, "volume", then);
    let copies = 1 + random.below(2);
    let mut steps = vec![
        step(format!("tenant create {name} 5G"), "tenant", Some("5 GiB".to_owned())),
        step(format!("tenant set {name} --capacity 9G"), "tenant", Some("9 GiB".to_owned())),
        step(format!("host add {name} --nqn nqn.2014-08.org.example:{name}"), "host", there()),
        of_volume(
            format!("volume create {name} 1G --replicas {copies} --replication host --iops-per-gib 10"),
            volume(1, copies, false),
        ),
        of_volume(format!("publish {name} {name}"), volume(1, copies, true)),
        of_volume(format!("volume expand {name} 2G"), volume(2, copies, true)),
        step(format!("host set-secret {name} --generate"), "host", there()),
    ];
    if copies == 1 {
        let other = |command: String, which: &str, then: Fact| Step {
            command: format!("{command} {name}-{which}"),
            object: format!("volume {name}-{which}"),
            then,
        };
        steps.extend([
            step(format!("snapshot create {name} {name}"), "snapshot", there()),
            other(format!("snapshot volume --writable {name}"), "shows", volume(2, 1, false)),
            other(format!("snapshot clone {name}"), "clone", volume(2, 1, false)),
            step(format!("snapshot delete {name} --force"), "snapshot", None),
            other("volume delete".to_owned(), "shows", None),
            other("volume delete".to_owned(), "clone", None),
        ]);
    } else {
        steps.push(of_volume(format!("replica add {name}"), volume(2, 3, true)));
        steps.push(of_volume(format!("replica remove {name} COPY"), volume(2, 3, true)));
        steps.push(of_volume(format!("replica remove {name} COPY --finish"), volume(2, 2, true)));
    }
    if random.below(3) > 0 {
        steps.push(of_volume(format!("unpublish {name} {name}"), volume(2, copies, false)));
        steps.push(of_volume(format!("volume delete {name}"), None));
        steps.push(step(format!("host delete {name}"), "host", None));
        steps.push(step(format!("tenant delete {name}"), "tenant", None));
    }
    steps
}

/// Lives until the provisioner is gone.
fn work(place: &Place, name: &str, known: &Mutex<Known>, answers: &AtomicUsize) {
    let mut random = Random(SEED ^ name.bytes().fold(1, |sum, byte| sum * 31 + u64::from(byte)));
    for n in 0.. {
        for step in life(&format!("{name}n{n}"), &mut random) {
            let then = step.then.clone();
            known.lock().expect("nobody panics with it").in_doubt.insert(step.object.clone(), then);
            if !step.run(place) {
                return;
            }
            known.lock().expect("nobody panics with it").answered(&step.object);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Step {
    /// Whether it was answered; a refusal is a mistake of somebody's.
    fn run(&self, place: &Place) -> bool {
        let mut command = self.command.clone();
        if command.contains("COPY") {
            let (_, name) = self.object.split_once(' ').expect("it has both");
            let shown = place.run(&["volume", "show", name, "--json"]);
            if !is_answer(&shown) {
                return false;
            }
            let shown: Value = serde_json::from_str(&shown.stdout).expect("--json prints JSON");
            let copies = shown["location"].as_array().expect("a list");
            let last = copies.last().expect("there is one")["uuid"].as_str().expect("text");
            command = command.replace("COPY", last);
        }
        is_answer(&place.run(&command.split(' ').collect::<Vec<_>>()))
    }
}

fn is_answer(outcome: &Outcome) -> bool {
    assert!([0, NO_ANSWER].contains(&outcome.code), "{}", outcome.stderr);
    outcome.code == 0
}

/// All that lists tell.
fn observe(place: &Place) -> BTreeMap<String, String> {
    let list = |words: &[&str]| place.json(words).as_array().expect("a list").clone();
    let text = |object: &Value, field: &str| object[field].as_str().expect("text").to_owned();
    let mut found = BTreeMap::new();
    for v in list(&["volume", "list"]) {
        let copies = v["location"].as_array().expect("a list").len() as u64;
        let (gib, in_use) = (v["capacity"].as_u64().expect("a number") >> 30, v["inUse"] == true);
        let fact = volume(gib, copies, in_use).expect("it is there");
        found.insert(format!("volume {}", text(&v, "alias")), fact);
    }
    let snapshots =
        list(&["snapshot", "list"]).into_iter().map(|s| format!("snapshot {}", text(&s, "alias")));
    let hosts = list(&["host", "list"]).into_iter().map(|h| format!("host {}", text(&h, "name")));
    found.extend(snapshots.chain(hosts).map(|object| (object, "there".to_owned())));
    for tenant in list(&["tenant", "list"]).into_iter().filter(|tenant| tenant["tenantId"] != "0") {
        found.insert(format!("tenant {}", text(&tenant, "name")), format!("{} GiB", tenant["capacity"]));
    }
    found
}

fn remove_everything(place: &Place) {
    let found = observe(place);
    // With a host goes what is published to it, then snapshots, then what they were taken of.
    let kinds = [("host", true), ("snapshot", true), ("volume", false), ("tenant", false)];
    for (kind, force) in kinds {
        for name in found.keys().filter_map(|object| object.strip_prefix(&format!("{kind} "))) {
            let mut words = vec![kind, "delete", name];
            words.extend(force.then_some("--force"));
            place.text(&words);
        }
    }
    assert_eq!(observe(place), BTreeMap::new());
}

#[test]
fn whatever_is_under_way_when_the_provisioner_is_killed_is_done_or_undone_as_a_whole() {
    let mut cluster = Cluster::start();
    let known: Mutex<Known> = Mutex::default();
    let mut random = Random(SEED);
    for round in 0..ROUNDS {
        let (answers, enough) = (AtomicUsize::new(0), 15 + random.below(25));
        let (place, provisioner) = cluster.apart();
        thread::scope(|scope| {
            let (known, answers) = (&known, &answers);
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| scope.spawn(move || work(place, &format!("r{round}w{worker}"), known, answers)))
                .collect();
            until("enough is answered", || {
                assert!(workers.iter().all(|worker| !worker.is_finished()), "they end with the provisioner");
                answers.load(Ordering::Relaxed) as u64 >= enough
            });
            // Somewhere in the commands that are under way then.
            thread::sleep(Duration::from_millis(random.below(60)));
            provisioner.take().expect("it runs").kill();
        });
        if round == 1 {
            cluster.nodes[1].kill();
            cluster.nodes[1].restart();
        }
        cluster.restart_provisioner();
        known.lock().expect("nobody panics with it").compare(observe(&cluster.place));
    }
    remove_everything(&cluster.place);
    cluster.is_empty();
}
