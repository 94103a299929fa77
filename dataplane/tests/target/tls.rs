//! TLS with pre-shared keys: our own host through it, who is refused, and what a broken connection leaves behind.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::support::{Bench, HOST, begin};
use dataplane::{
    host::{HostController, HostError, HostOptions, Payload},
    node::{BlockSize, HostTls},
    rt::{Buf, net::tls::TlsError},
};
use nvmeof::{
    Nqn, Status,
    host::{BringUpError, sqe},
    tls::{ConfiguredPsk, PskHash, RetainedPsk},
    transport::ICRequest,
};

/// A key of `host`, the same for the same `seed`.
pub(crate) fn key(hash: PskHash, seed: u8, host: &str) -> RetainedPsk {
    let configured = ConfiguredPsk::generate(hash, |bytes| bytes.fill(seed));
    RetainedPsk::new(&configured, Nqn::new(host).unwrap())
}

/// A node that serves `HOST` with these keys.
pub(crate) fn bench(required: bool, keys: &[RetainedPsk]) -> Bench {
    let bench = Bench::new(2, BlockSize::B4096);
    set_keys(&bench, required, keys);
    bench
}

fn set_keys(bench: &Bench, required: bool, keys: &[RetainedPsk]) {
    let tls = HostTls { required, keys: keys.to_vec() };
    bench.wait(bench.node.set_host_tls(vec![(HOST.to_owned(), tls)])).unwrap();
}

/// Bytes that tell every block and round apart.
async fn pattern(len: usize, seed: u64) -> Buf {
    let mut data = Buf::alloc(len).await;
    for (index, word) in data.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&(seed << 32 | index as u64).to_le_bytes());
    }
    data
}

async fn write_and_verify(options: HostOptions) {
    let controller = HostController::connect(options).await.unwrap();
    let queue = controller.io_queue(1, 64).await.unwrap();
    for (round, bytes) in (1..).zip([4096_u32, 12_288, 65_536, 131_072, 262_144]) {
        let data = pattern(bytes as usize, round).await;
        let write = sqe::write(1, 3, bytes / 4096, false);
        assert_eq!(queue.command(write, Payload::Out(data)).await.unwrap().status(), Status::SUCCESS);
        let read = queue.command(sqe::read(1, 3, bytes / 4096), Payload::In(bytes)).await.unwrap();
        assert_eq!(read.status(), Status::SUCCESS);
        assert!(read.intact && read.data.unwrap()[..] == pattern(bytes as usize, round).await[..], "{bytes}");
    }
}

/// The status that a Connect was refused with.
fn refusal(result: Result<HostController, HostError>) -> Status {
    match result {
        Err(HostError::BringUp(BringUpError::Refused { status, .. })) => status,
        other => panic!("a refusal, not {other:?}"),
    }
}

#[test]
fn everything_goes_through_tls_with_both_suites_and_with_digests() {
    let keys = [key(PskHash::Sha256, 1, HOST), key(PskHash::Sha384, 2, HOST)];
    let bench = bench(true, &keys);
    for key in keys {
        for digest in [false, true] {
            let tls = Some(key.clone());
            let digests = ICRequest { header_digest: digest, data_digest: digest, hpda_z: 0 };
            bench.host(move |options| write_and_verify(HostOptions { tls, digests, ..options }));
        }
    }
}

#[test]
fn thousands_of_small_commands_on_two_queues() {
    let key = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&key));
    bench.host(|options| async move {
        let controller = HostController::connect(HostOptions { tls: Some(key), ..options }).await.unwrap();
        let queues = [controller.io_queue(1, 64).await.unwrap(), controller.io_queue(2, 64).await.unwrap()];
        for round in 0..40_u64 {
            let mut waits = Vec::new();
            for at in 0..64 {
                let data = pattern(4096, round * 64 + at).await;
                let write = sqe::write(1, at, 1, false);
                waits.push(begin(&queues[(at % 2) as usize], write, Payload::Out(data)));
            }
            for wait in waits {
                assert_eq!(wait.await.unwrap().status(), Status::SUCCESS);
            }
            let all = queues[1].command(sqe::read(1, 0, 64), Payload::In(64 * 4096)).await.unwrap();
            for (at, block) in (0..).zip(all.data.unwrap().chunks_exact(4096)) {
                assert!(block == &pattern(4096, round * 64 + at).await[..], "round {round}, block {at}");
            }
        }
    });
}

