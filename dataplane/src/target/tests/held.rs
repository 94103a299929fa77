//! What hosts' connections take of a node, counted: to see that all of it comes back.

use std::{
    fs,
    time::{Duration, Instant},
};

use super::Node;
use crate::rt::{self, CoreId, InUse};

/// All that a host's connection takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    cores: Vec<InUse>,
    controllers: usize,
    places: usize,
    handshakes: usize,
    /// Zero where only the node is counted.
    descriptors: usize,
}

/// How far to count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    /// What belongs to the node.
    Node,
    /// Descriptors, too, which are the process's: no other test may run in it.
    Process,
}

/// What is held once it no longer changes: once it is `expected`, or else the same for a while. It is given as it is
/// when that takes too long.
pub(super) fn settled(node: &Node, count: Count, expected: Option<&Held>) -> Held {
    const LOOKS: usize = 20;
    let patience = Instant::now() + Duration::from_secs(30);
    let mut equal = 0;
    let mut last = held(node, count);
    loop {
        std::thread::sleep(Duration::from_millis(10));
        let now = held(node, count);
        equal = if now == last { equal + 1 } else { 0 };
        let done = expected.map_or(equal == LOOKS, |expected| now == *expected);
        if done || Instant::now() > patience {
            return now;
        }
        last = now;
    }
}

fn held(node: &Node, count: Count) -> Held {
    let cores = (0..node.runtime.handle().cores() as u16).map(|core| {
        let (tell, told) = std::sync::mpsc::channel();
        node.runtime.handle().spawn_on(CoreId(core), move || async move { tell.send(rt::in_use()).unwrap() });
        told.recv().unwrap()
    });
    let cores = cores.collect();
    let shared = &node.target.0;
    Held {
        cores,
        controllers: shared.controllers().by_id.len(),
        places: shared.places.taken(),
        handshakes: shared.handshakes.in_all(),
        descriptors: match count {
            Count::Node => 0,
            Count::Process => fs::read_dir("/proc/self/fd").unwrap().count(),
        },
    }
}

/// Memory of the process that is resident.
pub(super) fn resident_bytes() -> usize {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let resident: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    resident * 4096
}
