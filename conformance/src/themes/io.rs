//! Read, write and their relatives on a namespace (NVM §3.3): ranges, sizes, namespaces, data pointers.

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        nvm::{CONTROL_FUA, CONTROL_LR, RwSqe},
        opcode::{NSID_ALL, NvmOpcode},
        sqe::SGL_TRANSPORT,
    },
};
use zerocopy::transmute;

use crate::{
    check::{Check, Need, Verdict, expect_equal, expect_refused, expect_status, expect_success, skip},
    facts::Namespace,
    lab::Lab,
    limits,
    queue::{Answer, Data, descriptor},
};

const READ: &str = "NVM §3.3.4";
const NS: &[Need] = &[Need::Namespace];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = borders();
    checks.extend(namespaces());
    checks.extend(lengths());
    checks.extend(pointers());
    checks.extend(opcodes());
    checks.extend(flags());
    checks
}

/// A command with a range: what it is called, what it needs, its section, its opcode, and which way data goes.
struct Ranged {
    name: &'static str,
    needs: &'static [Need],
    section: &'static str,
    opcode: NvmOpcode,
    data: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    None,
    ToHost,
    FromHost,
}

const RANGED: [Ranged; 5] = [
    Ranged { name: "read", needs: NS, section: READ, opcode: NvmOpcode::READ, data: Way::ToHost },
    Ranged {
        name: "write",
        needs: &[Need::Namespace, Need::Write],
        section: "NVM §3.3.6",
        opcode: NvmOpcode::WRITE,
        data: Way::FromHost,
    },
    Ranged {
        name: "compare",
        needs: &[Need::Namespace, Need::Compare],
        section: "NVM §3.3.1",
        opcode: NvmOpcode::COMPARE,
        data: Way::FromHost,
    },
    Ranged {
        name: "verify",
        needs: &[Need::Namespace, Need::Verify],
        section: "NVM §3.3.5",
        opcode: NvmOpcode::VERIFY,
        data: Way::None,
    },
    Ranged {
        name: "write_zeroes",
        needs: &[Need::Namespace, Need::Write, Need::WriteZeroes],
        section: "NVM §3.3.8",
        opcode: NvmOpcode::WRITE_ZEROES,
        data: Way::None,
    },
];

/// Sends a command of `blocks` blocks from `lba`, with as much data as it needs.
fn send(lab: &mut Lab<'_>, opcode: NvmOpcode, way: Way, nsid: u32, lba: u64, blocks: u32) -> Verdict<Answer> {
    let bytes = blocks * lab.facts.namespace()?.block_bytes;
    let mut sqe: RwSqe = transmute!(sqe::read(nsid, lba, blocks));
    sqe.opcode = opcode.0;
    let data = vec![0; if way == Way::FromHost { bytes as usize } else { 0 }];
    let data = match way {
        Way::None => Data::None,
        Way::ToHost => Data::In(bytes),
        Way::FromHost if bytes <= lab.facts.in_capsule_bytes() => Data::Capsule(&data),
        Way::FromHost => Data::Out(&data),
    };
    lab.io(transmute!(sqe), data)
}

