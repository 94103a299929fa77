//! The runtime on real threads, files and sockets, and under the simulator.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_channel::oneshot;

use super::{
    disk::{Disk, Lossy, OpenError, OpenOptions, SimMedia},
    net::{SendBatch, TcpListener, TcpStream},
    sim::{Sim, SimRng},
    *,
};

/// Runs a future on core 0 of a fresh runtime and waits for its answer.
fn run<T: Send + 'static, F: Future<Output = T> + 'static>(
    cores: usize,
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    let runtime = Runtime::start(cores).unwrap();
    let (answer, wait) = mpsc::channel();
    runtime.handle().spawn_on(CoreId(0), move || async move {
        answer.send(make().await).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(60)).unwrap()
}

/// Away from the core, which has to run meanwhile: what it still holds of the file's last user may be the lock.
async fn open(path: &Path, options: OpenOptions) -> Result<Disk, OpenError> {
    let (answer, wait) = oneshot::channel();
    let path = path.to_owned();
    std::thread::spawn(move || answer.send(Disk::open(&path, options)));
    wait.await.unwrap()
}

#[test]
fn calls_travel_between_cores_and_back() {
    let total = run(3, || async {
        let mut total = 0;
        for round in 0..1000u64 {
            let core = CoreId((round % 3) as u16);
            let answer = call_on(core, move || async move {
                yield_now().await;
                assert_eq!(core_id(), core);
                round
            });
            total += answer.await;
        }
        total
    });
    assert_eq!(total, 499_500);
}

#[test]
fn sleeping_takes_its_time_and_lets_others_run() {
    run(1, || async {
        let began = now();
        let ticks = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = ticks.clone();
        spawn(async move {
            for _ in 0..5 {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(20)).await;
        assert!(now().since(began) >= Duration::from_millis(20));
        assert_eq!(ticks.get(), 5);
    });
}

#[test]
fn a_waker_works_from_a_foreign_thread() {
    run(1, || async {
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || sender.send(7).unwrap());
        assert_eq!(receiver.await, Ok(7));
    });
}

#[test]
fn buffers_split_and_join() {
    run(1, || async {
        let mut whole = Buf::zeroed(10_000).await;
        whole[4096] = 9;
        let front = whole.split_to(4096);
        assert_eq!((front.len(), whole.len(), whole[0]), (4096, 5904, 9));
        let joined = Buf::unsplit(front, whole);
        assert_eq!((joined.len(), joined[4096]), (10_000, 9));
    });
}

#[test]
fn a_file_disk_keeps_what_is_written_and_is_locked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive");
    run(1, move || async move {
        assert!(matches!(open(&path, OpenOptions::default()).await, Err(OpenError::Missing(_))));
        let options = OpenOptions { create_bytes: Some(1 << 20), ..OpenOptions::default() };
        let disk = open(&path, options).await.unwrap();
        assert_eq!(disk.size_bytes(), 1 << 20);
        assert!(matches!(open(&path, OpenOptions::default()).await, Err(OpenError::Locked(_))));
        let mut data = Buf::alloc(128 << 10).await;
        data.fill(0x5a);
        let half = data.split_to(64 << 10);
        let (_, written) = disk.write(half, 4096, Durability::Cached).await;
        written.unwrap();
        let (_, written) = disk.write(data, (64 << 10) + 4096, Durability::Durable).await;
        written.unwrap();
        disk.flush().await.unwrap();
        disk.discard(8192, 4096).await.unwrap();
        let (back, read) = disk.read(Buf::alloc(132 << 10).await, 0).await;
        read.unwrap();
        assert!(back[..4096].iter().all(|&b| b == 0));
        assert!(back[4096..8192].iter().all(|&b| b == 0x5a));
        assert!(back[8192..12_288].iter().all(|&b| b == 0));
        assert!(back[12_288..].iter().all(|&b| b == 0x5a));
        let (_, beyond) = disk.read(Buf::alloc(4096).await, 1 << 20).await;
        assert_eq!(beyond, Err(DiskError::Short));
        drop(disk);
        open(&path, OpenOptions::default()).await.unwrap();
    });
}

#[test]
fn a_memory_disk_refuses_what_lies_outside() {
    run(1, || async {
        let disk = Disk::memory(1 << 20).unwrap();
        let mut data = Buf::zeroed(4096).await;
        data[0] = 1;
        let (data, result) = disk.write(data, 4096, Durability::Cached).await;
        result.unwrap();
        assert_eq!(disk.write(data, 1 << 20, Durability::Cached).await.1, Err(DiskError::Short));
        let (back, result) = disk.read(Buf::alloc(4096).await, 4096).await;
        result.unwrap();
        assert_eq!(back[0], 1);
        disk.discard(4096, 4096).await.unwrap();
        assert_eq!(disk.read(back, 4096).await.0[0], 0);
    });
}

#[test]
fn a_lossy_disk_reads_its_cache_and_forgets_it_when_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive");
    run(1, move || async move {
        let lossy = OpenOptions { create_bytes: Some(1 << 20), lossy: Some(Lossy::default()) };
        let disk = open(&path, lossy).await.unwrap();
        let boot = disk.boot_id();
        let mut data = Buf::alloc(256 << 10).await;
        data.fill(1);
        let (mut data, _) = disk.write(data, 0, Durability::Cached).await;
        disk.flush().await.unwrap();
        data.fill(2);
        let (data, _) = disk.write(data, 0, Durability::Cached).await;
        let (data, _) = disk.read(data, 0).await;
        assert!(data.iter().all(|&b| b == 2), "the cache is read");
        drop(disk);
        let disk = open(&path, lossy).await.unwrap();
        assert_ne!(disk.boot_id(), boot);
        let (data, _) = disk.read(data, 0).await;
        let kept = data.chunks(512).filter(|sector| sector.iter().all(|&b| b == 1)).count();
        let early = data.chunks(512).filter(|sector| sector.iter().all(|&b| b == 2)).count();
        assert_eq!(kept + early, 512, "whole sectors only");
        assert!(kept > 256 && early > 0, "{kept} flushed, {early} early");
    });
}

