//! Get and Set Features: which value a command means, the controller's or a namespace's (Base §5.1.11, §5.1.25).

use std::time::Duration;

use super::{
    AdminReply, Controller, ControllerKind, Namespace, View,
    features::{Others, SetEffect, is_of_namespace},
    keep_alive::KeepAlive,
};
use crate::{
    Status,
    command::{DataPointer, FeatureSelect},
    wire::opcode::{FeatureId, NSID_ALL},
};

/// A Set Features command, but for the Save bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    pub(super) feature: FeatureId,
    pub(super) nsid: u32,
    pub(super) value: u32,
}

impl Controller {
    pub(super) fn get_feature(
        &mut self,
        (feature, select): (FeatureId, FeatureSelect),
        nsid: u32,
        data: DataPointer,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Result<AdminReply, Status> {
        if feature == FeatureId::HOST_IDENTIFIER {
            if select == FeatureSelect::Current {
                data.check_to_host(16)?;
                out.extend_from_slice(self.host.id.as_bytes());
            }
            return done(0);
        }
        if is_of_namespace(feature) && self.kind == ControllerKind::Io {
            let namespace = view.namespace(nsid).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?;
            return done(self.feature_of_namespace(feature, select, namespace));
        }
        let kato_ms = self.keep_alive.timeout_ms();
        let others = Others { events_enabled: &mut self.events.enabled, kato_ms };
        done(self.features.get(feature, select, self.kind, &others)?)
    }

    fn feature_of_namespace(&self, feature: FeatureId, select: FeatureSelect, namespace: &Namespace) -> u32 {
        /// Changeable and of one namespace; never saveable.
        const CAPABILITIES: u32 = 1 << 2 | 1 << 1;
        match select {
            FeatureSelect::SupportedCapabilities => CAPABILITIES,
            FeatureSelect::Default | FeatureSelect::Saved => 0,
            FeatureSelect::Current if feature == FeatureId::RESERVATION_PERSISTENCE => {
                u32::from(namespace.reservations_persist)
            }
            FeatureSelect::Current => self.reservations.mask(namespace.nsid),
        }
    }

    pub(super) fn set_feature(
        &mut self,
        now: Duration,
        Setting { feature, nsid, value }: Setting,
        view: &View<'_>,
    ) -> Result<AdminReply, Status> {
        if is_of_namespace(feature) && self.kind == ControllerKind::Io {
            return self.set_feature_of_namespaces(feature, nsid, value, view);
        }
        if !matches!(nsid, 0 | NSID_ALL) {
            return Err(Status::FEATURE_NOT_NAMESPACE_SPECIFIC);
        }
        let kato_ms = self.keep_alive.timeout_ms();
        let others = Others { events_enabled: &mut self.events.enabled, kato_ms };
        match self.features.set(feature, value, self.kind, others)? {
            SetEffect::Result(result) => done(result),
            SetEffect::KeepAliveTimer { kato_ms } => {
                self.keep_alive = KeepAlive::new(kato_ms, now);
                done(0)
            }
        }
    }

    fn set_feature_of_namespaces(
        &mut self,
        feature: FeatureId,
        nsid: u32,
        value: u32,
        view: &View<'_>,
    ) -> Result<AdminReply, Status> {
        let meant: Vec<u32> = match nsid {
            NSID_ALL => view.namespaces.iter().map(|namespace| namespace.nsid).collect(),
            one => vec![view.namespace(one).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?.nsid],
        };
        if feature == FeatureId::RESERVATION_PERSISTENCE {
            return Ok(AdminReply::PersistReservations { nsids: meant, persistent: value & 1 != 0 });
        }
        for nsid in meant {
            self.reservations.set_mask(nsid, value);
        }
        done(0)
    }
}

fn done(result: u32) -> Result<AdminReply, Status> {
    Ok(AdminReply::Complete { status: Status::SUCCESS, result: u64::from(result) })
}
