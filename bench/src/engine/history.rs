//! What a volume's past costs it: snapshots just taken, many of them, coming and going, merged.

use std::time::Duration;

use anyhow::Result;
use dataplane::{
    engine::{Drive, Snapshot, Volume},
    rt::{self, Buf},
};
use uuid::Uuid;

use super::{
    Options,
    load::{Access, Load},
    report::{Figure, ratio},
    site::{BLOCK_BYTES, EXTENT_BYTES, Site},
};
use crate::statistics::p99;

/// Room for the volume, a second one, and what snapshots hold of them.
fn site(options: &Options) -> Result<Site> {
    Site::new(&options.path, 4 * options.size.0 + (4 << 30))
}

async fn snapshot(drive: &Drive, volume: &Volume) -> Result<Snapshot> {
    let mut taken = drive.create_snapshots(&[(volume.clone(), Uuid::new_v4())]).await?;
    Ok(taken.remove(0))
}

async fn delete(drive: &Drive, snapshot: &Snapshot) -> Result<()> {
    drive.delete_snapshot(snapshot).await?;
    drive.settled().await;
    Ok(())
}

pub(super) fn first_writes(options: &Options) -> Result<Vec<Figure>> {
    let site = site(options)?;
    let volume = site.volume(options.size.0, true)?;
    let (mut first, mut steady) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        steady.push(site.iops(&volume, Access::Write, options.qd, options.time)?);
        let source = volume.clone();
        let taken = site.run(move |drive| async move { snapshot(&drive, &source).await })?;
        first.push(site.iops(&volume, Access::Write, options.qd, options.time)?);
        site.run(move |drive| async move { delete(&drive, &taken).await })?;
    }
    Ok(ratio(("first write after a snapshot", first), ("overwrite", steady)))
}

const DEEP: u64 = 64;
/// Blocks written between two of the many snapshots.
const BETWEEN: u64 = 512;

pub(super) fn deep_reads(options: &Options) -> Result<Vec<Figure>> {
    let site = site(options)?;
    let flat = site.volume(options.size.0, true)?;
    let deep = site.volume(options.size.0, true)?;
    let source = deep.clone();
    site.run(move |drive| async move {
        let blocks = source.size_bytes() / BLOCK_BYTES;
        for _ in 0..DEEP {
            for _ in 0..BETWEEN {
                let buf = Buf::zeroed(BLOCK_BYTES as usize).await;
                source.write(rt::random_u64() % blocks * BLOCK_BYTES, buf, false).await.1?;
            }
            snapshot(&drive, &source).await?;
        }
        Ok(())
    })?;
    let (mut under, mut none) = (Vec::new(), Vec::new());
    // The first turn of each brings maps in, and does not count.
    for round in 0..=options.rounds {
        let rates = [&flat, &deep].map(|volume| site.iops(volume, Access::Read, options.qd, options.time));
        let [of_flat, of_deep] = rates;
        if round > 0 {
            none.push(of_flat?);
            under.push(of_deep?);
        }
    }
    Ok(ratio(("read under 64 snapshots", under), ("read under none", none)))
}

pub(super) fn churn(options: &Options) -> Result<Vec<Figure>> {
    let site = site(options)?;
    let volume = site.volume(options.size.0, true)?;
    let (mut during, mut steady, mut cycles) = (Vec::new(), Vec::new(), 0);
    for _ in 0..options.rounds {
        steady.push(site.iops(&volume, Access::Write, options.qd, options.time)?);
        let (qd, seconds, source) = (options.qd, options.time, volume.clone());
        let (iops, rounds) = site.run(move |drive| async move {
            let begin = rt::now();
            let running = Load { volume: source.clone(), access: Access::Write, qd, seconds }.start();
            let mut rounds = 0_u32;
            while rt::now().since(begin) < Duration::from_secs(seconds.into()) {
                let taken = snapshot(&drive, &source).await?;
                delete(&drive, &taken).await?;
                rounds += 1;
            }
            let done = running.end().await?;
            Ok((done as f64 / rt::now().since(begin).as_secs_f64(), rounds))
        })?;
        during.push(iops);
        cycles += rounds;
    }
    let mut figures = ratio(("write while snapshots come and go", during), ("overwrite", steady));
    figures.push(Figure::new("snapshots taken and merged meanwhile", f64::from(cycles), ""));
    Ok(figures)
}

/// Snapshots whose pause is measured.
const PAUSES: usize = 200;
/// Small, so that what is written between a snapshot and its deletion is merged soon: the pause knows no size.
const PAUSED_BYTES: u64 = 16 << 20;

/// The slowest write around each snapshot, and around as many moments without one.
pub(super) fn pause(options: &Options) -> Result<Vec<Figure>> {
    let site = site(options)?;
    let volume = site.volume(PAUSED_BYTES, true)?;
    let (qd, seconds) = (options.qd, options.time);
    let (with, without) = site.run(move |drive| async move {
        let running = Load { volume: volume.clone(), access: Access::Write, qd, seconds }.start();
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..PAUSES {
            running.take_slowest();
            let begin = rt::now();
            let taken = snapshot(&drive, &volume).await?;
            // A write that was held back is among those that end soon after.
            rt::sleep(AFTER).await;
            let took = rt::now().since(begin);
            with.push(running.take_slowest().as_secs_f64() * 1e3);
            delete(&drive, &taken).await?;
            running.take_slowest();
            rt::sleep(took).await;
            without.push(running.take_slowest().as_secs_f64() * 1e3);
        }
        running.end().await?;
        Ok((with, without))
    })?;
    Ok(vec![
        Figure::new("slowest write around a snapshot, p99", p99(with), "ms"),
        Figure::new("slowest write in as long a time without, p99", p99(without), "ms"),
    ])
}

const AFTER: Duration = Duration::from_millis(10);

/// Two kinds: extents that the newer layer does not have, whose owner changes; and such as it has one block of, so
/// that the other fifteen are copied.
pub(super) fn merge(options: &Options) -> Result<Vec<Figure>> {
    let site = site(options)?;
    let mut figures = Vec::new();
    for (name, step) in [("moved", None), ("copied", Some(EXTENT_BYTES))] {
        let volume = site.volume(options.size.0, true)?;
        let seconds = site.run(move |drive| async move {
            let taken = snapshot(&drive, &volume).await?;
            if let Some(step) = step {
                for offset in (0..volume.size_bytes()).step_by(step as usize) {
                    let buf = Buf::zeroed(BLOCK_BYTES as usize).await;
                    volume.write(offset, buf, false).await.1?;
                }
            }
            let begin = rt::now();
            delete(&drive, &taken).await?;
            let seconds = rt::now().since(begin).as_secs_f64();
            drive.delete_volume(&volume).await?;
            drive.settled().await;
            Ok(seconds)
        })?;
        let mib = options.size.0 as f64 / f64::from(1 << 20);
        figures.push(Figure::new(format!("merge, extents {name}"), mib / seconds, "MiB/s"));
    }
    Ok(figures)
}
