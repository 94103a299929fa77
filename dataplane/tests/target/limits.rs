//! A volume's rate limits as the control plane sets them.

use dataplane::node::{BlockSize, NodeError, NodeObject, RateLimits};
use uuid::Uuid;

use crate::support::Bench;

#[test]
fn limits_are_shown_changed_and_forgotten_with_the_volume() {
    let bench = Bench::new(1, BlockSize::B4096);
    let shown = || bench.wait(bench.node.volume(bench.volume)).unwrap().limits;
    assert_eq!(shown(), RateLimits::default());
    for limits in [(500, 0), (0, 1 << 20), (500, 1 << 20), (0, 0), (7, 7)] {
        let limits = RateLimits { max_iops: limits.0, max_bytes_per_second: limits.1 };
        bench.wait(bench.node.set_limits(bench.volume, limits)).unwrap();
        assert_eq!(shown(), limits);
    }
    let unknown = bench.wait(bench.node.set_limits(Uuid::new_v4(), RateLimits::default()));
    assert!(matches!(unknown, Err(NodeError::NotFound(NodeObject::Volume))), "{unknown:?}");

    bench.export(&[], &[]).unwrap();
    bench.wait(bench.node.delete_volume(bench.volume)).unwrap();
    while bench.wait(bench.node.volume(bench.volume)).is_ok() {
        std::thread::yield_now();
    }
    bench.create_and_export(BlockSize::B4096);
    assert_eq!(shown(), RateLimits::default());
}
