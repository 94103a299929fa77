//! Which controller identifiers a node gives: a host has one subsystem over all of its backends (D60), in which no two
//! controllers may have the same.

use std::ops::RangeInclusive;

use dataplane::node::CONTROLLER_IDS;

use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    model::node::ControllerIdsRecord,
    state::Change,
    store::StoreError,
};

/// The first node has as many as a node can have controllers.
const FIRST: u16 = 4096;
const EACH: u16 = 1024;
/// Nodes of one provisioner: there are no identifiers for more.
pub(crate) const NODES: u16 = 1 + (*CONTROLLER_IDS.end() - FIRST) / EACH;

/// Of the node with that number.
fn range(number: u16) -> RangeInclusive<u16> {
    match number {
        0 => *CONTROLLER_IDS.start()..=FIRST,
        _ => FIRST + 1 + (number - 1) * EACH..=FIRST + number * EACH,
    }
}

/// The node's own range; given at the first call, and its own until it is removed.
pub(crate) async fn assign(app: &App, persistent_id: &str) -> Result<RangeInclusive<u16>, ApiError> {
    loop {
        let given = app.state.list::<ControllerIdsRecord>().await?;
        if let Some(own) = given.iter().find(|record| record.value.persistent_id == persistent_id) {
            return Ok(range(own.value.number));
        }
        let is_free = |number: &u16| given.iter().all(|record| record.value.number != *number);
        let number = (0..NODES).find(is_free).ok_or_else(|| {
            Failure::new(Code::NotAvailable, format!("there are {NODES} storage nodes already"))
        })?;
        let record = ControllerIdsRecord { number, persistent_id: persistent_id.to_owned() };
        match app.state.create(record, Change::default()).await {
            Ok(_) => return Ok(range(number)),
            // Another node was faster.
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_one_another_and_fit() {
        let mut next = *CONTROLLER_IDS.start();
        for number in 0..NODES {
            let range = range(number);
            assert_eq!(*range.start(), next, "of node {number}");
            next = range.end() + 1;
        }
        assert!(next <= *CONTROLLER_IDS.end() && NODES >= 32);
    }
}
