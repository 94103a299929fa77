//! Random 4 KiB operations on a volume, so many at once, for so long.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use anyhow::Result;
use dataplane::{
    engine::{EngineError, Volume},
    rt::{self, Buf},
};

use super::site::BLOCK_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) volume: Volume,
    pub(crate) access: Access,
    pub(crate) qd: u16,
    pub(crate) seconds: u16,
}

/// A load that runs on this core. It must be ended.
pub(crate) struct Running(Rc<State>);

#[derive(Default)]
struct State {
    stop: Cell<bool>,
    tasks: Cell<u16>,
    done: Cell<u64>,
    /// The slowest operation since somebody last asked.
    slowest: Cell<Duration>,
    error: RefCell<Option<EngineError>>,
}

impl Load {
    /// Operations per second over the whole time.
    pub(crate) async fn iops(self) -> Result<f64> {
        let seconds = self.seconds;
        let begin = rt::now();
        let running = self.start();
        rt::sleep(Duration::from_secs(seconds.into())).await;
        let done = running.end().await?;
        Ok(done as f64 / rt::now().since(begin).as_secs_f64())
    }

    pub(crate) fn start(self) -> Running {
        let state = Rc::new(State::default());
        for _ in 0..self.qd {
            state.tasks.set(state.tasks.get() + 1);
            rt::spawn(work(self.volume.clone(), self.access, state.clone()));
        }
        Running(state)
    }
}

impl Running {
    /// The slowest operation since this was last asked.
    pub(crate) fn take_slowest(&self) -> Duration {
        self.0.slowest.take()
    }

    /// Lets the operations under way end; answers how many there were.
    pub(crate) async fn end(self) -> Result<u64> {
        self.0.stop.set(true);
        while self.0.tasks.get() > 0 {
            rt::sleep(Duration::from_millis(1)).await;
        }
        match self.0.error.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.0.done.get()),
        }
    }
}

async fn work(volume: Volume, access: Access, state: Rc<State>) {
    let blocks = volume.size_bytes() / BLOCK_BYTES;
    let mut buf = Buf::zeroed(BLOCK_BYTES as usize).await;
    while !state.stop.get() {
        let offset = rt::random_u64() % blocks * BLOCK_BYTES;
        let begin = rt::now();
        let result;
        (buf, result) = match access {
            Access::Read => volume.read(offset, buf).await,
            Access::Write => volume.write(offset, buf, false).await,
        };
        if let Err(error) = result {
            *state.error.borrow_mut() = Some(error);
            break;
        }
        state.slowest.set(state.slowest.get().max(rt::now().since(begin)));
        state.done.set(state.done.get() + 1);
    }
    state.tasks.set(state.tasks.get() - 1);
}
