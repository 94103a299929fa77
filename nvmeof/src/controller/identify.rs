//! Identify (Base §5.1.13, NVM §4.1.5): builds the 4 KiB structures.

use zerocopy::{
    FromZeros, IntoBytes,
    little_endian::{U16, U32},
};

use super::{ControllerKind, Namespace, View, endurance::ENDURANCE_GROUP, error_log::ERROR_ENTRIES};
use crate::{
    Status,
    command::{Identify, Instance},
    limits,
    wire::{
        identify::{
            CDFS_0, CDFS_2, CMIC_ANA, CMIC_CONTROLLERS, CMIC_PORTS, CNTRLTYPE_DISCOVERY, CNTRLTYPE_IO,
            CTRATT_ENDURANCE_GROUPS, CTRATT_HOST_ID_128, CTRATT_TBKAS, DCTYPE_DIRECT, DLFEAT_ZEROES,
            FUSES_COMPARE_AND_WRITE, IdentifyController, IdentifyNamespace, IndependentNamespace,
            LPA_EFFECTS, LPA_EXTENDED, LPA_SUPPORTED_PAGES, LPA_TELEMETRY, LbaFormat, NIDT_CSI, NIDT_NGUID,
            NIDT_UUID, NMIC_SHARED, NSATTR_WRITE_PROTECTED, NSFEAT_INDEPENDENT_NO_CACHE, NSFEAT_NSABP,
            NSFEAT_OPTPERF, NSFEAT_THIN, NSTAT_READY, NvmController, OACS_GET_LBA_STATUS, OAES_ANA_CHANGE,
            OAES_DISCOVERY_CHANGE, OAES_NAMESPACE_ATTRIBUTE, ONCS_COMPARE, ONCS_COPY, ONCS_DSM,
            ONCS_RESERVATIONS, ONCS_SAVE_AND_SELECT, ONCS_TIMESTAMP, ONCS_VERIFY, ONCS_WRITE_UNCORRECTABLE,
            ONCS_WRITE_ZEROES, SGLS_OFFSET, SGLS_SUPPORTED, SGLS_TRANSPORT, VWC_FLUSH_ALL, VWC_PRESENT,
        },
        opcode::{CSI_NVM, Cns, NSID_ALL},
        property::VERSION_2_1,
        reservation::RESCAP_ALL,
    },
};

/// The composite temperatures, in kelvins, from which a host may worry.
pub(super) const WCTEMP: u16 = 343;
const CCTEMP: u16 = 353;

/// Appends the structure that `command` asks for.
pub(super) fn identify(
    command: &Identify,
    kind: ControllerKind,
    identity: (u16, Instance),
    view: &View<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    if kind == ControllerKind::Discovery && command.cns != Cns::CONTROLLER {
        return Err(Status::INVALID_FIELD);
    }
    match command.cns {
        Cns::CONTROLLER => out.extend_from_slice(controller(kind, identity, view).as_bytes()),
        Cns::NAMESPACE => match active(command.nsid, view)? {
            Some(namespace) => out.extend_from_slice(nvm_namespace(&namespace).as_bytes()),
            None => zeros(out),
        },
        Cns::INDEPENDENT_NAMESPACE => match active(command.nsid, view)? {
            Some(namespace) => out.extend_from_slice(independent_namespace(&namespace).as_bytes()),
            None => zeros(out),
        },
        // What it would say is about protection information alone.
        Cns::COMMAND_SET_NAMESPACE => {
            nvm_command_set(command.csi)?;
            active(command.nsid, view)?;
            zeros(out);
        }
        Cns::COMMAND_SET_CONTROLLER => {
            nvm_command_set(command.csi)?;
            let mut data = NvmController::new_zeroed();
            data.vsl = limits::VSL;
            data.wzsl = limits::WZSL;
            data.wusl = limits::WUSL;
            data.dmrl = limits::DMRL;
            data.dmrsl = limits::DMRSL.into();
            data.dmsl = u64::from(limits::DMRSL).into();
            out.extend_from_slice(data.as_bytes());
        }
        Cns::ACTIVE_NAMESPACES => active_namespaces(command.nsid, view, out)?,
        Cns::COMMAND_SET_ACTIVE_NAMESPACES => {
            nvm_command_set(command.csi)?;
            active_namespaces(command.nsid, view, out)?;
        }
        Cns::NAMESPACE_DESCRIPTORS => {
            let namespace = view.namespaces.get(command.nsid).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?;
            descriptors(&namespace, out);
        }
        Cns::COMMAND_SETS => {
            // One combination: the NVM command set alone.
            let start = out.len();
            zeros(out);
            out[start] = 1 << CSI_NVM;
        }
        Cns::ENDURANCE_GROUPS => {
            // Those from CNSSID on: their number, then they.
            let start = out.len();
            zeros(out);
            if command.cnssid <= ENDURANCE_GROUP {
                out[start..][..4].copy_from_slice([U16::new(1), U16::new(ENDURANCE_GROUP)].as_bytes());
            }
        }
        _ => return Err(Status::INVALID_FIELD),
    }
    Ok(())
}

