//! One who asks the engine for something, and tells the model what was promised.

mod io;
mod volumes;

use dataplane::engine::{Drive, Volume};
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

    fn drive(&self) -> Drive {
        lock(&self.world).drive.clone().expect("the drive is open")
    }

    /// `None`: it was deleted meanwhile.
    fn handle(&self, uuid: Uuid) -> Option<Volume> {
        lock(&self.world).handles.get(&uuid).cloned()
    }
}
