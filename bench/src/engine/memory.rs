//! What volumes and first writes cost besides their data.

use std::fs;

use anyhow::{Context, Result};
use dataplane::rt::{self, Buf};
use uuid::Uuid;

use super::{
    Options,
    report::Figure,
    site::{BLOCK_BYTES, EXTENT_BYTES, Site},
};

const GIB: u64 = 1 << 30;

/// Bytes that reach the drive for a GiB of first writes, less that GiB: in order by whole extents, and at random by
/// single blocks over many extents.
pub(super) fn metadata(options: &Options) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, io_bytes) in [("64 KiB sequential", EXTENT_BYTES), ("4 KiB random", BLOCK_BYTES)] {
        let site = Site::new(&options.path, 8 * GIB)?;
        let volume = site.volume(4 * GIB, false)?;
        let before = bytes_written()?;
        site.run(move |_| async move {
            let count = GIB / io_bytes;
            // An odd stride reaches every block once, far from the one before.
            let stride = if io_bytes == EXTENT_BYTES { 1 } else { 611_953 };
            let blocks = volume.size_bytes() / io_bytes;
            in_flight(count, move |turn| {
                let volume = volume.clone();
                async move {
                    let buf = Buf::zeroed(io_bytes as usize).await;
                    Ok(volume.write(turn * stride % blocks * io_bytes, buf, false).await.1?)
                }
            })
            .await
        })?;
        let drive = site.drive.clone();
        site.run(move |_| async move { Ok(drive.close().await?) })?;
        let metadata = bytes_written()? - before - GIB;
        let name = format!("metadata per GiB of first writes, {name}");
        figures.push(Figure::new(name, metadata as f64 / f64::from(1 << 20), "MiB"));
    }
    Ok(figures)
}

/// So many operations, 32 at once.
pub(super) async fn in_flight<F: Future<Output = Result<()>> + 'static>(
    count: u64,
    operation: impl Fn(u64) -> F + Clone + 'static,
) -> Result<()> {
    const TASKS: u64 = 32;
    let (tell, told) = std::sync::mpsc::channel();
    for task in 0..TASKS {
        let (operation, tell) = (operation.clone(), tell.clone());
        rt::spawn(async move {
            let mut outcome = Ok(());
            for turn in (task..count).step_by(TASKS as usize) {
                outcome = operation(turn).await;
                if outcome.is_err() {
                    break;
                }
            }
            // The one who waits is below.
            let _ = tell.send(outcome);
        });
    }
    let mut left = TASKS;
    while left > 0 {
        match told.try_recv() {
            Ok(outcome) => {
                outcome?;
                left -= 1;
            }
            Err(_) => rt::sleep(std::time::Duration::from_millis(1)).await,
        }
    }
    Ok(())
}

const VOLUMES: u64 = 100;
const SNAPSHOTS: u64 = 10;
/// Blocks that each volume gets between two snapshots.
const BLOCKS: u64 = 64;

pub(super) fn volumes(options: &Options) -> Result<Vec<Figure>> {
    let site = Site::new(&options.path, 64 * GIB)?;
    let before = resident_bytes()?;
    site.run(move |drive| async move {
        for _ in 0..VOLUMES {
            let volume = drive.create_volume(Uuid::new_v4(), 100 * GIB, BLOCK_BYTES as u32, 0).await?;
            for _ in 0..SNAPSHOTS {
                let written = volume.clone();
                in_flight(BLOCKS, move |_| {
                    let volume = written.clone();
                    async move {
                        let offset = rt::random_u64() % (volume.size_bytes() / BLOCK_BYTES) * BLOCK_BYTES;
                        Ok(volume.write(offset, Buf::zeroed(BLOCK_BYTES as usize).await, false).await.1?)
                    }
                })
                .await?;
                drive.create_snapshots(&[(volume.clone(), Uuid::new_v4())]).await?;
            }
        }
        Ok(())
    })?;
    let taken = (resident_bytes()?.saturating_sub(before)) as f64 / f64::from(1 << 20);
    Ok(vec![Figure::new("resident memory of 100 volumes with 10 snapshots each", taken, "MiB")])
}

/// Resident memory of this process.
pub(super) fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(number_after(&status, "VmRSS:").context("/proc/self/status has no VmRSS")? << 10)
}

/// Bytes that this process sent to drives.
fn bytes_written() -> Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    number_after(&io, "\nwrite_bytes:").context("/proc/self/io has no write_bytes")
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    text.split_once(key)?.1.split_whitespace().next()?.parse().ok()
}
