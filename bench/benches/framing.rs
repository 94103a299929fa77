//! What the protocol alone costs: both ends of a connection joined in memory, one command there and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nvmeof::{
    Status,
    host::sqe,
    transport::{
        ControllerConnection, ControllerEvent, Crc32c, HostConnection, HostEvent, HostTransfer, ICRequest,
        Slot,
    },
    wire::Cqe,
};

const SLOT: Slot = Slot(0);

/// A connected pair and the bytes on their way.
struct Pair {
    host: HostConnection,
    controller: ControllerConnection,
    digests: bool,
    wire: Vec<u8>,
}

impl Pair {
    fn new(digests: bool) -> Self {
        let request = ICRequest { header_digest: digests, data_digest: digests, ..ICRequest::default() };
        let mut pair = Self {
            host: HostConnection::new(128, request),
            controller: ControllerConnection::new(128),
            digests,
            wire: Vec::with_capacity(1 << 20),
        };
        pair.host.encode_ic_req(&mut pair.wire);
        pair.deliver_to_controller();
        pair.controller.encode_ic_resp(&mut pair.wire);
        assert!(!pair.deliver_to_host(), "no command is in flight");
        pair
    }

    /// As the gathering send does it: the payload behind its header, and its digest behind that.
    fn payload(&mut self, data: &[u8]) {
        self.wire.extend_from_slice(data);
        if self.digests {
            self.wire.extend_from_slice(&Crc32c::of(data).to_le_bytes());
        }
    }

    /// Answers the bytes of data that arrived.
    fn deliver_to_controller(&mut self) -> usize {
        let (mut bytes, mut data) = (&self.wire[..], 0);
        loop {
            let (used, event) = self.controller.receive(bytes).expect("our own host keeps to the protocol");
            bytes = &bytes[used..];
            match black_box(event) {
                Some(ControllerEvent::Data { bytes, .. }) => data += bytes.len(),
                Some(_) => {}
                None => break,
            }
        }
        self.wire.clear();
        data
    }

    /// Whether a command ended.
    fn deliver_to_host(&mut self) -> bool {
        let (mut bytes, mut ended) = (&self.wire[..], false);
        loop {
            let (used, event) = self.host.receive(bytes).expect("our own controller keeps to the protocol");
            bytes = &bytes[used..];
            match black_box(event) {
                Some(HostEvent::Response { .. }) => ended = true,
                Some(_) => {}
                None => break,
            }
        }
        self.wire.clear();
        ended
    }

    /// A read, answered with data and the SUCCESS flag.
    fn read(&mut self, data: &[u8]) {
        let len = data.len() as u32;
        self.host.encode_command(SLOT, sqe::read(1, 0, len / 4096), HostTransfer::In(len), &mut self.wire);
        self.deliver_to_controller();
        self.controller.encode_c2h_data(SLOT, len, true, &mut self.wire);
        self.controller.release(SLOT);
        self.payload(data);
        assert!(self.deliver_to_host());
    }

    /// A write with its data in the capsule.
    fn write(&mut self, data: &[u8]) {
        let len = data.len() as u32;
        let entry = sqe::write(1, 0, len / 4096, false);
        self.host.encode_command(SLOT, entry, HostTransfer::InCapsule(len), &mut self.wire);
        self.payload(data);
        assert_eq!(self.deliver_to_controller(), data.len());
        self.controller.encode_response(SLOT, Cqe::new(0, 0, Status::SUCCESS, 0), &mut self.wire);
        assert!(self.deliver_to_host());
    }
}

fn round_trips(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round trip");
    for (name, digests) in [("plain", false), ("digests", true)] {
        for (size, bytes) in [("4k", 4096), ("128k", 128 << 10)] {
            let data = vec![0x5a; bytes];
            group.throughput(Throughput::Bytes(bytes as u64));
            let mut pair = Pair::new(digests);
            group.bench_function(format!("read {size} {name}"), |bencher| bencher.iter(|| pair.read(&data)));
        }
        let data = vec![0x5a; 4096];
        group.throughput(Throughput::Bytes(4096));
        let mut pair = Pair::new(digests);
        group.bench_function(format!("write 4k {name}"), |bencher| bencher.iter(|| pair.write(&data)));
    }
    group.finish();
}

fn digests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("CRC-32C");
    for (name, bytes) in [("128", 128), ("4k", 4096), ("128k", 128 << 10)] {
        let data = vec![0x5a; bytes];
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(name, |bencher| bencher.iter(|| Crc32c::of(black_box(&data))));
    }
    group.finish();
}

criterion_group!(framing, round_trips, digests);
criterion_main!(framing);