#[test]
fn without_its_key_a_host_gets_nothing() {
    let own = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&own));
    let wrong = key(PskHash::Sha256, 9, HOST);
    let stranger = key(PskHash::Sha256, 1, "nqn.2014-08.org.example:stranger");
    bench.host(|options| async move {
        let with = |tls: &RetainedPsk| HostOptions { tls: Some(tls.clone()), ..options.clone() };
        for foreign in [&wrong, &stranger] {
            let refused = HostController::connect(with(foreign)).await;
            assert!(matches!(refused, Err(HostError::Tls(_))), "{refused:?}");
        }
        // With a good key, but as somebody else or to something else than it is for.
        let host = Nqn::new("nqn.2014-08.org.example:stranger").unwrap();
        let as_other = HostController::connect(HostOptions { host, ..with(&own) }).await;
        assert_eq!(refusal(as_other), Status::CONNECT_INVALID_PARAMETERS);
        // Without TLS.
        let plain = HostController::connect(options.clone()).await;
        assert_eq!(refusal(plain), Status::CONNECT_INVALID_HOST);
        let controller = HostController::connect(with(&own)).await.unwrap();
        controller.io_queue(1, 16).await.unwrap();
    });
}

#[test]
fn keys_come_are_exchanged_and_go() {
    let [first, second] = [1, 2].map(|seed| key(PskHash::Sha384, seed, HOST));
    let bench = bench(false, std::slice::from_ref(&first));
    let connects = |tls: Option<RetainedPsk>| {
        bench.host(|options| async move {
            match HostController::connect(HostOptions { tls, ..options }).await {
                Ok(_) => true,
                Err(HostError::Tls(TlsError::NoKey | TlsError::Protocol(_) | TlsError::Socket(_))) => false,
                Err(other) => panic!("{other}"),
            }
        })
    };
    assert!(connects(None), "allowed is not required");
    assert!(connects(Some(first.clone())));
    assert!(!connects(Some(second.clone())));
    set_keys(&bench, false, &[second.clone(), first.clone()]);
    assert!(connects(Some(first.clone())) && connects(Some(second.clone())));
    let update = |host: &str, tls| bench.wait(bench.node.update_host_tls(vec![(host.to_owned(), tls)]));
    let only_second = HostTls { required: true, keys: vec![second.clone()] };
    assert!(update("nqn.2014-08.org.example:other", Some(only_second.clone())).is_err());
    update("no name", None).unwrap();
    assert!(connects(Some(first.clone())) && connects(None), "nothing has changed");
    update(HOST, Some(only_second)).unwrap();
    assert!(!connects(Some(first.clone())) && connects(Some(second.clone())));
    update(HOST, None).unwrap();
    assert!(!connects(Some(second.clone())) && connects(None));
    set_keys(&bench, false, std::slice::from_ref(&second));
    bench.wait(bench.node.set_host_tls(Vec::new())).unwrap();
    assert!(!connects(Some(first)) && !connects(Some(second)) && connects(None));
}

#[test]
fn the_node_knows_who_is_secured_and_refuses_another_hosts_key() {
    let key = key(PskHash::Sha256, 1, HOST);
    let bench = bench(false, std::slice::from_ref(&key));
    let node = bench.node.clone();
    bench.host(|options| async move {
        for tls in [None, Some(key.clone())] {
            let secured = tls.is_some();
            let _controller = HostController::connect(HostOptions { tls, ..options.clone() }).await.unwrap();
            let controllers = node.controllers().await;
            assert!(controllers.iter().any(|controller| controller.secured == secured));
        }
        for name in ["nqn.2014-08.org.example:other", "no name"] {
            let tls = HostTls { required: true, keys: vec![key.clone()] };
            assert!(node.set_host_tls(vec![(name.to_owned(), tls)]).await.is_err());
        }
    });
}

