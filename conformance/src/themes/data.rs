//! What commands do to data: only with leave to write, only in the last blocks, which are put back (NVM §3.3).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        nvm::{CopySqe, RwSqe},
        opcode::NvmOpcode,
        pdu::PduType,
    },
};
use zerocopy::transmute;

use crate::{
    check::{Check, Finding, Need, Verdict, expect, expect_status, expect_success, skip},
    lab::{Lab, Session},
    limits,
    queue::{Data, Queue},
};

const WRITE: &[Need] = &[Need::Namespace, Need::Write];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = writes();
    checks.extend(write_lengths());
    checks.extend(compares());
    checks.extend(zeroes());
    checks.extend(copies());
    checks.extend(fused());
    checks
}

/// The blocks that a check may change, and what was in them.
struct Scratch {
    session: Session,
    nsid: u32,
    lba: u64,
    block_bytes: u32,
    blocks: u32,
    /// What a capsule may carry.
    in_capsule_bytes: usize,
    before: Vec<u8>,
}

impl Scratch {
    fn open(lab: &Lab<'_>, wishes: crate::pdu::Wishes) -> Verdict<Self> {
        let namespace = lab.facts.namespace()?;
        let max = lab.facts.transfer_bytes_max().unwrap_or(u64::MAX);
        let bytes = max.min(u64::from(limits::TRANSFER_BYTES));
        let blocks = namespace.blocks_in(bytes).min(namespace.blocks_in(limits::SCRATCH_BYTES));
        if u64::from(blocks) > namespace.blocks {
            return skip("the namespace is too small");
        }
        let mut scratch = Self {
            session: lab.fresh_with(wishes)?,
            nsid: namespace.nsid,
            lba: namespace.scratch_lba(),
            block_bytes: namespace.block_bytes,
            blocks,
            in_capsule_bytes: lab.facts.in_capsule_bytes() as usize,
            before: Vec::new(),
        };
        scratch.before = scratch.read(0, blocks)?;
        Ok(scratch)
    }

    fn io(&mut self) -> Verdict<&mut Queue> {
        self.session.io()
    }

    /// Blocks counted from the first that may be changed.
    fn read(&mut self, at: u32, blocks: u32) -> Verdict<Vec<u8>> {
        let sqe = sqe::read(self.nsid, self.lba + u64::from(at), blocks);
        let bytes = blocks * self.block_bytes;
        let answer = self.io()?.command(sqe, Data::In(bytes))?;
        expect_success(&answer)?;
        Ok(answer.data)
    }

    fn write(&mut self, at: u32, data: &[u8]) -> Verdict {
        let blocks = data.len() as u32 / self.block_bytes;
        let sqe = sqe::write(self.nsid, self.lba + u64::from(at), blocks, false);
        // In the capsule if it fits: how data moves is another check's affair.
        let data = if data.len() <= self.in_capsule_bytes { Data::Capsule(data) } else { Data::Out(data) };
        expect_success(&self.io()?.command(sqe, data)?)
    }

    /// Bytes of `blocks` blocks that differ from block to block and from `seed` to `seed`.
    fn pattern(&self, blocks: u32, seed: u8) -> Vec<u8> {
        (0..blocks * self.block_bytes)
            .map(|at| (at / self.block_bytes) as u8 ^ (at as u8).rotate_left(3) ^ seed)
            .collect()
    }

    /// Fails unless the blocks hold this.
    fn expect(&mut self, at: u32, data: &[u8]) -> Verdict {
        let seen = self.read(at, data.len() as u32 / self.block_bytes)?;
        let differs = seen.iter().zip(data).position(|(seen, wanted)| seen != wanted);
        let where_ = differs.map_or(String::new(), |at| format!("byte {at} is {:#04x}", seen[at]));
        expect(differs.is_none(), "the data that was written", where_)
    }
}

/// A check with scratch blocks, which are put back whatever becomes of it.
fn scratch(
    name: impl Into<String>,
    section: &'static str,
    needs: &'static [Need],
    run: impl Fn(&mut Scratch) -> Verdict + 'static,
) -> Check {
    Check::new(name, section, needs, move |lab| {
        let mut scratch = Scratch::open(lab, crate::pdu::Wishes::default())?;
        let verdict = run(&mut scratch);
        let restored = restore(lab, scratch);
        verdict.and(restored)
    })
}

fn restore(lab: &Lab<'_>, scratch: Scratch) -> Verdict {
    let Scratch { nsid, lba, before, blocks, .. } = scratch;
    // The check may have ended its connection.
    let mut session = lab.fresh()?;
    let write = sqe::write(nsid, lba, blocks, true);
    match expect_success(&session.io()?.command(write, Data::Out(&before))?) {
        Err(Finding::Fail { seen, .. }) => {
            crate::check::broken(format_args!("the blocks could not be put back: {seen}"))
        }
        other => other,
    }
}

