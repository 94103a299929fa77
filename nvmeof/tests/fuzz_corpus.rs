//! Replays the fuzz corpus (`tests/fuzz/corpus`), as it is and mutated, through the bodies in `nvmeof::fuzz`.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

use nvmeof::fuzz;
use proptest::prelude::*;

type Seeds = Vec<(PathBuf, Vec<u8>)>;
type Body = fn(&[u8]);

fn corpus(target: &str) -> Seeds {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "a corpus has seeds");
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a readable seed"))).collect()
}

/// Each seed in pieces of every small size, not only in its own.
fn replay(target: &str, body: fn(&[u8])) {
    for (path, mut input) in corpus(target) {
        println!("{}", path.display());
        body(&input);
        for piece in 0..80 {
            input[0] = piece;
            body(&input);
        }
    }
}

#[test]
fn controller_framing() {
    replay("controller_framing", fuzz::controller_framing);
}

#[test]
fn host_framing() {
    replay("host_framing", fuzz::host_framing);
}

#[test]
fn authentication() {
    for (path, input) in corpus("authentication") {
        println!("{}", path.display());
        fuzz::authentication(&input);
        // Cut short everywhere: that changes the group, too.
        for len in (0..input.len()).step_by(7) {
            fuzz::authentication(&input[..len]);
        }
    }
}

#[test]
fn capsules() {
    for (path, mut input) in corpus("capsules") {
        println!("{}", path.display());
        for kind in [0, 1] {
            input[0] = kind;
            fuzz::capsules(&input);
        }
    }
}

/// Each seed with all combinations of digests.
#[test]
fn two_way() {
    for (path, mut input) in corpus("two_way") {
        println!("{}", path.display());
        fuzz::two_way(&input);
        for wanted in 0..4 {
            input[0] = input[0] & !3 | wanted;
            fuzz::two_way(&input);
        }
    }
}

/// Seeds one after another with bytes changed, dropped and repeated.
fn mutate(seeds: &[(PathBuf, Vec<u8>)], picks: &[usize], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut input = vec![edits.first().map_or(16, |edit| edit.1)];
    for pick in picks {
        input.extend_from_slice(&seeds[pick % seeds.len()].1[1..]);
    }
    for &(place, value, kind) in edits {
        let at = place % input.len();
        match kind % 4 {
            0 => input[at] = value,
            1 => input[at] ^= 1 << (value % 8),
            2 => drop(input.remove(at)),
            _ => input.insert(at, value),
        }
        if input.is_empty() {
            input.push(value);
        }
    }
    input
}

/// The bodies, each with its seeds, which are read once.
static TARGETS: LazyLock<[(Body, Seeds); 5]> = LazyLock::new(|| {
    [
        (fuzz::controller_framing, corpus("controller_framing")),
        (fuzz::host_framing, corpus("host_framing")),
        (fuzz::capsules, corpus("capsules")),
        (fuzz::authentication, corpus("authentication")),
        (fuzz::two_way, corpus("two_way")),
    ]
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn mutated_seeds(
        picks in prop::collection::vec(any::<usize>(), 1..4),
        edits in prop::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 0..8),
    ) {
        for (body, seeds) in &*TARGETS {
            body(&mutate(seeds, &picks, &edits));
        }
    }
}
