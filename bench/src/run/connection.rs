//! Connections under load: on each, `depth` tasks that keep one command in flight.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::mpsc::Sender,
    time::Duration,
};

use dataplane::{
    host::{HostController, HostOptions, HostQueue, Payload},
    rt::{self, Buf, Nanos},
};
use nvmeof::host::sqe;

use super::{
    LoadError,
    namespace::Namespace,
    report::Latencies,
    workload::{Io, Workload},
};

/// What one connection does.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Commands in flight.
    pub(crate) depth: u16,
    pub(crate) io_bytes: u32,
    pub(crate) workload: Workload,
    pub(crate) end: End,
}

/// When a connection is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// After this many commands, none of them measured.
    Commands(u64),
    /// After a time; commands that begin after `warm_up` are measured.
    Time { warm_up: Duration, measured: Duration },
}

/// Where a connection's result goes. Without a listener the whole run has failed already.
pub(crate) type Results = Sender<Result<Latencies, LoadError>>;

/// Runs this core's jobs, each on an I/O queue of one association.
pub(crate) async fn run(options: HostOptions, namespace: Namespace, jobs: Vec<Job>, results: Results) {
    if let Err(error) = start(options, namespace, jobs, &results).await {
        drop(results.send(Err(error)));
    }
}

async fn start(
    mut options: HostOptions,
    namespace: Namespace,
    jobs: Vec<Job>,
    results: &Results,
) -> Result<(), LoadError> {
    let wanted = u16::try_from(jobs.len()).expect("clap bounds --conns");
    options.io_queues = wanted;
    let controller = Rc::new(HostController::connect(options).await?);
    if controller.io_queues() < wanted {
        return Err(LoadError::Queues { granted: controller.io_queues(), wanted });
    }
    for (qid, job) in (1..).zip(jobs) {
        let entries = job.depth + 1;
        if u32::from(entries) > controller.queue_entries_max() {
            return Err(LoadError::Depth { most: controller.queue_entries_max() - 1 });
        }
        let queue = controller.io_queue(qid, entries).await?;
        let connection = Rc::new(Connection {
            queue,
            _controller: controller.clone(),
            namespace,
            running: Cell::new(job.depth),
            started: rt::now(),
            begun: Cell::new(0),
            latencies: RefCell::new(Latencies::new()),
            job: RefCell::new(job),
            results: results.clone(),
        });
        for _ in 0..connection.running.get() {
            rt::spawn(connection.clone().keep_busy());
        }
    }
    Ok(())
}

struct Connection {
    queue: Rc<HostQueue>,
    /// The association lives as long as its admin queue.
    _controller: Rc<HostController>,
    namespace: Namespace,
    job: RefCell<Job>,
    started: Nanos,
    /// Commands so far.
    begun: Cell<u64>,
    /// Tasks that have not ended; the last one reports.
    running: Cell<u16>,
    latencies: RefCell<Latencies>,
    results: Results,
}

impl Connection {
    async fn keep_busy(self: Rc<Self>) {
        let ended = self.commands().await;
        self.running.set(self.running.get() - 1);
        let result = match ended {
            Err(error) => Err(error),
            Ok(()) if self.running.get() > 0 => return,
            Ok(()) => Ok(self.latencies.replace(Latencies::new())),
        };
        drop(self.results.send(result));
    }

    async fn commands(&self) -> Result<(), LoadError> {
        while let Some(measured) = self.next_turn() {
            let io = self.job.borrow_mut().workload.next();
            let begin = rt::now();
            self.command(io).await?;
            if measured {
                let nanoseconds = u64::try_from(rt::now().since(begin).as_nanos()).unwrap_or(u64::MAX);
                self.latencies.borrow_mut().record(io.write, nanoseconds);
            }
        }
        Ok(())
    }

    /// Whether there is another command to send, and whether it counts.
    fn next_turn(&self) -> Option<bool> {
        let begun = self.begun.replace(self.begun.get() + 1);
        match self.job.borrow().end {
            End::Commands(count) => (begun < count).then_some(false),
            End::Time { warm_up, measured } => {
                let running = rt::now().since(self.started);
                (running < warm_up + measured).then_some(running >= warm_up)
            }
        }
    }

    async fn command(&self, io: Io) -> Result<(), LoadError> {
        let io_bytes = self.job.borrow().io_bytes;
        let Namespace { nsid, block_bytes, .. } = self.namespace;
        let blocks = io_bytes / block_bytes;
        let lba = io.block * u64::from(blocks);
        let answer = if io.write {
            // Whatever bytes the buffer holds: our own pool's, and nobody compares them.
            let data = Buf::alloc(io_bytes as usize).await;
            self.queue.command(sqe::write(nsid, lba, blocks, false), Payload::Out(data)).await?
        } else {
            self.queue.command(sqe::read(nsid, lba, blocks), Payload::In(io_bytes)).await?
        };
        if !answer.status().is_success() {
            return Err(LoadError::Command { write: io.write, lba, status: answer.status() });
        }
        if !answer.intact || (!io.write && answer.received < io_bytes) {
            return Err(LoadError::Damaged { lba });
        }
        Ok(())
    }
}