/// What is no handshake ends; nothing comes back and nobody else is troubled.
#[test]
fn noise_instead_of_a_client_hello_is_not_answered() {
    let key = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&key));
    let table: [&[u8]; 6] = [
        &[0x16],
        &[0x16, 3, 1, 0, 0],
        &[0x16, 3, 1, 0xFF, 0xFF, 1, 2, 3],
        &[0x16; 4096],
        // A ClientHello that ends within its random.
        &[0x16, 3, 1, 0, 9, 1, 0, 0, 5, 3, 3, 1, 2, 3],
        // An alert inside the first record's type.
        &[0x16, 3, 3, 0, 2, 2, 40],
    ];
    for bytes in table {
        let mut stream = TcpStream::connect(bench.node.portals()[0]).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        // An alert at most.
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:02x?} to {bytes:02x?}");
    }
    bench.host(|options| write_and_verify(HostOptions { tls: Some(key), ..options }));
}

/// Passes connections through, and breaks the one numbered `which` (from 0) after `bytes` bytes from the host.
fn cut_after(node: SocketAddr, which: usize, bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (index, host) in listener.incoming().take(which + 1).enumerate() {
            let limit = if index == which { bytes } else { usize::MAX };
            thread::spawn(move || pass(host.unwrap(), TcpStream::connect(node).unwrap(), limit));
        }
    });
    address
}

fn pass(mut host: TcpStream, mut node: TcpStream, mut left: usize) {
    let (mut from_node, mut to_host) = (node.try_clone().unwrap(), host.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from_node, &mut to_host));
    let mut buffer = vec![0; 4096];
    while left > 0 {
        let most = left.min(buffer.len());
        let Ok(count @ 1..) = host.read(&mut buffer[..most]) else { break };
        if node.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count;
    }
    let _ = (node.shutdown(Shutdown::Both), host.shutdown(Shutdown::Both));
}

#[test]
fn a_connection_that_breaks_within_a_record_ends_and_leaves_nothing() {
    let key = key(PskHash::Sha256, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&key));
    let (tls, node) = (key.clone(), bench.node.clone());
    bench.host(|options| async move {
        // In the ClientHello, after the handshake, in the Connect, in commands.
        for bytes in [3, 100, 300, 420, 600, 900, 1800, 2000, 2400] {
            let address = cut_after(options.address, 0, bytes);
            let broken = HostOptions { address, tls: Some(tls.clone()), ..options.clone() };
            if let Ok(controller) = HostController::connect(broken).await {
                let gone = controller.admin().command(sqe::keep_alive(), Payload::None).await;
                drop(gone);
            }
        }
        while !node.controllers().await.is_empty() {
            dataplane::rt::sleep(Duration::from_millis(5)).await;
        }
    });
    bench.host(|options| write_and_verify(HostOptions { tls: Some(key), ..options }));
}

/// Data in flight both ways, the connection cut within it: what was answered is there.
#[test]
fn a_large_write_cut_short_is_not_answered() {
    let key = key(PskHash::Sha384, 1, HOST);
    let bench = bench(true, std::slice::from_ref(&key));
    bench.host(|options| async move {
        let options = HostOptions { tls: Some(key), ..options };
        let address = cut_after(options.address, 1, 200_000);
        let controller = HostController::connect(HostOptions { address, ..options.clone() }).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        let data = pattern(256 << 10, 7).await;
        let cut = queue.command(sqe::write(1, 0, 64, false), Payload::Out(data)).await;
        assert!(cut.is_err(), "{cut:?}");
        write_and_verify(options).await;
    });
}
