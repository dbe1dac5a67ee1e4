//! P1, P2, P5: one operation of the disk fails, each in its turn.
//!
//! Each fault begins from the same good backup and the same changed phone. After it the good backup is as it was or the
//! new one is whole and sealed, the failure has the right name, and a plain `backstay backup --once` succeeds.

use std::collections::BTreeMap;

use backstay_tests::{disk::Plan, random::seed, world::frozen};
use rustix::io::Errno;
use serde_json::Value;

use crate::place::{Place, side_by_side};

/// Every order of the three errors: which one an operation gets rotates with its number and the seed, and those that
/// it can't give are passed over.
const ROTATION: [&[Errno]; 3] =
    [&[Errno::NOSPC, Errno::ACCESS, Errno::IO], &[Errno::ACCESS, Errno::NOSPC, Errno::IO], &[Errno::IO]];

/// Two at a time: as many as the smallest machine has cores.
const PLACES: u64 = 2;

/// Every file of a tree with its length and hash.
type Tree = BTreeMap<String, (u64, blake3::Hash)>;

/// Which errors the operation of this number may get.
type Errors = fn(number: u64) -> &'static [Errno];

/// How a sweep goes over the operations.
#[derive(Debug, Clone, Copy)]
struct Sweep {
    /// Which errors the operation of this number gets.
    errors: Errors,
    /// The first operation, and how many are passed over from one to the next.
    first: u64,
    stride: u64,
    /// The disk stays broken until the run is over.
    lasting: bool,
    hard_links: bool,
}

/// What came of the faults, and what should not have.
#[derive(Debug, Default)]
struct Outcome {
    faults: u64,
    harmless: u64,
    failures: BTreeMap<String, u64>,
    violations: Vec<String>,
}

/// The failures that tell a person the truth about this error.
fn right_failure(errno: Errno, object: &Value) -> bool {
    let id = object["failure"]["id"].as_str().unwrap_or_default();
    match errno {
        Errno::NOSPC => id == "host-disk-full",
        // Also for reading: the remedy, the right to the folder, is the same.
        Errno::ACCESS => id == "host-write-denied",
        _ => id == "host-io-error",
    }
}

async fn one_fault(
    place: &Place,
    before: &Tree,
    told: &str,
    sweep: Sweep,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let (code, object) = place.world.back_up_once().await;
    let Some((operation, errno)) = place.disk().fired() else { return Ok(()) };
    place.disk().set(Plan::Well);
    outcome.faults += 1;
    // Without hard links a failed run may leave the tree to be mended by the next start, which comes first then.
    if sweep.hard_links {
        let found = place.judge.check()?;
        if code == 0 {
            outcome.harmless += 1;
            if (found.latest, found.sealed) != (Some(place.current()), Some(place.current())) {
                return Err(format!("it says done, but there is {found:?}"));
            }
        } else if found.latest == Some(place.current()) {
            // The fault came after the commit: the backup is there, whatever the run says.
            if found.sealed != Some(place.current()) {
                return Err(format!("the new backup has no receipt: {found:?}"));
            }
        } else if frozen(&place.below().join(place.world.phone.udid())) != *before {
            return Err("the last good backup changed".into());
        }
    }
    if code != 0 {
        let id = object["failure"]["id"].as_str().unwrap_or("none").to_owned();
        *outcome.failures.entry(format!("{} -> {id}", std::io::Error::from(errno).kind())).or_default() += 1;
        if !right_failure(errno, &object) {
            outcome.violations.push(format!("{told}, {operation:?}: wrongly told: {object}"));
        }
    }
    let (code, object) = place.world.back_up_once().await;
    if code != 0 {
        return Err(format!("the next backup failed: {object}"));
    }
    let found = place.judge.check()?;
    if (found.latest, found.sealed) != (Some(place.current()), Some(place.current())) {
        return Err(format!("after the next backup there is {found:?}"));
    }
    Ok(())
}

