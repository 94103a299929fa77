//! Drives and machines as the tests want them.

use std::sync::mpsc;

use dataplane::{
    engine::{self, Drive, DriveOptions, EngineError, FormatOptions, Volume},
    node::TornPolicy,
    rt::{Buf, CoreId, Disk, Runtime, disk::SimMedia, sim::Sim},
};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const EXTENT: u64 = 64 << 10;
pub(crate) const BLOCK: u64 = 4096;

pub(crate) fn options() -> DriveOptions {
    DriveOptions {
        write_through: None,
        torn: Some(TornPolicy::Assume4kAtomic),
        map_memory_bytes: MIB,
        fault: None,
    }
}

/// Runs a test body on a simulated machine of one core. The seed orders what may happen in any order.
pub(crate) fn simulate<F: Future<Output = ()> + 'static>(
    seed: u64,
    body: impl FnOnce() -> F + Send + 'static,
) {
    let sim = Sim::new(seed, 1);
    let (done, ended) = mpsc::channel();
    sim.spawn_on(0, move || async move {
        body().await;
        done.send(()).expect("the test waits");
    });
    assert!(sim.run_until(|| ended.try_recv().is_ok()), "the test body hangs");
}

/// Runs a test body on a real core of its own; what it held is given back when this answers.
pub(crate) fn on_a_thread<T, F>(body: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let runtime = Runtime::start(1).expect("io_uring");
    let (done, ended) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        done.send(body().await).expect("the test waits");
    });
    ended.recv().expect("the core lives")
}

/// An empty drive.
pub(crate) async fn fresh(media: &SimMedia) -> Drive {
    Drive::format(&media.disk(), FormatOptions::default()).await.expect("blank");
    Drive::open(media.disk(), options()).await.expect("just formatted")
}

pub(crate) async fn write(volume: &Volume, offset: u64, len: u64, byte: u8) -> Result<(), EngineError> {
    let mut buf = Buf::alloc(len as usize).await;
    buf.fill(byte);
    volume.write(offset, buf, false).await.1
}

pub(crate) async fn read(volume: &Volume, offset: u64, len: u64) -> Result<Vec<u8>, EngineError> {
    let (buf, result) = volume.read(offset, Buf::alloc(len as usize).await).await;
    result.map(|()| buf.to_vec())
}

pub(crate) async fn assert_sound(drive: &Drive) {
    let report = engine::check(drive).await.expect("every page is readable");
    assert!(report.problems.is_empty(), "{report:#?}");
}

/// Byte address of the one page on a closed drive that looks like a leaf with one entry, of one block.
pub(crate) async fn find_leaf(disk: &Disk) -> u64 {
    let mut found = None;
    for address in (2 * EXTENT + MIB..disk.size_bytes()).step_by(BLOCK as usize) {
        let (page, result) = disk.read(Buf::alloc(BLOCK as usize).await, address).await;
        result.expect("readable");
        let entry = u64::from_le_bytes(page[..8].try_into().expect("eight bytes"));
        if entry >> 32 == 1 && page[8..].iter().all(|&byte| byte == 0) {
            found = Some(address);
        }
    }
    found.expect("the leaf was written at close")
}
