//! One life of a provisioner, and its end at a step of our choice: what it does to its store and asks of its nodes goes
//! through here.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::Notify;

use crate::store::{Check, Entry, LeaseId, MetaStore, Op, Revision, StoreFuture, Watch};

/// A step that changes something for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The keys that a transaction writes.
    Store(Vec<String>),
    /// The node and the operation.
    Node(String, String),
}

/// What becomes of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    /// The process dies before it is done.
    Last,
    /// The process is dead.
    Never,
}

/// Cloneable; all clones are the same life.
#[derive(Clone, Default)]
pub(super) struct Life(Arc<Inner>);

#[derive(Default)]
struct Inner {
    course: Mutex<Course>,
    died: Notify,
}

#[derive(Default)]
struct Course {
    steps: usize,
    /// It dies of this one, counted from 1.
    last: Option<usize>,
    died_of: Option<Step>,
}

impl Life {
    fn course(&self) -> MutexGuard<'_, Course> {
        self.0.course.lock().unwrap()
    }

    /// It dies of that step, counted from now on and from 1.
    pub(super) fn shall_end(&self, step: usize) {
        let mut course = self.course();
        (course.steps, course.last) = (0, Some(step));
    }

    /// It dies of this step, if it is the one.
    pub(super) fn take(&self, step: Step) -> Fate {
        let mut course = self.course();
        if course.died_of.is_some() {
            return Fate::Never;
        }
        course.steps += 1;
        if course.last != Some(course.steps) {
            return Fate::Done;
        }
        course.died_of = Some(step);
        self.0.died.notify_one();
        Fate::Last
    }

    /// Ready when it has died; tells of which step.
    pub(super) async fn end(&self) -> Step {
        loop {
            if let Some(step) = self.course().died_of.clone() {
                return step;
            }
            self.0.died.notified().await;
        }
    }

    async fn go_on(&self) {
        if self.course().died_of.is_some() {
            std::future::pending::<()>().await;
        }
    }
}

/// The store of one life.
pub(super) struct MortalStore<S> {
    pub(super) store: S,
    pub(super) life: Life,
}

fn key_of(op: &Op) -> String {
    let (Op::Put { key, .. } | Op::PutLeased { key, .. } | Op::Delete { key }) = op;
    key.clone()
}

impl<S: MetaStore> MetaStore for MortalStore<S> {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            self.life.go_on().await;
            self.store.get(key).await
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<Entry>> {
        Box::pin(async move {
            self.life.go_on().await;
            self.store.list(prefix).await
        })
    }

    fn txn(&self, checks: Vec<Check>, ops: Vec<Op>) -> StoreFuture<'_, Revision> {
        Box::pin(async move {
            self.life.go_on().await;
            // What is leased ends with the process anyway.
            let is_durable = ops.iter().any(|op| !matches!(op, Op::PutLeased { .. }));
            if is_durable && self.life.take(Step::Store(ops.iter().map(key_of).collect())) != Fate::Done {
                std::future::pending::<()>().await;
            }
            self.store.txn(checks, ops).await
        })
    }

    fn watch(&self, prefix: &str) -> Watch {
        self.store.watch(prefix)
    }

    fn lease(&self, ttl: Duration) -> StoreFuture<'_, LeaseId> {
        self.store.lease(ttl)
    }

    fn keep(&self, lease: LeaseId) -> StoreFuture<'_, ()> {
        self.store.keep(lease)
    }

    fn quiet(&self) -> StoreFuture<'_, ()> {
        self.store.quiet()
    }
}