/// LBA Out of Range at every border, and nothing of it within.
fn borders() -> Vec<Check> {
    type Border = (&'static str, fn(&Namespace) -> (u64, u32));
    const BEYOND: [Border; 7] = [
        ("first_block_beyond", |namespace| (namespace.blocks, 1)),
        ("second_block_beyond", |namespace| (namespace.blocks + 1, 1)),
        ("last_block_and_one_more", |namespace| (namespace.blocks - 1, 2)),
        ("two_blocks_beyond", |namespace| (namespace.blocks, 2)),
        ("at_2_to_the_32", |namespace| (namespace.blocks.max(1 << 32), 1)),
        ("at_2_to_the_63", |_| (1 << 63, 1)),
        ("at_the_last_lba_there_can_be", |_| (u64::MAX, 1)),
    ];
    const WRAPS: Border = ("around_the_last_lba_there_can_be", |_| (u64::MAX, 2));
    let mut checks = Vec::new();
    for Ranged { name, needs, section, opcode, data } in RANGED {
        for (border, range) in BEYOND.into_iter().chain([WRAPS]) {
            checks.push(Check::new(format!("io/{name}_{border}"), section, needs, move |lab| {
                let namespace = lab.facts.namespace()?;
                let (lba, blocks) = range(namespace);
                let answer = send(lab, opcode, data, namespace.nsid, lba, blocks)?;
                expect_status(&answer, &[Status::LBA_OUT_OF_RANGE])
            }));
        }
    }
    for Ranged { name, needs, section, opcode, data } in RANGED {
        if matches!(name, "read" | "verify") {
            for (border, first) in [("first_block", true), ("last_block", false)] {
                checks.push(Check::new(format!("io/{name}_{border}"), section, needs, move |lab| {
                    let namespace = lab.facts.namespace()?;
                    let lba = if first { 0 } else { namespace.blocks - 1 };
                    expect_success(&send(lab, opcode, data, namespace.nsid, lba, 1)?)
                }));
            }
        }
    }
    checks
}

/// Namespaces that are not there.
fn namespaces() -> Vec<Check> {
    let mut checks = Vec::new();
    type Wrong = (&'static str, fn(&Lab<'_>) -> u32);
    let wrong: [Wrong; 4] = [
        ("0", |_| 0),
        ("above_nn", |lab| lab.facts.controller.nn.get().saturating_add(1)),
        ("fffffffeh", |_| NSID_ALL - 1),
        ("of_all", |_| NSID_ALL),
    ];
    for Ranged { name, needs, section: _, opcode, data } in RANGED {
        for (which, nsid) in wrong {
            checks.push(Check::new(format!("io/{name}_nsid_{which}"), "Base §3.2.1", needs, move |lab| {
                let answer = send(lab, opcode, data, nsid(lab), 0, 1)?;
                // A broadcast where it makes no sense may also be an invalid field (Base §3.2.1.5).
                expect_status(&answer, &[Status::INVALID_NAMESPACE_OR_FORMAT, Status::INVALID_FIELD])
            }));
        }
    }
    for (which, nsid) in &wrong[..3] {
        let nsid = *nsid;
        checks.push(Check::new(format!("io/flush_nsid_{which}"), "Base §7.2", NS, move |lab| {
            let flush = sqe::flush(nsid(lab));
            expect_status(&lab.io(flush, Data::None)?, &[Status::INVALID_NAMESPACE_OR_FORMAT])
        }));
    }
    checks.push(Check::new("io/flush", "Base §7.2", NS, |lab| {
        let flush = sqe::flush(lab.facts.namespace()?.nsid);
        expect_success(&lab.io(flush, Data::None)?)
    }));
    checks.push(Check::new("io/flush_of_all_as_vwc_says", "Base §5.1.13.2.1", NS, |lab| {
        let answer = lab.io(sqe::flush(NSID_ALL), Data::None)?;
        match lab.facts.controller.vwc >> 1 & 3 {
            0b11 => expect_success(&answer),
            0b10 => expect_status(&answer, &[Status::INVALID_NAMESPACE_OR_FORMAT]),
            _ => skip("VWC does not say what a Flush of all namespaces does"),
        }
    }));
    checks
}

