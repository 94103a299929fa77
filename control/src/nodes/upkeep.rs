//! What a process does for its own node while it serves: writes down what the next start must know.

use std::{path::PathBuf, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::LocalNode;
use crate::usage_file::{UsageFile, Written};

const LOOK: Duration = Duration::from_secs(1);
/// Of looks, one in so many writes the usage counters down: a kill costs at most a minute of them.
const LOOKS_PER_USAGE: u64 = 60;

/// Looks until dropped.
pub(crate) async fn keep_up(own: LocalNode, data_dir: PathBuf) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let usage_file = UsageFile::of(&data_dir);
    for look in 1_u64.. {
        looks.tick().await;
        if look.is_multiple_of(LOOKS_PER_USAGE)
            && let Err(error) = usage_file.write(&own.node.usage().await, Written::Running)
        {
            tracing::warn!(%error, "usage counters could not be written down");
        }
        if let Err(error) = own.remember_drives().await {
            tracing::warn!(%error, "how far the drives are could not be written down");
        }
    }
}
