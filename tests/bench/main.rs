//! `cargo run --release -p backstay-tests --bin benchmark`: what a backup costs with Backstay, with idevicebackup2 and
//! with a plain copy of the same stream.
//!
//! All three back up the same simulated iPhone in turn. The phone runs in a process of its own and every client is
//! measured as a whole process, from its start to its end. The hidden subcommands are those processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "test code: a broken invariant of its own ends the test, and names say what fields are"
)]

mod case;
mod client;
mod machine;
mod measure;
mod phone_host;
mod plain_copy;
mod report;
mod series;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use backstay::host::disk;
use clap::{Parser, Subcommand};

/// What any part of the benchmark may fail with; the text is for the person who ran it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const MEMORY: &str = "/dev/shm";

/// Compares Backstay with idevicebackup2 and with a plain copy of the same stream.
#[derive(Parser)]
#[command(name = "benchmark", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    options: Options,
}

#[derive(clap::Args)]
struct Options {
    /// Runs of each client that count, after its warm-up
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// A smoke run: one run each, 64 MiB and 2,000 files
    #[arg(long)]
    quick: bool,
    /// One case only
    #[arg(long, value_enum)]
    only: Option<case::Kind>,
    /// Print tables for the README
    #[arg(long)]
    markdown: bool,
    /// Where the backups go [default: /dev/shm when it has room, else the folder for temporary files]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seconds to wait for other programs to fall silent before a run is taken as it comes
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Phone(phone_host::Arguments),
    #[command(hide = true)]
    Measure(measure::Arguments),
    #[command(hide = true)]
    PlainCopy(plain_copy::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        Some(Part::Phone(part)) => phone_host::carry_out(part),
        Some(Part::Measure(part)) => measure::carry_out(part),
        Some(Part::PlainCopy(part)) => plain_copy::carry_out(part),
        None => compare(&arguments.options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<()> {
    let programs = client::Programs::find()?;
    let (big, small) = if options.quick { case::QUICK } else { case::FULL };
    let runs = if options.quick { 1 } else { options.runs };
    let room = |small_copies: u32| (u64::from(small_copies) * small.bytes()).max(2 * big.bytes()) * 5 / 4 + (256 << 20);
    // Two finished backups of the small files stand beside each other, and as much memory is touched as a run needs.
    let memory = memory_folder(room(3));
    let parent = options.dir.as_deref().unwrap_or(&memory);
    // On a disk the backups of three clients stay to the end, warm-ups too.
    let room = if machine::is_memory(parent) { room(3) } else { room(3 * (runs + 1) + 2) };
    let free = disk::free_bytes(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
    if free < room {
        return Err(format!("{} has room for {free} bytes, {room} are needed", parent.display()).into());
    }
    let targets = temporary_folder(parent)?;
    let scratch = temporary_folder(&memory)?;
    let plan = series::Plan {
        programs,
        runs,
        targets: targets.path().to_owned(),
        scratch: scratch.path().to_owned(),
        patience: Duration::from_secs(options.patience),
    };
    let header = report::Header::new(&plan.programs, parent)?;
    let (programs, built) = (plan.programs.clone(), plan.programs.built()?);
    let only = options.only;
    let results = until_interrupted(move || series::all(&plan, big, small, only))?;
    if programs.built()? != built {
        return Err("a program was built anew while it was measured".into());
    }
    let text = if options.markdown { report::markdown(&header, &results) } else { report::text(&header, &results) };
    print!("{text}");
    Ok(())
}

/// Figures from memory say what the programs cost, not what the disk does.
fn memory_folder(room: u64) -> PathBuf {
    let memory = Path::new(MEMORY);
    match disk::free_bytes(memory) {
        Ok(free) if free >= room => memory.to_owned(),
        _ => std::env::temp_dir(),
    }
}

fn temporary_folder(parent: &Path) -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("backstay-benchmark-").tempdir_in(parent)
}

/// Ctrl-C ends the waiting, so that the caller removes its gigabytes; the terminal has told the clients too.
fn until_interrupted<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            done = tokio::task::spawn_blocking(work) => done?,
            signal = tokio::signal::ctrl_c() => Err(signal.err().map_or("interrupted".into(), Into::into)),
        }
    });
    runtime.shutdown_background();
    outcome
}
