//! After a crash: the drive opens, is sound, and holds what the rules allow.

use dataplane::{
    engine::{self, Drive, DriveOptions, FormatOptions, Probe, Snapshot, Volume},
    node::VolumeState,
    rt::disk::SimMedia,
};
use uuid::Uuid;

use crate::{
    model::{Presence, Shared, lock},
    reference::{BLOCK, Crash, SECTOR, Value, values},
};

/// How a drive is opened, and what may be expected of it then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) options: DriveOptions,
    /// Blocks of 4096-byte volumes are never torn (E8).
    pub(crate) whole_blocks: bool,
}

/// Opens the drive, formatted first if it is new, compares it with the model if a crash came before, checks it, and
/// hands its volumes out.
pub(crate) async fn open(world: &Shared, media: &SimMedia, opening: Opening, crash: Option<Crash>) {
    format_blank(world, media).await;
    let drive = Drive::open(media.disk(), opening.options).await.expect("a drive that crashed is sound");
    accept_size(world, drive.size_bytes());
    let first_check = lock(world).model.rng.below(2) == 0;
    if first_check {
        check(&drive).await;
    }
    if let Some(crash) = crash {
        // Unless it was checked before, merges and deletions that the crash interrupted go on meanwhile.
        compare(world, &drive, crash, opening.whole_blocks).await;
        check(&drive).await;
    }
    let mut world = lock(world);
    world.handles = drive.volumes().into_iter().map(|volume| (volume.uuid(), volume)).collect();
    world.snapshots = drive.snapshots().into_iter().map(|snapshot| (snapshot.uuid(), snapshot)).collect();
    world.drive = Some(drive);
}

/// A crash in the middle of formatting leaves a blank medium or a drive, never what only force would overwrite.
async fn format_blank(world: &Shared, media: &SimMedia) {
    let disk = media.disk();
    match Drive::probe(&disk).await.expect("readable") {
        Probe::Blank => {
            {
                let model = &mut lock(world).model;
                assert_ne!(model.formatted, Presence::There, "the drive is gone");
                (model.formatted, model.drive_sizes) = (Presence::Open, vec![disk.size_bytes()]);
            }
            Drive::format(&disk, FormatOptions::default()).await.expect("a blank medium takes it");
        }
        Probe::Ours { .. } => {}
        Probe::Foreign(what) => panic!("the medium holds {what}"),
    }
    lock(world).model.formatted = Presence::There;
}

fn accept_size(world: &Shared, size_bytes: u64) {
    let model = &mut lock(world).model;
    assert!(model.drive_sizes.contains(&size_bytes), "{size_bytes} of {:?}", model.drive_sizes);
    model.drive_sizes = vec![size_bytes];
}

/// The checker wants quiet: merges end first, and what was deleted gives its extents back.
pub(crate) async fn check(drive: &Drive) {
    drive.settled().await;
    let report = engine::check(drive).await.expect("every page is readable");
    assert!(report.problems.is_empty(), "{report:#?}");
}

/// Everything that must be there is, and holds what the rules allow after that crash; nothing else is there.
async fn compare(world: &Shared, drive: &Drive, crash: Crash, whole_blocks: bool) {
    let volumes = drive.volumes();
    for volume in &volumes {
        accept_volume(world, volume);
    }
    let snapshots = drive.snapshots();
    for snapshot in &snapshots {
        accept_snapshot(world, snapshot);
    }
    {
        let model = &mut lock(world).model;
        let missing = |what: Presence, uuid: &Uuid| assert_ne!(what, Presence::There, "{uuid} is gone");
        model.volumes.retain(|uuid, known| {
            let found = volumes.iter().any(|volume| volume.uuid() == *uuid);
            if !found {
                missing(known.presence, uuid);
            }
            found
        });
        model.snapshots.retain(|uuid, known| {
            let found = snapshots.iter().any(|snapshot| snapshot.uuid() == *uuid);
            if !found {
                missing(known.presence, uuid);
            }
            found
        });
    }
    for snapshot in &snapshots {
        compare_snapshot(world, drive, snapshot).await;
    }
    for volume in &volumes {
        compare_volume(world, volume, crash, whole_blocks).await;
    }
}

