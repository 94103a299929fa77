//! A drive: a formatted medium, open. What its parts share, how it is opened and closed.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::Poll,
};

use uuid::Uuid;

use super::{
    activity::Activity,
    attachment::Attachment,
    backing::Backing,
    catalogue::{LayerRecord, Standing, VolumeKind, VolumeRecord},
    chain::Chain,
    checkpoint,
    error::{Corruption, EngineError, OpenError, Probe},
    evict,
    fault::Health,
    flush,
    format::{Child, DRIVE_MIN_BYTES, EXTENT_BYTES, FREE_MAP, Geometry, LayerId, MAX_BYTES},
    frames::Frames,
    free_map::{FreeMap, Run},
    grace::Grace,
    journal::{Journal, Point, builder},
    layer::Layer,
    map::Extent,
    metadata::MetadataSpace,
    part::Name,
    reclaim::{self, Reclaimed},
    recovery::{self, Overlay, Recovered},
    relocate,
    resolved::{self, Regions},
    space::Ledger,
    superblock::{self, Superblock},
    sync::{Rounds, Signal, Turns, lock},
    tree::Tree,
    volume::{Volume, VolumeShared},
};
use crate::{
    node::{DriveState, TornPolicy},
    rt::{self, Disk},
};

/// Map pages that are resident while somebody looks into a drive.
const LOOKING_MEMORY_BYTES: u64 = 64 << 20;

/// How to format.
#[derive(Debug, Clone, Copy, Default)]
pub struct FormatOptions {
    /// Format even if something is there.
    pub overwrite: bool,
}

/// How to open.
#[derive(Debug, Clone, Copy)]
pub struct DriveOptions {
    /// Every write durable before its answer (E2). `None`: where the disk reports no volatile cache.
    pub write_through: Option<bool>,
    /// How torn 4 KiB blocks are met (E8). `None`: by what the disk says about itself.
    pub torn: Option<TornPolicy>,
    /// Memory for resident map pages (E10).
    pub map_memory_bytes: u64,
    /// Test of the tests only.
    pub fault: Option<Fault>,
}

/// A way to cheat that tests must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// First writes are answered before their record is written, which comes a while later.
    EarlyAnswer,
    /// A merge says that blocks were copied, and copies none.
    MergeCopiesNothing,
    /// Readers may go on finding blocks where they were before a merge gave that place up.
    MergeForgetsNothing,
}

/// An open drive. Cheap to clone. Its background work runs on the core that opened it.
#[derive(Debug, Clone)]
pub struct Drive {
    pub(super) shared: Arc<DriveShared>,
}

/// Everything that operations on all cores share. Fields behind a mutex are off the fast path.
#[derive(Debug)]
pub(super) struct DriveShared {
    pub(super) disk: Disk,
    pub(super) uuid: Uuid,
    pub(super) write_through: bool,
    pub(super) atomic_4k: bool,
    /// Nothing is overwritten in place (E8).
    pub(super) torn_safe: bool,
    pub(super) fault: Option<Fault>,
    pub(super) health: Health,
    closed: AtomicBool,
    closing: Signal,
    /// It is on its way out: no volume is made any more.
    pub(super) retired: AtomicBool,

    pub(super) grace: Grace,
    pub(super) frames: Frames,
    pub(super) regions: Regions,
    /// A page has been brought in.
    pub(super) paged: Signal,
    pub(super) overlay: Mutex<Overlay>,

    pub(super) ledger: Ledger,
    pub(super) backing: Backing,
    pub(super) free: Mutex<FreeMap>,
    pub(super) free_tree: Tree,
    /// Free extents that cores took, per core.
    pub(super) runs: Box<[Mutex<Vec<Run>>]>,
    /// Freed extents and the sequence of the record that freed them, oldest first.
    pub(super) unusable: Mutex<Vec<(u64, Extent)>>,
    /// A mark was written: some of the unusable ones may be reused.
    pub(super) reusable: Signal,

    pub(super) journal: Journal,
    pub(super) flushes: Rounds,
    /// The slot of the newest flush mark.
    pub(super) mark_slot: AtomicU64,

    pub(super) checkpoints: Rounds,
    /// Leaf pages with recorded changes since the last checkpoint began.
    pub(super) dirty: Mutex<BTreeSet<(LayerId, u32)>>,
    /// Leaf pages that the running checkpoint writes.
    pub(super) writing: Mutex<BTreeSet<(LayerId, u32)>>,
    pub(super) superblock: Mutex<Superblock>,
    /// What the next checkpoint makes the drive's geometry.
    pub(super) growing: Mutex<Option<Geometry>>,
    pub(super) activity: Activity,
    pub(super) metadata: Mutex<MetadataSpace>,
    pub(super) catalogue_pages: Mutex<Vec<u64>>,

