//! Copies that have been down for longer than their volumes allow (`maxReplicaDownTime`), told as events. They are made anew
//! by their hosts' agents, or by people: only the host knows how equal its copies are (provisioner §4.4).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::{
    app::{App, now_ms},
    events::Kind,
    model::{
        replica::{Replica, ReplicaState},
        volume::VolumeRecord,
    },
};

/// The allowance is in minutes.
const LOOK: Duration = Duration::from_secs(20);
const MINUTE_MS: u64 = 60_000;

/// Looks until dropped.
pub(crate) async fn run(app: Arc<App>) {
    let mut overdue = Overdue::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let volumes = match app.state.list::<VolumeRecord>().await {
            Ok(volumes) => volumes,
            Err(error) => {
                tracing::warn!(%error, "the volumes cannot be read");
                continue;
            }
        };
        let away = app.nodes.all().into_iter().filter(|member| !member.liveness.is_alive());
        let away = away.map(|member| member.persistent_id.clone()).collect();
        for (volume, message) in overdue.look(volumes.iter().map(|v| &v.value), away, now_ms()) {
            app.events.add(Kind::ReplicaDown, volume, message).await;
        }
    }
}

/// What was seen by the last look.
#[derive(Debug, Default)]
struct Overdue {
    /// Since when nodes have been away, as this process saw it, in milliseconds since the epoch.
    away_since: BTreeMap<String, u64>,
    /// Copies that were told of.
    told: BTreeSet<Uuid>,
}

impl Overdue {
    /// Volumes of copies that have become overdue since the last look, and what there is to say.
    fn look<'a>(
        &mut self,
        volumes: impl Iterator<Item = &'a VolumeRecord>,
        away: BTreeSet<String>,
        now_ms: u64,
    ) -> Vec<(Uuid, String)> {
        self.away_since.retain(|node, _| away.contains(node));
        for node in away {
            self.away_since.entry(node).or_insert(now_ms);
        }
        let (mut news, mut overdue) = (Vec::new(), BTreeSet::new());
        for volume in volumes.filter(|v| v.is_replicated() && v.class.max_replica_down_minutes > 0) {
            let minutes = volume.class.max_replica_down_minutes;
            let allowed_ms = minutes.saturating_mul(MINUTE_MS);
            for replica in &volume.replicas {
                let since = self.down_since(replica);
                if since.is_none_or(|since| now_ms.saturating_sub(since) <= allowed_ms) {
                    continue;
                }
                overdue.insert(replica.uuid);
                if !self.told.contains(&replica.uuid) {
                    let (copy, alias) = (replica.uuid, &volume.alias);
                    let what =
                        format!("copy {copy} of volume {alias} has been down for more than {minutes} min");
                    news.push((volume.uuid, format!("{what}: it is to be made anew elsewhere")));
                }
            }
        }
        self.told = overdue;
        news
    }

    /// `None`: it is not down, or about to go anyway.
    fn down_since(&self, replica: &Replica) -> Option<u64> {
        match replica.state {
            ReplicaState::Missing => Some(replica.since_ms),
            ReplicaState::Terminating => None,
            ReplicaState::Unknown | ReplicaState::Available | ReplicaState::Synchronizing => {
                self.away_since.get(&replica.backend).copied()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::volume::tests::volume;

    const OTHER: &str = "02:00:00:00:00:02";

    /// Of two copies, of which one may be down for five minutes.
    fn two_copies() -> VolumeRecord {
        let mut volume = volume(1, 1);
        (volume.class.num_replicas, volume.class.max_replica_down_minutes) = (2, 5);
        volume.replicas.push(Replica::new(Uuid::from_u128(2), OTHER, 0));
        volume
    }

    /// Whether a look at that minute has news.
    fn has_news(overdue: &mut Overdue, volume: &VolumeRecord, away: &[&str], minute: u64) -> bool {
        let away = away.iter().map(|node| (*node).to_owned()).collect();
        !overdue.look([volume].into_iter(), away, minute * MINUTE_MS).is_empty()
    }

    #[test]
    fn a_node_that_is_away_for_longer_is_told_of_once_until_it_is_back() {
        let (volume, mut overdue) = (two_copies(), Overdue::default());
        for (minute, away, news) in [
            (10, &[][..], false),
            (11, &[OTHER], false),
            (16, &[OTHER], false),
            (17, &[OTHER], true),
            (18, &[OTHER], false),
            (19, &[], false),
            (20, &[OTHER], false),
            (26, &[OTHER], true),
        ] {
            assert_eq!(has_news(&mut overdue, &volume, away, minute), news, "minute {minute}");
        }
    }

    #[test]
    fn a_copy_that_its_agent_gave_up_counts_from_then_on_and_one_that_goes_does_not() {
        let (mut volume, mut overdue) = (two_copies(), Overdue::default());
        volume.replicas[1].enter(ReplicaState::Missing, 10 * MINUTE_MS);
        assert!(!has_news(&mut overdue, &volume, &[], 15));
        assert!(has_news(&mut overdue, &volume, &[], 16));
        volume.replicas[1].enter(ReplicaState::Terminating, 17 * MINUTE_MS);
        assert!(!has_news(&mut overdue, &volume, &[OTHER], 30));
        assert!(!has_news(&mut overdue, &volume, &[OTHER], 40));
    }

    #[test]
    fn zero_is_never_and_one_copy_cannot_be_made_anew() {
        let never = |change: fn(&mut VolumeRecord)| {
            let (mut volume, mut overdue) = (two_copies(), Overdue::default());
            change(&mut volume);
            volume.replicas[1].enter(ReplicaState::Missing, 0);
            assert!(!has_news(&mut overdue, &volume, &[], 1_000_000));
        };
        never(|volume| volume.class.max_replica_down_minutes = 0);
        never(|volume| volume.class.num_replicas = 1);
    }
}