#[test]
fn a_lossy_disk_never_flushes_over_a_newer_durable_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive");
    run(2, move || async move {
        let lossy = OpenOptions { create_bytes: Some(1 << 20), lossy: Some(Lossy::default()) };
        for round in 1..=50u8 {
            let disk = open(&path, lossy).await.unwrap();
            let mut data = Buf::alloc(64 << 10).await;
            data.fill(round);
            let (mut data, _) = disk.write(data, 0, Durability::Cached).await;
            let flushing = disk.clone();
            let (done, flushed) = mpsc::channel();
            spawn_on(CoreId(1), move || async move {
                let result = flushing.flush().await;
                drop(flushing);
                done.send(result).unwrap();
            });
            data.fill(round | 0x80);
            let (data, result) = disk.write(data, 0, Durability::Durable).await;
            result.unwrap();
            flushed.recv().unwrap().unwrap();
            drop(disk);
            let disk = open(&path, lossy).await.unwrap();
            let (data, _) = disk.read(data, 0).await;
            assert!(data.iter().all(|&b| b == round | 0x80), "round {round}: the durable write is gone");
        }
    });
}

#[test]
fn sockets_carry_batches_larger_than_their_buffers() {
    run(2, || async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let sent: usize = 16 << 20;
        spawn_on(CoreId(1), move || async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let mut left = sent;
            let mut batch = Box::new(SendBatch::new());
            while left > 0 {
                while left > 0 && batch.has_room(2, 8) {
                    let mut payload = Buf::alloc((1 << 20) - 8).await;
                    payload.fill(0xab);
                    batch.push_inline(&[0xab; 8]);
                    batch.push_payload(payload);
                    left -= 1 << 20;
                }
                let (back, result) = stream.send_all(batch).await;
                result.unwrap();
                batch = back;
                assert!(batch.is_empty());
            }
            let (_, end) = stream.recv(Buf::alloc(4096).await, 0..4096).await;
            assert_eq!(end.unwrap(), 0, "the peer closed");
        });
        let stream = listener.accept().await.unwrap();
        let mut buf = Buf::alloc(64 << 10).await;
        let mut received = 0;
        while received < sent {
            let (back, count) = stream.recv(buf, 0..64 << 10).await;
            buf = back;
            let count = count.unwrap();
            assert!(count > 0 && buf[..count].iter().all(|&b| b == 0xab));
            received += count;
        }
        assert_eq!(received, sent);
        stream.shutdown();
    });
}