    pub(super) layers: Mutex<BTreeMap<LayerId, Arc<Layer>>>,
    pub(super) volumes: Mutex<BTreeMap<Name, Arc<VolumeShared>>>,
    /// Tombstones of those that went to another drive, which may still have to ask for them.
    pub(super) moved: Mutex<BTreeMap<Name, VolumeRecord>>,
    pub(super) next_layer: AtomicU32,
    /// Of those who change layers and volumes in several steps.
    pub(super) structure: Turns,
    /// Giving back what nothing refers to, merging what one layer refers to.
    pub(super) reclaims: Rounds,
    pub(super) reclaimed: Reclaimed,
    /// Some layer is damaged.
    pub(super) damaged: AtomicBool,
}

impl Drive {
    /// Says what a medium holds, without changing it.
    pub async fn probe(disk: &Disk) -> Result<Probe, OpenError> {
        Ok(superblock::probe(disk).await?)
    }

    /// Makes an empty drive out of a medium.
    pub async fn format(disk: &Disk, options: FormatOptions) -> Result<(), OpenError> {
        let found_bytes = disk.size_bytes();
        if found_bytes < DRIVE_MIN_BYTES {
            return Err(OpenError::TooSmall { found_bytes, needed_bytes: DRIVE_MIN_BYTES });
        }
        if found_bytes > MAX_BYTES {
            return Err(OpenError::TooLarge { found_bytes, max_bytes: MAX_BYTES });
        }
        if !options.overwrite {
            match superblock::probe(disk).await? {
                Probe::Blank => {}
                Probe::Ours { uuid, .. } => {
                    return Err(OpenError::Foreign(format!("the Basalt drive {uuid}")));
                }
                Probe::Foreign(what) => return Err(OpenError::Foreign(what)),
            }
        }
        let geometry = Geometry::plan(found_bytes);
        // What the engine must always be able to write exists from now on, on sparse files too (E13).
        let fixed_extents = u64::from(geometry.volumes_first());
        disk.allocate(0, fixed_extents * EXTENT_BYTES).await?;
        let first = Superblock {
            uuid: Uuid::from_u64_pair(rt::random_u64(), rt::random_u64()),
            sequence: 1,
            geometry,
            block_bytes: disk.block_bytes(),
            atomic_bytes: disk.atomic_bytes(),
            // The first group names a number that no group of an earlier format can name.
            cut: Point { position_bytes: 0, sequence: 1, previous_crc: rt::random_u64() as u32 },
            catalogue_bytes: 0,
            catalogue: Vec::new(),
        };
        Superblock { sequence: 2, ..first.clone() }.write(disk).await?;
        first.write(disk).await?;
        disk.flush().await?;
        Ok(())
    }

    /// Opens a formatted drive and recovers what it held when it was left. The calling core becomes its home.
    pub async fn open(disk: Disk, options: DriveOptions) -> Result<Self, OpenError> {
        let superblock = Superblock::load(&disk).await?;
        let recovered = recovery::recover(&disk, &superblock).await?;
        let broken = recovered.broken.clone();
        let shared = Arc::new(DriveShared::new(disk, options, superblock, recovered)?);
        shared.start();
        if let Some(corruption) = broken {
            shared.fail(&format!("{corruption}"));
        } else {
            // Groups that only this boot's replay saved are from now on safe from a power cut, too.
            shared.flush().await.map_err(OpenError::Recovery)?;
        }
        let drive = Self { shared };
        if drive.volumes().iter().any(|volume| volume.reserved_bytes() > 0) {
            // A full file system is no reason not to serve what is there.
            if let Err(error) = drive.shared.start_backing().await {
                tracing::warn!(drive = %drive.uuid(), %error, "reserves are not backed by the file system");
            }
        }
        // What was deleted or left to merge when the drive was left.
        drive.shared.reclaims.ask();
        Ok(drive)
    }

    /// Opens a drive to look into it. What its journal adds is seen, nothing is written, and nothing can be changed.
    pub async fn look_into(disk: Disk) -> Result<Self, OpenError> {
        let superblock = Superblock::load(&disk).await?;
        let recovered = recovery::recover(&disk, &superblock).await?;
        let options = DriveOptions {
            write_through: None,
            torn: None,
            map_memory_bytes: LOOKING_MEMORY_BYTES,
            fault: None,
        };
        let shared = Arc::new(DriveShared::new(disk, options, superblock, recovered)?);
        shared.health.protect("it is only looked into");
        // What moves pages in and out; a checkpoint of a drive that cannot be written to does nothing.
        shared.serve(|drive| Grace::serve(drive, |drive: &DriveShared| &drive.grace));
        shared.serve(checkpoint::run);
        shared.serve(evict::run);
        Ok(Self { shared })
    }

