//! Opening drives with terabytes mapped: filled through the engine's own code, on files that keep metadata only.

use std::{path::PathBuf, time::Instant};

use anyhow::{Result, ensure};
use dataplane::{
    engine::{Drive, FormatOptions, Volume},
    rt::{self, Buf, Disk},
};
use uuid::Uuid;

use super::{
    Options,
    memory::resident_bytes,
    report::Figure,
    site::{BLOCK_BYTES, EXTENT_BYTES, Removed, drive_options, on_core, start},
};

/// What the format keeps for itself, and then some.
const SPARE_SHARE: u64 = 32;

pub(super) fn run(options: &Options) -> Result<Vec<Figure>> {
    let mut files = Vec::new();
    let mut figures = Vec::new();
    for (index, mapped) in options.mapped.iter().enumerate() {
        let file = Removed(options.path.join(format!("mapped-{index}.drive")));
        let begin = Instant::now();
        fill(file.0.clone(), mapped.0)?;
        let rate = mapped.0 as f64 / EXTENT_BYTES as f64 / begin.elapsed().as_secs_f64();
        figures.push(Figure::new(format!("extents mapped per second, drive {index}"), rate, "/s"));
        files.push(file);
    }
    let total = options.mapped.iter().map(|mapped| mapped.0).sum::<u64>() as f64 / (1_u64 << 40) as f64;
    let sizes = format!("{total:.2} TiB on {} file(s)", files.len());
    // The first opening finds what the filling left; it closes the drives in order.
    for after in ["process death", "a close"] {
        let paths: Vec<_> = files.iter().map(|file| file.0.clone()).collect();
        let seconds = open(paths)?;
        figures.push(Figure::new(format!("start-up after {after}, {sizes}"), seconds.open, "s"));
        figures.push(Figure::new(format!("first read of each drive, {sizes}"), seconds.read, "s"));
        // Of this whole process, with what filling has left behind.
        let resident = seconds.resident_bytes as f64 / f64::from(1 << 20);
        figures.push(Figure::new(format!("resident memory then, {sizes}"), resident, "MiB"));
    }
    Ok(figures)
}

/// A drive on a new file, with a volume of that many bytes of which every extent is mapped. It is left as a process
/// leaves it that died with half a journal.
fn fill(path: PathBuf, mapped_bytes: u64) -> Result<()> {
    let size_bytes = mapped_bytes + mapped_bytes / SPARE_SHARE + (1 << 30);
    let disk = Disk::hollow(&path, size_bytes)?;
    let runtime = start()?;
    on_core(&runtime, move || async move {
        Drive::format(&disk, FormatOptions::default()).await?;
        let drive = Drive::open(disk.clone(), drive_options()).await?;
        // Metadata lies before what volumes may use.
        disk.keep_only(disk.size_bytes() / EXTENT_BYTES * EXTENT_BYTES - drive.capacity_bytes());
        let volume = drive.create_volume(Uuid::from_u128(1), mapped_bytes, BLOCK_BYTES as u32, 0).await?;
        map_everything(&volume).await?;
        ensure!(volume.used_bytes() == mapped_bytes, "{} bytes are mapped", volume.used_bytes());
        Ok(())
    })?
}

/// Writes one block of every extent, many at once: the more share a group of the journal, the better.
async fn map_everything(volume: &Volume) -> Result<()> {
    const TASKS: u64 = 512;
    let extents = volume.size_bytes() / EXTENT_BYTES;
    let (tell, told) = std::sync::mpsc::channel();
    for task in 0..TASKS {
        let (volume, tell) = (volume.clone(), tell.clone());
        rt::spawn(async move {
            let mut buf = Buf::zeroed(BLOCK_BYTES as usize).await;
            let mut outcome = Ok(());
            for extent in (task..extents).step_by(TASKS as usize) {
                (buf, outcome) = volume.write(extent * EXTENT_BYTES, buf, false).await;
                if outcome.is_err() {
                    break;
                }
            }
            // The one who waits is below.
            let _ = tell.send(outcome);
        });
    }
    for _ in 0..TASKS {
        let outcome = loop {
            match told.try_recv() {
                Ok(outcome) => break outcome,
                Err(_) => rt::sleep(std::time::Duration::from_millis(1)).await,
            }
        };
        outcome?;
    }
    Ok(())
}

struct StartUp {
    open: f64,
    read: f64,
    resident_bytes: u64,
}

/// Opens all drives at once, reads a block of each, closes them.
fn open(paths: Vec<PathBuf>) -> Result<StartUp> {
    let runtime = start()?;
    on_core(&runtime, move || async move {
        let begin = Instant::now();
        let mut drives = Vec::new();
        for path in paths {
            drives.push(Drive::open(Disk::hollow(&path, 0)?, drive_options()).await?);
        }
        let opened = begin.elapsed();
        for drive in &drives {
            let volume = drive.volumes().remove(0);
            let offset = volume.size_bytes() / 3 / BLOCK_BYTES * BLOCK_BYTES;
            volume.read(offset, Buf::alloc(BLOCK_BYTES as usize).await).await.1?;
        }
        let read = begin.elapsed() - opened;
        let resident_bytes = resident_bytes()?;
        for drive in drives {
            drive.close().await?;
        }
        Ok(StartUp { open: opened.as_secs_f64(), read: read.as_secs_f64(), resident_bytes })
    })?
}