#[test]
fn an_abandoned_operation_keeps_its_memory_until_the_end() {
    run(1, || async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let stream = TcpStream::connect(address).await.unwrap();
        let peer = listener.accept().await.unwrap();
        {
            let mut receive = Box::pin(peer.recv(Buf::alloc(4096).await, 0..4096));
            poll_fn(|cx| {
                assert!(receive.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        drop(peer);
        drop(stream);
        sleep(Duration::from_millis(1)).await;
    });
}

#[test]
fn the_simulator_repeats_itself() {
    let trace = |seed| {
        let sim = Sim::new(seed, 3);
        let media = SimMedia::new(1 << 20, 512, 4096, true);
        let trace = Arc::new(Mutex::new(Vec::new()));
        for core in 0..3u64 {
            let (disk, trace) = (media.disk(), trace.clone());
            sim.spawn_on(core as usize, move || async move {
                for round in 0..5 {
                    let buf = Buf::zeroed(4096).await;
                    disk.write(buf, core * 4096, Durability::Cached).await.1.unwrap();
                    trace.lock().unwrap().push((core, round));
                }
            });
        }
        sim.run_until_idle();
        trace.lock().unwrap().clone()
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2), "seeds differ");
}

#[test]
fn a_power_cut_keeps_flushed_writes_and_some_of_the_others() {
    let lost = AtomicU64::new(0);
    for seed in 0..50 {
        let media = SimMedia::new(1 << 20, 512, 512, true);
        let sim = Sim::new(seed, 1);
        let disk = media.disk();
        sim.spawn_on(0, move || async move {
            let mut buf = Buf::zeroed(4096).await;
            buf.fill(1);
            let (mut buf, _) = disk.write(buf, 0, Durability::Cached).await;
            disk.flush().await.unwrap();
            buf.fill(2);
            disk.write(buf, 4096, Durability::Cached).await.1.unwrap();
        });
        sim.run_until_idle();
        sim.crash();
        media.power_cut(&mut SimRng::new(seed));
        let sim = Sim::new(seed, 1);
        let disk = media.disk();
        let found = Arc::new(Mutex::new(Vec::new()));
        let result = found.clone();
        sim.spawn_on(0, move || async move {
            *result.lock().unwrap() = disk.read(Buf::zeroed(8192).await, 0).await.0.to_vec();
        });
        sim.run_until_idle();
        let found = found.lock().unwrap();
        assert!(found[..4096].iter().all(|&b| b == 1));
        for sector in found[4096..].chunks(512) {
            assert!(sector.iter().all(|&b| b == sector[0]), "sectors are not torn");
            lost.fetch_add(u64::from(sector[0] == 0), Ordering::Relaxed);
        }
    }
    let lost = lost.into_inner();
    assert!((100..300).contains(&lost), "about half of 400 sectors: {lost}");
}

#[test]
fn a_connection_that_nobody_waits_for_any_more_is_closed() {
    run(1, || async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let mut accept = Box::pin(listener.accept());
        poll_fn(|cx| {
            assert!(accept.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        // The kernel keeps what was abandoned, and accepts the next connection all the same.
        drop(accept);
        let stream = TcpStream::connect(address).await.unwrap();
        let (_, received) = stream.recv(Buf::alloc(1).await, 0..1).await;
        assert!(matches!(received, Ok(0) | Err(_)), "{received:?}");
    });
}