    /// Writes a last checkpoint and ends the drive's background work. Operations must have ended before.
    pub async fn close(self) -> Result<(), EngineError> {
        self.shared.checkpoints.run().await;
        let result = self.shared.check_writable();
        self.shared.closed.store(true, Ordering::Release);
        self.shared.closing.raise();
        result
    }

    pub fn uuid(&self) -> Uuid {
        self.shared.uuid
    }

    /// Of the newest superblock: grows with every checkpoint.
    pub fn sequence(&self) -> u64 {
        lock(&self.shared.superblock).sequence
    }

    /// Bytes that volumes can use: what the format and its reserve take is off already.
    pub fn capacity_bytes(&self) -> u64 {
        self.shared.ledger.capacity_bytes()
    }

    /// Capacity that is promised to nobody.
    pub fn unreserved_bytes(&self) -> u64 {
        self.shared.ledger.unreserved_bytes()
    }

    /// Bytes in extents that layers own.
    pub fn used_bytes(&self) -> u64 {
        self.shared.used_bytes()
    }

    pub fn state(&self) -> DriveState {
        self.shared.state()
    }

    /// Whether each write is durable before its answer (E2).
    pub fn is_write_through(&self) -> bool {
        self.shared.write_through
    }

    /// All volumes; snapshots are not among them.
    pub fn volumes(&self) -> Vec<Volume> {
        let volumes = lock(&self.shared.volumes);
        let served =
            volumes.values().filter(|volume| volume.kind != VolumeKind::Snapshot && volume.is_known());
        served.map(|volume| self.handle(volume.clone())).collect()
    }

    pub(super) fn handle(&self, volume: Arc<VolumeShared>) -> Volume {
        Volume { drive: self.shared.clone(), volume }
    }
}

impl DriveShared {
    fn new(
        disk: Disk,
        options: DriveOptions,
        superblock: Superblock,
        recovered: Recovered,
    ) -> Result<Self, Corruption> {
        let geometry = superblock.geometry;
        let (layers, free_tree) = load_layers(recovered.catalogue.layers);
        for (id, corruption) in recovered.damaged {
            if let Some(layer) = layers.get(&id) {
                layer.set_damage(corruption);
            }
        }
        let frames = Frames::new(options.map_memory_bytes, recovered.overlay.len());
        let torn_safe = options.torn == Some(TornPolicy::TornSafe) && disk.atomic_bytes() < 4096;
        let in_motion = relocate::in_motion_extents(torn_safe);
        let ledger = Ledger::new(geometry.capacity_extents().saturating_sub(in_motion));
        for (id, _) in recovered.overlay.keys() {
            // Its pages do not tell yet.
            layers.get(id).ok_or(Corruption::UnknownLayer(id.0))?.set_changed();
        }
        let (volumes, moved) =
            load_volumes(&recovered.catalogue.volumes, &recovered.catalogue.attachments, &layers)?;
        layers.values().for_each(|layer| ledger.admit(&layer.account));
        let extents = recovered.catalogue.metadata.into_iter().collect();
        let metadata = MetadataSpace::new(&geometry, extents, &recovered.catalogue_pages);
        ledger.admit_metadata(metadata.extents_beyond_share(&geometry));
        let cores = rt::core_count();
        let uuid = superblock.uuid;
        Ok(Self {
            uuid,
            write_through: options.write_through.unwrap_or(!disk.is_volatile()),
            atomic_4k: disk.atomic_bytes() >= 4096 || options.torn.is_some(),
            torn_safe,
            fault: options.fault,
            health: Health::default(),
            closed: AtomicBool::new(false),
            closing: Signal::default(),
            retired: AtomicBool::new(false),
            grace: Grace::new(cores),
            regions: Regions::new(frames.total()),
            frames,
            paged: Signal::default(),
            dirty: Mutex::new(recovered.overlay.keys().copied().collect()),
            overlay: Mutex::new(recovered.overlay),
            ledger,
            backing: Backing::new(geometry.volumes_first()),
            free: Mutex::new(FreeMap::new(
                geometry,
                recovered.catalogue.used_extents,
                recovered.free_overlay,
            )),
            free_tree,
            runs: (0..cores).map(|_| Mutex::default()).collect(),
            unusable: Mutex::default(),
            reusable: Signal::default(),
            journal: Journal::new(
                *uuid.as_bytes(),
                disk.boot_id(),
                &geometry,
                superblock.cut,
                recovered.next,
                recovered.marked,
            ),
            flushes: Rounds::default(),
            mark_slot: AtomicU64::new(recovered.mark_slot),
            checkpoints: Rounds::default(),
            writing: Mutex::default(),
            superblock: Mutex::new(superblock),
            growing: Mutex::default(),
            activity: Activity::default(),
            metadata: Mutex::new(metadata),
            catalogue_pages: Mutex::new(recovered.catalogue_pages),
            volumes: Mutex::new(volumes),
            moved: Mutex::new(moved),
            next_layer: AtomicU32::new(recovered.catalogue.next_layer),
            structure: Turns::default(),
            reclaims: Rounds::default(),
            reclaimed: Reclaimed::default(),
            damaged: AtomicBool::new(layers.values().any(|layer| layer.is_damaged())),
            layers: Mutex::new(layers),
            disk,
        })
    }

