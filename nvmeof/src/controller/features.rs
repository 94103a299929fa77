//! Get and Set Features (Base §5.1.11, §5.1.25).

use super::ControllerKind;
use crate::{
    Status,
    command::FeatureSelect,
    limits,
    wire::{
        identify::{OAES_ANA_CHANGE, OAES_DISCOVERY_CHANGE, OAES_NAMESPACE_ATTRIBUTE},
        opcode::FeatureId,
    },
};

/// The features of an I/O controller.
pub(super) const FEATURES: [FeatureId; 13] = [
    FeatureId::ARBITRATION,
    FeatureId::POWER_MANAGEMENT,
    FeatureId::TEMPERATURE_THRESHOLD,
    FeatureId::ERROR_RECOVERY,
    FeatureId::VOLATILE_WRITE_CACHE,
    FeatureId::NUMBER_OF_QUEUES,
    FeatureId::WRITE_ATOMICITY,
    FeatureId::ASYNC_EVENT_CONFIGURATION,
    FeatureId::KEEP_ALIVE_TIMER,
    FeatureId::COMMAND_SET_PROFILE,
    FeatureId::HOST_IDENTIFIER,
    FeatureId::RESERVATION_NOTIFICATION_MASK,
    FeatureId::RESERVATION_PERSISTENCE,
];

/// Features that are numbers and nothing more; the others live where they act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Features {
    arbitration: u32,
    /// Over and under temperature threshold of the composite temperature, in kelvins.
    temperature_over: u16,
    temperature_under: u16,
    error_recovery: u32,
    write_atomicity: u32,
    /// Volatile Write Cache Enable: without it every write is durable before its answer.
    pub(super) write_cache: bool,
    /// I/O queues granted; zero until asked for.
    pub(super) io_queues: u16,
}

const DEFAULT: Features = Features {
    arbitration: 0,
    temperature_over: super::identify::WCTEMP,
    temperature_under: 0,
    error_recovery: 0,
    write_atomicity: 0,
    write_cache: true,
    io_queues: limits::IO_QUEUES_MAX,
};

/// What a feature is set or read through besides its own number.
pub(super) struct Others<'a> {
    pub(super) events_enabled: &'a mut u32,
    pub(super) kato_ms: u32,
}

/// What Set Features leads to beyond storing a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetEffect {
    /// The response's dword 0.
    Result(u32),
    KeepAliveTimer {
        kato_ms: u32,
    },
}

impl Features {
    pub(super) fn new() -> Self {
        DEFAULT
    }

    /// Dword 0 of Get Features. The Host Identifier, whose value is data, is not among them.
    pub(super) fn get(
        &self,
        feature: FeatureId,
        select: FeatureSelect,
        kind: ControllerKind,
        others: &Others<'_>,
    ) -> Result<u32, Status> {
        /// Supported capabilities: changeable; never saveable nor of one namespace.
        const CHANGEABLE: u32 = 1 << 2;
        exists(feature, kind)?;
        let (values, events, kato_ms) = match select {
            FeatureSelect::SupportedCapabilities => return Ok(CHANGEABLE),
            FeatureSelect::Current => (*self, *others.events_enabled, others.kato_ms),
            // Nothing is saveable, so that saved values are the default ones.
            FeatureSelect::Default | FeatureSelect::Saved => (DEFAULT, 0, 0),
        };
        Ok(match feature {
            FeatureId::ARBITRATION => values.arbitration,
            FeatureId::TEMPERATURE_THRESHOLD => u32::from(values.temperature_over),
            FeatureId::ERROR_RECOVERY => values.error_recovery,
            FeatureId::VOLATILE_WRITE_CACHE => u32::from(values.write_cache),
            FeatureId::NUMBER_OF_QUEUES => queues_result(values.io_queues),
            FeatureId::WRITE_ATOMICITY => values.write_atomicity,
            FeatureId::ASYNC_EVENT_CONFIGURATION => events,
            FeatureId::KEEP_ALIVE_TIMER => kato_ms,
            FeatureId::POWER_MANAGEMENT | FeatureId::COMMAND_SET_PROFILE => 0,
            _ => return Err(Status::INVALID_FIELD),
        })
    }

