//! After a crash: the drive opens, is sound, and holds what the rules allow.

use dataplane::{
    engine::{self, Drive, DriveOptions, Volume},
    node::VolumeState,
    rt::{Buf, disk::SimMedia},
};
use uuid::Uuid;

use crate::{
    model::{Shared, lock},
    reference::{BLOCK, Crash, SECTOR, Value, value_of},
};

/// How a drive is opened, and what may be expected of it then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) options: DriveOptions,
    /// Blocks of 4096-byte volumes are never torn (E8).
    pub(crate) whole_blocks: bool,
}

/// Opens the drive, compares it with the model if a crash came before, checks it, and hands its volumes out.
pub(crate) async fn open(world: &Shared, media: &SimMedia, opening: Opening, crash: Option<Crash>) {
    let drive = Drive::open(media.disk(), opening.options).await.expect("a drive that crashed is sound");
    check(&drive).await;
    if let Some(crash) = crash {
        compare(world, &drive, crash, opening.whole_blocks).await;
    }
    let mut world = lock(world);
    for volume in drive.volumes() {
        let is_known = world.model.volumes.contains_key(&volume.uuid());
        if is_known && volume.state() == VolumeState::Online {
            world.handles.insert(volume.uuid(), volume);
        }
    }
    world.drive = Some(drive);
}

/// The checker wants quiet: deleted volumes give their extents back first.
pub(crate) async fn check(drive: &Drive) {
    drive.settled().await;
    let report = engine::check(drive).await.expect("every page is readable");
    assert!(report.problems.is_empty(), "{report:#?}");
}

/// Every sector that was ever touched must hold what the rules allow after that crash.
async fn compare(world: &Shared, drive: &Drive, crash: Crash, whole_blocks: bool) {
    let volumes = drive.volumes();
    let known: Vec<Uuid> = lock(world).model.volumes.keys().copied().collect();
    for uuid in known {
        let found = volumes.iter().find(|v| v.uuid() == uuid);
        let Some(volume) = found else {
            let gone = lock(world).model.volumes.remove(&uuid).expect("known");
            assert!(gone.may_be_missing, "volume {uuid} is gone");
            continue;
        };
        accept_volume(world, volume);
        compare_volume(world, volume, crash, whole_blocks).await;
    }
}

/// The volume is there, with a size that it may have.
fn accept_volume(world: &Shared, volume: &Volume) {
    let model = &mut lock(world).model;
    let known = model.volume(volume.uuid());
    assert!(!known.must_be_missing, "volume {} was deleted", volume.uuid());
    assert_eq!(volume.state(), VolumeState::Online);
    let size = volume.size_bytes();
    assert!(known.sizes.contains(&size), "{size} of {:?}", known.sizes);
    known.sizes = vec![size];
    known.may_be_missing = false;
}

async fn compare_volume(world: &Shared, volume: &Volume, crash: Crash, whole_blocks: bool) {
    let uuid = volume.uuid();
    let (touched, now) = {
        let model = &mut lock(world).model;
        // Two moments: what was under way ended at the first.
        model.tick();
        (model.volume(uuid).reference.touched(), model.tick())
    };
    let mut reader = Reader::new(volume);
    let mut previous = None;
    for sector in touched {
        let value = reader.sector(sector).await;
        // E8: the blocks of a 4096-byte volume are never torn.
        let continues = sector % 8 != 0 && volume.block_bytes() == 4096 && whole_blocks;
        assert!(!continues || value == previous, "{uuid} has a torn block at sector {sector}");
        previous = value;
        let model = &mut lock(world).model;
        let reference = &mut model.volume(uuid).reference;
        let before = reference.history_of(sector);
        let possible = value.is_some_and(|value| reference.settle(sector, value, crash, now));
        assert!(possible, "{uuid} sector {sector} holds {value:?} after {crash:?}: {before:?}");
    }
}

/// Reads sectors in order, a block at a time.
struct Reader<'a> {
    volume: &'a Volume,
    block: Option<(u64, Buf)>,
}

impl<'a> Reader<'a> {
    fn new(volume: &'a Volume) -> Self {
        Self { volume, block: None }
    }

    /// What the sector holds; `None` if it is not whole.
    async fn sector(&mut self, sector: u64) -> Option<Value> {
        let start = sector * SECTOR / BLOCK * BLOCK;
        let buf = match self.block.take() {
            Some((held, buf)) if held == start => buf,
            _ => {
                let (buf, result) = self.volume.read(start, Buf::alloc(BLOCK as usize).await).await;
                result.expect("readable");
                buf
            }
        };
        let at = (sector * SECTOR - start) as usize;
        let value = value_of(&buf[at..at + SECTOR as usize], sector);
        self.block = Some((start, buf));
        value
    }
}
