//! Two hosts share a volume by reservations: conflicts, preemption, notices, and what is left after a restart.

use std::rc::Rc;

use dataplane::{
    host::{HostController, HostOptions, HostQueue, Payload},
    node::{BlockSize, DriveConfig, DriveMedium},
    rt::Buf,
};
use nvmeof::{
    Nqn, Status,
    host::sqe,
    reservation::{AcquireAction, RegisterAction, ReleaseAction, ReservationType},
    wire::{
        Sqe,
        opcode::{FeatureId, LogPageId},
    },
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    commands::filled,
    support::{Bench, HOST, MIB, begin},
};

const OTHER: &str = "nqn.2014-08.org.nvmexpress:uuid:22222222-2222-2222-2222-222222222222";
const CONFLICT: Status = Status::RESERVATION_CONFLICT;
const OK: Status = Status::SUCCESS;

/// One host's controller and queue; its key is its number.
struct Member {
    controller: HostController,
    queue: Rc<HostQueue>,
    key: u64,
}

impl Member {
    async fn new(options: HostOptions, nqn: &str, key: u64) -> Self {
        let host = Nqn::new(nqn).unwrap();
        let options = HostOptions { host, host_id: Uuid::from_u128(u128::from(key)), ..options };
        let controller = HostController::connect(options).await.unwrap();
        let queue = controller.io_queue(1, 32).await.unwrap();
        Self { controller, queue, key }
    }

    async fn status(&self, sqe: Sqe, payload: Payload) -> Status {
        self.queue.command(sqe, payload).await.unwrap().status()
    }

    async fn register(&self, persistence: Option<bool>) -> Status {
        let register = sqe::reservation_register(1, RegisterAction::Register, false, persistence);
        self.status(register, keys(0, self.key).await).await
    }

    async fn acquire(&self, action: AcquireAction, kind: ReservationType, preempted_key: u64) -> Status {
        let acquire = sqe::reservation_acquire(1, action, kind);
        self.status(acquire, keys(self.key, preempted_key).await).await
    }

    async fn release(&self, action: ReleaseAction, kind: ReservationType) -> Status {
        let release = sqe::reservation_release(1, action, kind);
        self.status(release, bytes(&self.key.to_le_bytes()).await).await
    }

    async fn write(&self) -> Status {
        self.status(sqe::write(1, 0, 8, false), Payload::Out(filled(4096, self.key as u8).await)).await
    }

    async fn read(&self) -> Status {
        self.status(sqe::read(1, 0, 8), Payload::In(4096)).await
    }

    /// The report's header and the first registrants.
    async fn report(&self) -> Vec<u8> {
        let answer = self.queue.command(sqe::reservation_report(1, 256), Payload::In(256)).await.unwrap();
        assert_eq!(answer.status(), OK);
        answer.data.unwrap().to_vec()
    }
}

async fn bytes(bytes: &[u8]) -> Payload {
    let mut buf = Buf::alloc(bytes.len()).await;
    buf.copy_from_slice(bytes);
    Payload::Out(buf)
}

async fn keys(current: u64, other: u64) -> Payload {
    bytes(&sqe::reservation_keys(current, other)).await
}

async fn two_members(options: &HostOptions) -> (Member, Member) {
    (Member::new(options.clone(), HOST, 1).await, Member::new(options.clone(), OTHER, 2).await)
}

fn drive_in(directory: &TempDir) -> DriveConfig {
    let path = directory.path().join("drive");
    DriveConfig { size_bytes: Some(64 * MIB), ..DriveConfig::new(DriveMedium::Path(path)) }
}

fn shared_bench() -> Bench {
    let bench = Bench::new(2, BlockSize::B512);
    bench.export(&[HOST, OTHER], &[(1, bench.volume)]).unwrap();
    bench
}