fn writes() -> Vec<Check> {
    const SECTION: &str = "NVM §3.3.6";
    let mut checks = Vec::new();
    for blocks in [1_u32, 2, 3, 7, 8, 16] {
        checks.push(scratch(format!("data/write_{blocks}_blocks"), SECTION, WRITE, move |scratch| {
            if blocks > scratch.blocks {
                return skip("more than MDTS allows");
            }
            let data = scratch.pattern(blocks, 0x5A);
            scratch.write(0, &data)?;
            scratch.expect(0, &data)
        }));
    }
    for (name, large) in [("a_block", false), ("many_blocks", true)] {
        checks.push(scratch(format!("data/write_of_{name}_by_r2t"), SECTION, WRITE, move |scratch| {
            let data = scratch.pattern(if large { scratch.blocks } else { 1 }, 0x5B);
            let blocks = data.len() as u32 / scratch.block_bytes;
            let sqe = sqe::write(scratch.nsid, scratch.lba, blocks, false);
            expect_success(&scratch.io()?.command(sqe, Data::Out(&data))?)?;
            scratch.expect(0, &data)
        }));
    }
    checks.push(Check::new("data/write_in_capsule", "TCP §3.3.1.3", WRITE, |lab| {
        let room = lab.facts.in_capsule_bytes();
        let mut scratch = Scratch::open(lab, crate::pdu::Wishes::default())?;
        let blocks = (room / scratch.block_bytes).min(scratch.blocks);
        if blocks == 0 {
            return skip("IOCCSZ has no room for a block");
        }
        let data = scratch.pattern(blocks, 0x33);
        let sqe = sqe::write(scratch.nsid, scratch.lba, blocks, false);
        let answer = scratch.io()?.command(sqe, Data::Capsule(&data))?;
        let verdict = expect_success(&answer).and_then(|()| scratch.expect(0, &data));
        let asked = answer.pdus.iter().any(|pdu| pdu.is(PduType::R2T));
        restore(lab, scratch)?;
        verdict?;
        expect(!asked, "no R2T for data that came in the capsule", "an R2T")
    }));
    checks.push(scratch("data/write_with_fua", SECTION, WRITE, |scratch| {
        let data = scratch.pattern(1, 0x77);
        let sqe = sqe::write(scratch.nsid, scratch.lba, 1, true);
        expect_success(&scratch.io()?.command(sqe, Data::Capsule(&data))?)?;
        scratch.expect(0, &data)
    }));
    checks.push(scratch("data/write_leaves_its_neighbours", SECTION, WRITE, |scratch| {
        if scratch.blocks < 3 {
            return skip("more than MDTS allows");
        }
        let around = scratch.pattern(3, 0x11);
        scratch.write(0, &around)?;
        let middle = scratch.pattern(1, 0xEE);
        scratch.write(1, &middle)?;
        let block = scratch.block_bytes as usize;
        scratch.expect(0, &around[..block])?;
        scratch.expect(1, &middle)?;
        scratch.expect(2, &around[2 * block..])
    }));
    checks.push(scratch("data/r2ts_of_a_large_write_keep_to_maxr2t", "TCP §3.6.2.2", WRITE, |scratch| {
        let data = scratch.pattern(scratch.blocks, 0x21);
        let sqe = sqe::write(scratch.nsid, scratch.lba, scratch.blocks, false);
        let answer = scratch.io()?.command(sqe, Data::Out(&data))?;
        expect_success(&answer)?;
        let r2ts: Vec<_> = answer.pdus.iter().filter(|pdu| pdu.is(PduType::R2T)).collect();
        let total: u32 = r2ts.iter().map(|r2t| r2t.u32_at(16)).sum();
        // Each was answered before the next was read here; that they follow one another shows no overlap.
        let in_order =
            r2ts.windows(2).all(|pair| pair[1].u32_at(12) == pair[0].u32_at(12) + pair[0].u32_at(16));
        expect(
            in_order && total as usize == data.len(),
            "R2Ts that follow one another over all data",
            format_args!("{} R2Ts for {total} bytes", r2ts.len()),
        )
    }));
    checks
}

