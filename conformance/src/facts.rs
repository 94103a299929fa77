//! What the target says of itself, asked once before the first check.

use nvmeof::{
    Nqn, Status,
    host::sqe,
    wire::{
        connect::{AUTHENTICATION_REQUIRED, CNTLID_DYNAMIC},
        identify::{
            CNTRLTYPE_DISCOVERY, FUSES_COMPARE_AND_WRITE, IdentifyController, IdentifyNamespace,
            ONCS_COMPARE, ONCS_COPY, ONCS_DSM, ONCS_RESERVATIONS, ONCS_VERIFY, ONCS_WRITE_ZEROES,
        },
        opcode::{Cns, LogPageId},
        property::Property,
    },
};
use zerocopy::{FromBytes, FromZeros};

use crate::{
    check::{Need, Verdict, broken, expect_success},
    lab::{Session, Target},
    limits,
    pdu::Wishes,
    queue::Data,
};

/// The survey's result.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) controller: Box<IdentifyController>,
    /// CAP.
    pub(crate) cap: u64,
    /// The namespace to work with.
    pub(crate) namespace: Option<Namespace>,
    /// Commands Supported and Effects, if there is that log.
    pub(crate) effects: Option<Vec<u8>>,
    /// Supported Log Pages, if there is that log.
    pub(crate) supported_pages: Option<Vec<u8>>,
    header_digest: bool,
    data_digest: bool,
    has_discovery: bool,
    may_write: bool,
    has_second_host: bool,
    asks_for_authentication: bool,
    has_controller_secret: bool,
}

/// The namespace that I/O checks use.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    pub(crate) nsid: u32,
    pub(crate) identify: Box<IdentifyNamespace>,
    /// NSZE.
    pub(crate) blocks: u64,
    pub(crate) block_bytes: u32,
    /// Bytes of metadata with each block.
    metadata_bytes: u16,
}

/// What the user allows and names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) nsid: Option<u32>,
    pub(crate) write: bool,
    pub(crate) second_host: bool,
}

impl Facts {
    /// Asks the target; an error means that no check can be run.
    pub(crate) fn survey(target: &Target, allowed: Allowed) -> Verdict<Self> {
        let (asked, answer) = target.knock(Wishes::default(), CNTLID_DYNAMIC, 0)?;
        drop(asked);
        let mut session = target.session(Wishes::default(), false)?;
        let admin = &mut session.admin;
        let cap = admin.command(sqe::property_get(Property::CAP), Data::None)?;
        expect_success(&cap)?;
        let controller = identify(&mut session, Cns::CONTROLLER, 0)?;
        let Ok(controller) = IdentifyController::read_from_bytes(&controller) else {
            return broken("Identify Controller is too short");
        };
        let namespace = match controller.cntrltype {
            CNTRLTYPE_DISCOVERY => None,
            _ => find_namespace(&mut session, allowed.nsid)?,
        };
        let header = target.open()?.initialize(Wishes { header_digest: true, ..Wishes::default() })?;
        let data = target.open()?.initialize(Wishes { data_digest: true, ..Wishes::default() })?;
        let dgst = |response: &crate::link::Pdu| response.header.get(11).copied().unwrap_or(0);
        Ok(Self {
            controller: Box::new(controller),
            cap: cap.result(),
            namespace,
            effects: log(&mut session, LogPageId::COMMAND_EFFECTS, 4096)?,
            supported_pages: log(&mut session, LogPageId::SUPPORTED_LOG_PAGES, 1024)?,
            header_digest: dgst(&header) & 1 != 0,
            data_digest: dgst(&data) & 2 != 0,
            has_discovery: has_discovery(target),
            may_write: allowed.write,
            has_second_host: allowed.second_host,
            asks_for_authentication: answer.dword0() & AUTHENTICATION_REQUIRED != 0,
            has_controller_secret: target
                .credentials
                .as_ref()
                .is_some_and(|known| known.controller.is_some()),
        })
    }

    pub(crate) fn is_discovery(&self) -> bool {
        self.controller.cntrltype == CNTRLTYPE_DISCOVERY
    }

    /// The namespace; checks that use it need [`Need::Namespace`].
    pub(crate) fn namespace(&self) -> Verdict<&Namespace> {
        self.namespace.as_ref().map_or_else(|| broken("there is no namespace"), Ok)
    }

    /// Largest transfer in bytes (MDTS), if there is a limit.
    pub(crate) fn transfer_bytes_max(&self) -> Option<u64> {
        let page_bytes = 4096_u64 << (self.cap >> 48 & 0xF);
        match self.controller.mdts {
            0 => None,
            mdts => page_bytes.checked_shl(u32::from(mdts)),
        }
    }

    /// Data that a capsule of an I/O queue may carry, in bytes (IOCCSZ).
    pub(crate) fn in_capsule_bytes(&self) -> u32 {
        (self.controller.ioccsz.get().saturating_mul(16)).saturating_sub(64).min(1 << 20)
    }

