//! How data moves: R2T and H2CData, C2HData, data in capsules (TCP §3.3.2).
//!
//! Data goes to the target by Dataset Management without any attribute, which is a hint that changes nothing, or, with
//! leave to write, by writing blocks as they are.

use nvmeof::{
    host::sqe,
    wire::{
        Sqe,
        nvm::DsmSqe,
        opcode::Cns,
        pdu::{Fes, LAST_PDU, PduType, SUCCESS},
    },
};
use zerocopy::transmute;

use super::malformed::{Fatal, field, is_end, status, told};
use crate::{
    check::{Check, Need, Verdict, broken, expect, expect_equal, expect_success, expect_zero, skip},
    lab::{Lab, Session},
    limits,
    link::{Link, Pdu},
    pdu::{H2cData, Wishes},
    queue::{Answer, Data},
};

const R2T: &str = "TCP §3.6.2.10";
const H2C_DATA: &str = "TCP §3.6.2.8";
const C2H_DATA: &str = "TCP §3.6.2.9";
const DSM: &[Need] = &[Need::Namespace, Need::Deallocate];

/// Dataset Management of all 256 ranges without attributes.
pub(super) fn hints(lab: &Lab<'_>) -> Verdict<Sqe> {
    let mut dsm: DsmSqe = transmute!(sqe::deallocate(lab.facts.namespace()?.nsid, 256));
    dsm.attributes = 0.into();
    Ok(transmute!(dsm))
}

/// Its ranges: block 0, again and again.
pub(super) fn hints_data() -> Vec<u8> {
    (0..256).flat_map(|_| sqe::dsm_range(0, 1)).collect()
}

/// A command whose data goes to the target and changes nothing: many blocks as they are, where writing is allowed,
/// and hints otherwise. Some targets take little data in the capsule only, as a check of its own tells.
pub(super) fn outgoing(lab: &mut Lab<'_>) -> Verdict<(Sqe, Vec<u8>)> {
    if lab.facts.lacks(Need::Write).is_some() {
        return Ok((hints(lab)?, hints_data()));
    }
    let namespace = lab.facts.namespace()?.clone();
    let max = lab.facts.transfer_bytes_max().unwrap_or(u64::MAX).min(u64::from(limits::TRANSFER_BYTES));
    let blocks = namespace.blocks_in(max);
    if u64::from(blocks) > namespace.blocks {
        return skip("the namespace is too small");
    }
    let (nsid, lba) = (namespace.nsid, namespace.scratch_lba());
    let answer = lab.io(sqe::read(nsid, lba, blocks), Data::In(blocks * namespace.block_bytes))?;
    expect_success(&answer)?;
    Ok((sqe::write(nsid, lba, blocks, false), answer.data))
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = requests();
    checks.extend([64, 512, 1024, 2048, 4092].map(|piece| {
        Check::new(format!("transfers/h2cdata_in_pieces_of_{piece}"), H2C_DATA, DSM, move |lab| {
            let (sqe, data) = outgoing(lab)?;
            let mut session = lab.fresh()?;
            let io = session.io()?;
            io.h2c_piece_bytes = Some(piece);
            expect_success(&io.command(sqe, Data::Out(&data))?)
        })
    }));
    checks.extend(wrong_h2c_data());
    checks.extend(to_host());
    checks.extend([16, 64, 512, 1024, 4096].map(|bytes: u32| {
        Check::new(format!("transfers/in_capsule_{bytes}"), "TCP §3.3.1.3", DSM, move |lab| {
            if bytes > lab.facts.in_capsule_bytes() {
                return skip("more than IOCCSZ allows");
            }
            let mut dsm: DsmSqe = transmute!(hints(lab)?);
            dsm.nr_z = (bytes / 16 - 1) as u8;
            let data = hints_data();
            expect_success(&lab.io(transmute!(dsm), Data::Capsule(&data[..bytes as usize]))?)
        })
    }));
    checks.push(Check::new("transfers/little_data_outside_the_capsule", "TCP §3.3.2.1", DSM, |lab| {
        expect_success(&lab.io(hints(lab)?, Data::Out(&hints_data()))?)
    }));
    checks.push(Check::new("transfers/commands_at_once_each_get_their_r2t", "TCP §3.3.2.1", DSM, |lab| {
        let (sqe, data) = outgoing(lab)?;
        let mut session = lab.fresh()?;
        let io = session.io()?;
        let commands = vec![(sqe, Data::Out(&data)); 16];
        for cid in io.issue_all(&commands)? {
            expect_success(&io.answer(cid)?)?;
        }
        Ok(())
    }));
    checks
}