/// Writes whose data is not as long as their blocks.
fn write_lengths() -> Vec<Check> {
    const SECTION: &str = "Base §4.3.2";
    let mut checks = Vec::new();
    for (name, change) in [("shorter", -4_i64), ("longer", 4)] {
        checks.push(scratch(format!("data/write_with_data_{name}"), SECTION, WRITE, move |scratch| {
            let len = i64::from(scratch.block_bytes) + change;
            let data = vec![0xAB; usize::try_from(len).unwrap_or(4)];
            let sqe = sqe::write(scratch.nsid, scratch.lba, 1, false);
            let answer = scratch.io()?.command(sqe, Data::Capsule(&data))?;
            if answer.status().is_success() && change > 0 {
                // More than the command needs may be passed over.
                return Ok(());
            }
            expect_status(&answer, &[Status::DATA_SGL_LENGTH_INVALID, Status::INVALID_FIELD])
        }));
    }
    checks
}

fn compares() -> Vec<Check> {
    const SECTION: &str = "NVM §3.3.1";
    const NEEDS: &[Need] = &[Need::Namespace, Need::Write, Need::Compare];
    let compare = |scratch: &mut Scratch, data: &[u8]| {
        let blocks = data.len() as u32 / scratch.block_bytes;
        let sqe = sqe::compare(scratch.nsid, scratch.lba, blocks);
        scratch.io()?.command(sqe, Data::Out(data))
    };
    let mut checks = vec![scratch("data/compare_with_the_same", SECTION, NEEDS, move |scratch| {
        let data = scratch.pattern(2, 0x0F);
        scratch.write(0, &data)?;
        expect_success(&compare(scratch, &data)?)
    })];
    for (name, last) in [("first", false), ("last", true)] {
        checks.push(scratch(
            format!("data/compare_where_the_{name}_byte_differs"),
            SECTION,
            NEEDS,
            move |scratch| {
                let mut data = scratch.pattern(2, 0x0F);
                scratch.write(0, &data)?;
                let at = if last { data.len() - 1 } else { 0 };
                data[at] ^= 1;
                expect_status(&compare(scratch, &data)?, &[Status::COMPARE_FAILURE])
            },
        ));
    }
    checks.push(scratch("data/compare_changes_nothing", SECTION, NEEDS, move |scratch| {
        let data = scratch.pattern(2, 0x0F);
        scratch.write(0, &data)?;
        let other = scratch.pattern(2, 0xF0);
        expect_status(&compare(scratch, &other)?, &[Status::COMPARE_FAILURE])?;
        scratch.expect(0, &data)
    }));
    checks
}

fn zeroes() -> Vec<Check> {
    const SECTION: &str = "NVM §3.3.8";
    const NEEDS: &[Need] = &[Need::Namespace, Need::Write, Need::WriteZeroes];
    const DSM: &[Need] = &[Need::Namespace, Need::Write, Need::Deallocate];
    let zeroes = |deallocate: bool| {
        move |scratch: &mut Scratch| {
            let blocks = scratch.blocks.min(3);
            let data = scratch.pattern(blocks, 0x99);
            scratch.write(0, &data)?;
            let sqe = sqe::write_zeroes(scratch.nsid, scratch.lba, blocks, deallocate);
            expect_success(&scratch.io()?.command(sqe, Data::None)?)?;
            scratch.expect(0, &vec![0; data.len()])
        }
    };
    vec![
        scratch("data/write_zeroes_reads_as_zeros", SECTION, NEEDS, zeroes(false)),
        scratch("data/write_zeroes_with_deac_reads_as_zeros", SECTION, NEEDS, zeroes(true)),
        scratch("data/write_zeroes_with_fua", SECTION, NEEDS, |scratch| {
            let mut sqe: RwSqe = transmute!(sqe::write_zeroes(scratch.nsid, scratch.lba, 1, false));
            sqe.control = nvmeof::wire::nvm::CONTROL_FUA.into();
            expect_success(&scratch.io()?.command(transmute!(sqe), Data::None)?)?;
            let block = scratch.block_bytes as usize;
            scratch.expect(0, &vec![0; block])
        }),
        Check::new("data/deallocated_blocks_read_as_dlfeat_says", "NVM §3.3.3.2.1", DSM, |lab| {
            let dlfeat = lab.facts.namespace()?.identify.dlfeat;
            let mut scratch = Scratch::open(lab, crate::pdu::Wishes::default())?;
            let verdict = deallocate(&mut scratch, dlfeat);
            restore(lab, scratch)?;
            verdict
        }),
        Check::new("data/deallocated_blocks_read_the_same_twice", "NVM §3.3.3.2.1", DSM, |lab| {
            let mut scratch = Scratch::open(lab, crate::pdu::Wishes::default())?;
            let verdict = deallocate(&mut scratch, 0).and_then(|()| {
                let first = scratch.read(0, 1)?;
                expect(first == scratch.read(0, 1)?, "the same data", "other data")
            });
            restore(lab, scratch)?;
            verdict
        }),
        Check::new("data/deallocate_leaves_its_neighbours", "NVM §3.3.3", DSM, |lab| {
            let mut scratch = Scratch::open(lab, crate::pdu::Wishes::default())?;
            let data = scratch.pattern(scratch.blocks, 0x42);
            let verdict = scratch.write(0, &data).and_then(|()| {
                deallocate_block(&mut scratch, 1)?;
                let block = scratch.block_bytes as usize;
                scratch.expect(0, &data[..block])?;
                scratch.expect(2, &data[2 * block..3 * block])
            });
            restore(lab, scratch)?;
            verdict
        }),
    ]
}

