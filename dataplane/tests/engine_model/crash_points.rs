//! Every crash point of a workload: it runs once, and wherever the drive carries out a write or flush, copies of the
//! medium lose their machine, just before and just after. Each copy must recover to what the model allows, serve on,
//! and survive a second crash.

use std::env;

use dataplane::{
    engine::DriveOptions,
    node::TornPolicy,
    rt::{
        disk::SimMedia,
        sim::{Sim, SimRng},
    },
};

use crate::{
    actor::Actor,
    model::{Model, Shared, World, lock},
    number, parallel,
    random::Tampering,
    recovery::{self, Opening},
    reference::{BLOCK, Crash},
    workloads::{ALL, Start, Workload},
};

/// Seeds of each workload unless `BASALT_CRASH_SEEDS` says otherwise: CI's share.
const SEEDS: u64 = 4;
const DRIVE_BYTES: u64 = 16 << 20;

/// How a machine ends at a crash point: whether the write of that point is still under way, and what happens.
const ENDS: [(bool, Crash); 4] =
    [(true, Crash::ProcessDied), (true, Crash::PowerCut), (false, Crash::PowerCut), (false, Crash::PowerCut)];

/// One workload under one seed, which decides the order of everything that may happen in any order.
struct Run {
    workload: &'static Workload,
    seed: u64,
    tampering: Tampering,
}

/// All workloads with all seeds, or what `BASALT_CRASH_WORKLOAD`, `_SEED` and `_POINT` name.
pub(crate) fn run() {
    let name = env::var("BASALT_CRASH_WORKLOAD").ok();
    let seeds = number("BASALT_CRASH_SEEDS").unwrap_or(SEEDS);
    let seeds = number("BASALT_CRASH_SEED").map_or(0..seeds, |seed| seed..seed + 1);
    let only = number("BASALT_CRASH_POINT");
    let chosen = ALL.iter().filter(|workload| name.as_ref().is_none_or(|name| name == workload.name));
    let tampering = Tampering::default();
    let runs: Vec<Run> = chosen
        .flat_map(|workload| seeds.clone().map(move |seed| Run { workload, seed, tampering }))
        .collect();
    assert!(!runs.is_empty(), "there is no workload {name:?}: {:?}", ALL.map(|workload| workload.name));
    if let Some(run) = parallel::first_failure(&runs, |run| run.crash_everywhere(only)) {
        panic!("workload {} with seed {} failed, see above", run.workload.name, run.seed);
    }
}

/// Test of the test: whether any workload notices that.
pub(crate) fn notice(tampering: Tampering) -> bool {
    let runs: Vec<Run> = ALL.iter().map(|workload| Run { workload, seed: 0, tampering }).collect();
    parallel::first_failure(&runs, |run| run.crash_everywhere(None)).is_some()
}

impl Run {
    fn crash_everywhere(&self, only: Option<u64>) {
        let media = SimMedia::new(DRIVE_BYTES, 512, self.atomic_bytes(), true);
        media.no_flush(self.tampering.no_flush);
        let world = World::new(Model::new(SimRng::new(self.seed)));
        let sim = Sim::new(self.seed, 2);
        self.start(&sim, &world, &media);
        if self.workload.start == Start::Open {
            assert!(sim.run_until(|| lock(&world).drive.is_some()), "the drive did not open");
        }
        let first = media.changes();
        let mut points = 0;
        // Beyond the workload's end, too: what it left to the background is done when nothing happens any more.
        loop {
            let before = media.fork();
            if !sim.step() {
                break;
            }
            let point = media.changes() - first;
            if point > points && only.is_none_or(|only| only == point) {
                let model = lock(&world).model.clone();
                self.crash_at(point, &before, &media, &model);
            }
            points = point;
        }
        assert!(lock(&world).finished, "the workload hangs");
        println!("{:<16} seed {:<4} {points:>4} points survived", self.workload.name, self.seed);
    }

