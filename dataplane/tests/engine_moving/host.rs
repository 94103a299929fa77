//! A host that knows what it wrote, in which order, and what was answered and flushed.

use std::sync::{Arc, Mutex, MutexGuard};

use dataplane::{
    engine::{EngineError, Volume},
    rt::Buf,
};

use crate::site::BLOCK;

/// What one block held, one after the other: a word that fills it, 0 after a trim and at first.
#[derive(Debug, Clone)]
struct Block {
    history: Vec<u64>,
    /// Index of the newest that was answered.
    answered: usize,
    /// Index of the newest that a flush covers.
    flushed: usize,
}

/// One volume and what is known of it. Clones are the same. At most one change of a block is under way.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone)]
struct State {
    volume: Option<Volume>,
    blocks: Vec<Block>,
    stamps: u64,
}

/// What may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    None,
    Unflushed,
}

impl Host {
    pub(crate) fn of(volume: &Volume) -> Self {
        let block = Block { history: vec![0], answered: 0, flushed: 0 };
        let blocks = vec![block; (volume.size_bytes() / BLOCK) as usize];
        Self { state: Arc::new(Mutex::new(State { volume: Some(volume.clone()), blocks, stamps: 0 })) }
    }

    /// What is known of a clone or snapshot made now, while nothing is under way.
    pub(crate) fn fork(&self, volume: &Volume) -> Self {
        let state = State { volume: Some(volume.clone()), ..self.state().clone() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What is known at a crash, without the volume, which has gone with the machine.
    pub(crate) fn memory(&self) -> Self {
        let state = State { volume: None, ..self.state().clone() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The volume is that one now.
    pub(crate) fn use_volume(&self, volume: &Volume) {
        self.state().volume = Some(volume.clone());
    }

    pub(crate) fn volume(&self) -> Volume {
        self.state().volume.clone().expect("the machine runs")
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.state().blocks.len() as u64
    }

    pub(crate) async fn write(&self, first: u64, count: u64) {
        let stamp = self.begin(first, count, true);
        self.retry(async |volume| {
            let mut buf = Buf::alloc((count * BLOCK) as usize).await;
            buf.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&stamp.to_le_bytes()));
            volume.write(first * BLOCK, buf, false).await.1
        })
        .await;
        self.answered(first, count);
    }

    pub(crate) async fn trim(&self, first: u64, count: u64) {
        self.begin(first, count, false);
        self.retry(async |volume| volume.deallocate(first * BLOCK, count * BLOCK).await).await;
        self.answered(first, count);
    }

    pub(crate) async fn flush(&self) {
        let before: Vec<usize> = self.state().blocks.iter().map(|block| block.answered).collect();
        self.retry(async |volume| volume.flush().await).await;
        for (block, answered) in self.state().blocks.iter_mut().zip(before) {
            block.flushed = block.flushed.max(answered);
        }
    }

    /// Reads a block; it must be as new as what was answered before. The index of what it holds.
    pub(crate) async fn read(&self, block: u64) -> usize {
        let oldest = self.state().blocks[block as usize].answered;
        let found = std::cell::Cell::new(0);
        self.retry(async |volume| {
            let (buf, result) = volume.read(block * BLOCK, Buf::alloc(BLOCK as usize).await).await;
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            if result.is_ok() {
                found.set(word(&buf[..8]));
                assert!(buf.chunks_exact(8).all(|other| word(other) == found.get()), "a mixture");
            }
            result
        })
        .await;
        let history = &self.state().blocks[block as usize].history;
        let known = history[oldest..].iter().position(|stamp| *stamp == found.get());
        let known = known.unwrap_or_else(|| {
            panic!("block {block} holds {}, not one of {:?}", found.get(), &history[oldest..])
        });
        oldest + known
    }

    pub(crate) async fn read_all(&self) {
        for block in 0..self.blocks() {
            self.read(block).await;
        }
    }

    /// After a crash: what is found is what there is from now on.
    pub(crate) async fn find_again(&self, loss: Loss) {
        if loss == Loss::Unflushed {
            self.state().blocks.iter_mut().for_each(|block| block.answered = block.flushed);
        }
        for block in 0..self.blocks() {
            let index = self.read(block).await;
            let found = &mut self.state().blocks[block as usize];
            found.history = vec![found.history[index]];
            (found.answered, found.flushed) = (0, 0);
        }
    }

    /// Begins anew wherever the volume has moved to.
    async fn retry(&self, operation: impl AsyncFn(&Volume) -> Result<(), EngineError>) {
        loop {
            let volume = self.volume();
            match operation(&volume).await {
                Err(EngineError::Moved) => {}
                other => return other.expect("the drives are sound"),
            }
        }
    }

    fn begin(&self, first: u64, count: u64, data: bool) -> u64 {
        let mut state = self.state();
        state.stamps += 1;
        let stamp = if data { state.stamps } else { 0 };
        for block in &mut state.blocks[first as usize..(first + count) as usize] {
            block.history.push(stamp);
        }
        stamp
    }

    fn answered(&self, first: u64, count: u64) {
        for block in &mut self.state().blocks[first as usize..(first + count) as usize] {
            block.answered = block.history.len() - 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test thread panicked before")
    }
}