    fn start(self: &Arc<Self>) {
        self.serve(|drive| Grace::serve(drive, |drive: &Self| &drive.grace));
        self.serve(builder::run);
        self.serve(flush::run);
        self.serve(checkpoint::run);
        self.serve(evict::run);
        self.serve(super::allocate::run_releaser);
        self.serve(reclaim::run);
        self.serve(resolved::run);
    }

    /// Runs a service on this core until the drive is closed.
    pub(super) fn serve<F: Future<Output = ()> + 'static>(
        self: &Arc<Self>,
        make: impl FnOnce(Arc<Self>) -> F,
    ) {
        let drive = self.clone();
        let service = make(self.clone());
        rt::spawn(async move {
            let mut service = pin!(service);
            let mut closing =
                pin!(drive.closing.wait_until(|| drive.closed.load(Ordering::Acquire).then_some(())));
            poll_fn(|cx| {
                if closing.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                service.as_mut().poll(cx)
            })
            .await;
        });
    }

    /// As the newest superblock says. Its size and end may grow.
    /// Bytes in extents that layers own.
    pub(super) fn used_bytes(&self) -> u64 {
        lock(&self.layers).values().map(|layer| layer.account.owned()).sum::<u64>() * EXTENT_BYTES
    }

    pub(super) fn geometry(&self) -> Geometry {
        lock(&self.superblock).geometry
    }
}

/// The layers as their records say, and the free map's tree.
fn load_layers(records: Vec<(LayerRecord, Vec<Child>)>) -> (BTreeMap<LayerId, Arc<Layer>>, Tree) {
    let (mut layers, mut free_tree) = (BTreeMap::new(), Tree::new(FREE_MAP, Vec::new()));
    for (record, roots) in records {
        if record.id() == FREE_MAP {
            free_tree = Tree::new(FREE_MAP, roots);
        } else {
            layers.insert(record.id(), Arc::new(Layer::new(&record, roots)));
        }
    }
    (layers, free_tree)
}

type Volumes = BTreeMap<Name, Arc<VolumeShared>>;

/// Volumes and snapshots as their records say, with their attachments, and those that moved away; heads get their
/// reserve.
fn load_volumes(
    records: &[VolumeRecord],
    attachments: &[Attachment],
    layers: &BTreeMap<LayerId, Arc<Layer>>,
) -> Result<(Volumes, BTreeMap<Name, VolumeRecord>), Corruption> {
    let (mut volumes, mut moved) = (BTreeMap::new(), BTreeMap::new());
    for record in records {
        match record.standing().ok_or(Corruption::Catalogue)? {
            Standing::Here | Standing::Prepared => {}
            Standing::Moved => {
                moved.insert(record.name(), *record);
                continue;
            }
            // A copy that was not finished: without a name its layers are given back.
            Standing::Copying | Standing::Gone => continue,
        }
        let head = layers.get(&record.head_id()).ok_or(Corruption::UnknownLayer(record.head.get()))?;
        let kind = record.kind().ok_or(Corruption::Catalogue)?;
        head.account.set_reserve(record.reserved_extents.get());
        let volume = VolumeShared::new(*record, kind, Chain::from_head(head, layers)?);
        volumes.insert(volume.name, Arc::new(volume));
    }
    for attachment in attachments {
        // Where damage has cost a volume's record, its attachment is no further loss.
        if let Some(volume) = volumes.get(&attachment.volume) {
            *lock(&volume.attachment) = attachment.bytes.clone();
        }
    }
    Ok((volumes, moved))
}
