//! The workloads of the crash points: small, and together every kind of change of metadata.

use std::pin::Pin;

use dataplane::engine::ATTACHMENT_BYTES_MAX;
use uuid::Uuid;

use crate::{
    actor::{Actor, Clearing},
    model::lock,
    reference::BLOCK,
};

/// A named script.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) start: Start,
    pub(crate) run: fn(Actor) -> Pin<Box<dyn Future<Output = ()>>>,
}

/// From where on the machine crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The medium is blank: while the drive is formatted and opened for the first time, too.
    Blank,
    /// The drive is open and empty.
    Open,
}

macro_rules! workloads {
    ($($start:ident: $name:ident),+ $(,)?) => {
        [$(Workload {
            name: stringify!($name),
            start: Start::$start,
            run: |actor| Box::pin($name(actor)),
        }),+]
    };
}

pub(crate) const ALL: [Workload; 17] = workloads![
    Blank: drive_add,
    Open: drive_grow,
    Open: allocate,
    Open: overwrite,
    Open: trim,
    Open: uncorrectable,
    Open: expand,
    Open: create_and_delete,
    Open: attach,
    Open: checkpoint,
    Open: close,
    Open: snapshot,
    Open: group,
    Open: clone,
    Open: merge,
    Open: tree,
    Open: thin,
];

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const EXTENT: u64 = 64 * KIB;

async fn volume(actor: &Actor) -> Uuid {
    actor.create(2 * MIB, 4096, 0, Vec::new()).await.expect("the drive is empty")
}

/// A new drive's first volume.
async fn drive_add(actor: Actor) {
    let first = volume(&actor).await;
    actor.write(first, 0, EXTENT, false).await;
    actor.flush(first).await;
    actor.write(first, EXTENT, BLOCK, true).await;
}

/// The drive becomes larger, twice, under what is written to it.
async fn drive_grow(actor: Actor) {
    let volume = volume(&actor).await;
    for turn in 0..2 {
        actor.write(volume, turn * MIB, 2 * EXTENT, false).await;
        actor.meanwhile(move |actor| async move {
            actor.write(volume, turn * MIB + BLOCK, 2 * BLOCK, false).await;
            actor.write(volume, turn * MIB + 4 * EXTENT, EXTENT, true).await;
        });
        actor.grow(4 * MIB, u64::MAX).await;
        actor.joined().await;
        actor.write(volume, turn * MIB + 8 * EXTENT, 3 * EXTENT, turn == 1).await;
    }
}

/// First writes: aligned, partial blocks, over extents, flushed and not.
async fn allocate(actor: Actor) {
    let volume = volume(&actor).await;
    let sectors = actor.create(MIB, 512, MIB, Vec::new()).await.expect("the drive is empty");
    actor.write(volume, 0, 16 * KIB, false).await;
    actor.write(sectors, 512, 1024, false).await;
    actor.write(volume, EXTENT - BLOCK, 3 * EXTENT, false).await;
    actor.flush(volume).await;
    actor.write(sectors, 3 * EXTENT + 3584, 1536, true).await;
    actor.write(volume, MIB, BLOCK, false).await;
    actor.write(volume, MIB + BLOCK, BLOCK, true).await;
    actor.write(volume, MIB + EXTENT, BLOCK, false).await;
}

/// Overwrites in place, of blocks whose first write was flushed and of others.
async fn overwrite(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, 32 * KIB, true).await;
    for turn in 0..3 {
        actor.write(volume, turn * BLOCK, 3 * BLOCK, turn == 1).await;
        actor.write(volume, EXTENT, BLOCK, false).await;
        actor.write(volume, EXTENT, BLOCK, false).await;
    }
    actor.flush(volume).await;
    actor.write(volume, 0, 32 * KIB, false).await;
}

/// Trims and zeroes of parts, of whole extents, and new writes into what they freed.
async fn trim(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, 4 * EXTENT, false).await;
    actor.flush(volume).await;
    actor.clear(volume, BLOCK, 2 * BLOCK, false, Clearing::Deallocate).await;
    actor.clear(volume, EXTENT, EXTENT, false, Clearing::Deallocate).await;
    actor.write(volume, EXTENT + BLOCK, BLOCK, false).await;
    actor.clear(volume, 2 * EXTENT - BLOCK, EXTENT, true, Clearing::WriteZeroes).await;
    actor.write(volume, MIB, 2 * EXTENT, false).await;
    actor.flush(volume).await;
    actor.clear(volume, 0, 2 * MIB, false, Clearing::Deallocate).await;
    actor.write(volume, 0, BLOCK, true).await;
}

