//! Get and Set Features: which value a command means, the controller's or a namespace's (Base §5.1.11, §5.1.25).

use std::time::Duration;

use super::{
    AdminReply, Controller, Namespace, View, ana,
    feature_table::{Feature, Scope},
    features::{Features, events_offered},
    host_behavior::HostBehavior,
    keep_alive::KeepAlive,
    timestamp::Timestamp,
};
use crate::{
    Status,
    command::{DataPointer, FeatureSelect},
    wire::opcode::{FeatureId, NSID_ALL},
};

/// A Get Features command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) feature: FeatureId,
    pub(super) select: FeatureSelect,
    pub(super) nsid: u32,
    /// Dword 11: which of several values.
    pub(super) choice: u32,
    pub(super) pointer: DataPointer,
}

/// A Set Features command, but for the Save bit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) feature: FeatureId,
    pub(super) nsid: u32,
    pub(super) value: u32,
    pub(super) pointer: DataPointer,
    /// What the host sent.
    pub(super) data: &'a [u8],
}

impl Controller {
    pub(super) fn get_feature(
        &self,
        now: Duration,
        question: Question,
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Result<AdminReply, Status> {
        let feature = Feature::find(question.feature, self.kind)?;
        if question.select == FeatureSelect::SupportedCapabilities {
            return done(feature.capabilities());
        }
        // Nothing is saveable, so that saved values are the default ones.
        let is_current = question.select == FeatureSelect::Current;
        if feature.data_bytes > 0 {
            question.pointer.check_to_host(feature.data_bytes)?;
            let value = self.feature_data(&question, now)?;
            let default = vec![0; feature.data_bytes as usize];
            out.extend_from_slice(if is_current { &value } else { &default });
            return done(0);
        }
        if feature.scope == Scope::Namespace {
            let namespace = view.namespaces.get(question.nsid).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?;
            ana::check_get_features(&namespace)?;
            return done(if is_current { self.feature_of_namespace(feature.id, &namespace) } else { 0 });
        }
        let features = if is_current { self.features } else { Features::new() };
        if let Some(value) = features.get(feature.id, question.choice)? {
            return done(value);
        }
        done(match feature.id {
            FeatureId::ASYNC_EVENT_CONFIGURATION if is_current => self.events.enabled,
            FeatureId::KEEP_ALIVE_TIMER if is_current => self.keep_alive.timeout_ms(),
            _ => 0,
        })
    }

    /// The value of a feature that is data, as it is now.
    fn feature_data(&self, question: &Question, now: Duration) -> Result<Vec<u8>, Status> {
        /// Dword 11: 128 bits are asked for, the only form over Fabrics (Base §5.1.25.1.28).
        const EXHID: u32 = 1 << 0;
        match question.feature {
            FeatureId::TIMESTAMP => Ok(self.timestamp.value(now).to_vec()),
            FeatureId::HOST_BEHAVIOR_SUPPORT => Ok(self.host_behavior.bytes().to_vec()),
            FeatureId::HOST_IDENTIFIER if question.choice & EXHID != 0 => {
                Ok(self.host.id.as_bytes().to_vec())
            }
            FeatureId::HOST_IDENTIFIER => Err(Status::INVALID_FIELD),
            _ => Err(Status::INVALID_FIELD),
        }
    }

    fn feature_of_namespace(&self, feature: FeatureId, namespace: &Namespace) -> u32 {
        match feature {
            FeatureId::RESERVATION_PERSISTENCE => u32::from(namespace.reservations_persist),
            _ => self.reservations.mask(namespace.nsid),
        }
    }

    pub(super) fn set_feature(
        &mut self,
        now: Duration,
        setting: &Setting<'_>,
        view: &View<'_>,
    ) -> Result<AdminReply, Status> {
        let feature = Feature::find(setting.feature, self.kind)?;
        ana::check_set_features(feature.scope, setting.nsid, view)?;
        if feature.scope == Scope::Namespace {
            return self.set_feature_of_namespaces(setting, view);
        }
        if !matches!(setting.nsid, 0 | NSID_ALL) {
            return Err(Status::FEATURE_NOT_NAMESPACE_SPECIFIC);
        }
        match feature.id {
            FeatureId::HOST_IDENTIFIER => return Err(Status::COMMAND_SEQUENCE_ERROR),
            FeatureId::NUMBER_OF_QUEUES if view.has_io_queues => return Err(Status::COMMAND_SEQUENCE_ERROR),
            FeatureId::ASYNC_EVENT_CONFIGURATION if setting.value & !events_offered(self.kind) != 0 => {
                return Err(Status::INVALID_FIELD);
            }
            FeatureId::ASYNC_EVENT_CONFIGURATION => self.events.enabled = setting.value,
            FeatureId::KEEP_ALIVE_TIMER => self.keep_alive = KeepAlive::new(setting.value, now),
            FeatureId::TIMESTAMP => self.timestamp = Timestamp::set(setting.data()?, now),
            FeatureId::HOST_BEHAVIOR_SUPPORT => self.host_behavior = HostBehavior::set(&setting.data()?)?,
            _ => return done(self.features.set(feature.id, setting.value)?),
        }
        done(0)
    }

    fn set_feature_of_namespaces(
        &mut self,
        setting: &Setting<'_>,
        view: &View<'_>,
    ) -> Result<AdminReply, Status> {
        let meant: Vec<u32> = match setting.nsid {
            NSID_ALL => view.namespaces.nsids(),
            one => vec![view.namespaces.get(one).ok_or(Status::INVALID_NAMESPACE_OR_FORMAT)?.nsid],
        };
        if setting.feature == FeatureId::RESERVATION_PERSISTENCE {
            return Ok(AdminReply::PersistReservations { nsids: meant, persistent: setting.value & 1 != 0 });
        }
        for nsid in meant {
            self.reservations.set_mask(nsid, setting.value);
        }
        done(0)
    }
}

impl Setting<'_> {
    /// A value of `N` bytes, which is the command's data.
    fn data<const N: usize>(&self) -> Result<[u8; N], Status> {
        self.pointer.check_from_host(N as u32, self.data.len() as u32)?;
        self.data.try_into().map_err(|_| Status::DATA_SGL_LENGTH_INVALID)
    }
}

fn done(result: u32) -> Result<AdminReply, Status> {
    Ok(AdminReply::Complete { status: Status::SUCCESS, result: u64::from(result) })
}
