//! Random sequences of all I/O commands against a model of blocks, over NVMe/TCP. `BASALT_SEEDS=n` runs n seeds of
//! each block size, `BASALT_SEED=s` replays one; a failure names its seed and which command it was.

use std::{env, rc::Rc};

use dataplane::{
    host::{Answer, HostController, HostOptions, HostQueue, Payload},
    node::{BlockSize, VolumeSpec},
    rt::{Buf, sim::SimRng},
};
use nvmeof::{Status, host::sqe, wire::Sqe, wire::opcode::FeatureId};
use uuid::Uuid;

use crate::support::{Bench, HOST, MIB, begin};

const SEEDS: u64 = 3;
const COMMANDS: u32 = 300;
/// Blocks that commands touch: over several extents, and so few that they meet.
const BLOCKS: u64 = 300;
/// Of one command, or of one range of it.
const BLOCKS_MAX: u64 = 24;

/// What a block holds; 0 is zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Value(u64),
    Uncorrectable,
}

/// Consecutive blocks of one of the namespaces, by index.
#[derive(Debug, Clone, Copy)]
struct Range {
    namespace: usize,
    lba: u64,
    blocks: u64,
}

impl Range {
    fn nsid(self) -> u32 {
        self.namespace as u32 + 1
    }

    fn len(self) -> u32 {
        self.blocks as u32
    }

    fn meets(self, other: Self) -> bool {
        self.namespace == other.namespace
            && self.lba < other.lba + other.blocks
            && other.lba < self.lba + self.blocks
    }
}

struct World {
    queue: Rc<HostQueue>,
    rng: SimRng,
    block_bytes: usize,
    namespaces: [Vec<Block>; 2],
    last_value: u64,
    /// For the report of a failure.
    place: String,
}

#[test]
fn every_sequence_of_commands_does_what_the_model_says() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("BASALT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BASALT_SEEDS").unwrap_or(SEEDS),
    };
    for (block_size, block_bytes) in [(BlockSize::B512, 512), (BlockSize::B4096, 4096)] {
        for seed in seeds.clone() {
            let bench = Bench::new(2, block_size);
            let second = Uuid::new_v4();
            let (size_bytes, reserved_bytes) = (4 * MIB, 0);
            let spec =
                VolumeSpec { uuid: second, size_bytes, block_size, reserved_bytes, drives: Vec::new() };
            bench.wait(bench.node.create_volume(spec)).unwrap();
            bench.export(&[HOST], &[(1, bench.volume), (2, second)]).unwrap();
            bench.host(move |options| run(options, seed, block_bytes));
        }
    }
}

async fn run(options: HostOptions, seed: u64, block_bytes: usize) {
    let controller = HostController::connect(options).await.unwrap();
    let mut world = World {
        queue: controller.io_queue(1, 32).await.unwrap(),
        rng: SimRng::new(seed),
        block_bytes,
        namespaces: [vec![Block::Value(0); BLOCKS as usize], vec![Block::Value(0); BLOCKS as usize]],
        last_value: 0,
        place: String::new(),
    };
    let mut formats = vec![0; 512];
    formats[4] = 1 << 2;
    let set = sqe::set_features(FeatureId::HOST_BEHAVIOR_SUPPORT, 0);
    let set = controller.admin().command(set, out(&formats).await).await.unwrap();
    assert_eq!(set.status(), Status::SUCCESS);
    for command in 0..COMMANDS {
        world.place = format!("seed {seed}, blocks of {block_bytes} bytes, command {command}");
        world.step().await;
    }
    for namespace in 0..2 {
        for lba in 0..BLOCKS {
            world.place = format!("seed {seed}, blocks of {block_bytes} bytes, at the end");
            world.read(Range { namespace, lba, blocks: 1 }).await;
        }
    }
}

async fn out(bytes: &[u8]) -> Payload {
    Payload::Out(buf(bytes).await)
}

async fn buf(bytes: &[u8]) -> Buf {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    buf
}