/// Marks over data, over nothing and over parts of blocks, and all that takes them away again, in place of both.
async fn uncorrectable(actor: Actor) {
    let (volume, sectors) = (volume(&actor).await, actor.create(MIB, 512, 0, Vec::new()).await);
    let sectors = sectors.expect("the drive is empty");
    actor.write(volume, 0, EXTENT, false).await;
    actor.write(sectors, 0, 4 * BLOCK, true).await;
    actor.mark(volume, BLOCK, 3 * BLOCK, false).await;
    actor.mark(volume, EXTENT - BLOCK, 2 * BLOCK, false).await;
    actor.mark(sectors, 1024, 512, false).await;
    actor.mark(sectors, BLOCK + 512, BLOCK, false).await;
    actor.read(sectors, 0, 4 * BLOCK).await;
    actor.write(volume, 2 * BLOCK, 3 * BLOCK, false).await;
    actor.write(sectors, 512, 1024, true).await;
    actor.clear(volume, BLOCK, BLOCK, false, Clearing::Deallocate).await;
    actor.write(volume, BLOCK, BLOCK, false).await;
    let taken = actor.snapshot(&[volume, sectors]).await;
    actor.mark(sectors, 2 * BLOCK, 512, false).await;
    actor.write(sectors, BLOCK + 1024, 1024, false).await;
    actor.clear(sectors, BLOCK, 2 * BLOCK, false, Clearing::WriteZeroes).await;
    actor.write(sectors, 2 * BLOCK, BLOCK, false).await;
    actor.mark(volume, 0, BLOCK, true).await;
    for snapshot in taken {
        actor.delete_snapshot(snapshot).await;
    }
    actor.settled().await;
    actor.read(volume, 0, 2 * EXTENT).await;
    actor.read(sectors, 0, 4 * BLOCK).await;
}

async fn expand(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, BLOCK, false).await;
    for turn in 0..3 {
        actor.expand(volume, MIB).await;
        actor.write(volume, (2 + turn) * MIB, EXTENT + BLOCK, turn == 1).await;
    }
}

/// Volumes come and go, and the next ones get their extents.
async fn create_and_delete(actor: Actor) {
    let stays = volume(&actor).await;
    actor.write(stays, 0, EXTENT, true).await;
    for turn in 0..3 {
        let goes = volume(&actor).await;
        actor.write(goes, turn * EXTENT, 4 * EXTENT, turn > 0).await;
        actor.delete(goes).await;
        actor.write(stays, (turn + 1) * EXTENT, BLOCK, false).await;
    }
    actor.flush(stays).await;
}

/// Attachments come, change their length, go, and go with their volume; a checkpoint carries some of them.
async fn attach(actor: Actor) {
    let (stays, goes) = (volume(&actor).await, volume(&actor).await);
    actor.attach(stays, 1, 100).await;
    actor.attach(goes, 2, ATTACHMENT_BYTES_MAX).await;
    actor.write(stays, 0, BLOCK, false).await;
    actor.attach(stays, 3, ATTACHMENT_BYTES_MAX).await;
    actor.delete(goes).await;
    actor.attach(stays, 4, 0).await;
    actor.attach(stays, 5, 7).await;
    // Enough records, a page of the journal each, for checkpoints to begin in between.
    for turn in 0..140 {
        actor.attach(stays, 6 + turn, 1 + usize::from(turn)).await;
    }
}

/// Records fill the journal until a checkpoint cuts it, with changes before, during and after.
async fn checkpoint(actor: Actor) {
    let large = actor.create(8 << 30, 4096, 0, Vec::new()).await.expect("it is thin");
    // Half of the journal, one record per group, over several pages of the map.
    for turn in 0..150 {
        actor.write(large, turn % 7 * GIB + turn * BLOCK, BLOCK, false).await;
    }
    actor.flush(large).await;
    actor.clear(large, 0, 150 * BLOCK, false, Clearing::Deallocate).await;
    actor.write(large, GIB, EXTENT, false).await;
}

const GIB: u64 = 1 << 30;

/// The checkpoint of an orderly end, one with nothing to write behind it.
async fn close(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, 5 * EXTENT, false).await;
    actor.clear(volume, EXTENT, EXTENT, false, Clearing::Deallocate).await;
    actor.expand(volume, MIB).await;
    let drive = lock(&actor.world).drive.clone().expect("it was opened");
    drive.close().await.expect("a sound drive closes");
}

/// One snapshot after the other, with every kind of change behind each.
async fn snapshot(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, 2 * EXTENT, false).await;
    for turn in 0..3 {
        let taken = actor.snapshot(&[volume]).await;
        actor.write(volume, turn * BLOCK, BLOCK, turn == 1).await;
        actor.write(volume, EXTENT + 2 * turn * BLOCK, 3 * BLOCK, false).await;
        actor.clear(volume, 8 * BLOCK, (1 + turn) * BLOCK, false, Clearing::Deallocate).await;
        let view = actor.snapshot_volume(taken[0], false, 0, 0).await.expect("it needs no space");
        actor.read(view, 0, 2 * EXTENT).await;
        actor.write(view, 0, BLOCK, false).await;
    }
    actor.flush(volume).await;
}