fn deallocate_block(scratch: &mut Scratch, at: u32) -> Verdict {
    let range = sqe::dsm_range(scratch.lba + u64::from(at), 1);
    let sqe = sqe::deallocate(scratch.nsid, 1);
    expect_success(&scratch.io()?.command(sqe, Data::Capsule(&range))?)
}

/// Writes and deallocates a block; it then reads as bits 2:0 of DLFEAT promise, or as it was written.
fn deallocate(scratch: &mut Scratch, dlfeat: u8) -> Verdict {
    let data = scratch.pattern(1, 0x66);
    scratch.write(0, &data)?;
    deallocate_block(scratch, 0)?;
    let seen = scratch.read(0, 1)?;
    let promised = match dlfeat & 7 {
        1 => 0x00,
        2 => 0xFF,
        _ => return Ok(()),
    };
    let kept = seen == data;
    expect(
        kept || seen.iter().all(|&byte| byte == promised),
        format_args!("every byte {promised:#04x}, or the data kept"),
        format_args!("{:02x?}", &seen[..8]),
    )
}

fn copies() -> Vec<Check> {
    const SECTION: &str = "NVM §3.3.2";
    const NEEDS: &[Need] = &[Need::Namespace, Need::Write, Need::Copy];
    vec![
        scratch("data/copy_of_one_range", SECTION, NEEDS, |scratch| {
            if scratch.blocks < 4 {
                return skip("more than MDTS allows");
            }
            let data = scratch.pattern(4, 0x3C);
            scratch.write(0, &data)?;
            let half = data.len() / 2;
            let range = sqe::copy_range(scratch.lba, 2);
            let copy = sqe::copy(scratch.nsid, scratch.lba + 2, 1, false);
            expect_success(&scratch.io()?.command(copy, Data::Capsule(&range))?)?;
            scratch.expect(2, &data[..half])
        }),
        scratch("data/copy_gathers_in_order", SECTION, NEEDS, |scratch| {
            if scratch.blocks < 4 {
                return skip("more than MDTS allows");
            }
            let data = scratch.pattern(4, 0x3D);
            scratch.write(0, &data)?;
            let block = scratch.block_bytes as usize;
            let ranges = [sqe::copy_range(scratch.lba + 1, 1), sqe::copy_range(scratch.lba, 1)].concat();
            let copy = sqe::copy(scratch.nsid, scratch.lba + 2, 2, false);
            expect_success(&scratch.io()?.command(copy, Data::Capsule(&ranges))?)?;
            scratch.expect(2, &data[block..2 * block])?;
            scratch.expect(3, &data[..block])
        }),
        Check::new("data/copy_to_beyond_the_end", SECTION, NEEDS, |lab| {
            let namespace = lab.facts.namespace()?;
            let range = sqe::copy_range(0, 1);
            let copy = sqe::copy(namespace.nsid, namespace.blocks, 1, false);
            expect_status(&lab.io(copy, Data::Capsule(&range))?, &[Status::LBA_OUT_OF_RANGE])
        }),
        Check::new("data/copy_from_beyond_the_end", SECTION, NEEDS, |lab| {
            let namespace = lab.facts.namespace()?;
            let range = sqe::copy_range(namespace.blocks, 1);
            let copy = sqe::copy(namespace.nsid, namespace.scratch_lba(), 1, false);
            expect_status(&lab.io(copy, Data::Capsule(&range))?, &[Status::LBA_OUT_OF_RANGE])
        }),
        Check::new("data/copy_of_more_ranges_than_msrc", SECTION, NEEDS, |lab| {
            let namespace = lab.facts.namespace()?;
            let Some(ranges) = u32::from(namespace.identify.msrc_z).checked_add(2).filter(|&n| n <= 256)
            else {
                return skip("MSRC is the most that the field can say");
            };
            let data: Vec<u8> = (0..ranges).flat_map(|_| sqe::copy_range(0, 1)).collect();
            let copy = sqe::copy(namespace.nsid, namespace.scratch_lba(), ranges, false);
            expect_status(&lab.io(copy, Data::Out(&data))?, &[Status::COMMAND_SIZE_LIMIT_EXCEEDED])
        }),
        Check::new("data/copy_with_reserved_format", SECTION, NEEDS, |lab| {
            let namespace = lab.facts.namespace()?;
            let mut copy: CopySqe = transmute!(sqe::copy(namespace.nsid, namespace.scratch_lba(), 1, false));
            copy.format = 0xF;
            let range = sqe::copy_range(0, 1);
            expect_status(&lab.io(transmute!(copy), Data::Capsule(&range))?, &[Status::INVALID_FIELD])
        }),
    ]
}