impl World {
    async fn step(&mut self) {
        let range = self.range();
        match self.rng.below(12) {
            0..3 => self.write(range).await,
            3 => self.read(range).await,
            4 => self.compare(range).await,
            5 => self.compare_and_write(Range { blocks: 1, ..range }).await,
            6 => self.write_zeroes(range).await,
            7 => self.deallocate().await,
            8 => self.verify(range).await,
            9 => self.copy(range).await,
            10 => self.mark(range).await,
            _ => self.expect(sqe::flush(range.nsid()), Payload::None, Status::SUCCESS).await,
        }
    }

    fn range(&mut self) -> Range {
        let blocks = 1 + self.rng.below(BLOCKS_MAX);
        let lba = self.rng.below(BLOCKS - blocks + 1);
        Range { namespace: self.rng.below(2) as usize, lba, blocks }
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.rng.below(many) == 0
    }

    fn blocks(&mut self, range: Range) -> &mut [Block] {
        let start = range.lba as usize;
        &mut self.namespaces[range.namespace][start..start + range.blocks as usize]
    }

    /// What a range holds, zeros where it cannot be read, and how a command ends that reads it.
    fn content(&mut self, range: Range) -> (Vec<u8>, Status) {
        let (len, mut bytes, mut status) = (self.block_bytes, Vec::new(), Status::SUCCESS);
        for block in self.blocks(range) {
            let value = match *block {
                Block::Value(value) => value,
                Block::Uncorrectable => {
                    status = Status::MARKED_UNCORRECTABLE;
                    0
                }
            };
            bytes.extend(value.to_le_bytes().iter().cycle().take(len));
        }
        (bytes, status)
    }

    /// New content for a range, which the model takes over.
    fn renew(&mut self, range: Range) -> Vec<u8> {
        let mut value = self.last_value;
        self.last_value += range.blocks;
        for block in self.blocks(range) {
            value += 1;
            *block = Block::Value(value);
        }
        self.content(range).0
    }

    async fn send(&self, sqe: Sqe, payload: Payload) -> Answer {
        self.queue.command(sqe, payload).await.unwrap()
    }

    async fn expect(&self, sqe: Sqe, payload: Payload, status: Status) {
        let found = self.send(sqe, payload).await.status();
        assert_eq!(found, status, "{}: {sqe:?}", self.place);
    }

    async fn write(&mut self, range: Range) {
        let fua = self.one_in(4);
        let data = self.renew(range);
        let write = sqe::write(range.nsid(), range.lba, range.len(), fua);
        self.expect(write, out(&data).await, Status::SUCCESS).await;
    }

    async fn read(&mut self, range: Range) {
        let (expected, status) = self.content(range);
        let read = sqe::read(range.nsid(), range.lba, range.len());
        let answer = self.send(read, Payload::In(expected.len() as u32)).await;
        assert_eq!(answer.status(), status, "{}: read of {range:?}", self.place);
        let same = status != Status::SUCCESS || *answer.data.unwrap() == *expected;
        assert!(same, "{}: {range:?} holds something else", self.place);
    }

    async fn compare(&mut self, range: Range) {
        let (mut data, mut status) = self.content(range);
        if self.one_in(3) {
            let at = self.rng.below(data.len() as u64) as usize;
            data[at] ^= 1;
            if status == Status::SUCCESS {
                status = Status::COMPARE_FAILURE;
            }
        }
        let compare = sqe::compare(range.nsid(), range.lba, range.len());
        self.expect(compare, out(&data).await, status).await;
    }

