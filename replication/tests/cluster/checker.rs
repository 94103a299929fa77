//! Whether what hosts saw could have been one disk.
//!
//! Per block, every write writes a value of its own. A history is linearizable if and only if the times in which each
//! value must have been current do not contradict each other (Gibbons and Korach): a value whose write and reads all
//! overlap needs one common moment, any other needs all the time between its first end and its last begin.
//!
//! When every replica in sync lost power, what was not flushed may be gone: an era ends. In the next one each block
//! has one older value, and none that a later flush had replaced.

use std::collections::BTreeMap;

use replication::HostRequest;

use crate::{disk::Value, hosts::Operation, node::BLOCKS};

/// The operations of one value of one block.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    first_end: u64,
    last_begin: u64,
    write_begins: u64,
}

pub(crate) fn check(operations: &[Operation], eras: &[u64]) -> Result<(), String> {
    let mut begins = 0;
    for ends in eras.iter().copied().chain([u64::MAX]) {
        for block in 0..BLOCKS {
            check_era(operations, eras, block, (begins, ends))
                .map_err(|error| format!("block {block}, from {begins} to {ends} us: {error}"))?;
        }
        begins = ends;
    }
    Ok(())
}

fn check_era(
    operations: &[Operation],
    eras: &[u64],
    block: u64,
    (begins, ends): (u64, u64),
) -> Result<(), String> {
    let mut clusters: BTreeMap<Value, Cluster> = BTreeMap::new();
    for (index, operation) in operations.iter().enumerate() {
        let Some(range) = operation.written() else { continue };
        let value = index as u64 + 1;
        let before = operation.done_at.is_some_and(|done| done < begins);
        if !range.blocks().contains(&block) || before || operation.asked_at >= ends {
            continue;
        }
        let first_end = operation.done_at.filter(|done| *done < ends).unwrap_or(u64::MAX);
        let asked_at = operation.asked_at.max(begins);
        clusters.insert(value, Cluster { first_end, last_begin: asked_at, write_begins: asked_at });
    }
    let mut old: Option<Value> = None;
    for operation in operations {
        let (HostRequest::Read(range), Some(done)) = (operation.request, operation.done_at) else { continue };
        if !range.blocks().contains(&block) || done < begins || done >= ends || operation.asked_at < begins {
            continue;
        }
        let value = operation.values[(block - range.first) as usize];
        let cluster = clusters.entry(value).or_insert_with(|| {
            old.get_or_insert(value);
            Cluster { first_end: begins, last_begin: begins, write_begins: begins }
        });
        if done < cluster.write_begins {
            return Err(format!("value {value} was read before it was written"));
        }
        if old.is_some_and(|old| old != value) && !operations_wrote(operations, value, begins) {
            return Err(format!("two old values, {old:?} and {value}"));
        }
        cluster.first_end = cluster.first_end.min(done);
        cluster.last_begin = cluster.last_begin.max(operation.asked_at);
    }
    if let Some(old) = old {
        check_old(operations, eras, (block, begins), old)?;
    }
    check_zones(&clusters)
}

/// Whether a value may have been written in the era that begins then.
fn operations_wrote(operations: &[Operation], value: Value, begins: u64) -> bool {
    value > 0 && operations[value as usize - 1].done_at.is_none_or(|done| done >= begins)
}

