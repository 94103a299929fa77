//! Features that are numbers of the controller (Base §5.1.25).

use super::ControllerKind;
use crate::{
    Status, limits,
    wire::{
        identify::{OAES_ANA_CHANGE, OAES_DISCOVERY_CHANGE, OAES_NAMESPACE_ATTRIBUTE},
        opcode::FeatureId,
    },
};

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

/// Which of the two thresholds of the composite temperature a command means (Base §5.1.25.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threshold {
    Over,
    Under,
}

impl Features {
    pub(super) fn new() -> Self {
        DEFAULT
    }

    /// Dword 0 of Get Features. `choice` is dword 11 of the command. `None`: the value is kept elsewhere.
    pub(super) fn get(&self, feature: FeatureId, choice: u32) -> Result<Option<u32>, Status> {
        Ok(Some(match feature {
            FeatureId::ARBITRATION => self.arbitration,
            FeatureId::TEMPERATURE_THRESHOLD => u32::from(match threshold(choice)? {
                Threshold::Over => self.temperature_over,
                Threshold::Under => self.temperature_under,
            }),
            FeatureId::ERROR_RECOVERY => self.error_recovery,
            FeatureId::VOLATILE_WRITE_CACHE => u32::from(self.write_cache),
            FeatureId::NUMBER_OF_QUEUES => queues_result(self.io_queues),
            FeatureId::WRITE_ATOMICITY => self.write_atomicity,
            FeatureId::POWER_MANAGEMENT | FeatureId::COMMAND_SET_PROFILE => 0,
            _ => return Ok(None),
        }))
    }

    /// Set Features of a number that is kept here; dword 0 of the answer.
    pub(super) fn set(&mut self, feature: FeatureId, value: u32) -> Result<u32, Status> {
        match feature {
            FeatureId::ARBITRATION => self.arbitration = value,
            FeatureId::TEMPERATURE_THRESHOLD => match threshold(value)? {
                Threshold::Over => self.temperature_over = value as u16,
                Threshold::Under => self.temperature_under = value as u16,
            },
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
                return Ok(queues_result(self.io_queues));
            }
            FeatureId::WRITE_ATOMICITY => self.write_atomicity = value & 1,
            // One power state, one combination of command sets.
            FeatureId::POWER_MANAGEMENT if value & 0x1F == 0 => {}
            FeatureId::COMMAND_SET_PROFILE if value & 0x1FF == 0 => {}
            _ => return Err(Status::INVALID_FIELD),
        }
        Ok(0)
    }
}

/// What dword 11 of the Temperature Threshold commands selects: the composite temperature (or all sensors, which are
/// none), and which of its thresholds.
fn threshold(value: u32) -> Result<Threshold, Status> {
    let (sensor, kind) = (value >> 16 & 0xF, value >> 20 & 0x3);
    match (sensor, kind) {
        (0 | 0xF, 0) => Ok(Threshold::Over),
        (0 | 0xF, 1) => Ok(Threshold::Under),
        _ => Err(Status::INVALID_FIELD),
    }
}

/// Events that may be enabled.
pub(super) fn events_offered(kind: ControllerKind) -> u32 {
    const SMART_WARNINGS: u32 = 0xFF;
    match kind {
        ControllerKind::Io => SMART_WARNINGS | OAES_NAMESPACE_ATTRIBUTE | OAES_ANA_CHANGE,
        ControllerKind::Discovery => OAES_DISCOVERY_CHANGE,
    }
}

fn queues_result(io_queues: u16) -> u32 {
    let queues_z = u32::from(io_queues.max(1) - 1);
    queues_z << 16 | queues_z
}
