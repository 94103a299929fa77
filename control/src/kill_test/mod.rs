//! The provisioner is killed between any two steps of every operation of its API, and starts again on the same store and
//! the same nodes. What was answered is there; what was not is there as a whole or not at all, and can be asked for again;
//! and neither store nor nodes keep anything that nobody knows.
//!
//! A step is a transaction of the store, or a request to a node that changes something. The request that the provisioner
//! died of comes late, when another one has looked at everything already, and must be refused. Whoever comes next is killed
//! while it brings things in order, and the one after that has to do it.
//!
//! Nothing is counted in advance: an operation is killed at its first step, then at its second, until it is answered.

mod cases;
mod cut;
mod life;
mod site;

use axum::http::StatusCode;
use serde_json::Value;

use self::{
    cut::Step,
    life::{Call, Provisioner},
    site::Site,
};

/// An operation, and what must be there for it.
struct Case {
    name: &'static str,
    /// Makes what the operation needs, out of nothing.
    before: Vec<Call>,
    call: Call,
    /// The answer to whoever asks again though it is done. `None`: it would be done once more.
    again: Option<&'static str>,
    /// Removes all of it.
    after: Vec<Call>,
    way: Way,
}

/// Where a killed operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is undone, until the last thing that it records makes it done.
    Back,
    /// Once its first step is done it is finished.
    Forward,
}

/// Everything that store and nodes keep.
struct Kept {
    undone: Vec<String>,
    done: Vec<String>,
    /// When all of it was removed.
    empty: Vec<String>,
}

/// The code and body of an answer, or the step that the provisioner died of.
type Answered = Result<(String, Value), Step>;

impl Case {
    /// Kills it at each step, until it is answered.
    fn kill_everywhere(&self, site: &Site) {
        let mut provisioner = Provisioner::start(site);
        let kept = self.let_live(&provisioner);
        let mut was_done = false;
        for step in 1.. {
            self.make(&provisioner, &self.before);
            let call = provisioner.find(&self.call);
            provisioner.shall_end(step);
            let answered = provisioner.ask(&call);
            provisioner.kill();
            provisioner = bring_up(site, step, &answered);
            let at = format!("{}, killed at step {step}, {answered:?}", self.name);
            let is_done = kept.is_done(&provisioner.kept(), &at);
            if let Ok((code, _)) = &answered {
                assert!(code == "Success" && is_done, "{at}: {is_done}");
                self.make(&provisioner, &self.after);
                return provisioner.kill();
            }
            assert!(is_done || !was_done, "{at}, is undone, but was done when it was killed earlier");
            assert!(is_done == (step > 1) || self.way == Way::Back, "{at}: {is_done}");
            was_done = is_done;
            if let Some(expected) = if is_done { self.again } else { Some("Success") } {
                let (code, body) = provisioner.answer(&call);
                assert_eq!(code, expected, "{at}, asked again: {body}");
                assert_eq!(provisioner.kept(), kept.done, "{at}, asked again");
            }
            self.make(&provisioner, &self.after);
            assert_eq!(provisioner.kept(), kept.empty, "{at}, leaves something");
        }
    }

    /// What is kept when nobody is killed.
    fn let_live(&self, provisioner: &Provisioner<'_>) -> Kept {
        self.make(provisioner, &self.before);
        let (undone, answer) = (provisioner.kept(), provisioner.answer(&provisioner.find(&self.call)));
        assert_eq!(answer.0, "Success", "{}: {}", self.name, answer.1);
        let done = provisioner.kept();
        assert_ne!(undone, done, "{} does nothing", self.name);
        self.make(provisioner, &self.after);
        Kept { undone, done, empty: provisioner.kept() }
    }

    fn make(&self, provisioner: &Provisioner<'_>, calls: &[Call]) {
        for call in calls {
            let (code, body) = provisioner.answer(&provisioner.find(call));
            assert_eq!(code, "Success", "{}: {call:?}: {body}", self.name);
        }
    }
}

impl Kept {
    /// As a whole; otherwise it must be undone as a whole.
    fn is_done(&self, found: &Vec<String>, at: &str) -> bool {
        let Self { undone, done, .. } = self;
        assert!([undone, done].contains(&found), "{at}, is {found:#?}\nneither {undone:#?}\nnor {done:#?}");
        found == done
    }
}

/// A provisioner that has brought in order what one left that was killed so, and another one that was killed while it did
/// that, at another step each time.
fn bring_up<'a>(site: &'a Site, step: usize, answered: &Answered) -> Provisioner<'a> {
    if let Some(second) = Provisioner::start_until(site, 3 + step % 9) {
        second.kill();
    }
    let provisioner = Provisioner::start(site);
    let late = site.runtime.block_on(site.doors.let_late_in());
    assert!(late.iter().all(|status| *status == StatusCode::PRECONDITION_FAILED), "{late:?}");
    assert!(!late.is_empty() || !matches!(answered, Err(Step::Node(..))), "{answered:?}");
    provisioner.is_settled();
    provisioner
}

/// Kills each of them everywhere; nothing is left on the nodes in the end.
fn kill(site: &Site, cases: Vec<Case>) {
    for case in cases {
        case.kill_everywhere(site);
    }
    site.is_empty();
}