/// An older value must not be one that a flush had made impossible to return to.
fn check_old(
    operations: &[Operation],
    eras: &[u64],
    (block, begins): (u64, u64),
    old: Value,
) -> Result<(), String> {
    // A flush covers a write if no power was lost between them.
    let flushed = |newer: &Operation| {
        operations.iter().any(|flush| {
            let after = newer.done_at.is_some_and(|done| flush.asked_at > done);
            let same_era = |done: u64| !eras.iter().any(|era| (newer.asked_at..=done).contains(era));
            flush.request == HostRequest::Flush
                && after
                && flush.done_at.is_some_and(|done| done < begins && same_era(done))
        })
    };
    let old_done = if old == 0 { Some(0) } else { operations[old as usize - 1].done_at };
    for (index, newer) in operations.iter().enumerate() {
        let (Some(range), Some(done)) = (newer.written(), newer.done_at) else { continue };
        let replaced = old_done.is_some_and(|old_done| old_done < newer.asked_at);
        if range.blocks().contains(&block) && replaced && done < begins && flushed(newer) {
            return Err(format!(
                "value {} was flushed, and {old} was read after the power was lost",
                index + 1
            ));
        }
    }
    Ok(())
}

fn check_zones(clusters: &BTreeMap<Value, Cluster>) -> Result<(), String> {
    let forward: Vec<_> = clusters.iter().filter(|(_, c)| c.first_end < c.last_begin).collect();
    for (index, (value, zone)) in forward.iter().enumerate() {
        for (other, next) in &forward[index + 1..] {
            if zone.first_end < next.last_begin && next.first_end < zone.last_begin {
                return Err(format!(
                    "values {value} ({} to {}) and {other} ({} to {}) were both current",
                    zone.first_end, zone.last_begin, next.first_end, next.last_begin
                ));
            }
        }
    }
    for (value, cluster) in clusters.iter().filter(|(_, c)| c.first_end >= c.last_begin) {
        let inside = forward
            .iter()
            .find(|(_, zone)| zone.first_end < cluster.last_begin && cluster.first_end < zone.last_begin);
        if let Some((other, _)) = inside {
            return Err(format!("value {value} was current while {other} had to be"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use replication::BlockRange;

    use super::*;

    const BLOCK: BlockRange = BlockRange { first: 3, count: 1 };

    fn operation(request: HostRequest, times: (u64, u64), values: &[Value]) -> Operation {
        let (asked_at, done_at) = times;
        Operation { request, host: 0, asked_at, done_at: Some(done_at), over: true, values: values.to_vec() }
    }

    fn history(reads: &[(u64, u64, Value)]) -> Vec<Operation> {
        let mut all = vec![
            operation(HostRequest::Write(BLOCK), (10, 20), &[]),
            operation(HostRequest::Write(BLOCK), (30, 50), &[]),
        ];
        let reads =
            reads.iter().map(|(asked, done, v)| operation(HostRequest::Read(BLOCK), (*asked, *done), &[*v]));
        all.extend(reads);
        all
    }

    #[test]
    fn what_one_disk_can_do_is_allowed_and_nothing_else() {
        for reads in [
            &[(0, 5, 0), (21, 22, 1), (31, 32, 1), (40, 41, 2), (60, 61, 2)][..],
            &[(11, 12, 0), (13, 14, 1)],
            &[(32, 60, 1)],
        ] {
            check(&history(reads), &[]).unwrap();
        }
        for reads in [
            &[(21, 22, 0)][..],          // lost
            &[(60, 61, 1)],              // lost
            &[(35, 36, 2), (37, 38, 1)], // back again
            &[(5, 6, 1)],                // from the future
        ] {
            assert!(check(&history(reads), &[]).is_err(), "{reads:?}");
        }
    }

    #[test]
    fn a_loss_of_power_takes_what_was_not_flushed_only() {
        let with_flush = |reads: &[(u64, u64, Value)], flush: (u64, u64)| {
            let mut all = history(reads);
            all.push(operation(HostRequest::Flush, flush, &[]));
            check(&all, &[70])
        };
        with_flush(&[(80, 81, 1), (82, 83, 1)], (25, 26)).unwrap();
        assert!(with_flush(&[(80, 81, 0)], (25, 26)).is_err());
        assert!(with_flush(&[(80, 81, 1)], (55, 56)).is_err());
        assert!(with_flush(&[(80, 81, 1), (82, 83, 2)], (25, 26)).is_err());
    }
}
