//! What the ANA states of its namespaces make of a controller.

use super::*;
use crate::wire::{
    identify::OAES_ANA_CHANGE,
    log_page::{ANA_RGO, AnaGroup, AnaHeader},
};

const PAGE_BYTES: u32 = 16 + limits::NAMESPACES_MAX * 36;

impl World {
    fn with_path(state: AnaState) -> Self {
        let mut world = Self::ready(ControllerKind::Io);
        world.namespaces[1].ana_state = state;
        world
    }

    /// The counts of the log and of both groups, and the states of both groups.
    fn ana_log(&mut self) -> (u64, [u64; 2], [u8; 2]) {
        let page = self.log(LogPageId::ANA, PAGE_BYTES).unwrap();
        let (header, rest) = AnaHeader::read_from_prefix(&page).unwrap();
        assert_eq!(header.groups.get(), 2);
        let groups = [(1, 0), (5, 36)].map(|(nsid, at)| {
            let (group, rest) = AnaGroup::read_from_prefix(&rest[at..]).unwrap();
            assert_eq!((group.group_id.get(), group.namespaces.get()), (nsid, 1));
            assert_eq!(rest[..4], nsid.to_le_bytes());
            group
        });
        (header.change_count.get(), groups.map(|g| g.change_count.get()), groups.map(|g| g.state))
    }

    fn count_events(&mut self) -> usize {
        std::iter::from_fn(|| self.controller.take_event()).count()
    }
}

#[test]
fn the_log_counts_changes_of_each_group_and_of_its_own() {
    let mut world = World::ready(ControllerKind::Io);
    assert_eq!(world.ana_log(), (0, [0, 0], [1, 1]));
    world.namespaces[1].ana_state = AnaState::NonOptimized;
    assert_eq!(world.ana_log(), (1, [0, 1], [1, 2]));
    assert_eq!(world.ana_log(), (1, [0, 1], [1, 2]), "reading changes nothing");
    world.namespaces[0].ana_state = AnaState::Change;
    world.namespaces[1].ana_state = AnaState::Inaccessible;
    assert_eq!(world.ana_log(), (2, [1, 2], [15, 3]));

    let mut groups_only = sqe::get_log_page(LogPageId::ANA, 0, PAGE_BYTES);
    groups_only.cdw10 = (groups_only.cdw10.get() | u32::from(ANA_RGO) << 8).into();
    let page = world.data(groups_only, PAGE_BYTES).unwrap();
    let (second, rest) = AnaGroup::read_from_prefix(&page[16 + 32..]).unwrap();
    assert_eq!((second.group_id.get(), second.namespaces.get(), second.state), (5, 0, 3));
    assert!(rest.iter().all(|&byte| byte == 0));

    let disable = sqe::property_set(Property::CC, 0);
    world.execute(0, &disable);
    world.controller.finish(LifecycleEffect::Reset);
    assert_eq!(world.status(sqe::property_set(Property::CC, 0x0046_0001)), Status::SUCCESS);
    assert_eq!(world.ana_log(), (0, [0, 0], [15, 3]), "a reset counts anew");
}

#[test]
fn a_change_of_state_is_told_once_until_the_log_is_read() {
    let mut world = World::ready(ControllerKind::Io);
    for slot in 1..4 {
        world.execute(slot, &sqe::async_event_request());
    }
    world.namespaces[0].ana_state = AnaState::Inaccessible;
    world.controller.observe_paths(&world.namespaces);
    assert_eq!(world.controller.take_event(), None, "not enabled yet");
    let enable = sqe::set_features(FeatureId::ASYNC_EVENT_CONFIGURATION, OAES_ANA_CHANGE);
    assert_eq!(world.status(enable), Status::SUCCESS);
    let told = world.controller.take_event().unwrap();
    assert_eq!(told.result, 0x000C_0302);

    world.namespaces[0].ana_state = AnaState::Optimized;
    world.controller.observe_paths(&world.namespaces);
    let mut retained = sqe::get_log_page(LogPageId::ANA, 0, PAGE_BYTES);
    retained.cdw10 = (retained.cdw10.get() | 1 << 15).into();
    world.data(retained, PAGE_BYTES).unwrap();
    assert_eq!(world.count_events(), 0, "the host has not looked yet");
    world.ana_log();
    assert_eq!(world.count_events(), 0, "it has seen the change");
    for state in [AnaState::Change, AnaState::NonOptimized] {
        world.namespaces[1].ana_state = state;
        world.controller.observe_paths(&world.namespaces);
    }
    assert_eq!(world.count_events(), 1, "two changes, one event");
    world.ana_log();
    world.namespaces.pop();
    world.controller.observe_paths(&world.namespaces);
    world.namespaces.push(Namespace { ana_state: AnaState::Inaccessible, ..namespace(7) });
    world.controller.observe_paths(&world.namespaces);
    assert_eq!(world.count_events(), 0, "namespaces that come and go are told as such");
}