/// What R2Ts say.
fn requests() -> Vec<Check> {
    type Field = (&'static str, &'static str, fn(&Answer, u32) -> Verdict);
    fn first(answer: &Answer) -> Verdict<&Pdu> {
        let r2t = answer.pdus.iter().find(|pdu| pdu.is(PduType::R2T));
        r2t.map_or_else(|| broken("no R2T came"), Ok)
    }
    let fields: [Field; 9] = [
        ("r2t_hlen", R2T, |answer, _| expect_equal("HLEN", 24, first(answer)?.hlen)),
        ("r2t_pdo_is_reserved", R2T, |answer, _| expect_equal("PDO", 0, first(answer)?.pdo)),
        ("r2t_plen", R2T, |answer, _| expect_equal("PLEN", 24, first(answer)?.plen)),
        ("r2t_flags_are_reserved", R2T, |answer, _| expect_equal("FLAGS", 0, first(answer)?.flags)),
        ("r2t_reserved_bytes", R2T, |answer, _| {
            expect_zero("bytes 23:20", first(answer)?.header.get(20..24).unwrap_or(&[]))
        }),
        ("r2t_begins_at_zero", "TCP §3.3.2.1", |answer, _| {
            expect_equal("R2TO", 0, first(answer)?.u32_at(12))
        }),
        ("r2ts_follow_one_another", "TCP §3.3.2.1", |answer, _| {
            let mut at = 0;
            for r2t in answer.pdus.iter().filter(|pdu| pdu.is(PduType::R2T)) {
                expect_equal("R2TO", at, r2t.u32_at(12))?;
                at += r2t.u32_at(16);
            }
            Ok(())
        }),
        ("r2ts_ask_for_all_data", "TCP §3.3.2.1", |answer, bytes| {
            let r2ts = answer.pdus.iter().filter(|pdu| pdu.is(PduType::R2T));
            expect_equal("bytes asked for", bytes, r2ts.map(|pdu| pdu.u32_at(16)).sum::<u32>())
        }),
        ("response_comes_last", "TCP §3.3.2.1", |answer, _| {
            let last = answer.pdus.last();
            expect(
                last.is_some_and(|pdu| pdu.is(PduType::CAPSULE_RESP)),
                "CapsuleResp as the last PDU",
                format_args!("{:?}", last.map(|pdu| PduType(pdu.pdu_type))),
            )
        }),
    ];
    let check = |(name, section, judge): Field| {
        Check::new(format!("transfers/{name}"), section, DSM, move |lab| {
            let (sqe, data) = outgoing(lab)?;
            let answer = lab.io(sqe, Data::Out(&data))?;
            expect_success(&answer)?;
            judge(&answer, data.len() as u32)
        })
    };
    fields.into_iter().map(check).collect()
}

