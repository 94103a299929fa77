//! A single-threaded executor: tasks in a slab, a queue of those that are ready.

use std::{collections::VecDeque, future::Future, pin::Pin};

use super::waker::TaskId;

type BoxedTask = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of one core.
///
/// A task is *waiting* (future here, not scheduled), *ready* (scheduled, in `ready`) or *running* (future taken
/// out; it may be scheduled again meanwhile). Ending frees its place under a new generation, so that late wakers
/// of the old task cannot touch the new one.
pub(super) struct Executor {
    inbox_slot: u16,
    tasks: Vec<Place>,
    free: Vec<u32>,
    ready: VecDeque<u32>,
}

struct Place {
    future: Option<BoxedTask>,
    generation: u16,
    live: bool,
    scheduled: bool,
}

impl Executor {
    pub(super) fn new(inbox_slot: u16) -> Self {
        Self { inbox_slot, tasks: Vec::new(), free: Vec::new(), ready: VecDeque::new() }
    }

    /// Adds a task; it is ready at once.
    pub(super) fn insert(&mut self, future: BoxedTask) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(Place { future: None, generation: 0, live: false, scheduled: false });
            u32::try_from(self.tasks.len() - 1).expect("fewer than 2^32 tasks")
        });
        let place = &mut self.tasks[index as usize];
        place.future = Some(future);
        place.live = true;
        place.scheduled = true;
        self.ready.push_back(index);
    }

    /// Makes a task ready, once however often it is woken. A task that has ended is left alone.
    pub(super) fn schedule(&mut self, task: TaskId) {
        let Some(place) = self.tasks.get_mut(task.index() as usize) else { return };
        if place.live && place.generation == task.generation() && !place.scheduled {
            place.scheduled = true;
            self.ready.push_back(task.index());
        }
    }

    /// Tasks that have not ended.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.tasks.iter().filter(|place| place.live).count()
    }

    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    /// Takes the oldest ready task out to be polled.
    pub(super) fn begin(&mut self) -> Option<(TaskId, BoxedTask)> {
        let index = self.ready.pop_front()?;
        Some(self.take(index))
    }

    pub(super) fn begin_nth(&mut self, place: usize) -> Option<(TaskId, BoxedTask)> {
        let index = self.ready.remove(place)?;
        Some(self.take(index))
    }

    fn take(&mut self, index: u32) -> (TaskId, BoxedTask) {
        let place = &mut self.tasks[index as usize];
        place.scheduled = false;
        let future = place.future.take().expect("a ready task is not running");
        (TaskId::new(self.inbox_slot, place.generation, index), future)
    }

    pub(super) fn put_back(&mut self, task: TaskId, future: BoxedTask) {
        self.tasks[task.index() as usize].future = Some(future);
    }

    /// Forgets a task that has ended.
    pub(super) fn remove(&mut self, task: TaskId) {
        let place = &mut self.tasks[task.index() as usize];
        place.live = false;
        place.generation = place.generation.wrapping_add(1);
        if std::mem::take(&mut place.scheduled) {
            // It woke itself in its last poll.
            self.ready.retain(|&index| index != task.index());
        }
        self.free.push(task.index());
    }

    /// Takes every future out, to be dropped by the caller outside any borrow of the executor.
    pub(super) fn take_all(&mut self) -> Vec<BoxedTask> {
        self.ready.clear();
        self.tasks
            .iter_mut()
            .filter_map(|place| {
                place.live = false;
                place.scheduled = false;
                place.future.take()
            })
            .collect()
    }
}