/// Fused Compare and Write (Base §3.4.2, NVM §2.1.5).
fn fused() -> Vec<Check> {
    const SECTION: &str = "Base §3.4.2";
    const NEEDS: &[Need] = &[Need::Namespace, Need::Write, Need::Fused];
    type Sent = (Sqe, Vec<u8>);
    /// Sends both halves together; how each ends.
    fn both(scratch: &mut Scratch, compare: Sent, write: Sent) -> Verdict<[crate::queue::Answer; 2]> {
        let [first, second] = sqe::fused(compare.0, write.0);
        let io = scratch.io()?;
        let cids = io.issue_all(&[(first, Data::Out(&compare.1)), (second, Data::Out(&write.1))])?;
        Ok([io.answer(cids[0])?, io.answer(cids[1])?])
    }
    fn halves(scratch: &Scratch, equal: bool) -> (Sent, Sent, Vec<u8>) {
        let before = scratch.pattern(1, 0x01);
        let expected = if equal { before.clone() } else { scratch.pattern(1, 0x02) };
        let compare = (sqe::compare(scratch.nsid, scratch.lba, 1), expected);
        let write = (sqe::write(scratch.nsid, scratch.lba, 1, false), scratch.pattern(1, 0x04));
        (compare, write, before)
    }
    vec![
        scratch("data/fused_writes_what_compares", SECTION, NEEDS, |scratch| {
            let (compare, write, before) = halves(scratch, true);
            scratch.write(0, &before)?;
            let wanted = write.1.clone();
            let [compared, written] = both(scratch, compare, write)?;
            expect_success(&compared)?;
            expect_success(&written)?;
            scratch.expect(0, &wanted)
        }),
        scratch("data/fused_write_is_not_done_where_the_compare_fails", SECTION, NEEDS, |scratch| {
            let (compare, write, before) = halves(scratch, false);
            scratch.write(0, &before)?;
            let [compared, written] = both(scratch, compare, write)?;
            expect_status(&compared, &[Status::COMPARE_FAILURE])?;
            expect_status(&written, &[Status::ABORTED_FAILED_FUSED])?;
            scratch.expect(0, &before)
        }),
        scratch("data/fused_ranges_that_differ", SECTION, NEEDS, |scratch| {
            let (compare, mut write, before) = halves(scratch, true);
            scratch.write(0, &before)?;
            let mut other: RwSqe = transmute!(write.0);
            other.slba = (scratch.lba + 1).into();
            write.0 = transmute!(other);
            let [compared, written] = both(scratch, compare, write)?;
            let refused = !compared.status().is_success() && !written.status().is_success();
            expect(refused, "both halves refused", "a half that succeeded")
        }),
        scratch("data/fused_second_half_alone", SECTION, NEEDS, |scratch| {
            let (_, write, before) = halves(scratch, true);
            scratch.write(0, &before)?;
            let [_, second] = sqe::fused(write.0, write.0);
            let answer = scratch.io()?.command(second, Data::Out(&write.1))?;
            expect_status(&answer, &[Status::ABORTED_MISSING_FUSED])?;
            scratch.expect(0, &before)
        }),
        scratch("data/fused_first_half_without_its_second", SECTION, NEEDS, |scratch| {
            let (compare, _, before) = halves(scratch, true);
            scratch.write(0, &before)?;
            let [first, _] = sqe::fused(compare.0, compare.0);
            let mut flush = sqe::flush(scratch.nsid);
            flush.opcode = NvmOpcode::FLUSH.0;
            let io = scratch.io()?;
            let cids = io.issue_all(&[(first, Data::Out(&compare.1)), (flush, Data::None)])?;
            expect_status(&io.answer(cids[0])?, &[Status::ABORTED_MISSING_FUSED])
        }),
    ]
}