/// H2CData that does not fit its R2T; each is told and ends the connection.
fn wrong_h2c_data() -> Vec<Check> {
    const OUT_OF_RANGE: &[Fatal] = &[status(Fes::DATA_TRANSFER_OUT_OF_RANGE)];
    const TAG: &[Fatal] = &[field(10), field(8), status(Fes::DATA_TRANSFER_OUT_OF_RANGE)];
    const LENGTH: &[Fatal] =
        &[field(16), field(4), status(Fes::DATA_TRANSFER_OUT_OF_RANGE), status(Fes::LIMIT_EXCEEDED)];
    const HEADER: &[Fatal] = &[field(2)];
    const PDO: &[Fatal] = &[field(3)];
    /// What is changed in a right H2CData, before it is encoded and in its bytes.
    type Change = fn(&mut H2cData<'_>);
    type Patch = (usize, u8);
    type Row = (&'static str, Change, Option<Patch>, &'static [Fatal]);
    let table: [Row; 11] = [
        ("ttag_is_another", |part| part.ttag ^= 0x5555, None, TAG),
        ("cccid_is_another", |part| part.cccid ^= 0x5555, None, TAG),
        ("datao_is_beyond", |part| part.datao = 2 * part.data.len() as u32, None, OUT_OF_RANGE),
        ("datao_is_huge", |part| part.datao = u32::MAX - 3, None, OUT_OF_RANGE),
        (
            "datao_skips_some",
            |part| {
                part.datao = 4;
                part.data = &part.data[4..];
            },
            None,
            OUT_OF_RANGE,
        ),
        ("datal_is_more_than_data", |part| part.datal = Some(part.data.len() as u32 + 4), None, LENGTH),
        ("datal_is_less_than_data", |part| part.datal = Some(part.data.len() as u32 - 4), None, LENGTH),
        ("hlen_23", |_| {}, Some((2, 23)), HEADER),
        ("hlen_72", |_| {}, Some((2, 72)), HEADER),
        ("pdo_0", |_| {}, Some((3, 0)), PDO),
        ("pdo_20", |_| {}, Some((3, 20)), PDO),
    ];
    fn provoke(lab: &mut Lab<'_>, change: Change, patch: Option<Patch>) -> Verdict<(Link, Session)> {
        let (sqe, data) = outgoing(lab)?;
        let mut session = lab.fresh()?;
        let (cntlid, wishes) = (session.cntlid, Wishes::default());
        let mut io = lab.target.connect_io(wishes, cntlid, 2)?;
        let cid = io.issue(sqe, Data::Out(&data))?;
        let r2t = io.requested(cid)?;
        let wanted = r2t.u32_at(16).min(io.link.agreed.h2c_data_bytes_max) as usize;
        let data = data.get(..wanted).unwrap_or(&data);
        let mut part = H2cData { cccid: cid, ttag: r2t.u16_at(10), datao: 0, datal: None, last: true, data };
        change(&mut part);
        let mut bytes = part.encode(&io.link.agreed);
        if let Some((at, value)) = patch {
            bytes[at] = value;
        }
        io.link.provoke(&bytes);
        // The association lives as long as its admin queue is kept.
        session.both()?;
        Ok((io.link, session))
    }
    let both = |(name, change, patch, errors): Row| {
        let key = format!("transfers/h2cdata_{name}");
        let end = move |lab: &mut Lab<'_>| {
            lab.end_of(&format!("transfers/h2cdata_{name}"), |lab| {
                let (mut link, _session) = provoke(lab, change, patch)?;
                link.end()
            })
        };
        [
            Check::new(key.clone(), H2C_DATA, DSM, move |lab| told(&end(lab)?, errors)),
            Check::new(format!("{key}_ends"), "TCP §3.5", DSM, move |lab| is_end(&end(lab)?)),
        ]
    };
    table.into_iter().flat_map(both).collect()
}