    /// Set Features.
    pub(super) fn set(
        &mut self,
        feature: FeatureId,
        value: u32,
        kind: ControllerKind,
        others: Others<'_>,
    ) -> Result<SetEffect, Status> {
        exists(feature, kind)?;
        match feature {
            FeatureId::ARBITRATION => self.arbitration = value,
            FeatureId::TEMPERATURE_THRESHOLD => self.set_temperature(value)?,
            FeatureId::ERROR_RECOVERY => {
                // DULBE is offered by no namespace here.
                const DULBE: u32 = 1 << 16;
                if value & DULBE != 0 {
                    return Err(Status::INVALID_FIELD);
                }
                self.error_recovery = value & 0xFFFF;
            }
            FeatureId::VOLATILE_WRITE_CACHE => self.write_cache = value & 1 != 0,
            FeatureId::NUMBER_OF_QUEUES => {
                let (sq_z, cq_z) = (value as u16, (value >> 16) as u16);
                if sq_z == u16::MAX || cq_z == u16::MAX {
                    return Err(Status::INVALID_FIELD);
                }
                self.io_queues = (sq_z.min(cq_z) + 1).min(limits::IO_QUEUES_MAX);
                return Ok(SetEffect::Result(queues_result(self.io_queues)));
            }
            FeatureId::WRITE_ATOMICITY => self.write_atomicity = value & 1,
            FeatureId::ASYNC_EVENT_CONFIGURATION => {
                if value & !events_offered(kind) != 0 {
                    return Err(Status::INVALID_FIELD);
                }
                *others.events_enabled = value;
            }
            FeatureId::KEEP_ALIVE_TIMER => return Ok(SetEffect::KeepAliveTimer { kato_ms: value }),
            // One power state, one combination of command sets.
            FeatureId::POWER_MANAGEMENT if value & 0x1F == 0 => {}
            FeatureId::COMMAND_SET_PROFILE if value & 0x1FF == 0 => {}
            // Connect gave it (Base §5.1.25.1.28).
            FeatureId::HOST_IDENTIFIER => return Err(Status::COMMAND_SEQUENCE_ERROR),
            _ => return Err(Status::INVALID_FIELD),
        }
        Ok(SetEffect::Result(0))
    }

    fn set_temperature(&mut self, value: u32) -> Result<(), Status> {
        let (kelvins, sensor, kind) = (value as u16, value >> 16 & 0xF, value >> 20 & 0x3);
        match (sensor, kind) {
            (0 | 0xF, 0) => self.temperature_over = kelvins,
            (0 | 0xF, 1) => self.temperature_under = kelvins,
            _ => return Err(Status::INVALID_FIELD),
        }
        Ok(())
    }
}

/// Events that may be enabled: SMART warnings are accepted, though none is ever raised by us.
fn events_offered(kind: ControllerKind) -> u32 {
    const SMART_WARNINGS: u32 = 0xFF;
    match kind {
        ControllerKind::Io => SMART_WARNINGS | OAES_NAMESPACE_ATTRIBUTE | OAES_ANA_CHANGE,
        ControllerKind::Discovery => OAES_DISCOVERY_CHANGE,
    }
}

/// Features of which each namespace has its own.
pub(super) fn is_of_namespace(feature: FeatureId) -> bool {
    matches!(feature, FeatureId::RESERVATION_NOTIFICATION_MASK | FeatureId::RESERVATION_PERSISTENCE)
}

fn exists(feature: FeatureId, kind: ControllerKind) -> Result<(), Status> {
    let exists = match kind {
        ControllerKind::Io => FEATURES.contains(&feature),
        ControllerKind::Discovery => {
            matches!(feature, FeatureId::ASYNC_EVENT_CONFIGURATION | FeatureId::KEEP_ALIVE_TIMER)
        }
    };
    if exists { Ok(()) } else { Err(Status::INVALID_FIELD) }
}

fn queues_result(io_queues: u16) -> u32 {
    let queues_z = u32::from(io_queues.max(1) - 1);
    queues_z << 16 | queues_z
}