    /// Why a need is not met, if so.
    pub(crate) fn lacks(&self, need: Need) -> Option<&'static str> {
        let (met, why) = match need {
            Need::Write => (self.may_write, "it writes: give --write"),
            Need::Io => (!self.is_discovery(), "this is a discovery controller"),
            Need::Namespace => {
                self.namespace.as_ref().map_or((false, "the host has no namespace here"), |namespace| {
                    (namespace.metadata_bytes == 0, "the namespace has metadata")
                })
            }
            Need::Compare => (self.offers(ONCS_COMPARE), "no Compare (ONCS)"),
            Need::Verify => (self.offers(ONCS_VERIFY), "no Verify (ONCS)"),
            Need::WriteZeroes => (self.offers(ONCS_WRITE_ZEROES), "no Write Zeroes (ONCS)"),
            Need::Deallocate => (self.offers(ONCS_DSM), "no Dataset Management (ONCS)"),
            Need::Copy => (self.offers(ONCS_COPY), "no Copy (ONCS)"),
            Need::Fused => (
                self.controller.fuses.get() & FUSES_COMPARE_AND_WRITE != 0,
                "no fused Compare and Write (FUSES)",
            ),
            Need::Reservations => (self.offers(ONCS_RESERVATIONS), "no reservations (ONCS)"),
            Need::SecondHost => (self.has_second_host, "it needs two hosts: give --second-host-nqn"),
            Need::Ana => (self.controller.cmic & 1 << 3 != 0, "no ANA reporting (CMIC)"),
            Need::Discovery => (self.has_discovery, "no discovery subsystem at this address"),
            Need::HeaderDigest => (self.header_digest, "the target does not agree to header digests"),
            Need::DataDigest => (self.data_digest, "the target does not agree to data digests"),
            Need::Effects => (self.effects.is_some(), "no Commands Supported and Effects log"),
            Need::SupportedPages => (self.supported_pages.is_some(), "no Supported Log Pages log"),
            Need::Authentication => {
                (self.asks_for_authentication, "the target does not ask for authentication (AUTHREQ)")
            }
            Need::ControllerSecret => {
                (self.has_controller_secret, "it needs the controller's secret: give --dhchap-ctrl-secret")
            }
        };
        (!met).then_some(why)
    }

    fn offers(&self, oncs: u16) -> bool {
        self.controller.oncs.get() & oncs != 0
    }
}

fn identify(session: &mut Session, cns: Cns, nsid: u32) -> Verdict<Vec<u8>> {
    let answer = session.admin.command(sqe::identify(cns, nsid), Data::In(4096))?;
    expect_success(&answer)?;
    Ok(answer.data)
}

/// The namespace that the user named, or the first.
fn find_namespace(session: &mut Session, named: Option<u32>) -> Verdict<Option<Namespace>> {
    let nsid = match named {
        Some(nsid) => nsid,
        None => {
            let list = identify(session, Cns::ACTIVE_NAMESPACES, 0)?;
            list.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
        }
    };
    if nsid == 0 {
        return Ok(None);
    }
    let data = identify(session, Cns::NAMESPACE, nsid)?;
    let mut namespace = IdentifyNamespace::new_zeroed();
    if let Ok(read) = IdentifyNamespace::read_from_bytes(&data) {
        namespace = read;
    }
    let index = usize::from(namespace.flbas & 0xF | namespace.flbas >> 1 & 0x30);
    let format = namespace.lbaf[index.min(63)];
    if namespace.nsze.get() == 0 || !(9..=16).contains(&format.lbads) {
        return broken(format_args!(
            "namespace {nsid} has {} blocks of 2^{} bytes",
            namespace.nsze.get(),
            format.lbads
        ));
    }
    Ok(Some(Namespace {
        nsid,
        blocks: namespace.nsze.get(),
        block_bytes: 1 << format.lbads,
        metadata_bytes: format.ms.get(),
        identify: Box::new(namespace),
    }))
}

/// A log page, if the controller has it.
fn log(session: &mut Session, page: LogPageId, len: u32) -> Verdict<Option<Vec<u8>>> {
    let mut get = sqe::get_log_page(page, 0, len);
    // Both pages are the controller's.
    get.nsid = 0.into();
    let answer = session.admin.command(get, Data::In(len))?;
    Ok((answer.status() == Status::SUCCESS).then_some(answer.data))
}

/// Whether the same address answers for the discovery subsystem.
fn has_discovery(target: &Target) -> bool {
    let Ok(subsystem) = Nqn::new(Nqn::DISCOVERY) else { return false };
    Target { subsystem, ..target.clone() }.session(Wishes::default(), false).is_ok()
}

impl Namespace {
    /// Blocks in `bytes`, one at least.
    pub(crate) fn blocks_in(&self, bytes: u64) -> u32 {
        (bytes / u64::from(self.block_bytes)).max(1) as u32
    }

    /// The first of the last blocks, which checks that write use and put back.
    pub(crate) fn scratch_lba(&self) -> u64 {
        self.blocks.saturating_sub(u64::from(self.blocks_in(limits::SCRATCH_BYTES)))
    }
}
