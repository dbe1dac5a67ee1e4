//! The diagnosis matrix: every failure that can come up on this computer is made to happen, at the wire, on the disk, in
//! the settings or by the clock. Each has to be told by its own name, with the evidence, and to end by itself or by "Try
//! again" once the cause is gone. `BACKSTAY_MATRIX=words` plays only the rows whose fault or failure holds the words.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod absent;
mod apple;
mod codes;
mod commands;
mod disk;
mod harness;
mod keyring;
mod link;
mod phone;
mod trust;
mod usbmuxd;
mod vault;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use backstay_shared::health::FailureId;

use crate::harness::{Row, Told, seconds};

/// Most of a row is waiting; more at a time would make the machine the reason of what is measured.
const AT_A_TIME: usize = 12;

struct Played {
    number: usize,
    fault: String,
    raises: FailureId,
    quotes: String,
    result: Result<Told, String>,
}

fn rows() -> Vec<Row> {
    // Those that take longest begin first. Keys are computed in each row of trust, so that these are spread.
    let mut trust: VecDeque<Row> = trust::rows().into();
    let areas = [
        link::rows(),
        disk::rows(),
        keyring::rows(),
        vault::rows(),
        usbmuxd::rows(),
        codes::rows(),
        phone::rows(),
        apple::rows(),
        commands::rows(),
    ];
    let mut rows = Vec::new();
    for (number, row) in areas.into_iter().flatten().enumerate() {
        rows.push(row);
        if number % 4 == 3 {
            rows.extend(trust.pop_front());
        }
    }
    rows.extend(trust);
    rows
}

fn play(row: Row, number: usize) -> Played {
    let Row { fault, raises, quotes, lacks, play } = row;
    let result = match lacks {
        Some(missing) => Err(format!("NOT RUN: this machine lacks {missing}")),
        None => {
            let playing = || {
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
                runtime.block_on(play())
            };
            catch_unwind(AssertUnwindSafe(playing)).unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<String>().cloned();
                Err(said.or_else(|| panic.downcast_ref().map(|said: &&str| (*said).to_owned())).unwrap_or_default())
            })
        }
    };
    Played { number, fault, raises, quotes, result }
}

fn play_all(rows: Vec<Row>) -> Vec<Played> {
    let waiting = Mutex::new(rows.into_iter().enumerate().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((number, row)) = next else { return };
                    let played = play(row, number);
                    if let Err(error) = &played.result {
                        println!("{} ({}): {error}", played.fault, played.raises);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(played);
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|played| played.number);
    done
}

/// For a person, as markdown.
fn table(played: &[Played]) -> String {
    let mut table = String::from(
        "| # | fault | failure | visible after | evidence quoted | once the cause is gone |\n|---|---|---|---|---|---|\n",
    );
    for Played { number, fault, raises, quotes, result } in played {
        let (visible, quoted, retry) = match result {
            Ok(told) => (seconds(told.visible), quotes.clone(), told.retry.clone()),
            Err(error) if error.starts_with("NOT RUN") => ("-".into(), quotes.clone(), error.clone()),
            Err(_) => ("WRONG".into(), quotes.clone(), "WRONG".into()),
        };
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        writeln!(
            table,
            "| {} | {} | `{raises}` | {visible} | {} | {} |",
            number + 1,
            cell(fault),
            cell(&quoted),
            cell(&retry)
        )
        .unwrap();
    }
    table
}

#[test]
fn every_failure_is_told_by_its_name_and_ends() {
    let words = std::env::var("BACKSTAY_MATRIX").unwrap_or_default();
    let mut rows = rows();
    let all = rows.len();
    rows.retain(|row| row.fault.contains(&words) || row.raises.slug().contains(&words));
    let began = Instant::now();
    let played = play_all(rows);
    let table = table(&played);
    println!("{table}\n{} of {all} rows in {}", played.len(), seconds(began.elapsed()));
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/diagnosis-matrix.md");
    std::fs::write(&target, &table).unwrap();

    let wrong: Vec<String> = played
        .iter()
        .filter_map(|played| {
            let error = played.result.as_ref().err().filter(|error| !error.starts_with("NOT RUN"))?;
            Some(format!("{} ({}): {error}", played.fault, played.raises))
        })
        .collect();
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every failure of the catalogue has a row, or a reason why it has none.
#[test]
fn no_failure_is_left_out() {
    let rows = rows();
    assert!(rows.len() >= 80, "{} rows", rows.len());
    let raised: BTreeSet<FailureId> = rows.iter().map(|row| row.raises).collect();
    let absent: BTreeMap<FailureId, &str> = absent::REASONS.iter().copied().collect();
    for id in FailureId::ALL {
        let (has_row, reason) = (raised.contains(id), absent.get(id));
        assert!(has_row || reason.is_some(), "{id} has neither a row nor a reason");
        assert!(!(has_row && reason.is_some()), "{id} has a row, so that {reason:?} is none");
    }
    let unquoted: Vec<&str> = rows.iter().filter(|row| row.quotes.is_empty()).map(|row| row.fault.as_str()).collect();
    assert_eq!(unquoted, Vec::<&str>::new(), "these quote nothing");
}