/// Two volumes at one instant, while a host writes to the second what it depends on in the first.
async fn group(actor: Actor) {
    let first = volume(&actor).await;
    let second = actor.create(MIB, 512, 0, Vec::new()).await.expect("the drive is empty");
    actor.meanwhile(move |actor| async move {
        for turn in 0..12 {
            actor.write(first, turn % 3 * 2 * BLOCK, BLOCK, false).await;
            actor.write(second, turn % 5 * 1024, 1024, false).await;
        }
    });
    for _ in 0..3 {
        let taken = actor.snapshot(&[first, second]).await;
        for snapshot in taken {
            let view = actor.snapshot_volume(snapshot, false, 0, 0).await.expect("it needs no space");
            actor.read(view, 0, EXTENT).await;
        }
    }
    actor.joined().await;
}

/// Clones, larger and of clones; all are written to, the source goes.
async fn clone(actor: Actor) {
    let source = volume(&actor).await;
    actor.write(source, 0, 2 * EXTENT, false).await;
    let clone = actor.clone_volume(source, MIB, MIB).await.expect("there is room");
    actor.write(clone, BLOCK, 2 * BLOCK, false).await;
    actor.write(source, 2 * BLOCK, 2 * BLOCK, true).await;
    actor.write(clone, 2 * MIB, EXTENT, false).await;
    let second = actor.clone_volume(clone, 0, 0).await.expect("there is room");
    actor.clear(second, 0, EXTENT, false, Clearing::WriteZeroes).await;
    actor.delete(source).await;
    actor.write(clone, 0, BLOCK, false).await;
    actor.settled().await;
    actor.read(clone, 0, 4 * EXTENT).await;
    actor.read(second, 0, 4 * EXTENT).await;
}

/// Snapshots of a volume that is written to all the time go in every order.
async fn merge(actor: Actor) {
    let volume = volume(&actor).await;
    let mut taken = Vec::new();
    for turn in 0..4 {
        actor.write(volume, turn * EXTENT / 2, EXTENT, false).await;
        actor.write(volume, MIB + turn * 3 * BLOCK, 5 * BLOCK, false).await;
        actor.clear(volume, MIB + turn * 4 * BLOCK, BLOCK, false, Clearing::Deallocate).await;
        taken.extend(actor.snapshot(&[volume]).await);
    }
    actor.meanwhile(move |actor| async move {
        for turn in 0..10 {
            actor.write(volume, turn * 5 % 7 * 3 * BLOCK, 2 * BLOCK, false).await;
            actor.clear(volume, MIB + turn * 2 * BLOCK, BLOCK, false, Clearing::WriteZeroes).await;
        }
        actor.flush(volume).await;
    });
    for index in [1, 3, 0, 2] {
        actor.delete_snapshot(taken[index]).await;
        actor.read(volume, 0, 4 * EXTENT).await;
    }
    actor.joined().await;
    actor.settled().await;
}

/// A deleted snapshot with several children gives back what none of them can see, and goes with the last but one.
async fn tree(actor: Actor) {
    let volume = volume(&actor).await;
    actor.write(volume, 0, 4 * EXTENT, true).await;
    let taken = actor.snapshot(&[volume]).await[0];
    let writable = actor.snapshot_volume(taken, true, MIB, 0).await.expect("there is room");
    let view = actor.snapshot_volume(taken, false, 0, 0).await.expect("it needs no space");
    actor.write(volume, 0, EXTENT, false).await;
    actor.write(writable, BLOCK, EXTENT, false).await;
    actor.delete_snapshot(taken).await;
    actor.clear(writable, 2 * EXTENT, EXTENT, false, Clearing::Deallocate).await;
    actor.write(volume, 2 * EXTENT, EXTENT, false).await;
    actor.delete(view).await;
    actor.settled().await;
    actor.read(writable, 0, 4 * EXTENT).await;
    actor.delete(volume).await;
    actor.settled().await;
    actor.read(writable, 0, 4 * EXTENT).await;
}

/// What no child of a deleted snapshot sees goes leaf by leaf of its map, while the children are written to.
async fn thin(actor: Actor) {
    const LEAF: u64 = 512 * EXTENT;
    let volume = actor.create(3 * LEAF, 4096, 0, Vec::new()).await.expect("it is thin");
    for leaf in 0..3 {
        actor.write(volume, leaf * LEAF, 2 * EXTENT, false).await;
    }
    let taken = actor.snapshot(&[volume]).await[0];
    let clone = actor.snapshot_volume(taken, true, 0, 0).await.expect("it needs no space");
    for leaf in 0..3 {
        actor.write(volume, leaf * LEAF, EXTENT, leaf == 1).await;
        actor.write(clone, leaf * LEAF + BLOCK, EXTENT, false).await;
    }
    actor.meanwhile(move |actor| async move {
        for turn in 0..6 {
            actor.write(volume, turn % 3 * LEAF + EXTENT + turn * BLOCK, BLOCK, false).await;
            actor.clear(clone, turn % 3 * LEAF + turn * BLOCK, 2 * BLOCK, false, Clearing::Deallocate).await;
        }
    });
    actor.delete_snapshot(taken).await;
    actor.joined().await;
    actor.settled().await;
    for leaf in 0..3 {
        actor.read(volume, leaf * LEAF, 2 * EXTENT).await;
        actor.read(clone, leaf * LEAF, 2 * EXTENT).await;
    }
}
