//! As many namespaces as there can be.

use std::cell::Cell;

use zerocopy::little_endian::U32;

use super::*;
use crate::controller::Namespaces;

/// Counts the namespaces that somebody looked at.
#[derive(Debug)]
struct Counted {
    namespaces: Vec<Namespace>,
    looks: Cell<usize>,
}

impl Namespaces for Counted {
    fn nsids(&self) -> Vec<u32> {
        self.namespaces.nsids()
    }

    fn get(&self, nsid: u32) -> Option<Namespace> {
        self.looks.set(self.looks.get() + 1);
        self.namespaces.get(nsid)
    }
}

#[test]
fn a_command_looks_at_the_namespace_that_it_names_and_at_no_other() {
    let mut world = World::ready(ControllerKind::Io);
    let namespaces = (1..=limits::NAMESPACES_MAX).map(namespace).collect();
    let namespaces = Counted { namespaces, looks: Cell::new(0) };
    let mask = Sqe { nsid: 700.into(), ..sqe::get_features(FeatureId::RESERVATION_NOTIFICATION_MASK) };
    let table = [
        (sqe::identify(Cns::CONTROLLER, 0), 4096, 0),
        (sqe::identify(Cns::ACTIVE_NAMESPACES, 0), 4096, 0),
        (sqe::identify(Cns::NAMESPACE, 700), 4096, 1),
        (sqe::identify(Cns::NAMESPACE_DESCRIPTORS, 700), 4096, 1),
        (sqe::get_log_page(LogPageId::CHANGED_NAMESPACES, 0, 4096), 4096, 0),
        (sqe::keep_alive(), 0, 0),
        (mask, 0, 1),
    ];
    let subsystem = subsystem();
    let view = View {
        subsystem: &subsystem,
        namespaces: &namespaces,
        health: Health::UNUSED,
        has_io_queues: false,
        telemetry: &[],
        discovery: &[],
        discovery_generation: 1,
    };
    for (mut sqe, len_bytes, looks) in table {
        sqe.sgl.length = U32::new(len_bytes);
        let command = AdminCommand::parse(&sqe).unwrap();
        let request = AdminRequest { slot: Slot(1), cid: 1, command: &command, data: &[] };
        let mut out = Vec::new();
        namespaces.looks.set(0);
        let reply = world.controller.execute(Duration::ZERO, &request, &view, &mut out);
        assert!(matches!(reply, AdminReply::Complete { status: Status::SUCCESS, .. }), "{command:?}");
        assert_eq!(namespaces.looks.get(), looks, "{command:?}");
    }
}

/// Base §5.1.12.1.5: with more changes than it has room for, the list says only that there are.
#[test]
fn the_changed_list_holds_1024_and_says_when_there_were_more() {
    let mut world = World::ready(ControllerKind::Io);
    (1..=1024).for_each(|nsid| world.controller.namespace_changed(nsid));
    let full: Vec<u8> = (1..=1024_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(world.log(LogPageId::CHANGED_NAMESPACES, 4096).unwrap(), full);
    (1..=1025).for_each(|nsid| world.controller.namespace_changed(nsid));
    let list = world.log(LogPageId::CHANGED_NAMESPACES, 4096).unwrap();
    assert_eq!((list[..4].to_vec(), list[4..].iter().all(|&byte| byte == 0)), (vec![0xFF; 4], true));
    assert_eq!(world.log(LogPageId::CHANGED_NAMESPACES, 4096).unwrap(), [0; 4096], "reading empties it");
}