    async fn compare_and_write(&mut self, range: Range) {
        let (mut expected, status) = self.content(range);
        let differs = self.one_in(2);
        expected[0] ^= u8::from(differs);
        let before = self.blocks(range)[0];
        let data = self.renew(range);
        let [compare, write] = sqe::fused(
            sqe::compare(range.nsid(), range.lba, 1),
            sqe::write(range.nsid(), range.lba, 1, false),
        );
        let first = begin(&self.queue, compare, Payload::Out(buf(&expected).await));
        let second = begin(&self.queue, write, Payload::Out(buf(&data).await));
        let found = (first.await.unwrap().status(), second.await.unwrap().status());
        let happens = status == Status::SUCCESS && !differs;
        assert_eq!(found == (Status::SUCCESS, Status::SUCCESS), happens, "{}: {found:?}", self.place);
        if !happens {
            assert!(!found.0.is_success() && !found.1.is_success(), "{}: {found:?}", self.place);
            self.blocks(range)[0] = before;
        }
    }

    async fn write_zeroes(&mut self, range: Range) {
        let deallocate = self.one_in(2);
        self.blocks(range).fill(Block::Value(0));
        let zeroes = sqe::write_zeroes(range.nsid(), range.lba, range.len(), deallocate);
        self.expect(zeroes, Payload::None, Status::SUCCESS).await;
    }

    /// Up to three ranges, of which whole 4 KiB are given up.
    async fn deallocate(&mut self) {
        let unit = 4096 / self.block_bytes as u64;
        let (first, count) = (self.range(), 1 + self.rng.below(3));
        let mut data = Vec::new();
        for _ in 0..count {
            let range = Range { namespace: first.namespace, ..self.range() };
            data.extend_from_slice(&sqe::dsm_range(range.lba, range.len()));
            let lba = range.lba.next_multiple_of(unit);
            let blocks = ((range.lba + range.blocks) / unit * unit).saturating_sub(lba);
            if blocks > 0 {
                self.blocks(Range { lba, blocks, ..range }).fill(Block::Value(0));
            }
        }
        let deallocate = sqe::deallocate(first.nsid(), count as u32);
        self.expect(deallocate, out(&data).await, Status::SUCCESS).await;
    }

    async fn verify(&mut self, range: Range) {
        let status = self.content(range).1;
        let verify = sqe::verify(range.nsid(), range.lba, range.len());
        self.expect(verify, Payload::None, status).await;
    }

    async fn mark(&mut self, range: Range) {
        let range = Range { blocks: range.blocks.min(5), ..range };
        self.blocks(range).fill(Block::Uncorrectable);
        let mark = sqe::write_uncorrectable(range.nsid(), range.lba, range.len());
        self.expect(mark, Payload::None, Status::SUCCESS).await;
    }

    /// Of up to three ranges to where the given one begins. It stops at the first that cannot be read.
    async fn copy(&mut self, to: Range) {
        let count = 1 + self.rng.below(3);
        let sources: Vec<Range> = (0..count)
            .map(|_| self.range())
            .map(|source| Range { blocks: source.blocks.min(8), ..source })
            .collect();
        let blocks = sources.iter().map(|source| source.blocks).sum();
        let destination = Range { lba: to.lba.min(BLOCKS - blocks), blocks, ..to };
        let data: Vec<u8> = sources
            .iter()
            .flat_map(|source| sqe::copy_range_of(source.nsid(), source.lba, source.len()))
            .collect();
        let mut expected = (Status::SUCCESS, 0);
        if let Some(index) = sources.iter().position(|source| source.meets(destination)) {
            expected = (Status::OVERLAPPING_IO_RANGE, index as u64);
        } else {
            let mut next = destination.lba;
            for (index, &source) in (0..).zip(&sources) {
                let content = self.blocks(source).to_vec();
                if content.contains(&Block::Uncorrectable) {
                    expected = (Status::MARKED_UNCORRECTABLE, index);
                    break;
                }
                self.blocks(Range { lba: next, blocks: source.blocks, ..destination })
                    .copy_from_slice(&content);
                next += source.blocks;
            }
        }
        let copy = sqe::copy_across(destination.nsid(), destination.lba, count as u32);
        let answer = self.send(copy, out(&data).await).await;
        let found = (answer.status(), answer.cqe.result.get());
        assert_eq!(found, expected, "{}: copy of {sources:?} to {destination:?}", self.place);
    }
}
