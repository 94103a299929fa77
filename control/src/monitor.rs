//! Watches the drives of all nodes and makes events of what changes: states, and a pool that is getting full; and watches
//! who of the nodes of other makes tells of itself in time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dataplane::node::{DriveInfo, DriveState};
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::{
    api::backends::backends,
    app::{App, now_ms},
    events::Kind,
    inventory,
    model::{
        GIB,
        backend::BackendRecord,
        capacity::{Gauge, Move, percent},
    },
};

const LOOK: Duration = Duration::from_secs(1);

/// Looks until dropped.
pub(crate) async fn run(app: Arc<App>) {
    let mut monitor = Monitor::default();
    let mut others = Attendance::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        app.admin.heartbeats.beat("watcher", LOOK);
        // As the nodes told with their latest beat: one that is away has lost no drive.
        let drives: Vec<DriveInfo> = app.nodes.all().iter().flat_map(|member| member.last_drives()).collect();
        if let Err(error) = inventory::look(&app).await {
            tracing::warn!(?error, "the inventory could not be written down");
        }
        let news = match backends(&app).await {
            Ok(backends) => others.look(backends.iter().map(|b| &b.value), now_ms()),
            Err(error) => {
                tracing::warn!(%error, "the backends cannot be read");
                Vec::new()
            }
        };
        for News { kind, object, message } in monitor.look(&drives).into_iter().chain(news) {
            app.events.add(kind, object, message).await;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct News {
    kind: Kind,
    object: String,
    message: String,
}

/// Which backends of other makes were Available at the last look (D15), by persistentID. Those of ours are watched by
/// `nodes::attend`.
#[derive(Debug, Default)]
struct Attendance(BTreeMap<String, bool>);

impl Attendance {
    fn look<'a>(&mut self, backends: impl Iterator<Item = &'a BackendRecord>, now_ms: u64) -> Vec<News> {
        let others =
            backends.filter_map(|b| Some((&b.persistent_id, b.probe.as_ref()?.is_available(now_ms))));
        let now: BTreeMap<String, bool> = others.map(|(id, is)| (id.clone(), is)).collect();
        let before = std::mem::replace(&mut self.0, now);
        let has_changed = |(id, is): &(&String, &bool)| before.get(*id).is_some_and(|was| was != *is);
        let tell = |(id, is): (&String, &bool)| {
            let (kind, what) = match is {
                true => (Kind::NodeAvailable, "tells of itself again"),
                false => (Kind::NodeUnavailable, "has not told of itself for three intervals"),
            };
            News { kind, object: id.clone(), message: format!("backend {id} {what}") }
        };
        self.0.iter().filter(has_changed).map(tell).collect()
    }
}

/// What was there at the last look.
#[derive(Debug, Default)]
struct Monitor {
    /// `None` before the first look: what is there then is no news.
    drives: Option<BTreeMap<Uuid, Drive>>,
    promised: Gauge,
    used: Gauge,
}

#[derive(Debug)]
struct Drive {
    name: String,
    state: DriveState,
}

impl Monitor {
    fn look(&mut self, drives: &[DriveInfo]) -> Vec<News> {
        let mut news = self.look_at_states(drives);
        let online = || drives.iter().filter(|d| d.state == DriveState::Online);
        let whole: u64 = online().map(|d| d.capacity_bytes).sum();
        let promised = online().map(|d| d.capacity_bytes.saturating_sub(d.unreserved_bytes)).sum();
        let used = online().map(|d| d.used_bytes).sum();
        news.extend(capacity_news("promised", &mut self.promised, promised, whole));
        news.extend(capacity_news("used", &mut self.used, used, whole));
        news
    }

    fn look_at_states(&mut self, drives: &[DriveInfo]) -> Vec<News> {
        let first = self.drives.is_none();
        let mut before = self.drives.take().unwrap_or_default();
        let mut news = Vec::new();
        let mut tell = |kind, name: &str, what: &str| {
            news.push(News { kind, object: name.to_owned(), message: format!("drive {name} {what}") });
        };
        for drive in drives {
            let old = before.remove(&drive.uuid);
            if old.is_none() && !first {
                tell(Kind::DriveAdded, &drive.name, "was added");
            }
            // New drives are taken to be online.
            if drive.state != old.map_or(DriveState::Online, |old| old.state) {
                tell(Kind::DriveState, &drive.name, &state_text(&drive.state));
            }
        }
        for gone in before.values() {
            tell(Kind::DriveRemoved, &gone.name, "was removed");
        }
        let seen = |d: &DriveInfo| (d.uuid, Drive { name: d.name.clone(), state: d.state.clone() });
        self.drives = Some(drives.iter().map(seen).collect());
        news
    }
}

fn state_text(state: &DriveState) -> String {
    match state {
        DriveState::Online => "is online again".to_owned(),
        DriveState::Evacuating => "is being emptied".to_owned(),
        DriveState::ReadOnly(why) => format!("takes no writes: {why}"),
        DriveState::Failed(why) => format!("has failed: {why}"),
    }
}

fn capacity_news(what: &str, gauge: &mut Gauge, part: u64, whole: u64) -> Option<News> {
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / GIB as f64);
    let (kind, message) = match gauge.read(part, whole)? {
        Move::Warned(_) => (
            Kind::CapacityWarning,
            format!("{} % of the pool are {what}: {} of {}", percent(part, whole), gib(part), gib(whole)),
        ),
        Move::Eased(level) => {
            (Kind::CapacityEased, format!("less than {level} % of the pool are {what} again"))
        }
    };
    Some(News { kind, object: "pool".to_owned(), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::probe::tests::probe;

    #[test]
    fn a_backend_of_another_make_that_falls_silent_is_news_once() {
        let ours = BackendRecord::new("ours");
        let other = BackendRecord { probe: Some(probe([192, 0, 2, 1])), ..BackendRecord::new("other") };
        let mut attendance = Attendance::default();
        let mut look = |now_ms| said(attendance.look([&ours, &other].into_iter(), now_ms));
        assert_eq!(look(1_000_000), [], "what is there at the first look is no news");
        let silent = "backend other has not told of itself for three intervals".to_owned();
        assert_eq!(look(1_180_000), [(Kind::NodeUnavailable, silent)]);
        assert_eq!(look(1_190_000), []);
        let back = "backend other tells of itself again".to_owned();
        assert_eq!(look(1_000_001), [(Kind::NodeAvailable, back)]);
        assert_eq!(attendance.look([&ours].into_iter(), 9_000_000), [], "removed");
    }

    fn drive(id: u128, state: DriveState, unreserved: u64, used: u64) -> DriveInfo {
        DriveInfo {
            uuid: Uuid::from_u128(id),
            name: format!("d{id}"),
            state,
            sequence: 1,
            size_bytes: 120,
            capacity_bytes: 100 * GIB,
            unreserved_bytes: unreserved * GIB,
            used_bytes: used * GIB,
            write_through: false,
            evacuation: None,
        }
    }

    fn said(news: Vec<News>) -> Vec<(Kind, String)> {
        news.into_iter().map(|n| (n.kind, n.message)).collect()
    }

    #[test]
    fn drives_that_change_come_and_go() {
        let online = |id| drive(id, DriveState::Online, 100, 0);
        let failed = |id| drive(id, DriveState::Failed("gone".to_owned()), 100, 0);
        let mut monitor = Monitor::default();
        assert_eq!(said(monitor.look(&[online(1)])), []);
        assert_eq!(
            said(monitor.look(&[online(1), online(2)])),
            [(Kind::DriveAdded, "drive d2 was added".to_owned())]
        );
        let news = said(monitor.look(&[failed(1), online(2)]));
        assert_eq!(news, [(Kind::DriveState, "drive d1 has failed: gone".to_owned())]);
        assert_eq!(said(monitor.look(&[failed(1), online(2)])), [], "said once");
        assert_eq!(
            said(monitor.look(&[online(1)])),
            [
                (Kind::DriveState, "drive d1 is online again".to_owned()),
                (Kind::DriveRemoved, "drive d2 was removed".to_owned())
            ]
        );
    }

    #[test]
    fn a_drive_that_is_broken_at_the_start_is_news() {
        let worn = drive(1, DriveState::ReadOnly("worn".to_owned()), 100, 0);
        let news = said(Monitor::default().look(&[worn]));
        assert_eq!(news, [(Kind::DriveState, "drive d1 takes no writes: worn".to_owned())]);
    }

    #[test]
    fn a_pool_that_fills_warns_of_promised_and_of_used_space() {
        let mut monitor = Monitor::default();
        let mut look = |unreserved, used| {
            let one = drive(1, DriveState::Online, unreserved, used);
            said(monitor.look(&[one, drive(2, DriveState::Online, 100, 0)]))
        };
        assert_eq!(look(50, 10), []);
        assert_eq!(look(0, 10), [], "100 of 200");
        let mut one = drive(1, DriveState::Online, 20, 5);
        let mut monitor = Monitor::default();
        let warning = "80 % of the pool are promised: 80.0 GiB of 100.0 GiB";
        assert_eq!(said(monitor.look(&[one.clone()])), [(Kind::CapacityWarning, warning.to_owned())]);
        one.used_bytes = 95 * GIB;
        let warning = "95 % of the pool are used: 95.0 GiB of 100.0 GiB";
        assert_eq!(said(monitor.look(&[one.clone()])), [(Kind::CapacityWarning, warning.to_owned())]);
        one.used_bytes = 0;
        let eased = "less than 80 % of the pool are used again";
        assert_eq!(said(monitor.look(&[one])), [(Kind::CapacityEased, eased.to_owned())]);
    }
}
