//! A provisioner that is asked over its router, and killed.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use http_body_util::BodyExt;
use hyper::{Method, header};
use serde_json::Value;
use tokio::{runtime::Runtime, sync::Semaphore};
use tower::ServiceExt;

use super::{
    cut::{Life, MortalStore, Step},
    site::{Site, poll},
};
use crate::{
    ControlConfig, Replication,
    app::SharedApp,
    model::node::{ControllerIdsRecord, NodeRecord},
    nodes::attend,
    open::{open_on, store_path},
    reconcile::{Desired, OnNode, plan_storage},
    router::router,
    server::bring_back,
    store::RedbStore,
    tls::Peer,
};

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    method: Method,
    path: String,
    body: String,
    /// Where `*` in path and body is found: a path to get, and a JSON pointer into the answer.
    named: Option<(String, &'static str)>,
}

pub(super) fn call(method: Method, path: impl Into<String>, body: &Value) -> Call {
    Call { method, path: path.into(), body: body.to_string(), named: None }
}

impl Call {
    /// For what the server gave a name.
    pub(super) fn named(self, path: impl Into<String>, pointer: &'static str) -> Self {
        Self { named: Some((path.into(), pointer)), ..self }
    }
}

/// What runs on threads of its own ends by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// One process of the provisioner; all of it but the sockets of its API.
pub(super) struct Provisioner<'a> {
    site: &'a Site,
    /// Its tasks live here alone, and end with it wherever they wait.
    runtime: Runtime,
    app: SharedApp,
    router: Router,
    life: Life,
    token: String,
}

impl<'a> Provisioner<'a> {
    /// Starts on what the one before left behind, and waits until every node has been brought to it.
    pub(super) fn start(site: &'a Site) -> Self {
        Self::start_until(site, usize::MAX).expect("it takes fewer steps")
    }

    /// As `start`, but it dies of that step, counted from its very beginning, if it takes so many; then there is none.
    pub(super) fn start_until(site: &'a Site, step: usize) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let life = Life::default();
        life.shall_end(step);
        let config = ControlConfig {
            default_replication: Replication::Host,
            reserve_floor_gib: Some(0),
            license_key: Some(site.license_key()),
            ..ControlConfig::new(site.dir.path())
        };
        let started = async {
            let store = RedbStore::open(&store_path(site.dir.path())).unwrap();
            let store = Arc::new(MortalStore { store, life: life.clone() });
            let app = open_on(store, config, None, &[]).await.unwrap().app;
            site.doors.expect(app.epoch, &life);
            bring_back(&app).await.unwrap();
            let joined = app.state.list::<NodeRecord>().await.unwrap();
            for node in &joined {
                attend(&app, &node.value);
            }
            poll("all nodes are served", async || site.doors.served(app.epoch) == joined.len()).await;
            let router = router(SharedApp::clone(&app));
            (app, router)
        };
        let started = runtime.block_on(async {
            tokio::select! {
                biased;
                _ = life.end() => None,
                started = started => Some(started),
            }
        });
        let Some((app, router)) = started else {
            runtime.shutdown_timeout(PATIENCE);
            return None;
        };
        let token = std::fs::read_to_string(app.credentials.join("token")).unwrap().trim().to_owned();
        Some(Self { site, runtime, app, router, life, token })
    }

    /// Nothing of it runs any more when this returns.
    pub(super) fn kill(self) {
        let Self { runtime, app, router, .. } = self;
        drop((app, router));
        runtime.shutdown_timeout(PATIENCE);
    }

    /// The code of the answer and its body; the step that it died of before it answered.
    pub(super) fn ask(&self, call: &Call) -> Result<(String, Value), Step> {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let request = Request::builder()
            .method(&call.method)
            .uri(&call.path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .extension(Peer::of_this_machine(([127, 0, 0, 1], 0).into(), permit))
            .body(Body::from(call.body.clone()))
            .unwrap();
        self.runtime.block_on(async {
            let answer = async {
                let answer = self.router.clone().oneshot(request).await.unwrap();
                let status = answer.status();
                let bytes = answer.into_body().collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&bytes).unwrap();
                let code = ["status", "code"].iter().find_map(|name| body[name].as_str());
                let code = match code {
                    Some(code) => code.to_owned(),
                    None if status.is_success() => "Success".to_owned(),
                    None => status.to_string(),
                };
                (code, body)
            };
            tokio::select! {
                biased;
                step = self.life.end() => Err(step),
                answer = answer => Ok(answer),
            }
        })
    }

