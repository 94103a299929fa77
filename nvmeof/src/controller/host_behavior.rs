//! The Host Behavior Support feature: what the host says it can deal with (Base §5.1.25.1.14).

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::{
    Status,
    wire::admin::{CDFE_2, HostBehaviorSupport},
};

/// Its data: all zero until the host says otherwise.
#[derive(Debug, Clone)]
pub(super) struct HostBehavior(HostBehaviorSupport);

impl HostBehavior {
    pub(super) fn new() -> Self {
        Self(HostBehaviorSupport::new_zeroed())
    }

    /// Set Features. Only ACRE, ETDAS, LBAFEE and HDISNS that are 0 or 1, and copy formats that we have, mean something.
    pub(super) fn set(data: &[u8; HostBehaviorSupport::BYTES]) -> Result<Self, Status> {
        let value = HostBehaviorSupport::read_from_bytes(data).expect("the lengths are equal");
        let flags = [value.acre, value.etdas, value.lbafee, value.hdisns];
        if flags.iter().any(|&flag| flag > 1) || value.cdfe.get() & !CDFE_2 != 0 {
            return Err(Status::INVALID_FIELD);
        }
        let HostBehaviorSupport { acre, etdas, lbafee, hdisns, cdfe, .. } = value;
        Ok(Self(HostBehaviorSupport { acre, etdas, lbafee, hdisns, cdfe, ..Self::new().0 }))
    }

    /// Get Features.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether Copy takes descriptor format 2h, whose ranges name their namespaces.
    pub(super) fn copies_across(&self) -> bool {
        self.0.cdfe.get() & CDFE_2 != 0
    }
}