/// The volume may be there, with a size that it may have.
fn accept_volume(world: &Shared, volume: &Volume) {
    let uuid = volume.uuid();
    let model = &mut lock(world).model;
    let known = model.volumes.get_mut(&uuid).unwrap_or_else(|| panic!("nobody made volume {uuid}"));
    assert_ne!(known.presence, Presence::Gone, "volume {uuid} was deleted");
    assert_eq!(volume.state(), VolumeState::Online);
    let size = volume.size_bytes();
    assert!(known.sizes.contains(&size), "{size} of {:?}", known.sizes);
    known.sizes = vec![size];
    let attachment = volume.attachment();
    let first = attachment.first().copied().unwrap_or(0);
    assert!(known.attachments.contains(&first), "attachment {first} of {:?}", known.attachments);
    assert!(attachment.iter().all(|&byte| byte == first), "parts of two attachments");
    known.attachments = vec![first];
    known.presence = Presence::There;
}

fn accept_snapshot(world: &Shared, snapshot: &Snapshot) {
    let uuid = snapshot.uuid();
    let model = &mut lock(world).model;
    let known = model.snapshots.get_mut(&uuid).unwrap_or_else(|| panic!("nobody took snapshot {uuid}"));
    assert_ne!(known.presence, Presence::Gone, "snapshot {uuid} was deleted");
    assert_eq!(snapshot.state(), VolumeState::Online);
    assert_eq!((snapshot.size_bytes(), snapshot.block_bytes()), (known.size_bytes, known.block_bytes));
    known.presence = Presence::There;
}

/// Looks at it through a volume made for that.
async fn compare_snapshot(world: &Shared, drive: &Drive, snapshot: &Snapshot) {
    let (uuid, frozen, touched) = {
        let model = &mut lock(world).model;
        let frozen = model.snapshot(snapshot.uuid()).frozen.expect("a crash ends every copy");
        let touched: Vec<u64> = model.frozen(frozen).sectors.keys().copied().collect();
        (model.uuid(), frozen, touched)
    };
    let view = drive.create_snapshot_volume(snapshot, uuid, false, snapshot.size_bytes(), 0).await;
    let view = view.expect("it needs no space");
    let mut reader = Reader::new(&view);
    for sector in touched {
        let value = reader.sector(sector).await;
        lock(world).model.observe(frozen, sector, value);
    }
    drive.delete_volume(&view).await.expect("nothing stands against it");
}

async fn compare_volume(world: &Shared, volume: &Volume, crash: Crash, whole_blocks: bool) {
    let uuid = volume.uuid();
    let (touched, now) = {
        let model = &mut lock(world).model;
        // Two moments: what was under way ended at the first.
        model.tick();
        (model.volumes[&uuid].touched(model), model.tick())
    };
    let mut reader = Reader::new(volume);
    let mut previous = None;
    for sector in touched {
        let value = reader.sector(sector).await;
        // E8: the blocks of a 4096-byte volume are never torn.
        let continues = sector % 8 != 0 && volume.block_bytes() == 4096 && whole_blocks;
        assert!(!continues || value == previous, "{uuid} has a torn block at sector {sector}");
        previous = value;
        lock(world).model.found(uuid, sector, value, crash, now);
    }
}

/// Reads sectors in order, a block at a time.
struct Reader<'a> {
    volume: &'a Volume,
    /// Offset in bytes and sectors of the last one.
    block: Option<(u64, Vec<Option<Value>>)>,
}

impl<'a> Reader<'a> {
    fn new(volume: &'a Volume) -> Self {
        Self { volume, block: None }
    }

    /// What the sector holds; `None` if it is not whole.
    async fn sector(&mut self, sector: u64) -> Option<Value> {
        let start = sector * SECTOR / BLOCK * BLOCK;
        let block = match self.block.take() {
            Some((held, block)) if held == start => block,
            _ => values(self.volume, start, BLOCK).await.expect("readable"),
        };
        let value = block[(sector - start / SECTOR) as usize];
        self.block = Some((start, block));
        value
    }
}
