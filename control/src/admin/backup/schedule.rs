//! Backups that are made without being asked for, as the settings say.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::make;
use crate::{
    admin::settings::AdminSettings,
    app::{SharedApp, now_ms},
};

const LOOK: Duration = Duration::from_secs(1);

/// How often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Schedule {
    #[default]
    Off,
    Hourly,
    Daily,
    Weekly,
}

impl Schedule {
    fn seconds(self) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Hourly => Some(3600),
            Self::Daily => Some(24 * 3600),
            Self::Weekly => Some(7 * 24 * 3600),
        }
    }
}

/// Looks until dropped.
pub(crate) async fn run(app: SharedApp) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One that failed is not tried again at every look.
    let mut tried_seconds = 0;
    loop {
        looks.tick().await;
        app.admin.heartbeats.beat("backup-scheduler", LOOK);
        let Ok(Some(settings)) = app.state.get::<AdminSettings>(AdminSettings::KEY).await else { continue };
        let (schedule, keep) = settings.value.backups();
        let (Some(period), now) = (schedule.seconds(), now_ms() / 1000) else { continue };
        let last = times(&app.backups()).last().copied().unwrap_or(0).max(tried_seconds);
        if now < last + period {
            continue;
        }
        tried_seconds = now;
        match make(&app, file(&app.backups(), now)).await {
            Ok(made) => app
                .admin
                .backup
                .note(&format!("scheduled backup made, {} bytes, sha256 {}", made.bytes, made.sha256)),
            Err(error) => {
                tracing::error!(%error, "a scheduled backup failed");
                app.admin.backup.note(&format!("scheduled backup failed: {error}"));
            }
        }
        if let Err(error) = forget(&app.backups(), keep) {
            tracing::warn!(%error, "an old backup could not be removed");
        }
    }
}

const PREFIX: &str = "scheduled-";

fn file(dir: &Path, seconds: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{seconds:012}.tar"))
}

/// When the scheduled backups were made, the oldest first.
fn times(dir: &Path) -> Vec<u64> {
    let names =
        fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|e| e.file_name().into_string().ok());
    let time = |name: String| name.strip_prefix(PREFIX)?.strip_suffix(".tar")?.parse().ok();
    let mut times: Vec<u64> = names.filter_map(time).collect();
    times.sort_unstable();
    times
}

fn forget(dir: &Path, keep: usize) -> io::Result<()> {
    let times = times(dir);
    let surplus = times.len().saturating_sub(keep);
    times[..surplus].iter().try_for_each(|seconds| fs::remove_file(file(dir, *seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        for seconds in [9, 100, 5] {
            fs::write(file(dir.path(), seconds), "").unwrap();
        }
        fs::write(dir.path().join("backup.tar"), "").unwrap();
        forget(dir.path(), 2).unwrap();
        assert_eq!(times(dir.path()), [9, 100]);
        assert!(dir.path().join("backup.tar").exists());
    }
}