    fn start(&self, sim: &Sim, world: &Shared, media: &SimMedia) {
        let (world, media, opening) = (world.clone(), media.clone(), self.opening());
        let workload = self.workload;
        sim.spawn_on(0, move || async move {
            recovery::open(&world, &media, opening, None).await;
            (workload.run)(Actor::new(&world)).await;
            lock(&world).finished = true;
        });
    }

    fn crash_at(&self, point: u64, before: &SimMedia, after: &SimMedia, model: &Model) {
        for (end, (under_way, crash)) in (0..).zip(ENDS) {
            let replay = Replay { run: self, point, crash };
            let media = if under_way { before.fork() } else { after.fork() };
            let mut rng = SimRng::new(self.seed ^ (point << 20) ^ (end << 50));
            self.survive(&media, model.clone(), crash, &mut rng);
            replay.survived();
        }
    }

    /// Recovers, serves on, loses power, and recovers again.
    fn survive(&self, media: &SimMedia, model: Model, crash: Crash, rng: &mut SimRng) {
        let world = World::new(model);
        lock(&world).crashed();
        crash.strike(media, rng);
        self.recover(&world, media, crash, rng.next_u64(), |actor| async move { serve_on(&actor).await });
        lock(&world).crashed();
        Crash::PowerCut.strike(media, rng);
        self.recover(&world, media, Crash::PowerCut, rng.next_u64(), |actor| async move {
            let drive = lock(&actor.world).drive.clone().expect("it was opened");
            drive.close().await.expect("a sound drive closes");
        });
    }

    fn recover<F: Future<Output = ()> + 'static>(
        &self,
        world: &Shared,
        media: &SimMedia,
        crash: Crash,
        seed: u64,
        then: impl FnOnce(Actor) -> F + Send + 'static,
    ) {
        let sim = Sim::new(seed, 1);
        let (shared, media, opening) = (world.clone(), media.clone(), self.opening());
        sim.spawn_on(0, move || async move {
            recovery::open(&shared, &media, opening, Some(crash)).await;
            then(Actor::new(&shared)).await;
            lock(&shared).finished = true;
        });
        assert!(sim.run_until(|| lock(world).finished), "the drive did not open again");
    }

    /// Some seeds have a drive that tears blocks.
    fn atomic_bytes(&self) -> u32 {
        if self.seed % 4 == 3 { 512 } else { 4096 }
    }

    fn opening(&self) -> Opening {
        let torn = (self.atomic_bytes() < 4096).then_some(TornPolicy::TornSafe);
        let options = DriveOptions {
            write_through: Some(self.seed % 4 == 1),
            torn,
            map_memory_bytes: 32 * BLOCK,
            fault: self.tampering.fault,
        };
        Opening { options, whole_blocks: true }
    }
}

/// What every recovered drive must still be good for.
async fn serve_on(actor: &Actor) {
    let volumes: Vec<_> = lock(&actor.world).handles.keys().copied().collect();
    for volume in volumes {
        actor.write(volume, 0, 2 * BLOCK, false).await;
        actor.read(volume, 0, 8 * BLOCK).await;
    }
    if let Some(volume) = actor.create(1 << 20, 512, 0, Vec::new()).await {
        actor.write(volume, 512, 512, false).await;
        actor.flush(volume).await;
    }
}

/// Says how to come here again if a panic ends this crash.
struct Replay<'a> {
    run: &'a Run,
    point: u64,
    crash: Crash,
}

impl Replay<'_> {
    fn survived(self) {
        std::mem::forget(self);
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        let Self { run: Run { workload: Workload { name, .. }, seed, .. }, point, crash } = self;
        eprintln!(
            "workload {name}, point {point}, seed {seed}: {crash:?} was not survived; replay it:\n\
             cargo xtask crash --workload {name} --seed {seed} --point {point}"
        );
    }
}
