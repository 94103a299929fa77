//! Two drives on a simulated machine.

use std::sync::mpsc;

use dataplane::{
    engine::{self, Drive, DriveOptions, EngineError, FormatOptions, Meter, Volume, settle_moves},
    rt::{disk::SimMedia, sim::Sim},
};
use uuid::Uuid;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const EXTENT: u64 = 64 << 10;
pub(crate) const BLOCK: u64 = 4096;

pub(crate) type Media = [SimMedia; 2];

pub(crate) fn media(size_bytes: u64) -> Media {
    [(); 2].map(|()| SimMedia::new(size_bytes, 512, 4096, true))
}

/// Runs a test body on a machine with two empty drives.
pub(crate) fn on_drives<F: Future<Output = ()> + 'static>(
    seed: u64,
    body: impl FnOnce(Drive, Drive) -> F + Send + 'static,
) {
    let sim = Sim::new(seed, 2);
    let (done, ended) = mpsc::channel();
    sim.spawn_on(0, move || async move {
        let media = media(64 * MIB);
        let [from, to] = format(&media).await;
        body(from, to).await;
        done.send(()).expect("the test waits");
    });
    assert!(sim.run_until(|| ended.try_recv().is_ok()), "seed {seed}: the test body hangs");
}

pub(crate) async fn format(media: &Media) -> [Drive; 2] {
    for medium in media {
        Drive::format(&medium.disk(), FormatOptions::default()).await.expect("blank");
    }
    open(media).await
}

/// Opens both and ends what a crash left of a move.
pub(crate) async fn open(media: &Media) -> [Drive; 2] {
    let options = DriveOptions { write_through: None, torn: None, map_memory_bytes: MIB, fault: None };
    let from = Drive::open(media[0].disk(), options).await.expect("formatted");
    let to = Drive::open(media[1].disk(), options).await.expect("formatted");
    let undecided = settle_moves(&[from.clone(), to.clone()]).await.expect("both drives are sound");
    assert!(undecided.is_empty(), "{undecided:?}");
    [from, to]
}

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// Moves everything.
pub(crate) async fn evacuate(
    from: &Drive,
    to: &Drive,
    mut arrived: impl FnMut(&[Volume]),
) -> Result<(), EngineError> {
    loop {
        let trees = from.trees().await?;
        let Some(tree) = trees.first() else { return Ok(()) };
        assert!(to.takes(tree));
        from.move_tree(tree, to, &Meter::default(), |switch| arrived(&switch())).await?;
    }
}

/// A drive whose last volume has gone gives everything back.
pub(crate) async fn assert_empty(drive: &Drive) {
    drive.settled().await;
    assert_sound(drive).await;
    assert!(drive.volumes().is_empty() && drive.snapshots().is_empty());
    assert_eq!(drive.used_bytes(), 0);
    assert!(drive.retire().await, "nothing is left of what moved");
    drive.set_closed_to_new(false);
}

pub(crate) async fn assert_sound(drive: &Drive) {
    let report = engine::check(drive).await.expect("its maps can be read");
    assert_eq!(report.problems, Vec::<String>::new());
}