#[test]
fn each_type_keeps_others_from_what_it_says() {
    let bench = shared_bench();
    bench.host(|options| async move {
        let (a, b) = two_members(&options).await;
        assert_eq!((a.register(None).await, a.register(None).await), (OK, OK));
        // Reads and writes of a stranger, and of a registrant that does not hold.
        let table = [
            (ReservationType::WriteExclusive, (OK, CONFLICT), (OK, CONFLICT)),
            (ReservationType::ExclusiveAccess, (CONFLICT, CONFLICT), (CONFLICT, CONFLICT)),
            (ReservationType::WriteExclusiveRegistrantsOnly, (OK, CONFLICT), (OK, OK)),
            (ReservationType::ExclusiveAccessRegistrantsOnly, (CONFLICT, CONFLICT), (OK, OK)),
            (ReservationType::WriteExclusiveAllRegistrants, (OK, CONFLICT), (OK, OK)),
            (ReservationType::ExclusiveAccessAllRegistrants, (CONFLICT, CONFLICT), (OK, OK)),
        ];
        for (kind, stranger, registrant) in table {
            assert_eq!(a.acquire(AcquireAction::Acquire, kind, 0).await, OK);
            assert_eq!((a.read().await, a.write().await), (OK, OK), "{kind:?}");
            assert_eq!((b.read().await, b.write().await), stranger, "{kind:?}");
            assert_eq!(b.register(None).await, OK);
            assert_eq!((b.read().await, b.write().await), registrant, "{kind:?}");
            for sqe in [sqe::flush(1), sqe::write_zeroes(1, 0, 1, false)] {
                assert_eq!(b.status(sqe, Payload::None).await, registrant.1, "{kind:?}");
            }
            let compare = sqe::compare(1, 4096, 1);
            assert_eq!(b.status(compare, Payload::Out(filled(512, 0).await)).await, registrant.0, "{kind:?}");
            assert_eq!(a.release(ReleaseAction::Release, kind).await, OK);
            let unregister = sqe::reservation_register(1, RegisterAction::Unregister, false, None);
            assert_eq!(b.status(unregister, keys(2, 0).await).await, OK);
        }
    });
}

#[test]
fn bad_requests_have_their_status() {
    let bench = shared_bench();
    bench.host(|options| async move {
        let (a, b) = two_members(&options).await;
        let invalid = Status::INVALID_FIELD;
        let change = |sqe: Sqe, at: fn(&mut Sqe)| {
            let mut sqe = sqe;
            at(&mut sqe);
            sqe
        };
        let register = sqe::reservation_register(1, RegisterAction::Register, false, None);
        let acquire = sqe::reservation_acquire(1, AcquireAction::Acquire, ReservationType::ExclusiveAccess);
        let table = [
            (change(register, |sqe| sqe.cdw10 = 3.into()), invalid),
            (change(register, |sqe| sqe.cdw10 = (1 << 30).into()), invalid),
            (change(register, |sqe| sqe.nsid = 7.into()), Status::INVALID_NAMESPACE_OR_FORMAT),
            (change(acquire, |sqe| sqe.cdw10 = 3.into()), invalid),
            (change(acquire, |sqe| sqe.cdw10 = (7 << 8).into()), invalid),
            (change(acquire, |sqe| sqe.cdw10 = (1 << 8 | 1 << 3).into()), invalid),
            (acquire, CONFLICT),
        ];
        for (sqe, status) in table {
            assert_eq!(a.status(sqe, keys(0, 1).await).await, status, "{sqe:?}");
        }
        let short = a.status(register, bytes(&[1; 8]).await).await;
        assert_eq!(short, Status::DATA_SGL_LENGTH_INVALID);
        let standard = change(sqe::reservation_report(1, 64), |sqe| sqe.cdw11 = 0.into());
        let refused = b.status(standard, Payload::In(64)).await;
        assert_eq!(refused, Status::HOST_IDENTIFIER_INCONSISTENT_FORMAT);
        assert_eq!(a.report().await, [0; 256], "nothing of it did anything");
    });
}

#[test]
fn the_preempted_host_is_told_and_kept_out() {
    let bench = shared_bench();
    bench.host(|options| async move {
        let (a, b) = two_members(&options).await;
        assert_eq!((a.register(None).await, b.register(None).await), (OK, OK));
        let kind = ReservationType::WriteExclusiveRegistrantsOnly;
        assert_eq!(a.acquire(AcquireAction::Acquire, kind, 0).await, OK);
        let report = b.report().await;
        assert_eq!((report[4], report[5], report[9]), (kind as u8, 2, 0));
        assert_eq!((report[64 + 2], report[128 + 2]), (1, 0), "the first one holds it");

        let told = begin(a.controller.admin(), sqe::async_event_request(), Payload::None);
        assert_eq!(b.acquire(AcquireAction::PreemptAndAbort, kind, 1).await, OK);
        assert_eq!(told.await.unwrap().cqe.result.get(), 0x0080_0006);
        let log = sqe::get_log_page(LogPageId::RESERVATION_NOTIFICATION, 0, 64);
        let page = a.controller.admin().command(log, Payload::In(64)).await.unwrap().data.unwrap();
        assert_eq!((page[0], page[8], page[9], page[12]), (1, 1, 0, 1));
        assert_eq!((a.read().await, a.write().await), (OK, CONFLICT));
        assert_eq!((b.read().await, b.write().await), (OK, OK));
    });
}