fn zeros(out: &mut Vec<u8>) {
    out.resize(out.len() + 4096, 0);
}

fn nvm_command_set(csi: u8) -> Result<(), Status> {
    if csi == CSI_NVM { Ok(()) } else { Err(Status::INVALID_FIELD) }
}

/// The namespace, or `None` for an inactive one, whose structures are all zero.
fn active(nsid: u32, view: &View<'_>) -> Result<Option<Namespace>, Status> {
    if nsid == 0 || nsid > limits::NAMESPACES_MAX {
        return Err(Status::INVALID_NAMESPACE_OR_FORMAT);
    }
    Ok(view.namespaces.get(nsid))
}

fn active_namespaces(above: u32, view: &View<'_>, out: &mut Vec<u8>) -> Result<(), Status> {
    if above >= NSID_ALL - 1 {
        return Err(Status::INVALID_NAMESPACE_OR_FORMAT);
    }
    let start = out.len();
    for nsid in view.namespaces.nsids().into_iter().filter(|&nsid| nsid > above).take(1024) {
        out.extend_from_slice(U32::new(nsid).as_bytes());
    }
    out.resize(start + 4096, 0);
    Ok(())
}

/// The namespace identification descriptors: UUID, NGUID and the command set.
fn descriptors(namespace: &Namespace, out: &mut Vec<u8>) {
    let start = out.len();
    let mut add = |nidt: u8, id: &[u8]| {
        out.extend_from_slice(&[nidt, id.len() as u8, 0, 0]);
        out.extend_from_slice(id);
    };
    add(NIDT_UUID, namespace.uuid.as_bytes());
    add(NIDT_NGUID, &namespace.nguid);
    add(NIDT_CSI, &[CSI_NVM]);
    out.resize(start + 4096, 0);
}

/// Space-padded ASCII, as serial and model numbers are.
fn ascii<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (byte, character) in field.iter_mut().zip(text.bytes()) {
        *byte = if character.is_ascii_graphic() { character } else { b' ' };
    }
    field
}

fn controller(
    kind: ControllerKind,
    (cntlid, instance): (u16, Instance),
    view: &View<'_>,
) -> IdentifyController {
    let mut data = IdentifyController::new_zeroed();
    let subsystem = view.subsystem;
    data.sn = ascii(&subsystem.serial);
    data.mn = ascii(&subsystem.model);
    data.fr = ascii(&subsystem.firmware);
    data.mdts = limits::MDTS;
    data.cntlid = cntlid.into();
    data.ciu = instance.ciu;
    data.cirn = instance.cirn.into();
    data.ver = VERSION_2_1.into();
    data.ctratt = (CTRATT_HOST_ID_128 | CTRATT_TBKAS).into();
    data.aerl_z = limits::ASYNC_EVENTS_MAX - 1;
    data.elpe_z = ERROR_ENTRIES as u8 - 1;
    data.acl_z = limits::ABORTS_MAX - 1;
    data.lpa = LPA_EXTENDED | LPA_SUPPORTED_PAGES;
    data.kas = limits::KEEP_ALIVE_GRANULARITY.into();
    data.maxcmd = limits::QUEUE_ENTRIES_MAX.into();
    data.sgls = (SGLS_SUPPORTED | SGLS_OFFSET | SGLS_TRANSPORT).into();
    data.subnqn = subsystem.nqn.encode();
    data.ioccsz = ((64 + limits::IN_CAPSULE_BYTES_MAX) / 16).into();
    data.iorcsz = 1.into();
    data.msdbd = 1;
    match kind {
        ControllerKind::Discovery => {
            data.cntrltype = CNTRLTYPE_DISCOVERY;
            data.dctype = DCTYPE_DIRECT;
            data.oaes = OAES_DISCOVERY_CHANGE.into();
        }
        ControllerKind::Io => io_controller(&mut data, view),
    }
    data
}

