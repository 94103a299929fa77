//! Which features there are: what is accepted, what Get Features says of them, and the Feature Identifiers Supported
//! and Effects log all come from this table (Base §5.1.11, §5.1.12.1.18).

use zerocopy::{IntoBytes, little_endian::U32};

use super::ControllerKind;
use crate::{
    Status,
    wire::{admin::HostBehaviorSupport, opcode::FeatureId},
};

/// What a feature belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Controller,
    /// Each namespace has its own value.
    Namespace,
}

/// One feature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feature {
    pub(super) id: FeatureId,
    pub(super) scope: Scope,
    /// Set Features may change it.
    changeable: bool,
    /// Bytes of its value where that is data; zero where it is dword 0.
    pub(super) data_bytes: u32,
    /// A discovery controller has it, too.
    discovery: bool,
}

const fn number(id: FeatureId) -> Feature {
    Feature { id, scope: Scope::Controller, changeable: true, data_bytes: 0, discovery: false }
}

const fn of_namespace(id: FeatureId) -> Feature {
    Feature { scope: Scope::Namespace, ..number(id) }
}

const TABLE: [Feature; 15] = [
    number(FeatureId::ARBITRATION),
    number(FeatureId::POWER_MANAGEMENT),
    number(FeatureId::TEMPERATURE_THRESHOLD),
    number(FeatureId::ERROR_RECOVERY),
    number(FeatureId::VOLATILE_WRITE_CACHE),
    number(FeatureId::NUMBER_OF_QUEUES),
    number(FeatureId::WRITE_ATOMICITY),
    Feature { discovery: true, ..number(FeatureId::ASYNC_EVENT_CONFIGURATION) },
    Feature { data_bytes: 8, ..number(FeatureId::TIMESTAMP) },
    Feature { discovery: true, ..number(FeatureId::KEEP_ALIVE_TIMER) },
    Feature { data_bytes: HostBehaviorSupport::BYTES as u32, ..number(FeatureId::HOST_BEHAVIOR_SUPPORT) },
    number(FeatureId::COMMAND_SET_PROFILE),
    // Connect gave it for good (Base §5.1.25.1.28).
    Feature { changeable: false, data_bytes: 16, ..number(FeatureId::HOST_IDENTIFIER) },
    of_namespace(FeatureId::RESERVATION_NOTIFICATION_MASK),
    of_namespace(FeatureId::RESERVATION_PERSISTENCE),
];

impl Feature {
    /// The feature of that identifier, or Invalid Field in Command.
    pub(super) fn find(id: FeatureId, kind: ControllerKind) -> Result<&'static Self, Status> {
        let found = TABLE.iter().find(|feature| feature.id == id);
        found.filter(|feature| feature.discovery || kind == ControllerKind::Io).ok_or(Status::INVALID_FIELD)
    }

    /// Dword 0 of Get Features with Select 011b. Nothing is saveable.
    pub(super) fn capabilities(&self) -> u32 {
        const NAMESPACE_SPECIFIC: u32 = 1 << 1;
        const CHANGEABLE: u32 = 1 << 2;
        let namespace_specific = u32::from(self.scope == Scope::Namespace) * NAMESPACE_SPECIFIC;
        namespace_specific | (u32::from(self.changeable) * CHANGEABLE)
    }

    /// Its dword of the Feature Identifiers Supported and Effects log.
    fn effects(&self) -> u32 {
        const FSUPP: u32 = 1;
        const SCOPE_NAMESPACE: u32 = 1 << 20;
        const SCOPE_CONTROLLER: u32 = 1 << 21;
        match self.scope {
            Scope::Namespace => FSUPP | SCOPE_NAMESPACE,
            Scope::Controller => FSUPP | SCOPE_CONTROLLER,
        }
    }
}

/// The Feature Identifiers Supported and Effects log of an I/O controller.
pub(super) fn effects_log() -> Vec<u8> {
    let mut page = vec![0; 1024];
    for feature in &TABLE {
        let entry = usize::from(feature.id.0) * size_of::<U32>();
        page[entry..][..size_of::<U32>()].copy_from_slice(U32::new(feature.effects()).as_bytes());
    }
    page
}
