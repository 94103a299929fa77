//! Asymmetric Namespace Access: states, the log, and what of the admin queue a state keeps away (Base §5.1.12.1.13,
//! §8.1.1).

use std::collections::BTreeMap;

use zerocopy::{IntoBytes, little_endian::U32};

use super::{Namespace, Namespaces, View, feature_table::Scope};
use crate::{
    Status, limits,
    wire::{
        log_page::{AnaGroup, AnaHeader},
        opcode::NSID_ALL,
    },
};

/// Asymmetric Namespace Access state of a namespace through this controller (Base §8.1.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnaState {
    #[default]
    Optimized,
    /// Works, but another path is better.
    NonOptimized,
    /// Does not work now; another path may.
    Inaccessible,
    /// Will never work again through this controller.
    PersistentLoss,
    /// Between two of the others, for less than ANATT.
    Change,
}

impl AnaState {
    pub const ALL: [Self; 5] =
        [Self::Optimized, Self::NonOptimized, Self::Inaccessible, Self::PersistentLoss, Self::Change];

    /// The number in the ANA log.
    pub fn code(self) -> u8 {
        match self {
            Self::Optimized => 0x01,
            Self::NonOptimized => 0x02,
            Self::Inaccessible => 0x03,
            Self::PersistentLoss => 0x04,
            Self::Change => 0x0F,
        }
    }

    /// How commands that need the namespace's data or state are answered; `None`: they are executed.
    pub fn refusal(self) -> Option<Status> {
        match self {
            Self::Optimized | Self::NonOptimized => None,
            Self::Inaccessible => Some(Status::ANA_INACCESSIBLE),
            Self::PersistentLoss => Some(Status::ANA_PERSISTENT_LOSS),
            Self::Change => Some(Status::ANA_TRANSITION),
        }
    }

    /// Whether Identify says how full the namespace is (Base §8.1.1.10): elsewhere it may be written meanwhile.
    pub(super) fn knows_capacity(self) -> bool {
        !matches!(self, Self::Inaccessible | Self::PersistentLoss)
    }
}

/// What a controller has seen of its namespaces' states, for the log's change counts.
#[derive(Debug, Clone, Default)]
pub(super) struct AnaLog {
    /// Changes of the log since the controller was reset.
    change_count: u64,
    /// By group identifier, which is the NSID. `None` until first looked at.
    groups: Option<BTreeMap<u32, Group>>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    state: AnaState,
    change_count: u64,
}

impl AnaLog {
    /// Whether nobody has looked at the namespaces yet: a change is one from a first look on.
    pub(super) fn is_new(&self) -> bool {
        self.groups.is_none()
    }

    /// Looks at the namespaces as they are now. True if one that was there before has another state: one that only
    /// came or went is told as a namespace (Base §5.1.2.1).
    pub(super) fn observe(&mut self, namespaces: &dyn Namespaces) -> bool {
        let state = |nsid| Some((nsid, namespaces.get(nsid)?.ana_state));
        let states: BTreeMap<u32, AnaState> = namespaces.nsids().into_iter().filter_map(state).collect();
        let new = |state| Group { state, change_count: 0 };
        let Some(groups) = &mut self.groups else {
            self.groups = Some(states.into_iter().map(|(nsid, state)| (nsid, new(state))).collect());
            return false;
        };
        let before = groups.len();
        groups.retain(|nsid, _| states.contains_key(nsid));
        let mut came_or_went = groups.len() != before;
        let mut state_changed = false;
        for (nsid, state) in states {
            let group = groups.entry(nsid).or_insert_with(|| {
                came_or_went = true;
                new(state)
            });
            if group.state != state {
                *group = Group { state, change_count: group.change_count.wrapping_add(1) };
                state_changed = true;
            }
        }
        if came_or_went || state_changed {
            self.change_count = self.change_count.wrapping_add(1);
        }
        state_changed
    }

    /// The log page, groups ascending. `groups_only`: without their NSIDs.
    pub(super) fn page(&self, groups_only: bool) -> Vec<u8> {
        let groups = self.groups.iter().flatten();
        let header = AnaHeader {
            change_count: self.change_count.into(),
            groups: (groups.clone().count() as u16).into(),
            reserved: [0; 6],
        };
        let mut page = header.as_bytes().to_vec();
        for (&nsid, group) in groups {
            let descriptor = AnaGroup {
                group_id: nsid.into(),
                namespaces: u32::from(!groups_only).into(),
                change_count: group.change_count.into(),
                state: group.state.code(),
                reserved: [0; 15],
            };
            page.extend_from_slice(descriptor.as_bytes());
            if !groups_only {
                page.extend_from_slice(U32::new(nsid).as_bytes());
            }
        }
        // nvme-cli reads, in pieces, as much as NANAGRPID and MNAN allow: that is the page, its end zeros.
        let per_namespace = size_of::<AnaGroup>() + size_of::<U32>();
        page.resize(size_of::<AnaHeader>() + limits::NAMESPACES_MAX as usize * per_namespace, 0);
        page
    }
}

/// Whether Get Features may answer (Base §8.1.1.10): what is said of a namespace's reservations may be old.
pub(super) fn check_get_features(namespace: &Namespace) -> Result<(), Status> {
    namespace.ana_state.refusal().map_or(Ok(()), Err)
}

/// Whether Set Features may be executed (Base §8.1.1.10).
pub(super) fn check_set_features(scope: Scope, nsid: u32, view: &View<'_>) -> Result<(), Status> {
    let meant = if nsid == NSID_ALL { view.namespaces.nsids() } else { vec![nsid] };
    for namespace in meant.into_iter().filter_map(|nsid| view.namespaces.get(nsid)) {
        let state = namespace.ana_state;
        let is_kept_away = nsid == NSID_ALL || scope == Scope::Namespace || state == AnaState::PersistentLoss;
        if is_kept_away && let Some(status) = state.refusal() {
            return Err(status);
        }
    }
    Ok(())
}
