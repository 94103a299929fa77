//! Identify: what the structures say, and what may be asked (Base §5.1.13, NVM §4.1.5).

use nvmeof::{
    Status,
    host::sqe,
    wire::{
        Sqe,
        admin::IdentifySqe,
        identify::{CNTRLTYPE_IO, IdentifyController, IdentifyNamespace, NIDT_CSI, NIDT_NGUID, NIDT_UUID},
        opcode::{Cns, NSID_ALL},
    },
};
use zerocopy::transmute;

use crate::{
    check::{Check, Need, Verdict, expect, expect_equal, expect_status, expect_success, expect_zero, skip},
    lab::Lab,
    queue::Data,
};

const CONTROLLER: &str = "Base §5.1.13.2.1";
const NAMESPACE: &str = "NVM §4.1.5.1";
const NS: &[Need] = &[Need::Namespace];

pub(super) fn checks() -> Vec<Check> {
    let mut checks = controller_fields();
    checks.extend(io_controller_fields());
    checks.extend(namespace_fields());
    checks.extend(namespaces());
    checks.extend(lists());
    checks.extend(descriptors());
    checks.extend(
        [0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x22, 0x30, 0x3F, 0x40, 0x7F, 0x80, 0xBF, 0xC0, 0xFE, 0xFF].map(
            |cns: u8| {
                Check::new(format!("identify/reserved_cns_{cns:02x}h"), "Base §5.1.13.1", &[], move |lab| {
                    let answer = lab.admin(sqe::identify(Cns(cns), 0), Data::In(4096))?;
                    expect_status(&answer, &[Status::INVALID_FIELD])
                })
            },
        ),
    );
    checks
}

fn identify(lab: &mut Lab<'_>, cns: Cns, nsid: u32) -> Verdict<Vec<u8>> {
    let answer = lab.admin(sqe::identify(cns, nsid), Data::In(4096))?;
    expect_success(&answer)?;
    expect_equal("bytes", 4096, answer.data.len())?;
    Ok(answer.data)
}

