//! Get and Set Features.

use super::*;

fn with_value(mut sqe: Sqe, value: u32) -> Sqe {
    sqe.cdw11 = value.into();
    sqe
}

fn with_select(mut sqe: Sqe, select: u32) -> Sqe {
    sqe.cdw10 = (sqe.cdw10.get() | select << 8).into();
    sqe
}

fn result(reply: AdminReply) -> (Status, u64) {
    match reply {
        AdminReply::Complete { status, result } => (status, result),
        other => panic!("{other:?}"),
    }
}

#[test]
fn features_are_set_read_and_bounded() {
    let mut world = World::ready(ControllerKind::Io);
    let set =
        |world: &mut World, feature, value| result(world.execute(0, &sqe::set_features(feature, value)).0);
    assert_eq!(set(&mut world, FeatureId::NUMBER_OF_QUEUES, 0x00FF_00FF), (Status::SUCCESS, 0x007F_007F));
    assert_eq!(set(&mut world, FeatureId::NUMBER_OF_QUEUES, 0xFFFF), (Status::INVALID_FIELD, 0));
    assert_eq!(set(&mut world, FeatureId::ASYNC_EVENT_CONFIGURATION, 1 << 9), (Status::INVALID_FIELD, 0));
    assert_eq!(set(&mut world, FeatureId::HOST_IDENTIFIER, 1), (Status::COMMAND_SEQUENCE_ERROR, 0));
    assert_eq!(set(&mut world, FeatureId(0x77), 1), (Status::INVALID_FIELD, 0));
    assert_eq!(set(&mut world, FeatureId::VOLATILE_WRITE_CACHE, 0), (Status::SUCCESS, 0));
    assert!(!world.controller.write_cache_enabled());
    let mut of_one = sqe::set_features(FeatureId::ERROR_RECOVERY, 1);
    of_one.nsid = 1.into();
    assert_eq!(world.status(of_one), Status::FEATURE_NOT_NAMESPACE_SPECIFIC);
    let mut saved = sqe::set_features(FeatureId::ERROR_RECOVERY, 1);
    saved.cdw10 = (saved.cdw10.get() | 1 << 31).into();
    assert_eq!(world.status(saved), Status::FEATURE_NOT_SAVEABLE);
    let get = sqe::get_features(FeatureId::KEEP_ALIVE_TIMER);
    assert_eq!(result(world.execute(0, &get).0), (Status::SUCCESS, 5000));
    let id = world.data(with_value(sqe::get_features(FeatureId::HOST_IDENTIFIER), 1), 16).unwrap();
    assert_eq!(id, *Uuid::from_u128(9).as_bytes());
    let short = sqe::get_features(FeatureId::HOST_IDENTIFIER);
    assert_eq!(world.data(short, 16), Err(Status::INVALID_FIELD), "64 bits are not for Fabrics");
}

#[test]
fn reservation_features_are_of_a_namespace() {
    let mut world = World::ready(ControllerKind::Io);
    let of = |mut sqe: Sqe, nsid: u32| {
        sqe.nsid = nsid.into();
        sqe
    };
    let (mask, persistence) = (FeatureId::RESERVATION_NOTIFICATION_MASK, FeatureId::RESERVATION_PERSISTENCE);
    let done = |result| AdminReply::Complete { status: Status::SUCCESS, result };
    assert_eq!(world.execute(0, &of(sqe::set_features(mask, 0b1010), NSID_ALL)).0, done(0));
    assert_eq!(world.execute(0, &of(sqe::set_features(mask, 0b0100), 5)).0, done(0));
    for (nsid, value) in [(1, 0b1010), (5, 0b0100)] {
        assert_eq!(world.execute(0, &of(sqe::get_features(mask), nsid)).0, done(value));
        let persists = world.execute(0, &of(sqe::get_features(persistence), nsid)).0;
        assert_eq!(persists, done(u64::from(nsid == 5)));
    }
    for nsid in [0, 2, NSID_ALL] {
        for feature in [mask, persistence] {
            let unknown = world.status(of(sqe::get_features(feature), nsid));
            assert_eq!(unknown, Status::INVALID_NAMESPACE_OR_FORMAT, "{feature:?} of {nsid}");
        }
    }
    assert_eq!(world.status(of(sqe::set_features(mask, 0), 2)), Status::INVALID_NAMESPACE_OR_FORMAT);
    let set = world.execute(0, &of(sqe::set_features(persistence, 1), 1)).0;
    assert_eq!(set, AdminReply::PersistReservations { nsids: vec![1], persistent: true });
}