    /// As `ask`, while nothing ends it.
    pub(super) fn answer(&self, call: &Call) -> (String, Value) {
        self.ask(call).unwrap_or_else(|step| panic!("{call:?} died of {step:?}"))
    }

    /// The call with the name that it is about.
    pub(super) fn find(&self, unnamed: &Call) -> Call {
        let Some((list, pointer)) = &unnamed.named else { return unnamed.clone() };
        let (_, answer) = self.answer(&call(Method::GET, list.clone(), &Value::Null));
        let name = answer.pointer(pointer).and_then(Value::as_str);
        let name = name.unwrap_or_else(|| panic!("{list} has no {pointer}: {answer}"));
        let set = |text: &str| text.replace('*', name);
        Call { path: set(&unnamed.path), body: set(&unnamed.body), named: None, ..unnamed.clone() }
    }

    /// See `Life`.
    pub(super) fn shall_end(&self, step: usize) {
        self.life.shall_end(step);
    }

    /// Everything that store and nodes keep, without what is another thing each time.
    pub(super) fn kept(&self) -> Vec<String> {
        self.runtime.block_on(async {
            // A node that was just taken in has got them when it has got all else.
            poll("all nodes have their controllers' identifiers", async || {
                let nodes = self.app.state.list::<NodeRecord>().await.unwrap().len();
                self.app.state.list::<ControllerIdsRecord>().await.unwrap().len() == nodes
            })
            .await;
            let mut kept = self.site.on_nodes().await;
            for entry in self.app.state.export().await.unwrap() {
                let is_volatile = |prefix: &&str| entry.key.starts_with(*prefix);
                if !["events/", "provisioner/", "live/"].iter().any(is_volatile) {
                    kept.push(format!("{} {}", entry.key, String::from_utf8_lossy(&entry.value)));
                }
            }
            let mut kept: Vec<String> = kept.iter().map(|text| steady(text)).collect();
            kept.sort();
            kept
        })
    }

    /// Nothing is left to do, and nothing is wrong.
    pub(super) fn is_settled(&self) {
        self.runtime.block_on(async {
            let state = &self.app.state;
            let desired = Desired {
                volumes: state.list().await.unwrap().into_iter().map(|v| v.value).collect(),
                snapshots: state.list().await.unwrap().into_iter().map(|s| s.value).collect(),
            };
            let observed = OnNode::new(&self.app.observe().await, &desired);
            assert!(observed.away.is_empty(), "{observed:?}");
            let plan = plan_storage(&desired, &observed);
            assert!(plan.volumes.is_empty() && plan.snapshots.is_empty(), "{plan:?}");
            assert!(plan.problems.is_empty(), "{plan:?}");
        });
    }
}

/// Begins the UUIDs that a test gives; others are made anew each time.
pub(super) const GIVEN: &str = "6ba7b810-9dad-41d1-80b4-";

/// The text without what is another thing each time: UUIDs that nobody gave, times, and what is random.
fn steady(text: &str) -> String {
    let (mut steady, mut rest, mut before) = (String::new(), text, ' ');
    while let Some(first) = rest.chars().next() {
        let volatile = if before.is_alphanumeric() { 0 } else { volatile_bytes(rest) };
        if volatile > 0 {
            steady.push('~');
        } else {
            steady.push(first);
        }
        before = first;
        rest = &rest[volatile.max(first.len_utf8())..];
    }
    steady
}

/// How much of the beginning that is.
fn volatile_bytes(text: &str) -> usize {
    if text.get(..36).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok() && !id.starts_with(GIVEN)) {
        return 36;
    }
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let word = text.find(|c| !is_base64(c)).unwrap_or(text.len());
    let is_time = word == 13 && text[..word].bytes().all(|b| b.is_ascii_digit());
    if is_time || word >= 40 { word } else { 0 }
}
