//! P1, P5: the daemon is killed at any operation of its disk and started again, with nobody's help.

use std::{collections::BTreeMap, fmt};

use backstay_shared::{client::Client, overview::Activity, protocol::Request};
use backstay_tests::{
    disk::{Kind, Operation, Plan, Trigger},
    phone::dataset::Mutation,
    random::{Random, seed},
    world::{Daemon, eventually, text},
};
use chrono::Utc;

use crate::place::{Place, side_by_side};

/// Kills in all, split between two worlds at a time.
const KILLS: u64 = 200;
const WORLDS: u64 = 2;
/// Then it is a new phone's turn.
const KILLS_PER_WORLD: u64 = 20;

/// What the daemon was at, told by what it did on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Clone,
    Transfer,
    Move,
    Verify,
    Receipt,
    Swap,
    History,
    Prune,
    Ledger,
    Other,
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", format!("{self:?}").to_lowercase())
    }
}

/// Follows a run by its operations. Tolerant: what it does not know is told as `other`.
#[derive(Debug, Default)]
struct Follower {
    receiving: bool,
    moved: bool,
    finished: bool,
    sealed: bool,
    swapped: bool,
    filed: bool,
}

impl Follower {
    fn phase(&mut self, operation: &Operation, udid: &str) -> Phase {
        let path = operation.path.replace(udid, "phone");
        if path.contains("ledger") {
            return Phase::Ledger;
        }
        if path.contains("receipt") {
            self.sealed |= path.contains("next/receipt") && operation.kind == Kind::Create;
            // Before a run begins it looks for what an earlier one left.
            return if self.receiving { Phase::Receipt } else { Phase::Other };
        }
        if let Some(below) = path.strip_prefix(".backstay/phone/history") {
            self.filed |= self.swapped && operation.kind == Kind::Rename && !below.is_empty();
            return if self.swapped && !self.filed { Phase::History } else { self.history_kind(operation.kind) };
        }
        if path == "phone" && matches!(operation.kind, Kind::Exchange | Kind::Rename) {
            self.swapped = true;
            return Phase::Swap;
        }
        match path.strip_prefix(".backstay/phone/next") {
            Some(below) => self.in_next(below, operation.kind),
            None if path.starts_with("phone") => match (self.receiving, self.swapped) {
                (false, _) => Phase::Clone,
                (true, false) => Phase::Swap,
                (true, true) => Phase::History,
            },
            None => Phase::Other,
        }
    }

    const fn history_kind(&self, kind: Kind) -> Phase {
        if self.filed && matches!(kind, Kind::Rename) { Phase::History } else { Phase::Prune }
    }

    fn in_next(&mut self, below: &str, kind: Kind) -> Phase {
        if self.swapped {
            return Phase::History;
        }
        if self.sealed {
            return Phase::Swap;
        }
        let info = below.ends_with("/Info.plist") || below.ends_with("/Info.plist.new");
        self.receiving |= info && matches!(kind, Kind::Create);
        if !self.receiving {
            return Phase::Clone;
        }
        self.moved |= kind == Kind::Rename && !info;
        self.finished |= self.moved && kind == Kind::Close && below.ends_with("/Status.plist");
        match (self.moved, self.finished) {
            (false, _) => Phase::Transfer,
            (true, false) => Phase::Move,
            (true, true) => Phase::Verify,
        }
    }
}

fn phases(log: &[Operation], udid: &str) -> Vec<Phase> {
    let mut follower = Follower::default();
    log.iter().map(|operation| follower.phase(operation, udid)).collect()
}

/// What the kills hit, and where the daemon did not go on by itself.
#[derive(Debug, Default)]
struct Tally {
    hit: BTreeMap<Phase, u64>,
    went_on: BTreeMap<Phase, u64>,
    asked: BTreeMap<Phase, u64>,
}

struct Killer {
    place: Place,
    daemon: Option<Daemon>,
    random: Random,
    /// How many operations of each phase a run has.
    chart: BTreeMap<Phase, u64>,
    tally: Tally,
}

impl Killer {
    async fn new(seed: u64) -> Self {
        let place = Place::new(71).await;
        let folder = place.world.folder.path().join("home/.config/backstay");
        std::fs::create_dir_all(&folder).unwrap();
        // So that something is removed in every run.
        std::fs::write(folder.join("config.toml"), "[backup]\nkeep_last = 1\n").unwrap();
        let daemon = Some(place.world.daemon().await);
        let random = Random::new(seed);
        let mut killer = Self { place, daemon, random, chart: BTreeMap::new(), tally: Tally::default() };
        for _ in 0..2 {
            killer.change();
            killer.settled().await;
            killer.place.disk().set(Plan::Well);
            killer.ask().await;
        }
        let log = killer.place.disk().log();
        for phase in phases(&log, killer.place.world.phone.udid()) {
            *killer.chart.entry(phase).or_default() += 1;
        }
        killer
    }

    /// The phone's owner used it: mostly what was there before, so that runs stay alike.
    fn change(&mut self) {
        let phone = &self.place.world.phone;
        phone.mutate(Mutation::Change { count: 3 });
        if self.random.below(4) == 0 {
            phone.mutate(Mutation::Add { count: 1, size: 150_000 });
            phone.mutate(Mutation::Remove { count: 1 });
        }
        self.place.judge.holds(phone.data());
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().unwrap()
    }

    /// Waits until the phone is here and nothing is going on or owed.
    async fn settled(&mut self) {
        let idle = |activity: &Activity| *activity == Activity::Idle;
        self.daemon().phone_shows("all is done", |phone| idle(&phone.activity).then_some(())).await;
    }