/// Lengths of data that do not fit the range.
fn lengths() -> Vec<Check> {
    let mut checks = Vec::new();
    for blocks in [1_u32, 2, 3, 8, 16] {
        checks.push(Check::new(format!("io/read_{blocks}_blocks"), READ, NS, move |lab| {
            let namespace = lab.facts.namespace()?;
            let (nsid, bytes) = (namespace.nsid, blocks * namespace.block_bytes);
            if u64::from(blocks) > namespace.blocks
                || lab.facts.transfer_bytes_max().is_some_and(|max| u64::from(bytes) > max)
            {
                return skip("the namespace or MDTS is smaller");
            }
            let answer = lab.io(sqe::read(nsid, 0, blocks), Data::In(bytes))?;
            expect_success(&answer)?;
            expect_equal("bytes", bytes as usize, answer.data.len())
        }));
    }
    type Wrong = (&'static str, fn(u32) -> u32);
    let wrong: [Wrong; 4] = [
        ("shorter_by_a_block", |bytes| bytes / 2),
        ("shorter_by_a_dword", |bytes| bytes - 4),
        ("of_4_bytes", |_| 4),
        ("of_no_bytes", |_| 0),
    ];
    for (name, length) in wrong {
        checks.push(Check::new(format!("io/read_into_data_{name}"), "Base §4.3.2", NS, move |lab| {
            let namespace = lab.facts.namespace()?;
            let (nsid, bytes) = (namespace.nsid, 2 * namespace.block_bytes);
            let answer = lab.io(sqe::read(nsid, 0, 2), Data::In(length(bytes)))?;
            expect_status(&answer, &[Status::DATA_SGL_LENGTH_INVALID, Status::INVALID_FIELD])
        }));
    }
    checks.push(Check::new("io/read_of_mdts", "Base §5.1.13.2.1", NS, |lab| {
        let namespace = lab.facts.namespace()?;
        let nsid = namespace.nsid;
        let Some(max) = lab.facts.transfer_bytes_max().filter(|&max| max <= 1 << 20) else {
            return skip("MDTS is no limit, or a large one");
        };
        let blocks = namespace.blocks_in(max);
        let bytes = max as u32;
        let answer = lab.io(sqe::read(nsid, 0, blocks), Data::In(bytes))?;
        expect_success(&answer)?;
        expect_equal("bytes", bytes as usize, answer.data.len())
    }));
    checks.push(Check::new("io/read_of_more_than_mdts", "Base §5.1.13.2.1", NS, |lab| {
        let namespace = lab.facts.namespace()?;
        let nsid = namespace.nsid;
        let Some(max) = lab.facts.transfer_bytes_max().filter(|&max| max <= 1 << 20) else {
            return skip("MDTS is no limit, or a large one");
        };
        let blocks = namespace.blocks_in(max) + 1;
        let bytes = blocks * namespace.block_bytes;
        let answer = lab.io(sqe::read(nsid, 0, blocks), Data::In(bytes))?;
        expect_status(&answer, &[Status::INVALID_FIELD])
    }));
    checks
}

/// Descriptors that no capsule may have.
fn pointers() -> Vec<Check> {
    let mut checks = Vec::new();
    // Types that are reserved, and those that fabrics do not use in a capsule (Base §4.3.2).
    for sgl_id in [0x02_u8, 0x20, 0x30, 0x60, 0x70, 0x80, 0x90, 0xE0, 0x5F] {
        checks.push(Check::new(
            format!("io/read_with_sgl_id_{sgl_id:02x}h"),
            "Base §4.3.2",
            NS,
            move |lab| {
                let namespace = lab.facts.namespace()?;
                let mut sqe = sqe::read(namespace.nsid, 0, 1);
                sqe.sgl = descriptor(sgl_id, namespace.block_bytes);
                expect_refused(&lab.io(sqe, Data::AsIs(&[]))?)
            },
        ));
    }
    for (name, psdt) in [("prps", 0x00_u8), ("reserved_psdt", 0xC0)] {
        checks.push(Check::new(format!("io/read_with_{name}"), "Base §3.3.3.1", NS, move |lab| {
            let namespace = lab.facts.namespace()?;
            let mut sqe = sqe::read(namespace.nsid, 0, 1);
            sqe.flags = psdt;
            sqe.sgl = descriptor(SGL_TRANSPORT, namespace.block_bytes);
            expect_status(&lab.io(sqe, Data::AsIs(&[]))?, &[Status::INVALID_FIELD])
        }));
    }
    checks.push(Check::new("io/read_with_reserved_fuse", "Base §3.3.3.1", NS, |lab| {
        let namespace = lab.facts.namespace()?;
        let mut sqe = sqe::read(namespace.nsid, 0, 1);
        let bytes = namespace.block_bytes;
        sqe.flags |= 0b11;
        expect_status(&lab.io(sqe, Data::In(bytes))?, &[Status::INVALID_FIELD])
    }));
    checks
}

/// Opcodes that no I/O command set has.
fn opcodes() -> Vec<Check> {
    let check = |opcode: u8| {
        Check::new(format!("io/opcode_{opcode:02x}h"), "Base §3.1.3.4", NS, move |lab| {
            let mut sqe = Sqe::new(opcode);
            sqe.nsid = lab.facts.namespace()?.nsid.into();
            expect_status(&lab.io(sqe, Data::None)?, &[Status::INVALID_OPCODE])
        })
    };
    [0x03, 0x06, 0x07, 0x0A, 0x0B, 0x0F, 0x10, 0x13, 0x14, 0x16, 0x17, 0x1A, 0x1B, 0x1C, 0x1E, 0x1F]
        .into_iter()
        .chain([0x20, 0x2A, 0x35, 0x40, 0x4B, 0x55, 0x60, 0x6C, 0x70, 0x77, 0x78, 0x7B, 0x7E])
        .map(check)
        .collect()
}

/// Bits of a read that change nothing here.
fn flags() -> Vec<Check> {
    let check = |(name, control): (&'static str, u16)| {
        Check::new(format!("io/read_with_{name}"), READ, NS, move |lab| {
            let namespace = lab.facts.namespace()?;
            let bytes = namespace.block_bytes;
            let plain = sqe::read(namespace.nsid, 0, 1);
            let mut sqe: RwSqe = transmute!(plain);
            sqe.control = control.into();
            let with = lab.io(transmute!(sqe), Data::In(bytes))?;
            expect_success(&with)?;
            let without = lab.io(plain, Data::In(bytes))?;
            crate::check::expect(with.data == without.data, "the same data", "other data")
        })
    };
    [("fua", CONTROL_FUA), ("limited_retry", CONTROL_LR), ("both", CONTROL_FUA | CONTROL_LR)]
        .into_iter()
        .map(check)
        .chain([Check::new("io/reads_at_once", READ, NS, |lab| {
            let namespace = lab.facts.namespace()?;
            let bytes = namespace.block_bytes;
            let read = sqe::read(namespace.nsid, 0, 1);
            let commands = vec![(read, Data::In(bytes)); usize::from(limits::QUEUE_ENTRIES) - 1];
            let io = lab.session()?.io()?;
            for cid in io.issue_all(&commands)? {
                expect_success(&io.answer(cid)?)?;
            }
            Ok(())
        })])
        .collect()
}