/// Goes over the operations from `first` on until a run in which nothing fails any more.
async fn sweep_one(sweep: Sweep) -> Outcome {
    let mut place = Place::new(61).await;
    let kept = place.keep();
    let before = frozen(&kept.join(place.world.phone.udid()));
    place.change();
    let mut outcome = Outcome::default();
    let mut number = sweep.first;
    loop {
        place.restore(&kept);
        if !sweep.hard_links {
            place.disk().without_hard_links();
        }
        let (at, errors) = (number, (sweep.errors)(number));
        place.disk().set(if sweep.lasting { Plan::FailFrom { at, errors } } else { Plan::Fail { at, errors } });
        let faults = outcome.faults;
        let result = one_fault(&place, &before, &format!("operation {number}"), sweep, &mut outcome).await;
        if let Err(violation) = result {
            outcome.violations.push(format!("operation {number} ({errors:?}): {violation}"));
        } else if outcome.faults == faults {
            return outcome;
        }
        number += sweep.stride;
    }
}

/// Splits the operations between the places.
fn carry_out(told: &str, sweep: Sweep) {
    let outcomes = side_by_side(PLACES, move |place| {
        sweep_one(Sweep { first: sweep.first + place * sweep.stride, stride: sweep.stride * PLACES, ..sweep })
    });
    let mut all = Outcome::default();
    for outcome in outcomes {
        all.faults += outcome.faults;
        all.harmless += outcome.harmless;
        for (told, count) in outcome.failures {
            *all.failures.entry(told).or_default() += count;
        }
        all.violations.extend(outcome.violations);
    }
    println!("{told}: {} faults, {} of them harmless, {:?}", all.faults, all.harmless, all.failures);
    assert!(all.faults > 0, "{told}: nothing failed");
    assert!(all.violations.is_empty(), "{told}: {} violations:\n{}", all.violations.len(), all.violations.join("\n"));
}

fn rotating(number: u64) -> &'static [Errno] {
    ROTATION[((number + ROTATED_BY.load(std::sync::atomic::Ordering::Relaxed)) % 3) as usize]
}

static ROTATED_BY: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// True when every error is to be tried at every operation, which takes a good while.
fn full_sweep() -> bool {
    std::env::var_os("BACKSTAY_FULL_SWEEP").is_some()
}

/// Every operation fails once; which error it gives rotates. With `BACKSTAY_FULL_SWEEP` it gives each of them in turn.
#[test]
fn p1_p2_p5_any_operation_of_the_disk_may_fail() {
    needs!();
    let sweep = Sweep { errors: rotating, first: 1, stride: 1, lasting: false, hard_links: true };
    if !full_sweep() {
        ROTATED_BY.store(seed(), std::sync::atomic::Ordering::Relaxed);
        return carry_out("each operation, one of three errors", sweep);
    }
    carry_out("each operation, no space", Sweep { errors: |_| &[Errno::NOSPC], ..sweep });
    carry_out("each operation, no access", Sweep { errors: |_| &[Errno::ACCESS], ..sweep });
    carry_out("each operation, input/output error", Sweep { errors: |_| &[Errno::IO], ..sweep });
}

/// From some operation on nothing works any more, as on a disk that is full, taken away or dying.
#[test]
fn p1_p2_p5_a_disk_may_stay_broken() {
    needs!();
    let stride = if full_sweep() { 1 } else { 17 };
    let sweep = Sweep { errors: rotating, first: 1 + seed() % stride, stride, lasting: true, hard_links: true };
    let all: [(&str, Errors); 3] =
        [("full", |_| &[Errno::NOSPC]), ("locked", |_| &[Errno::ACCESS]), ("dying", |_| &[Errno::IO])];
    for (told, errors) in all {
        let stride = if told == "full" { stride.min(5) } else { stride };
        carry_out(told, Sweep { errors, stride, ..sweep });
    }
}

/// A file system without hard links, such as exFAT: a failed run may need the next start to put things back.
#[test]
fn p1_p5_a_disk_without_hard_links_may_fail() {
    needs!();
    let stride = if full_sweep() { 1 } else { 11 };
    let sweep = Sweep { errors: rotating, first: 1 + seed() % stride, stride, lasting: false, hard_links: false };
    carry_out("without hard links", sweep);
}