    /// A person asks for a backup and gets it.
    async fn ask(&mut self) {
        let output = self.place.world.backstay(&["backup"]).await;
        assert!(output.status.success(), "{}", text(&output));
        self.settled().await;
    }

    /// Kills at the operation that has so many of its phase before it. True when it was killed, false when the run was
    /// over before.
    async fn killed(&mut self, phase: Phase, before: u64) -> bool {
        let udid = self.place.world.phone.udid().to_owned();
        let (mut follower, mut passed) = (Follower::default(), 0);
        let at = Trigger::when(move |operation| {
            passed += u64::from(follower.phase(operation, &udid) == phase);
            passed > before
        });
        let process = self.daemon().child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())).unwrap();
        self.place.disk().set(Plan::Kill { at, process });
        let asked_at = Utc::now();
        if let Ok(mut client) = Client::connect(&self.place.world.socket()).await {
            // It may be killed before it answers.
            client.request(Request::BackUp { phone: None, full: false }).await.ok();
        }
        let daemon = self.daemon.as_mut().unwrap();
        eventually("the daemon is killed or done", async || {
            if daemon.child.try_wait().unwrap().is_some() {
                return Some(true);
            }
            let overview = daemon.overview().await?;
            let phone = overview.phones.first()?;
            let done =
                phone.last_run.as_ref().is_some_and(|run| run.at >= asked_at) && phone.activity == Activity::Idle;
            done.then_some(false)
        })
        .await
    }

    async fn kill(&mut self, count: u64) {
        let phases: Vec<Phase> = self.chart.keys().copied().collect();
        let begun_with = self.tally.hit.values().sum::<u64>();
        for round in 0.. {
            if self.tally.hit.values().sum::<u64>() == begun_with + count {
                return;
            }
            assert!(round < 3 * count, "the kills come too late: {:?}", self.tally);
            // Each phase gets its share, however few operations it has.
            let phase = self.random.below(phases.len() as u64) as usize;
            let phase = phases[phase];
            let before = self.random.below(self.chart[&phase]);
            self.kill_once(phase, before).await;
        }
    }

    /// One kill: everything that has to hold after it, and after the next start.
    async fn kill_once(&mut self, phase: Phase, before: u64) {
        self.change();
        if !self.killed(phase, before).await {
            self.place.disk().set(Plan::Well);
            return self.ask().await;
        }
        let log = self.place.disk().log();
        let told = format!("killed in {phase}: {:?}", log.last().unwrap());
        *self.tally.hit.entry(phase).or_default() += 1;
        self.place.disk().set(Plan::Well);
        let (before, now) = (self.place.current() - 1, self.place.current());
        let found = self.place.judged(&told);
        assert!([Some(before), Some(now)].contains(&found.latest), "{told}: {found:?}");
        assert!([Some(before), Some(now)].contains(&found.sealed), "{told}: {found:?}");

        self.daemon = Some(self.place.world.daemon().await);
        self.settled().await;
        let found = self.place.judged(&told);
        if found.latest == Some(now) {
            *self.tally.went_on.entry(phase).or_default() += 1;
        } else {
            *self.tally.asked.entry(phase).or_default() += 1;
            // A run that was killed is owed from the moment on that it is on record.
            let on_record =
                log.iter().rev().skip(1).any(|operation| {
                    operation.kind == Kind::Unlink && operation.path.ends_with("ledger.sqlite-journal")
                });
            assert!(!on_record, "{told}: it did not go on by itself");
            self.ask().await;
        }
        let found = self.place.judged(&told);
        assert_eq!((found.latest, found.sealed), (Some(now), Some(now)), "{told}");
    }
}

/// Kills in one world after another: a phone's folders only grow in number, and the chart of a run would grow old.
async fn kills(seed: u64, count: u64) -> Tally {
    let mut tally = Tally::default();
    let mut seeds = Random::new(seed);
    while tally.hit.values().sum::<u64>() < count {
        let left = count - tally.hit.values().sum::<u64>();
        let mut killer = Killer::new(seeds.next()).await;
        killer.tally = tally;
        killer.kill(left.min(KILLS_PER_WORLD)).await;
        killer.daemon.take().unwrap().terminate().await;
        tally = killer.tally;
    }
    tally
}

#[test]
fn p1_p5_killed_at_200_random_moments() {
    needs!();
    let seed = seed();
    let (mut hit, mut went_on, mut asked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for tally in side_by_side(WORLDS, move |world| kills(seed.wrapping_add(world), KILLS / WORLDS)) {
        for (all, one) in [(&mut hit, tally.hit), (&mut went_on, tally.went_on), (&mut asked, tally.asked)] {
            for (phase, count) in one {
                *all.entry(phase).or_insert(0) += count;
            }
        }
    }
    println!("{:10} killed  there at once or by itself  asked for", "phase");
    for (phase, count) in &hit {
        let of = |tally: &BTreeMap<Phase, u64>| tally.get(phase).copied().unwrap_or(0);
        println!("{:10} {count:6}  {:25}  {:9}", phase.to_string(), of(&went_on), of(&asked));
    }
    assert_eq!(hit.values().sum::<u64>(), KILLS);
    use Phase::{Clone, History, Ledger, Move, Prune, Receipt, Swap, Transfer, Verify};
    for phase in [Clone, Transfer, Move, Verify, Receipt, Swap, History, Prune, Ledger] {
        assert!(hit.contains_key(&phase), "no kill in {phase}");
    }
}