type Field<T> = (&'static str, fn(&T) -> Verdict);

/// What every controller of a fabric has.
fn controller_fields() -> Vec<Check> {
    let fields: [Field<IdentifyController>; 14] = [
        ("sn_is_ascii", |data| ascii(&data.sn)),
        ("mn_is_ascii", |data| ascii(&data.mn)),
        ("fr_is_ascii", |data| ascii(&data.fr)),
        ("cntrltype_is_reported", |data| {
            expect((1..=3).contains(&data.cntrltype), "1 to 3", format_args!("{}", data.cntrltype))
        }),
        ("ver_is_not_zero", |data| expect(data.ver.get() != 0, "a version", "VER 0")),
        ("ctratt_has_128_bit_host_identifiers", |data| {
            expect_equal("CTRATT bit 0", 1, data.ctratt.get() & 1)
        }),
        ("kas_is_not_zero", |data| expect(data.kas.get() > 0, "KAS above zero", "KAS 0")),
        ("maxcmd_is_not_zero", |data| expect(data.maxcmd.get() > 0, "MAXCMD above zero", "MAXCMD 0")),
        ("sgls_are_supported", |data| {
            let sgls = data.sgls.get();
            expect(matches!(sgls & 3, 1 | 2), "SGLS bits 1:0 of 01b or 10b", format_args!("SGLS {sgls:#x}"))
        }),
        ("sgls_reserved_bits", |data| expect_equal("SGLS bits 31:22", 0, data.sgls.get() >> 22)),
        ("subnqn_ends", |data| {
            expect(data.subnqn.contains(&0) && data.subnqn.starts_with(b"nqn."), "an NQN that ends", "none")
        }),
        ("reserved_bytes_1791_1024", |data| expect_zero("bytes 1791:1024", &data.reserved1024)),
        ("reserved_bytes_2047_1808", |data| expect_zero("bytes 2047:1808", &data.reserved1808)),
        ("fcatt_reserved_bits", |data| expect_equal("FCATT bits 7:1", 0, data.fcatt >> 1)),
    ];
    let mut checks: Vec<Check> = fields
        .into_iter()
        .map(|(name, judge)| {
            Check::new(format!("identify/{name}"), CONTROLLER, &[], move |lab| judge(&lab.facts.controller))
        })
        .collect();
    checks.push(Check::new("identify/subnqn_is_the_subsystem", CONTROLLER, &[], |lab| {
        let named = lab.target.subsystem.encode();
        // A discovery subsystem of a unique name answers to the well-known one too.
        expect(
            lab.facts.is_discovery() || named == lab.facts.controller.subnqn,
            "the name that was connected to",
            "another",
        )
    }));
    checks.push(Check::new("identify/controller_is_the_same_twice", CONTROLLER, &[], |lab| {
        let first = identify(lab, Cns::CONTROLLER, 0)?;
        expect(first == identify(lab, Cns::CONTROLLER, 0)?, "the same data", "other data")
    }));
    checks
}

fn ascii(text: &[u8]) -> Verdict {
    let wrong = text.iter().find(|&&byte| !(0x20..=0x7E).contains(&byte));
    expect(wrong.is_none(), "bytes 20h to 7Eh", format_args!("{text:02x?}"))
}

/// What a controller for I/O has.
fn io_controller_fields() -> Vec<Check> {
    let fields: [Field<IdentifyController>; 9] = [
        ("sqes_is_64_bytes", |data| {
            let sqes = data.sqes;
            expect(
                sqes & 0xF == 6 && sqes >> 4 >= 6,
                "at least 6, at most 6 or more",
                format_args!("{sqes:#x}"),
            )
        }),
        ("cqes_is_16_bytes", |data| {
            let cqes = data.cqes;
            expect(
                cqes & 0xF == 4 && cqes >> 4 >= 4,
                "at least 4, at most 4 or more",
                format_args!("{cqes:#x}"),
            )
        }),
        ("nn_is_not_zero", |data| expect(data.nn.get() > 0, "NN above zero", "NN 0")),
        ("mnan_is_at_most_nn", |data| {
            let (mnan, nn) = (data.mnan.get(), data.nn.get());
            expect(mnan <= nn, format_args!("MNAN up to {nn}"), format_args!("MNAN {mnan}"))
        }),
        ("ioccsz_has_room_for_an_entry", |data| {
            let ioccsz = data.ioccsz.get();
            expect(ioccsz >= 4, "IOCCSZ of 4 at least", format_args!("IOCCSZ {ioccsz}"))
        }),
        ("iorcsz_has_room_for_an_entry", |data| {
            let iorcsz = data.iorcsz.get();
            expect(iorcsz >= 1, "IORCSZ of 1 at least", format_args!("IORCSZ {iorcsz}"))
        }),
        ("cntrltype_is_io", |data| expect_equal("CNTRLTYPE", CNTRLTYPE_IO, data.cntrltype)),
        ("fuses_reserved_bits", |data| expect_equal("FUSES bits 15:1", 0, data.fuses.get() >> 1)),
        ("vwc_reserved_bits", |data| expect_equal("VWC bits 7:3", 0, data.vwc >> 3)),
    ];
    let mut checks: Vec<Check> = fields
        .into_iter()
        .map(|(name, judge)| {
            let needs = &[Need::Io];
            Check::new(format!("identify/{name}"), CONTROLLER, needs, move |lab| judge(&lab.facts.controller))
        })
        .collect();
    checks.push(Check::new("identify/anagrpmax_covers_nanagrpid", CONTROLLER, &[Need::Ana], |lab| {
        let data = &lab.facts.controller;
        let (max, groups) = (data.anagrpmax.get(), data.nanagrpid.get());
        expect(
            max >= groups && groups > 0,
            "ANAGRPMAX of NANAGRPID at least, and that above zero",
            format_args!("{max} and {groups}"),
        )
    }));
    checks.push(Check::new("identify/anatt_is_not_zero", CONTROLLER, &[Need::Ana], |lab| {
        expect(lab.facts.controller.anatt > 0, "ANATT above zero", "ANATT 0")
    }));
    checks
}

fn namespace_fields() -> Vec<Check> {
    let fields: [Field<IdentifyNamespace>; 8] = [
        ("nsze_is_ncap_at_least", |data| {
            let (nsze, ncap) = (data.nsze.get(), data.ncap.get());
            expect(nsze >= ncap, format_args!("NCAP up to {nsze}"), format_args!("NCAP {ncap}"))
        }),
        ("ncap_is_nuse_at_least", |data| {
            let (ncap, nuse) = (data.ncap.get(), data.nuse.get());
            expect(ncap >= nuse, format_args!("NUSE up to {ncap}"), format_args!("NUSE {nuse}"))
        }),
        ("flbas_names_a_format", |data| {
            let (index, formats_z) = (data.flbas & 0xF, data.nlbaf_z);
            expect(index <= formats_z, format_args!("at most {formats_z}"), format_args!("{index}"))
        }),
        ("lbads_is_512_bytes_at_least", |data| {
            let format = data.lbaf[usize::from(data.flbas & 0xF)];
            expect(format.lbads >= 9, "LBADS of 9 at least", format_args!("LBADS {}", format.lbads))
        }),
        ("flbas_reserved_bit", |data| expect_equal("FLBAS bit 7", 0, data.flbas >> 7)),
        ("nmic_reserved_bits", |data| expect_equal("NMIC bits 7:2", 0, data.nmic >> 2)),
        ("dps_is_a_type", |data| {
            expect(data.dps & 7 <= 3, "protection type 0 to 3", format_args!("DPS {:#x}", data.dps))
        }),
        ("dlfeat_is_a_value", |data| {
            expect(data.dlfeat & 7 <= 2, "read behaviour 0 to 2", format_args!("DLFEAT {:#x}", data.dlfeat))
        }),
    ];
    let mut checks: Vec<Check> = fields
        .into_iter()
        .map(|(name, judge)| {
            Check::new(format!("identify/{name}"), NAMESPACE, NS, move |lab| {
                judge(&lab.facts.namespace()?.identify)
            })
        })
        .collect();
    checks.push(Check::new("identify/anagrpid_is_valid", NAMESPACE, &[Need::Namespace, Need::Ana], |lab| {
        let group = lab.facts.namespace()?.identify.anagrpid.get();
        let max = lab.facts.controller.anagrpmax.get();
        expect((1..=max).contains(&group), format_args!("1 to {max}"), format_args!("ANAGRPID {group}"))
    }));
    checks
}

/// Namespaces that are there, and that are not.
fn namespaces() -> Vec<Check> {
    const INVALID: &[Status] = &[Status::INVALID_NAMESPACE_OR_FORMAT];
    let mut checks = Vec::new();
    for (name, cns) in [("00h", Cns::NAMESPACE), ("08h", Cns::INDEPENDENT_NAMESPACE)] {
        for (which, nsid) in [("0", 0), ("fffffffeh", NSID_ALL - 1)] {
            checks.push(Check::new(
                format!("identify/cns_{name}_nsid_{which}"),
                "Base §5.1.13.2",
                NS,
                move |lab| {
                    let answer = lab.admin(sqe::identify(cns, nsid), Data::In(4096))?;
                    if cns == Cns::INDEPENDENT_NAMESPACE && answer.status().code() == INVALID_FIELD {
                        return skip("this structure is not supported");
                    }
                    expect_status(&answer, INVALID)
                },
            ));
        }
        checks.push(Check::new(
            format!("identify/cns_{name}_of_an_inactive_namespace_is_zero"),
            "Base §5.1.13.2",
            NS,
            move |lab| {
                let nsid = inactive(lab)?;
                let answer = lab.admin(sqe::identify(cns, nsid), Data::In(4096))?;
                if cns == Cns::INDEPENDENT_NAMESPACE && answer.status().code() == INVALID_FIELD {
                    return skip("this structure is not supported");
                }
                expect_success(&answer)?;
                expect_zero("the structure", &answer.data)
            },
        ));
    }
    checks.push(Check::new("identify/cns_03h_nsid_0", "Base §5.1.13.2.3", NS, |lab| {
        expect_status(&lab.admin(sqe::identify(Cns::NAMESPACE_DESCRIPTORS, 0), Data::In(4096))?, INVALID)
    }));
    checks.push(Check::new("identify/cns_03h_of_an_inactive_namespace", "Base §5.1.13.2.3", NS, |lab| {
        let nsid = inactive(lab)?;
        expect_status(&lab.admin(sqe::identify(Cns::NAMESPACE_DESCRIPTORS, nsid), Data::In(4096))?, INVALID)
    }));
    checks
}

const INVALID_FIELD: u16 = 0x002;

/// A valid NSID that is not active.
fn inactive(lab: &mut Lab<'_>) -> Verdict<u32> {
    let active = nsids(&identify(lab, Cns::ACTIVE_NAMESPACES, 0)?);
    let nn = lab.facts.controller.nn.get();
    match (1..=nn.min(65_536)).rev().find(|nsid| !active.contains(nsid)) {
        Some(nsid) => Ok(nsid),
        None => skip("every namespace identifier is active"),
    }
}

fn nsids(list: &[u8]) -> Vec<u32> {
    list.chunks_exact(4)
        .map(|entry| u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]))
        .take_while(|&nsid| nsid != 0)
        .collect()
}