/// Many writes of a host that is being fenced off: none is executed after the fence has been answered.
#[test]
fn no_write_of_a_preempted_host_comes_after_the_answer() {
    // On a drive in memory every write is done before anything else gets a turn.
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::on_drives(2, vec![drive_in(&directory)]);
    bench.create_and_export(BlockSize::B512);
    bench.export(&[HOST, OTHER], &[(1, bench.volume)]).unwrap();
    bench.node.open_portals();
    bench.host(|options| async move {
        let (a, b) = two_members(&options).await;
        let kind = ReservationType::WriteExclusive;
        for round in 0..20 {
            assert_eq!((a.register(None).await, b.register(None).await), (OK, OK));
            assert_eq!(a.acquire(AcquireAction::Acquire, kind, 0).await, OK);
            let mut writes = Vec::new();
            for _ in 0..16 {
                let data = Payload::Out(filled(65_536, 1).await);
                writes.push(begin(&a.queue, sqe::write(1, 0, 128, false), data));
            }
            assert_eq!(b.acquire(AcquireAction::PreemptAndAbort, kind, 1).await, OK, "round {round}");
            let mine = Payload::Out(filled(65_536, 2).await);
            assert_eq!(b.status(sqe::write(1, 0, 128, false), mine).await, OK);
            for write in writes {
                let status = write.await.unwrap().status();
                assert!(matches!(status, OK | CONFLICT), "{status:?}");
            }
            let read = b.queue.command(sqe::read(1, 0, 128), Payload::In(65_536)).await.unwrap();
            assert!(read.data.unwrap().iter().all(|&byte| byte == 2), "a late write in round {round}");
            assert_eq!(b.release(ReleaseAction::Clear, kind).await, OK);
        }
    });
}

#[test]
fn what_shall_persist_is_there_after_a_restart_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let first = Bench::on_drives(2, vec![drive_in(&directory)]);
    first.create_and_export(BlockSize::B512);
    first.export(&[HOST, OTHER], &[(1, first.volume)]).unwrap();
    first.node.open_portals();
    let kind = ReservationType::ExclusiveAccess;
    first.host(move |options| async move {
        let (a, b) = two_members(&options).await;
        assert_eq!((a.register(Some(true)).await, b.register(None).await), (OK, OK));
        assert_eq!(a.acquire(AcquireAction::Acquire, kind, 0).await, OK);
    });
    let volume = first.volume;
    let second = first.restart(drive_in(&directory));
    second.export(&[HOST, OTHER], &[(1, volume)]).unwrap();
    second.node.open_portals();
    second.host(move |options| async move {
        let (a, b) = two_members(&options).await;
        let report = b.report().await;
        assert_eq!((report[0], report[4], report[5], report[9]), (2, kind as u8, 2, 1));
        assert_eq!((a.read().await, b.read().await), (OK, CONFLICT));
        // From now on it does not persist.
        let mut persistence = sqe::set_features(FeatureId::RESERVATION_PERSISTENCE, 0);
        persistence.nsid = 1.into();
        let set = a.controller.admin().command(persistence, Payload::None).await.unwrap();
        assert_eq!(set.status(), OK);
        assert_eq!(b.read().await, CONFLICT);
    });
    let third = second.restart(drive_in(&directory));
    third.export(&[HOST, OTHER], &[(1, volume)]).unwrap();
    third.node.open_portals();
    third.host(|options| async move {
        let (a, b) = two_members(&options).await;
        assert_eq!(a.report().await, [0; 256]);
        assert_eq!((a.read().await, b.read().await), (OK, OK));
    });
}
