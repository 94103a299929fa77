//! CC and CSTS: how a controller is enabled, reset and shut down (Base §3.5, §3.6).
//!
//! ```text
//!             EN 0->1                 SHN
//!  Disabled -----------> Ready -----------------+
//!    ^  ^  \ bad CC        | EN 1->0            v
//!    |  |   +--> Failed    |                ShutDown
//!    |  |          | EN 0  |                    |
//!    |  +----------+-------+       EN 1->0      |
//!    +------------------------------------------+
//! ```

use crate::{
    Status, limits,
    wire::property::{
        Capabilities, ControllerConfiguration, ControllerStatus, Property, ShutdownNotification, VERSION_2_1,
    },
};

/// Where a controller stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleState {
    Disabled,
    Ready,
    /// Shutdown is complete; only a reset leads on.
    ShutDown,
    /// CSTS.CFS: the host enabled us with a configuration that we do not have.
    Failed,
}

/// What a write to CC asks of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifecycleEffect {
    None,
    /// EN went from 1 to 0: I/O queues end, held commands are aborted.
    Reset,
    /// The host says goodbye: I/O queues end.
    Shutdown,
}

/// The properties of one controller.
#[derive(Debug, Clone)]
pub(super) struct Lifecycle {
    state: LifecycleState,
    cc: ControllerConfiguration,
    queue_entries_max: u16,
}

/// We are ready at once; hosts wait this long at most, in units of 500 ms.
const TIMEOUT_500MS: u8 = 20;

impl Lifecycle {
    pub(super) fn new(queue_entries_max: u16) -> Self {
        Self { state: LifecycleState::Disabled, cc: ControllerConfiguration::default(), queue_entries_max }
    }

    pub(super) fn state(&self) -> LifecycleState {
        self.state
    }

    /// Property Get.
    pub(super) fn get(&self, property: Property) -> Result<u64, Status> {
        match property {
            Property::CAP => {
                Ok(Capabilities { mqes_z: self.queue_entries_max - 1, to: TIMEOUT_500MS }.encode())
            }
            Property::VS => Ok(u64::from(VERSION_2_1)),
            Property::CC => Ok(u64::from(self.cc.0)),
            Property::CSTS => Ok(u64::from(self.csts().bits())),
            // CRTO.CRWMT in bits 15:0, as CAP.TO.
            Property::CRTO => Ok(u64::from(TIMEOUT_500MS)),
            _ => Err(Status::INVALID_FIELD),
        }
    }

    /// Property Set: only CC can be written.
    pub(super) fn set(&mut self, property: Property, value: u64) -> Result<LifecycleEffect, Status> {
        if property != Property::CC {
            return Err(Status::INVALID_FIELD);
        }
        let cc = ControllerConfiguration(u32::try_from(value).map_err(|_| Status::INVALID_FIELD)?);
        let was_enabled = self.cc.enable();
        self.cc = cc;
        let (state, effect) = match (was_enabled, cc.enable()) {
            (true, false) => (LifecycleState::Disabled, LifecycleEffect::Reset),
            (false, true) if !supported(cc) => (LifecycleState::Failed, LifecycleEffect::None),
            (false, true) => (LifecycleState::Ready, LifecycleEffect::None),
            (_, _) => (self.state, LifecycleEffect::None),
        };
        self.state = state;
        // A reset by the same write goes first: SHN means nothing to a controller that was just reset.
        if effect != LifecycleEffect::Reset
            && cc.shn() == ShutdownNotification::Requested
            && matches!(self.state, LifecycleState::Ready | LifecycleState::Disabled)
        {
            self.state = LifecycleState::ShutDown;
            return Ok(LifecycleEffect::Shutdown);
        }
        Ok(effect)
    }

    fn csts(&self) -> ControllerStatus {
        match self.state {
            LifecycleState::Disabled => ControllerStatus::empty(),
            LifecycleState::Ready => ControllerStatus::READY,
            LifecycleState::ShutDown if self.cc.enable() => {
                ControllerStatus::READY | ControllerStatus::SHUTDOWN_COMPLETE
            }
            LifecycleState::ShutDown => ControllerStatus::SHUTDOWN_COMPLETE,
            LifecycleState::Failed => ControllerStatus::FATAL,
        }
    }
}

