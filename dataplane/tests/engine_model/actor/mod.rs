//! One who asks the engine for something, and tells the model what was promised.

mod io;
mod snapshots;
mod volumes;

use std::time::Duration;

use dataplane::{
    engine::{Drive, Volume},
    rt::{self, CoreId},
};
use uuid::Uuid;

use crate::model::{Shared, lock};

pub(crate) use self::io::Clearing;

/// Operates on the world's drive and volumes. Many may at once, on any core.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) world: Shared,
    /// Every answered write is durable (E2).
    write_through: bool,
}

impl Actor {
    /// On a machine whose drive is open.
    pub(crate) fn new(world: &Shared) -> Self {
        let write_through = lock(world).drive.as_ref().expect("the drive is open").is_write_through();
        Self { world: world.clone(), write_through }
    }

    /// Does something on the machine's second core meanwhile; [`joined`](Self::joined) waits for it.
    pub(crate) fn meanwhile<F: Future<Output = ()> + 'static>(
        &self,
        strand: impl FnOnce(Self) -> F + Send + 'static,
    ) {
        lock(&self.world).working += 1;
        let actor = self.clone();
        rt::spawn_on(CoreId(1), move || async move {
            strand(actor.clone()).await;
            lock(&actor.world).working -= 1;
        });
    }

    pub(crate) async fn joined(&self) {
        while lock(&self.world).working > 0 {
            rt::sleep(Duration::from_millis(1)).await;
        }
    }

    fn drive(&self) -> Drive {
        lock(&self.world).drive.clone().expect("the drive is open")
    }

    /// `None`: it was deleted meanwhile.
    fn handle(&self, uuid: Uuid) -> Option<Volume> {
        lock(&self.world).handles.get(&uuid).cloned()
    }
}
