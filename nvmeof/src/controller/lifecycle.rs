//! CC and CSTS: how a controller is enabled, reset and shut down (Base §3.5, §3.6).
//!
//! ```text
//!             EN 0->1                SHN                     done
//!  Disabled -----------> Ready ------------> ShuttingDown ---------> ShutDown
//!    ^  ^ \ bad CC         |                       |                     |
//!    |  |  +--> Failed     | EN 1->0               | EN 1->0             | EN 1->0
//!    |  |         | EN 0   v                       |                     |
//!    |  +---------+     Resetting <----------------+---------------------+
//!    |        done         |
//!    +---------------------+
//! ```
//! What takes time, the target does after its answer to the host; the host sees in CSTS that it is done.

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
    /// EN is 0, and commands may still be under way: CSTS.RDY stays 1.
    Resetting,
    /// CSTS.SHST is 01b: commands end, and what is volatile is written.
    ShuttingDown,
    /// Shutdown is complete; only a reset leads on.
    ShutDown,
    /// CSTS.CFS: the host enabled us with a configuration that we do not have.
    Failed,
}

/// What a write to CC asks of the target. What is not `None` is reported back by `Controller::finish` once it is done.
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
        let (state, effect) = match (self.state, was_enabled, cc.enable()) {
            // Whether it is enabled again is looked at when the reset is done.
            (LifecycleState::Resetting, _, _) => (LifecycleState::Resetting, LifecycleEffect::None),
            // It never was ready: nothing can be under way.
            (LifecycleState::Failed, true, false) => (LifecycleState::Disabled, LifecycleEffect::Reset),
            (_, true, false) => (LifecycleState::Resetting, LifecycleEffect::Reset),
            (LifecycleState::Disabled, false, true) => (self.enabled(), LifecycleEffect::None),
            (state, _, _) => (state, LifecycleEffect::None),
        };
        self.state = state;
        if cc.shn() == ShutdownNotification::Requested
            && matches!(self.state, LifecycleState::Ready | LifecycleState::Disabled)
            && effect == LifecycleEffect::None
        {
            self.state = LifecycleState::ShuttingDown;
            return Ok(LifecycleEffect::Shutdown);
        }
        Ok(effect)
    }

    /// The target has done what `effect` asks for. A shutdown that a reset overtook means nothing any more.
    pub(super) fn finish(&mut self, effect: LifecycleEffect) {
        self.state = match (self.state, effect) {
            (LifecycleState::Resetting, LifecycleEffect::Reset) if self.cc.enable() => self.enabled(),
            (LifecycleState::Resetting, LifecycleEffect::Reset) => LifecycleState::Disabled,
            (LifecycleState::ShuttingDown, LifecycleEffect::Shutdown) => LifecycleState::ShutDown,
            (state, _) => state,
        };
    }

    /// Where a host gets that enables us.
    fn enabled(&self) -> LifecycleState {
        if supported(self.cc) { LifecycleState::Ready } else { LifecycleState::Failed }
    }

    fn csts(&self) -> ControllerStatus {
        let shutdown = match self.state {
            LifecycleState::Disabled => return ControllerStatus::empty(),
            LifecycleState::Ready | LifecycleState::Resetting => return ControllerStatus::READY,
            LifecycleState::Failed => return ControllerStatus::FATAL,
            LifecycleState::ShuttingDown => ControllerStatus::SHUTDOWN_OCCURRING,
            LifecycleState::ShutDown => ControllerStatus::SHUTDOWN_COMPLETE,
        };
        if self.cc.enable() { shutdown | ControllerStatus::READY } else { shutdown }
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
    const ABRUPT: u64 = ENABLE | 2 << 14;
    const BAD: u64 = ENABLE | 1 << 7;

    /// A write of CC, or the target's word that it is done.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Write(u64),
        Done(LifecycleEffect),
    }

    const STATES: [LifecycleState; 6] = [
        LifecycleState::Disabled,
        LifecycleState::Ready,
        LifecycleState::Resetting,
        LifecycleState::ShuttingDown,
        LifecycleState::ShutDown,
        LifecycleState::Failed,
    ];

    fn take(lifecycle: &mut Lifecycle, step: Step) -> LifecycleEffect {
        match step {
            Step::Write(value) => lifecycle.set(Property::CC, value).unwrap(),
            Step::Done(effect) => {
                lifecycle.finish(effect);
                LifecycleEffect::None
            }
        }
    }

    fn reach(state: LifecycleState) -> Lifecycle {
        let mut lifecycle = Lifecycle::new(128);
        let steps: &[Step] = match state {
            LifecycleState::Disabled => &[],
            LifecycleState::Ready => &[Step::Write(ENABLE)],
            LifecycleState::Resetting => &[Step::Write(ENABLE), Step::Write(DISABLE)],
            LifecycleState::ShuttingDown => &[Step::Write(ENABLE), Step::Write(SHUTDOWN)],
            LifecycleState::ShutDown => {
                &[Step::Write(ENABLE), Step::Write(SHUTDOWN), Step::Done(LifecycleEffect::Shutdown)]
            }
            LifecycleState::Failed => &[Step::Write(BAD)],
        };
        for &step in steps {
            take(&mut lifecycle, step);
        }
        assert_eq!(lifecycle.state(), state);
        lifecycle
    }

    #[test]
    fn every_state_by_every_step() {
        use LifecycleEffect as E;
        use LifecycleState::{Disabled, Failed, Ready, Resetting, ShutDown, ShuttingDown};
        use Step::{Done, Write};
        let none = |state| (state, E::None);
        // By state: Disabled, Ready, Resetting, ShuttingDown, ShutDown, Failed.
        #[rustfmt::skip]
        let table = [
            (Write(ENABLE), [none(Ready), none(Ready), none(Resetting), none(ShuttingDown), none(ShutDown), none(Failed)]),
            (Write(BAD), [none(Failed), none(Ready), none(Resetting), none(ShuttingDown), none(ShutDown), none(Failed)]),
            (Write(DISABLE), [none(Disabled), (Resetting, E::Reset), none(Resetting), (Resetting, E::Reset), (Resetting, E::Reset), (Disabled, E::Reset)]),
            (Write(SHUTDOWN), [(ShuttingDown, E::Shutdown), (ShuttingDown, E::Shutdown), none(Resetting), none(ShuttingDown), none(ShutDown), none(Failed)]),
            (Write(ABRUPT), [(ShuttingDown, E::Shutdown), (ShuttingDown, E::Shutdown), none(Resetting), none(ShuttingDown), none(ShutDown), none(Failed)]),
            (Write(DISABLE | 1 << 14), [(ShuttingDown, E::Shutdown), (Resetting, E::Reset), none(Resetting), (Resetting, E::Reset), (Resetting, E::Reset), (Disabled, E::Reset)]),
            (Done(E::Reset), [none(Disabled), none(Ready), none(Disabled), none(ShuttingDown), none(ShutDown), none(Failed)]),
            (Done(E::Shutdown), [none(Disabled), none(Ready), none(Resetting), none(ShutDown), none(ShutDown), none(Failed)]),
        ];
        for (step, outcomes) in table {
            for (from, outcome) in STATES.into_iter().zip(outcomes) {
                let mut lifecycle = reach(from);
                let effect = take(&mut lifecycle, step);
                assert_eq!((lifecycle.state(), effect), outcome, "{from:?} by {step:?}");
            }
        }
    }

    #[test]
    fn a_host_that_enables_us_during_a_reset_is_served_after_it() {
        for (cc, then) in [(ENABLE, LifecycleState::Ready), (BAD, LifecycleState::Failed)] {
            let mut lifecycle = reach(LifecycleState::Resetting);
            assert_eq!(lifecycle.set(Property::CC, cc), Ok(LifecycleEffect::None));
            lifecycle.finish(LifecycleEffect::Reset);
            assert_eq!(lifecycle.state(), then);
        }
    }

    #[test]
    fn status_follows_the_state() {
        for (state, csts) in STATES.into_iter().zip([0, 1, 1, 0b0101, 0b1001, 0b10]) {
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