/// Whether a configuration is one that CAP offers.
fn supported(cc: ControllerConfiguration) -> bool {
    /// CC.CSS: NVM command set, or all that Identify names.
    const CSS_NVM: u8 = 0b000;
    const CSS_ALL: u8 = 0b110;
    let css = cc.css() == CSS_NVM || cc.css() == CSS_ALL;
    // A discovery host may leave the entry sizes zero, as it has no I/O queues.
    let entry_sizes = matches!((cc.iosqes(), cc.iocqes()), (6, 4) | (0, 0));
    css && entry_sizes && cc.mps() == 0 && cc.ams() == 0 && !cc.crime()
}

const _: () = assert!(limits::QUEUE_ENTRIES_MAX >= 2, "a queue has at least two entries");

#[cfg(test)]
mod tests {
    use super::*;

    const ENABLE: u64 = ControllerConfiguration::USUAL as u64;
    const DISABLE: u64 = ENABLE & !1;
    const SHUTDOWN: u64 = ENABLE | 1 << 14;
    const BAD: u64 = ENABLE | 1 << 7;

    fn reach(state: LifecycleState) -> Lifecycle {
        let mut lifecycle = Lifecycle::new(128);
        let writes: &[u64] = match state {
            LifecycleState::Disabled => &[],
            LifecycleState::Ready => &[ENABLE],
            LifecycleState::ShutDown => &[ENABLE, SHUTDOWN],
            LifecycleState::Failed => &[BAD],
        };
        for &write in writes {
            lifecycle.set(Property::CC, write).unwrap();
        }
        assert_eq!(lifecycle.state(), state);
        lifecycle
    }

    #[test]
    fn every_state_by_every_write() {
        use LifecycleEffect::{None, Reset, Shutdown};
        use LifecycleState::{Disabled, Failed, Ready, ShutDown};
        let table = [
            (Disabled, ENABLE, Ready, None),
            (Disabled, DISABLE, Disabled, None),
            (Disabled, DISABLE | 1 << 14, ShutDown, Shutdown),
            (Disabled, BAD, Failed, None),
            (Ready, ENABLE, Ready, None),
            (Ready, DISABLE, Disabled, Reset),
            (Ready, DISABLE | 1 << 14, Disabled, Reset),
            (Ready, SHUTDOWN, ShutDown, Shutdown),
            (Ready, BAD, Ready, None),
            (ShutDown, ENABLE, ShutDown, None),
            (ShutDown, SHUTDOWN, ShutDown, None),
            (ShutDown, DISABLE, Disabled, Reset),
            (Failed, ENABLE, Failed, None),
            (Failed, SHUTDOWN, Failed, None),
            (Failed, DISABLE, Disabled, Reset),
        ];
        for (from, write, to, effect) in table {
            let mut lifecycle = reach(from);
            assert_eq!(lifecycle.set(Property::CC, write), Ok(effect), "{from:?} by {write:#x}");
            assert_eq!(lifecycle.state(), to, "{from:?} by {write:#x}");
        }
    }

    #[test]
    fn status_follows_the_state() {
        let table = [
            (LifecycleState::Disabled, 0),
            (LifecycleState::Ready, 1),
            (LifecycleState::ShutDown, 0b1001),
            (LifecycleState::Failed, 0b10),
        ];
        for (state, csts) in table {
            assert_eq!(reach(state).get(Property::CSTS), Ok(csts), "{state:?}");
        }
    }

    #[test]
    fn what_is_no_property_is_an_invalid_field() {
        let mut lifecycle = Lifecycle::new(128);
        assert_eq!(lifecycle.get(Property(0x30)), Err(Status::INVALID_FIELD));
        assert_eq!(lifecycle.set(Property::CAP, 0), Err(Status::INVALID_FIELD));
        assert_eq!(lifecycle.get(Property::VS), Ok(0x0002_0100));
        assert_eq!(lifecycle.get(Property::CAP).unwrap() & 0xFFFF, 127);
    }
}