/// The Active Namespace ID list.
fn lists() -> Vec<Check> {
    const LIST: &str = "Base §5.1.13.2.2";
    vec![
        Check::new("identify/active_list_is_ascending", LIST, &[Need::Io], |lab| {
            let list = nsids(&identify(lab, Cns::ACTIVE_NAMESPACES, 0)?);
            expect(list.windows(2).all(|pair| pair[0] < pair[1]), "ascending NSIDs", format_args!("{list:?}"))
        }),
        Check::new("identify/active_list_has_the_namespace", LIST, NS, |lab| {
            let nsid = lab.facts.namespace()?.nsid;
            let list = nsids(&identify(lab, Cns::ACTIVE_NAMESPACES, 0)?);
            expect(list.contains(&nsid), format_args!("NSID {nsid}"), format_args!("{list:?}"))
        }),
        Check::new("identify/active_list_is_zero_behind_its_end", LIST, &[Need::Io], |lab| {
            let data = identify(lab, Cns::ACTIVE_NAMESPACES, 0)?;
            let end = nsids(&data).len() * 4;
            expect_zero("what follows the last NSID", &data[end..])
        }),
        Check::new("identify/active_list_is_above_the_nsid_given", LIST, NS, |lab| {
            let nsid = lab.facts.namespace()?.nsid;
            let list = nsids(&identify(lab, Cns::ACTIVE_NAMESPACES, nsid)?);
            expect(list.iter().all(|&other| other > nsid), "larger NSIDs", format_args!("{list:?}"))
        }),
        Check::new("identify/active_list_from_fffffffeh", LIST, &[Need::Io], |lab| {
            let answer = lab.admin(sqe::identify(Cns::ACTIVE_NAMESPACES, NSID_ALL - 1), Data::In(4096))?;
            expect_status(&answer, &[Status::INVALID_NAMESPACE_OR_FORMAT])
        }),
        Check::new("identify/active_list_from_ffffffffh", LIST, &[Need::Io], |lab| {
            let answer = lab.admin(sqe::identify(Cns::ACTIVE_NAMESPACES, NSID_ALL), Data::In(4096))?;
            expect_status(&answer, &[Status::INVALID_NAMESPACE_OR_FORMAT])
        }),
        Check::new("identify/command_set_list_of_an_unknown_set", "Base §5.1.13.2.7", &[Need::Io], |lab| {
            let mut sqe: IdentifySqe = transmute!(sqe::identify(Cns::COMMAND_SET_ACTIVE_NAMESPACES, 0));
            sqe.csi = 0x2F;
            let sqe: Sqe = transmute!(sqe);
            expect_status(&lab.admin(sqe, Data::In(4096))?, &[Status::INVALID_FIELD])
        }),
    ]
}

