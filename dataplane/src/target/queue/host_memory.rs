//! What one host may have of a core's payload memory, so that it can be as slow as it likes and others go on.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::{Rc, Weak},
};

use nvmeof::Nqn;

use crate::{limits, rt::Account};

/// The memory of a host's queues on this core; all of them share it.
#[derive(Debug)]
pub(super) struct HostMemory {
    /// For data that the host was asked for.
    pub(super) solicited: Rc<Account>,
    /// For data that it asked for, up to when the network has it.
    pub(super) answers: Rc<Account>,
}

thread_local! {
    static HOSTS: RefCell<BTreeMap<Nqn, Weak<HostMemory>>> = RefCell::default();
}

impl HostMemory {
    /// That of `host`, for as long as one of its queues lives here.
    pub(super) fn of(host: &Nqn) -> Rc<Self> {
        HOSTS.with_borrow_mut(|hosts| {
            hosts.retain(|_, memory| memory.strong_count() > 0);
            if let Some(memory) = hosts.get(host).and_then(Weak::upgrade) {
                return memory;
            }
            let memory = Rc::new(Self {
                solicited: Account::new(limits::SOLICITED_BYTES_PER_HOST),
                answers: Account::new(limits::ANSWER_BYTES_PER_HOST),
            });
            hosts.insert(host.clone(), Rc::downgrade(&memory));
            memory
        })
    }
}

const _: () = {
    let transfer_bytes = nvmeof::limits::TRANSFER_BYTES_MAX as usize;
    assert!(limits::SOLICITED_BYTES_PER_HOST >= transfer_bytes, "any write can be asked for");
    assert!(limits::ANSWER_BYTES_PER_HOST >= transfer_bytes, "any read can be answered");
};
