//! The rules of §5.2 for one backend, and what it has where it breaks one.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Candidate, Wanted, drives};
use crate::{
    envelope::{Code, Failure},
    model::{backend::BackendRecord, volume::Protocol},
};

/// In the order in which they are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rule {
    /// It holds no copy yet.
    Holder,
    /// It is a node of this provisioner: on one of another make it can make nothing.
    Directed,
    InUse,
    Available,
    Rack,
    Zone,
    Region,
    /// It is the class' host.
    HostId,
    /// It is a host at all, as protocol Local needs.
    LocalHost,
    Iops,
    /// In bytes per second.
    Bandwidth,
    /// It has a drive without a volume of the same class.
    OwnDrive,
    /// In bytes, that one copy may reserve: on one drive, or on several if it may span.
    Space,
    /// No other copy is in its rack. Named only if that left too few.
    RackOfItsOwn,
}

/// A rule that a backend breaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Broken {
    pub(crate) rule: Rule,
    pub(crate) wanted: Figure,
    /// `null` if it has no such thing.
    pub(crate) has: Option<Figure>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Figure {
    Truth(bool),
    Number(u64),
    Text(String),
    /// One of these.
    OneOf(Vec<String>),
}

impl Broken {
    pub(super) fn rack_taken(backend: &BackendRecord) -> Self {
        let wanted = Figure::Text("a rack without a copy".to_owned());
        Self { rule: Rule::RackOfItsOwn, wanted, has: backend.rack.clone().map(Figure::Text) }
    }
}

/// The rules that keep a copy off this backend, whatever other backends there are; in order.
pub(super) fn broken(wanted: Wanted<'_>, candidate: &Candidate) -> Vec<Broken> {
    let record = &candidate.record;
    let holds = wanted.holders.contains(&record.persistent_id);
    let rules = [
        must_be(Rule::Holder, false, holds),
        must_be(Rule::Directed, true, record.is_ours()),
        must_be(Rule::InUse, true, record.in_use),
        must_be(Rule::Available, true, candidate.available),
        listed(Rule::Rack, &wanted.class.racks, record.rack.as_ref()),
        listed(Rule::Zone, &wanted.class.zones, record.zone.as_ref()),
        listed(Rule::Region, &wanted.class.regions, record.region.as_ref()),
        the_host(wanted, record),
        must_be(Rule::LocalHost, true, wanted.protocol == Protocol::Nvmeof || record.host_id.is_some()),
        at_least(Rule::Iops, wanted.rate(wanted.class.desired_iops_per_gib), candidate.free_iops),
        at_least(
            Rule::Bandwidth,
            wanted.rate(wanted.class.desired_bytes_per_second_per_gib),
            candidate.free_bytes_per_second,
        ),
        room(wanted, candidate),
    ];
    rules.into_iter().flatten().collect()
}

fn must_be(rule: Rule, wanted: bool, has: bool) -> Option<Broken> {
    (wanted != has).then_some(Broken { rule, wanted: Figure::Truth(wanted), has: Some(Figure::Truth(has)) })
}

fn at_least(rule: Rule, wanted: u64, has: u64) -> Option<Broken> {
    (has < wanted).then_some(Broken { rule, wanted: Figure::Number(wanted), has: Some(Figure::Number(has)) })
}

/// An empty list is no constraint; an unset value is in no list (D52).
fn listed(rule: Rule, list: &[String], has: Option<&String>) -> Option<Broken> {
    let holds = list.is_empty() || has.is_some_and(|value| list.contains(value));
    let wanted = || Figure::OneOf(list.to_vec());
    (!holds).then(|| Broken { rule, wanted: wanted(), has: has.cloned().map(Figure::Text) })
}

/// A single copy goes to the class' host; of several one does, which is no rule for each backend.
fn the_host(wanted: Wanted<'_>, record: &BackendRecord) -> Option<Broken> {
    let host = wanted.class.host_id.as_ref().filter(|_| wanted.needs_host() && wanted.copies == 1)?;
    let has = record.host_id.clone();
    (has.as_ref() != Some(host)).then(|| Broken {
        rule: Rule::HostId,
        wanted: Figure::Text(host.clone()),
        has: has.map(Figure::Text),
    })
}

fn room(wanted: Wanted<'_>, candidate: &Candidate) -> Option<Broken> {
    let class = wanted.class;
    if !candidate.drives.is_empty() && class.eligible(&candidate.drives).is_empty() {
        let name = class.name.as_deref().unwrap_or_default();
        let wanted = Figure::Text(format!("a drive without a volume of class {name}"));
        return Some(Broken { rule: Rule::OwnDrive, wanted, has: None });
    }
    if drives::for_copy(wanted, candidate).is_empty() {
        let (wanted, has) = (wanted.reserved_bytes, drives::largest(class, candidate));
        let (wanted, has) = (Figure::Number(wanted), Some(Figure::Number(has)));
        return Some(Broken { rule: Rule::Space, wanted, has });
    }
    None
}

impl Wanted<'_> {
    fn rate(&self, per_gib: u64) -> u64 {
        per_gib.saturating_mul(self.capacity_gib)
    }
}

/// D28: says which rule left no backend, and for a quantity how much the best of those had.
pub(super) fn none_fits(wanted: Wanted<'_>, broken: &[Vec<Broken>]) -> Failure {
    let firsts: Vec<&Broken> = broken.iter().filter_map(|broken| broken.first()).collect();
    let Some(last) = firsts.iter().map(|first| first.rule).max() else {
        return Failure::new(Code::NoMatchingBackend, "there is no backend");
    };
    let number = |broken: &Broken| match (&broken.wanted, &broken.has) {
        (Figure::Number(wanted), Some(Figure::Number(has))) => Some((*has, *wanted)),
        _ => None,
    };
    let most = firsts.into_iter().filter(|first| first.rule == last).filter_map(number).max();
    let detail = most.map_or_else(String::new, |(has, needed)| format!(": {needed} wanted, {has} there"));
    let why = format!("no backend is {}{detail}", last.phrase(wanted));
    Failure::new(Code::NoMatchingBackend, why)
}

impl Rule {
    fn phrase(self, wanted: Wanted<'_>) -> &'static str {
        match self {
            Self::Holder => "without a copy",
            Self::Directed => "a node of this provisioner",
            Self::InUse => "in use",
            Self::Available => "available",
            Self::Rack => "in the given racks",
            Self::Zone => "in the given racks and zones",
            Self::Region => "in the given racks, zones and regions",
            Self::HostId => "of the given hostId",
            Self::LocalHost => "a host as well, as protocol Local needs",
            Self::Iops => "able to give the desired IOPS",
            Self::Bandwidth => "able to give the desired bandwidth in bytes/s",
            Self::OwnDrive => "with a drive that has no volume of the same storage class",
            Self::Space if wanted.class.allow_span => "with enough bytes of free space",
            Self::Space => "with enough bytes of free space on one drive",
            Self::RackOfItsOwn => "in a rack without a copy",
        }
    }
}