/// Namespace Identification Descriptors.
fn descriptors() -> Vec<Check> {
    const LIST: &str = "Base §5.1.13.2.3";
    type Judge = fn(&[(u8, Vec<u8>)], &IdentifyNamespace) -> Verdict;
    let judges: [(&str, Judge); 4] = [
        ("descriptors_have_their_lengths", |list, _| {
            let right = |(nidt, id): &(u8, Vec<u8>)| match nidt {
                1 => id.len() == 8,
                2 | 3 => id.len() == 16,
                4 => id.len() == 1,
                _ => false,
            };
            expect(list.iter().all(right), "NIDL as NIDT says", format_args!("{list:02x?}"))
        }),
        ("descriptors_come_once_each", |list, _| {
            let once =
                list.iter().all(|(nidt, _)| list.iter().filter(|(other, _)| other == nidt).count() == 1);
            expect(once, "each NIDT once", format_args!("{list:02x?}"))
        }),
        ("descriptors_have_an_identifier", |list, _| {
            let identified =
                list.iter().any(|(nidt, id)| *nidt != NIDT_CSI && id.iter().any(|&byte| byte != 0));
            expect(identified, "an EUI64, NGUID or UUID", format_args!("{list:02x?}"))
        }),
        ("nguid_is_the_same_in_both_structures", |list, namespace| {
            let Some((_, nguid)) = list.iter().find(|(nidt, _)| *nidt == NIDT_NGUID) else {
                return skip("there is no NGUID");
            };
            expect(nguid[..] == namespace.nguid, "one NGUID", "two")
        }),
    ];
    let mut checks: Vec<Check> = judges
        .into_iter()
        .map(|(name, judge)| {
            Check::new(format!("identify/{name}"), LIST, NS, move |lab| {
                let nsid = lab.facts.namespace()?.nsid;
                let data = identify(lab, Cns::NAMESPACE_DESCRIPTORS, nsid)?;
                judge(&parse(&data), &lab.facts.namespace()?.identify)
            })
        })
        .collect();
    checks.push(Check::new("identify/descriptors_have_the_command_set", LIST, NS, |lab| {
        if lab.facts.cap >> 43 & 1 == 0 {
            return skip("CAP.CSS does not offer command sets by identifier");
        }
        let nsid = lab.facts.namespace()?.nsid;
        let list = parse(&identify(lab, Cns::NAMESPACE_DESCRIPTORS, nsid)?);
        expect(list.iter().any(|(nidt, _)| *nidt == NIDT_CSI), "a CSI", format_args!("{list:02x?}"))
    }));
    checks.push(Check::new("identify/uuid_is_not_zero", LIST, NS, |lab| {
        let nsid = lab.facts.namespace()?.nsid;
        let list = parse(&identify(lab, Cns::NAMESPACE_DESCRIPTORS, nsid)?);
        match list.iter().find(|(nidt, _)| *nidt == NIDT_UUID) {
            Some((_, uuid)) => expect(uuid.iter().any(|&byte| byte != 0), "a UUID", "zeros"),
            None => skip("there is no UUID"),
        }
    }));
    checks
}

/// NIDT and identifier of each descriptor.
fn parse(data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut list, mut at) = (Vec::new(), 0);
    while let Some(&[nidt, nidl]) = data.get(at..at + 2) {
        let Some(id) = data.get(at + 4..at + 4 + usize::from(nidl)) else { break };
        if nidt == 0 || nidl == 0 {
            break;
        }
        list.push((nidt, id.to_vec()));
        at += 4 + usize::from(nidl);
    }
    list
}
