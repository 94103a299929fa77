//! What cannot move stays as it is.

use dataplane::engine::{EngineError, Meter};

use crate::{
    host::Host,
    site::{EXTENT, MIB, assert_empty, assert_sound, evacuate, id, on_drives},
};

#[test]
fn no_room_is_found_out_before_anything_moves() {
    on_drives(1, |from, to| async move {
        let host = Host::of(&from.create_volume(id(1), 40 * MIB, 4096, 40 * MIB).await.expect("it fits"));
        host.write(0, 64).await;
        to.create_volume(id(2), 30 * MIB, 4096, 30 * MIB).await.expect("it fits");
        let (room, used) = (to.unreserved_bytes(), from.used_bytes());
        let meter = Meter::default();
        let tree = &from.trees().await.expect("it is sound")[0];
        assert_eq!((tree.needed_bytes(), tree.owned_bytes()), (40 * MIB, 4 * EXTENT));
        let refused = from.move_tree(tree, &to, &meter, |_| panic!("nothing moves")).await;
        let refusal = EngineError::NoFreeSpace { needed_bytes: 40 * MIB, available_bytes: room };
        assert_eq!((refused, meter.copied_bytes()), (Err(refusal), 0));
        to.settled().await;
        assert_eq!((to.unreserved_bytes(), from.used_bytes()), (room, used));
        assert_eq!(to.volumes().len(), 1);
        host.read_all().await;
        host.write(1, 2).await;
    });
}

/// A thin volume that grows while it moves, until there is no room for it.
#[test]
fn what_was_copied_is_given_up() {
    on_drives(1, |from, to| async move {
        let host = Host::of(&from.create_volume(id(1), 40 * MIB, 4096, 0).await.expect("it is thin"));
        host.write(0, 16).await;
        to.create_volume(id(2), 40 * MIB, 4096, 40 * MIB).await.expect("it fits");
        let (room, tree) = (to.unreserved_bytes(), from.trees().await.expect("it is sound").remove(0));
        for extent in 1..room / EXTENT + 2 {
            host.write(extent * 16, 1).await;
        }
        let refused = from.move_tree(&tree, &to, &Meter::default(), |_| panic!("nothing moves")).await;
        assert!(matches!(refused, Err(EngineError::NoFreeSpace { .. })), "{refused:?}");
        to.settled().await;
        assert_eq!((to.unreserved_bytes(), to.volumes().len()), (room, 1));
        assert_sound(&to).await;
        host.read_all().await;
        // With room it goes.
        to.delete_volume(&to.volumes()[0]).await.expect("nobody uses it");
        evacuate(&from, &to, |arrived| host.use_volume(&arrived[0])).await.expect("there is room");
        host.read_all().await;
        assert_empty(&from).await;
    });
}

#[test]
fn a_drive_takes_only_what_it_can_serve() {
    on_drives(1, |from, to| async move {
        from.create_volume(id(1), MIB, 4096, 0).await.expect("it is thin");
        let tree = &from.trees().await.expect("it is sound")[0];
        assert!(to.takes(tree));
        to.set_closed_to_new(true);
        assert!(!to.takes(tree), "it is being emptied itself");
        let refused = from.move_tree(tree, &to, &Meter::default(), |_| ()).await;
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{refused:?}");
        to.set_closed_to_new(false);
        to.create_volume(id(1), MIB, 512, 0).await.expect("the node would not do that");
        assert!(!to.takes(tree), "it has one of that name");
    });
}
