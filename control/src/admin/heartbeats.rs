//! Which parts of this server are alive: each tells when it last went around, and is believed for three rounds.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use dataplane::node::Node;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::app::SharedApp;

/// Rounds that a part may miss (admin.md §5.4).
const ROUNDS: u32 = 3;
const CORE_ROUND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Heartbeats(Mutex<BTreeMap<String, Beat>>);

struct Beat {
    last: Instant,
    round: Duration,
}

impl Heartbeats {
    /// `part` goes around every `round`, and just did.
    pub(crate) fn beat(&self, part: &str, round: Duration) {
        let beat = Beat { last: Instant::now(), round };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), beat);
    }

    /// Parts that have ever told, and whether they are alive, by name.
    pub(crate) fn parts(&self) -> Vec<(String, bool)> {
        self.parts_at(Instant::now())
    }

    fn parts_at(&self, now: Instant) -> Vec<(String, bool)> {
        let beats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_alive = |beat: &Beat| now.saturating_duration_since(beat.last) <= beat.round * ROUNDS;
        beats.iter().map(|(part, beat)| (part.clone(), is_alive(beat))).collect()
    }
}

/// Asks every core of the node in this process again and again; each in a task of its own, so that one that stands
/// still keeps no other from telling. Ends with the task that waits for it.
pub(crate) async fn beat_for_cores(app: SharedApp, node: Node) {
    let mut cores = tokio::task::JoinSet::new();
    for core in 0..node.core_count() {
        let (app, node) = (SharedApp::clone(&app), node.clone());
        cores.spawn(async move {
            let mut rounds = interval(CORE_ROUND);
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                rounds.tick().await;
                if node.core_answers(core).await {
                    app.admin.heartbeats.beat(&format!("shard-{core}"), CORE_ROUND);
                }
            }
        });
    }
    cores.join_all().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_believed_for_three_rounds() {
        let beats = Heartbeats::default();
        beats.beat("a", Duration::from_secs(1));
        beats.beat("b", Duration::from_secs(60));
        let now = Instant::now();
        let after = |seconds| beats.parts_at(now + Duration::from_secs(seconds));
        assert_eq!(after(2), [("a".to_owned(), true), ("b".to_owned(), true)]);
        assert_eq!(after(4), [("a".to_owned(), false), ("b".to_owned(), true)]);
        assert_eq!(after(200), [("a".to_owned(), false), ("b".to_owned(), false)]);
    }
}
