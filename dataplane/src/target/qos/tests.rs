//! Limits under the simulator's clock: cores, queue pairs and commands by seed.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Lane, Leave, Limiter};
use crate::{
    node::RateLimits,
    rt::{
        self, Nanos,
        sim::{Sim, SimRng},
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A queue pair that keeps `depth` commands of `bytes` going, each of which takes up to `service` when it was let in.
#[derive(Debug, Clone, Copy)]
struct Load {
    core: usize,
    depth: usize,
    bytes: u64,
    service: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    commands: AtomicU64,
    bytes: AtomicU64,
}

impl Counts {
    fn get(&self) -> [u64; 2] {
        [&self.commands, &self.bytes].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Runs loads against a limiter, each until the simulated machine is dropped.
struct World {
    sim: Sim,
    limiter: Arc<Limiter>,
    loads: Vec<Arc<Counts>>,
}

impl World {
    fn new(seed: u64, cores: usize, limits: RateLimits, loads: &[Load]) -> Self {
        let mut world = Self { sim: Sim::new(seed, cores), limiter: Arc::default(), loads: Vec::new() };
        world.limiter.set(limits);
        for &load in loads {
            world.add(load);
        }
        world
    }

    fn add(&mut self, load: Load) {
        let (limiter, counts) = (self.limiter.clone(), Arc::<Counts>::default());
        self.loads.push(counts.clone());
        self.sim.spawn_on(load.core, move || async move {
            let lane = Rc::new(Lane::new(&limiter));
            for _ in 0..load.depth {
                let (lane, counts) = (lane.clone(), counts.clone());
                rt::spawn(async move {
                    loop {
                        assert_eq!(lane.leave(load.bytes, None).await, Leave::Given);
                        counts.commands.fetch_add(1, Ordering::Relaxed);
                        counts.bytes.fetch_add(load.bytes, Ordering::Relaxed);
                        rt::sleep(load.service.mul_f64((rt::random_u64() % 100) as f64 / 100.0)).await;
                    }
                });
            }
        });
    }

    /// Lets time pass.
    fn run(&self, duration: Duration) {
        let over = Arc::new(AtomicBool::new(false));
        let flag = over.clone();
        self.sim.spawn_on(0, move || async move {
            rt::sleep(duration).await;
            flag.store(true, Ordering::Relaxed);
        });
        assert!(self.sim.run_until(|| over.load(Ordering::Relaxed)), "the loads go on");
    }

    fn total(&self) -> [u64; 2] {
        self.loads.iter().map(|counts| counts.get()).fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]])
    }

    /// Commands and bytes in the coming second.
    fn second(&self) -> [u64; 2] {
        let before = self.total();
        self.run(SECOND);
        let after = self.total();
        [after[0] - before[0], after[1] - before[1]]
    }
}

fn limits(max_iops: u64, max_bytes_per_second: u64) -> RateLimits {
    RateLimits { max_iops, max_bytes_per_second }
}

/// Within 5 %.
fn is_met(count: u64, limit: u64) -> bool {
    count.abs_diff(limit) * 20 <= limit
}

fn a_load(rng: &mut SimRng, core: usize, depth: usize) -> Load {
    let bytes = 512 << rng.below(10);
    Load { core, depth, bytes, service: Duration::from_micros(rng.below(200)) }
}

#[test]
fn a_second_holds_what_the_limits_say_on_one_core_and_on_many() {
    for seed in 0..60 {
        let mut rng = SimRng::new(seed);
        let cores = 1 + rng.below(8) as usize;
        let loads: Vec<_> = (0..cores + rng.below(5) as usize)
            .map(|queue| {
                let depth = 4 + rng.below(60) as usize;
                a_load(&mut rng, queue % cores, depth)
            })
            .collect();
        let limit = match rng.below(3) {
            0 => limits(100 + rng.below(60_000), 0),
            1 => limits(0, (16 << 20) + rng.below(1 << 29)),
            _ => limits(100 + rng.below(30_000), (16 << 20) + rng.below(1 << 29)),
        };
        let world = World::new(seed, cores, limit, &loads);
        for second in 0..3 {
            let [commands, bytes] = world.second();
            let told = format!(
                "seed {seed}, second {second}: {commands} commands, {bytes} bytes; {limit:?} {loads:?}"
            );
            let by_commands = limit.max_iops > 0 && is_met(commands, limit.max_iops);
            let by_bytes = limit.max_bytes_per_second > 0 && is_met(bytes, limit.max_bytes_per_second);
            assert!(by_commands || by_bytes, "neither limit is reached; {told}");
            assert!(limit.max_iops == 0 || by_commands || commands < limit.max_iops, "{told}");
            let below = limit.max_bytes_per_second == 0 || bytes < limit.max_bytes_per_second;
            assert!(below || by_bytes, "{told}");
        }
    }
}

#[test]
fn cores_share_evenly_and_so_do_the_queue_pairs_of_a_core() {
    for seed in 0..20 {
        let mut rng = SimRng::new(seed);
        let cores = 2 + rng.below(4) as usize;
        // One core has a second queue pair; depths and sizes differ widely, but all are backlogged.
        let loads: Vec<_> = (0..=cores)
            .map(|queue| Load {
                core: queue % cores,
                depth: 128 + rng.below(512) as usize,
                bytes: 4096 << rng.below(7),
                service: Duration::ZERO,
            })
            .collect();
        let limit = 64 << 20;
        let world = World::new(seed, cores, limits(0, limit), &loads);
        world.run(5 * SECOND);
        let got: Vec<u64> = world.loads.iter().map(|counts| counts.get()[1]).collect();
        let part = 5 * limit / cores as u64;
        for (queue, (&bytes, load)) in got.iter().zip(&loads).enumerate() {
            let part = if load.core == 0 { part / 2 } else { part };
            assert!(
                bytes.abs_diff(part) * 10 <= part,
                "seed {seed}: queue {queue} got {bytes} of {part}; {loads:?}"
            );
        }
    }
}

#[test]
fn a_lone_command_does_not_wait_behind_a_deep_queue() {
    let deep = Load { core: 0, depth: 512, bytes: 4096, service: Duration::ZERO };
    let mut world = World::new(1, 2, limits(1000, 0), &[deep]);
    world.run(SECOND);
    for core in [0, 1] {
        world.add(Load { core, depth: 1, ..deep });
        let lone = world.loads.len() - 1;
        let before = world.loads[lone].get()[0];
        world.run(SECOND);
        // It gets every second turn or, when there are three, its third.
        let got = world.loads[lone].get()[0] - before;
        assert!(got > 200, "core {core}: {got} of 1000");
    }
}

#[test]
fn a_burst_is_spread_in_the_order_of_its_arrival() {
    let sim = Sim::new(3, 1);
    let limiter = Arc::<Limiter>::default();
    limiter.set(limits(1000, 0));
    let begun = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = begun.clone();
    sim.spawn_on(0, move || async move {
        // What is lost of the past is over.
        rt::sleep(SECOND).await;
        let lane = Rc::new(Lane::new(&limiter));
        for number in 0..200u64 {
            let (lane, log) = (lane.clone(), log.clone());
            rt::spawn(async move {
                rt::sleep(Duration::from_nanos(number)).await;
                lane.leave(4096, None).await;
                log.lock().unwrap().push((number, rt::now()));
            });
        }
    });
    sim.run_until_idle();
    let begun = begun.lock().unwrap();
    let arrived = Nanos(0).after(SECOND);
    assert_eq!(begun.iter().map(|&(number, _)| number).collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
    for &(number, time) in begun.iter() {
        let waited_ms = time.since(arrived).as_millis() as u64;
        let due_ms = number.saturating_sub(20);
        assert!(waited_ms.abs_diff(due_ms) <= 2, "command {number} began after {waited_ms} ms");
    }
}

#[test]
fn changed_limits_hold_for_commands_that_wait_already() {
    let load = Load { core: 0, depth: 64, bytes: 65_536, service: Duration::from_micros(100) };
    let world = World::new(5, 2, limits(1, 0), &[load, Load { core: 1, ..load }]);
    let changes = [limits(0, 10 << 20), limits(2000, 0), limits(1, 1), limits(500, 1 << 40)];
    world.run(SECOND);
    for limit in changes {
        world.limiter.set(limit);
        assert_eq!(world.limiter.limits(), limit);
        let [commands, bytes] = world.second();
        let told = format!("{commands} commands, {bytes} bytes under {limit:?}");
        assert!(is_met(bytes, 10 << 20) || is_met(commands, limit.max_iops) || commands < 10, "{told}");
    }
    world.limiter.set(limits(0, 0));
    assert!(!world.limiter.is_limited());
    assert!(world.second()[0] > 100_000, "everybody goes on");
}

#[test]
fn whoever_gives_up_or_waits_too_long_uses_nothing_up() {
    let sim = Sim::new(7, 1);
    let limiter = Arc::<Limiter>::default();
    limiter.set(limits(1, 0));
    let over = Arc::new(AtomicBool::new(false));
    let flag = over.clone();
    sim.spawn_on(0, move || async move {
        let lane = Rc::new(Lane::new(&limiter));
        assert_eq!(lane.leave(1, None).await, Leave::Given);
        for _ in 0..100 {
            let lane = lane.clone();
            rt::spawn(async move {
                let give_up = rt::now().after(Duration::from_millis(100));
                assert_eq!(lane.leave(1, Some(give_up)).await, Leave::TooLate);
            });
        }
        rt::yield_now().await;
        let began = rt::now();
        let last = lane.leave(1, None).await;
        assert_eq!((last, rt::now().since(began).as_secs() < 3), (Leave::Given, true));
        flag.store(true, Ordering::Relaxed);
    });
    sim.run_until_idle();
    assert!(over.load(Ordering::Relaxed));
}