#[test]
fn what_is_listed_is_what_can_be_read_in_every_form() {
    let mut world = World::ready(ControllerKind::Io);
    let page = world.log(LogPageId::FEATURE_EFFECTS, 1024).unwrap();
    for id in 0..=255_u8 {
        let effects = u32::from_le_bytes(page[usize::from(id) * 4..][..4].try_into().unwrap());
        for select in 0..4 {
            let mut get = with_select(with_value(sqe::get_features(FeatureId(id)), 1), select);
            get.nsid = 1.into();
            if id == FeatureId::TEMPERATURE_THRESHOLD.0 {
                get.cdw11 = 0.into();
            }
            let data_bytes = match FeatureId(id) {
                FeatureId::TIMESTAMP => 8,
                FeatureId::HOST_IDENTIFIER => 16,
                FeatureId::HOST_BEHAVIOR_SUPPORT => 512,
                _ => 0,
            };
            get.sgl.length = data_bytes.into();
            let (reply, out) = world.execute(0, &get);
            let expected = if effects & 1 == 1 { Status::SUCCESS } else { Status::INVALID_FIELD };
            assert_eq!(result(reply.clone()).0, expected, "feature {id:#x}, select {select}");
            let has_data = effects & 1 == 1 && select != 3;
            assert_eq!(out.len(), if has_data { data_bytes as usize } else { 0 }, "feature {id:#x}");
            if select == 3 && effects & 1 == 1 {
                let of_namespace = effects >> 20 & 1;
                let changeable = u64::from(FeatureId(id) != FeatureId::HOST_IDENTIFIER);
                assert_eq!(result(reply).1, changeable << 2 | u64::from(of_namespace) << 1);
            }
        }
    }
}

#[test]
fn both_temperature_thresholds_are_kept() {
    let mut world = World::ready(ControllerKind::Io);
    let threshold = FeatureId::TEMPERATURE_THRESHOLD;
    let done = |kelvins| (Status::SUCCESS, kelvins);
    for (select, kelvins) in [(0, 300), (1 << 20, 280)] {
        let set = sqe::set_features(threshold, select | kelvins);
        assert_eq!(result(world.execute(0, &set).0), done(0));
    }
    for (select, kelvins) in [(0, 300), (1 << 20, 280), (0xF << 16, 300)] {
        let get = with_value(sqe::get_features(threshold), select);
        assert_eq!(result(world.execute(0, &get).0), done(kelvins));
    }
    let no_sensor = with_value(sqe::get_features(threshold), 3 << 16);
    assert_eq!(world.status(no_sensor), Status::INVALID_FIELD);
}

#[test]
fn a_timestamp_is_data_and_runs() {
    let mut world = World::ready(ControllerKind::Io);
    let get = sqe::get_features(FeatureId::TIMESTAMP);
    world.now = Duration::from_millis(5);
    assert_eq!(world.data(get, 8).unwrap(), [5, 0, 0, 0, 0, 0, 0, 0]);
    let mut set = sqe::set_features(FeatureId::TIMESTAMP, 0);
    assert_eq!(world.status(set), Status::DATA_SGL_LENGTH_INVALID);
    set.sgl.length = 8.into();
    assert_eq!(world.status(set), Status::DATA_SGL_LENGTH_INVALID, "nothing came");
    world.sent = vec![0, 1, 0, 0, 0, 0, 0, 0];
    assert_eq!(world.status(set), Status::SUCCESS);
    world.now += Duration::from_millis(3);
    assert_eq!(world.data(get, 8).unwrap(), [3, 1, 0, 0, 0, 0, 0b10, 0]);
    assert_eq!(world.data(with_select(get, 1), 8).unwrap(), [0; 8], "the default");
    world.execute(0, &sqe::property_set(Property::CC, 0));
    world.controller.finish(LifecycleEffect::Reset);
    world.execute(0, &sqe::property_set(Property::CC, 0x0046_0001));
    assert_eq!(world.data(get, 8).unwrap(), [0; 8], "a reset clears it");
}

#[test]
fn the_number_of_queues_is_fixed_once_one_is_connected() {
    let mut world = World::ready(ControllerKind::Io);
    world.has_io_queues = true;
    let set = sqe::set_features(FeatureId::NUMBER_OF_QUEUES, 0);
    assert_eq!(world.status(set), Status::COMMAND_SEQUENCE_ERROR);
    assert_eq!(world.controller.io_queues(), 128);
}

#[test]
fn host_behavior_enables_only_what_there_is() {
    let mut world = World::ready(ControllerKind::Io);
    let set = |world: &mut World, bytes: &[(usize, u8)]| {
        world.sent = vec![0; 512];
        bytes.iter().for_each(|&(at, value)| world.sent[at] = value);
        let mut sqe = sqe::set_features(FeatureId::HOST_BEHAVIOR_SUPPORT, 0);
        sqe.sgl.length = 512.into();
        world.status(sqe)
    };
    assert!(!world.controller.copies_across());
    assert_eq!(set(&mut world, &[(0, 1), (2, 1), (4, 1 << 2), (100, 7)]), Status::SUCCESS);
    assert!(world.controller.copies_across());
    // ACRE of 2; descriptor format 3h.
    for wrong in [(0, 2), (4, 1 << 3)] {
        assert_eq!(set(&mut world, &[wrong]), Status::INVALID_FIELD);
    }
    let value = world.data(sqe::get_features(FeatureId::HOST_BEHAVIOR_SUPPORT), 512).unwrap();
    assert_eq!((&value[..6], value[100]), (&[1, 0, 1, 0, 4, 0][..], 0));
    assert_eq!(set(&mut world, &[]), Status::SUCCESS);
    assert!(!world.controller.copies_across());
}