/// Each admin command that may be kept away, about a namespace in each state.
#[test]
fn every_state_and_admin_command() {
    let of = |mut sqe: Sqe, nsid: u32| {
        sqe.nsid = nsid.into();
        sqe
    };
    let (mask, cache) = (FeatureId::RESERVATION_NOTIFICATION_MASK, FeatureId::VOLATILE_WRITE_CACHE);
    let (ok, not_of_namespace) = (Status::SUCCESS, Status::FEATURE_NOT_NAMESPACE_SPECIFIC);
    // Namespace 5 is in the state, 1 is optimized.
    for state in AnaState::ALL {
        let kept = state.refusal().unwrap_or(ok);
        let only_loss = if state == AnaState::PersistentLoss { kept } else { not_of_namespace };
        let table = [
            (of(sqe::get_features(mask), 5), kept),
            (of(sqe::get_features(mask), 1), ok),
            (of(sqe::get_features(FeatureId::RESERVATION_PERSISTENCE), 5), kept),
            (of(sqe::get_features(cache), 0), ok),
            (of(sqe::set_features(mask, 2), 5), kept),
            (of(sqe::set_features(mask, 2), 1), ok),
            (of(sqe::set_features(mask, 2), NSID_ALL), kept),
            (of(sqe::set_features(FeatureId::RESERVATION_PERSISTENCE, 1), 5), kept),
            (of(sqe::set_features(cache, 1), NSID_ALL), kept),
            (of(sqe::set_features(cache, 1), 0), ok),
            (of(sqe::set_features(cache, 1), 5), only_loss),
            (of(sqe::set_features(cache, 1), 1), not_of_namespace),
            (sqe::keep_alive(), ok),
        ];
        for (sqe, expected) in table {
            let status = World::with_path(state).status(sqe);
            assert_eq!(status, expected, "{sqe:?} in {state:?}");
        }
        let mut world = World::with_path(state);
        assert_eq!(world.ana_log().2, [1, state.code()], "the log is always there");
        for cns in [Cns::NAMESPACE_DESCRIPTORS, Cns::INDEPENDENT_NAMESPACE, Cns::ACTIVE_NAMESPACES] {
            assert!(world.identify(cns, 5).is_ok(), "{cns:?} in {state:?}");
        }
    }
}

#[test]
fn where_the_namespace_cannot_be_seen_nobody_says_how_full_it_is() {
    for state in AnaState::ALL {
        let mut world = World::with_path(state);
        let data = IdentifyNamespace::read_from_bytes(&world.identify(Cns::NAMESPACE, 5).unwrap()).unwrap();
        let known = !matches!(state, AnaState::Inaccessible | AnaState::PersistentLoss);
        assert_eq!((data.nuse.get() > 0, data.nvmcap != [0; 16]), (known, known), "{state:?}");
        // Linux takes a namespace without capacity for one that has gone.
        assert_eq!((data.nsze.get(), data.ncap.get()), (1 << 20, 1 << 20));
    }
}

#[test]
fn all_states_are_offered_and_refuse_so_that_a_host_goes_elsewhere() {
    let mut world = World::ready(ControllerKind::Io);
    let data = IdentifyController::read_from_bytes(&world.identify(Cns::CONTROLLER, 0).unwrap()).unwrap();
    assert_eq!((data.anacap, data.anatt), (0x5F, 10));
    assert_eq!((data.nanagrpid.get(), data.anagrpmax.get(), data.mnan.get()), (1024, 1024, 1024));
    for status in AnaState::ALL.into_iter().filter_map(AnaState::refusal) {
        assert!(status.code() >> 8 == 3 && !status.dnr(), "path related, and worth another path");
    }
}