/// The part that a discovery controller does not have.
fn io_controller(data: &mut IdentifyController, view: &View<'_>) {
    /// ANA: all five states are reported; a group never changes while attached.
    const ANACAP: u8 = 0b1_1111 | 1 << 6;
    /// Firmware slot 1 is read-only, and the only one.
    const FRMW: u8 = 1 << 0 | 1 << 1;
    /// Disconnect is supported.
    const OFCS: u16 = 1 << 0;
    data.cntrltype = CNTRLTYPE_IO;
    data.cmic = CMIC_PORTS | CMIC_CONTROLLERS | CMIC_ANA;
    data.oaes = (OAES_NAMESPACE_ATTRIBUTE | OAES_ANA_CHANGE).into();
    data.lpa |= LPA_EFFECTS | LPA_TELEMETRY;
    data.ctratt = (data.ctratt.get() | CTRATT_ENDURANCE_GROUPS).into();
    data.endgidmax = ENDURANCE_GROUP.into();
    data.frmw = FRMW;
    data.wctemp = WCTEMP.into();
    data.cctemp = CCTEMP.into();
    data.anatt = 10;
    data.anacap = ANACAP;
    data.anagrpmax = limits::NAMESPACES_MAX.into();
    data.nanagrpid = limits::NAMESPACES_MAX.into();
    data.cqt = view.subsystem.quiesce_ms.into();
    data.sqes = 0x66;
    data.cqes = 0x44;
    data.nn = limits::NAMESPACES_MAX.into();
    data.mnan = limits::NAMESPACES_MAX.into();
    data.oacs = OACS_GET_LBA_STATUS.into();
    data.oncs = (ONCS_COMPARE
        | ONCS_WRITE_UNCORRECTABLE
        | ONCS_RESERVATIONS
        | ONCS_DSM
        | ONCS_WRITE_ZEROES
        | ONCS_SAVE_AND_SELECT
        | ONCS_TIMESTAMP
        | ONCS_VERIFY
        | ONCS_COPY)
        .into();
    // ACWU stays zero, one block; a namespace that promises more says so.
    data.fuses = FUSES_COMPARE_AND_WRITE.into();
    data.cdfs = (CDFS_0 | CDFS_2).into();
    // Equal on every node of an NQN (H2), so it does not follow the drives: each namespace says its own.
    data.vwc = VWC_PRESENT | VWC_FLUSH_ALL;
    data.ofcs = OFCS.into();
    data.ccrl = limits::CROSS_CONTROLLER_RESETS_MAX;
}

fn nvm_namespace(namespace: &Namespace) -> IdentifyNamespace {
    let mut data = IdentifyNamespace::new_zeroed();
    data.nsze = namespace.size_blocks.into();
    data.ncap = namespace.size_blocks.into();
    data.nmic = NMIC_SHARED;
    data.rescap = if namespace.has_reservations { RESCAP_ALL } else { 0 };
    data.dlfeat = DLFEAT_ZEROES;
    data.mssrl = ((limits::COPY_RANGE_BYTES_MAX / namespace.block_bytes) as u16).into();
    data.mcl = (limits::COPY_BYTES_MAX / namespace.block_bytes).into();
    data.msrc_z = (limits::COPY_RANGES_MAX - 1) as u8;
    data.anagrpid = namespace.nsid.into();
    data.endgid = ENDURANCE_GROUP.into();
    data.nguid = namespace.nguid;
    if namespace.ana_state.knows_capacity() {
        data.nuse = namespace.used_blocks.min(namespace.size_blocks).into();
        data.nvmcap = (u128::from(namespace.size_blocks) * u128::from(namespace.block_bytes)).to_le_bytes();
    }
    if namespace.thin {
        data.nsfeat |= NSFEAT_THIN;
    }
    if namespace.read_only {
        data.nsattr = NSATTR_WRITE_PROTECTED;
    }
    data.lbaf[0] = LbaFormat { ms: 0.into(), lbads: namespace.block_bytes.trailing_zeros() as u8, rp: 0 };
    if namespace.atomic_4k {
        // Below 4 KiB the engine reads, changes and writes whole 4 KiB blocks: say what suits it, but only where
        // such a block cannot tear (E8). NOIOB stays zero: crossing an extent costs less than a split command.
        let block_z = (4096 / namespace.block_bytes - 1) as u16;
        let extent_z = (65536 / namespace.block_bytes - 1) as u16;
        data.nsfeat |= NSFEAT_NSABP | NSFEAT_OPTPERF;
        data.nawun_z = block_z.into();
        data.nawupf_z = block_z.into();
        data.nacwu_z = block_z.into();
        data.nabsn_z = block_z.into();
        data.nabspf_z = block_z.into();
        data.npwg_z = block_z.into();
        data.npwa_z = block_z.into();
        data.npdg_z = block_z.into();
        data.npda_z = block_z.into();
        data.nows_z = extent_z.into();
    }
    data
}

fn independent_namespace(namespace: &Namespace) -> IndependentNamespace {
    let mut data = IndependentNamespace::new_zeroed();
    data.nmic = NMIC_SHARED;
    data.rescap = if namespace.has_reservations { RESCAP_ALL } else { 0 };
    data.anagrpid = namespace.nsid.into();
    data.endgid = ENDURANCE_GROUP.into();
    data.nstat = NSTAT_READY;
    if namespace.read_only {
        data.nsattr = NSATTR_WRITE_PROTECTED;
    }
    if !namespace.volatile_cache {
        data.nsfeat |= NSFEAT_INDEPENDENT_NO_CACHE;
    }
    data
}