/// C2HData, seen on Identify and, in more than a page, on a log or a read.
fn to_host() -> Vec<Check> {
    type Field = (&'static str, fn(&[&Pdu]) -> Verdict);
    let fields: [Field; 9] = [
        ("c2hdata_hlen", |pdus| each(pdus, "HLEN 24", |pdu| pdu.hlen == 24)),
        ("c2hdata_datal_is_its_data", |pdus| {
            each(pdus, "DATAL as long as its data", |pdu| pdu.u32_at(16) == pdu.plen - u32::from(pdu.pdo))
        }),
        ("c2hdata_pdo_is_behind_the_header", |pdus| each(pdus, "PDO of 24 or more", |pdu| pdu.pdo >= 24)),
        ("c2hdata_reserved_bytes", |pdus| {
            each(pdus, "bytes 11:10 and 23:20 zero", |pdu| pdu.u16_at(10) == 0 && pdu.u32_at(20) == 0)
        }),
        ("c2hdata_follow_one_another", |pdus| {
            let mut at = 0;
            for pdu in pdus {
                expect_equal("DATAO", at, pdu.u32_at(12))?;
                at += pdu.u32_at(16);
            }
            Ok(())
        }),
        ("c2hdata_is_all_that_was_asked_for", |pdus| {
            expect_equal("bytes", 4096, pdus.iter().map(|pdu| pdu.u32_at(16)).sum::<u32>())
        }),
        ("c2hdata_last_has_last_pdu", |pdus| {
            expect(pdus.last().is_some_and(|pdu| pdu.flags & LAST_PDU != 0), "LAST_PDU", "none")
        }),
        ("c2hdata_only_the_last_has_last_pdu", |pdus| {
            each(&pdus[..pdus.len().saturating_sub(1)], "no LAST_PDU", |pdu| pdu.flags & LAST_PDU == 0)
        }),
        ("c2hdata_no_success_with_flow_control", |pdus| {
            each(pdus, "no SUCCESS while the queue has flow control", |pdu| pdu.flags & SUCCESS == 0)
        }),
    ];
    let check = |(name, judge): Field| {
        Check::new(format!("transfers/{name}"), C2H_DATA, &[], move |lab| {
            let answer = lab.admin(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            expect_success(&answer)?;
            let pdus: Vec<&Pdu> = answer.pdus.iter().filter(|pdu| pdu.is(PduType::C2H_DATA)).collect();
            judge(&pdus)
        })
    };
    let mut checks: Vec<Check> = fields.into_iter().map(check).collect();
    checks.extend(responses());
    checks
}

fn each(pdus: &[&Pdu], what: &str, holds: fn(&Pdu) -> bool) -> Verdict {
    match pdus.iter().find(|pdu| !holds(pdu)) {
        None => Ok(()),
        Some(pdu) => crate::check::fail(what, format_args!("header {:02x?}", pdu.header)),
    }
}

/// CapsuleResp and its entry.
fn responses() -> Vec<Check> {
    const CAPSULE_RESP: &str = "TCP §3.6.2.7";
    const ENTRY: &str = "Base §3.3.3.2";
    type Field = (&'static str, &'static str, fn(&Pdu) -> Verdict);
    let fields: [Field; 7] = [
        ("capsuleresp_hlen", CAPSULE_RESP, |pdu| expect_equal("HLEN", 24, pdu.hlen)),
        ("capsuleresp_plen", CAPSULE_RESP, |pdu| expect_equal("PLEN", 24, pdu.plen)),
        ("capsuleresp_pdo_is_reserved", CAPSULE_RESP, |pdu| expect_equal("PDO", 0, pdu.pdo)),
        ("capsuleresp_flags_are_reserved", CAPSULE_RESP, |pdu| expect_equal("FLAGS", 0, pdu.flags)),
        ("completion_status_success_is_zero", ENTRY, |pdu| {
            expect_equal("status field", 0, pdu.u16_at(22) >> 1)
        }),
        ("completion_sqid_is_reserved", ENTRY, |pdu| expect_equal("SQID", 0, pdu.u16_at(18))),
        ("completion_dword_0_of_identify_is_reserved", ENTRY, |pdu| {
            expect_equal("dword 0", 0, pdu.u32_at(8))
        }),
    ];
    let check = |(name, section, judge): Field| {
        Check::new(format!("transfers/{name}"), section, &[], move |lab| {
            let answer = lab.admin(sqe::identify(Cns::CONTROLLER, 0), Data::In(4096))?;
            match answer.pdus.last() {
                Some(pdu) if pdu.is(PduType::CAPSULE_RESP) => judge(pdu),
                _ => broken("no CapsuleResp"),
            }
        })
    };
    fields.into_iter().map(check).collect()
}
