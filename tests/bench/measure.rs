//! One client, from its start to its end.
//!
//! The kernel adds up what a process' children have used, so each client is the only child of a process of its own:
//! this executable again, as `benchmark measure`.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{Result, phone_host};

/// A client that takes longer is stuck.
const RUN_SECONDS_MAX: u64 = 20 * 60;

/// The end of what a failed client printed.
const LOG_BYTES_SHOWN: usize = 2000;

#[derive(clap::Args)]
pub struct Arguments {
    /// Where the client's output goes
    #[arg(long)]
    log: PathBuf,
    #[arg(last = true, required = true)]
    call: Vec<OsString>,
}

/// What a client used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Usage {
    pub wall_seconds: f64,
    pub cpu_seconds: f64,
    pub peak_bytes: u64,
    /// Seconds since 1970.
    pub ended_at: f64,
    succeeded: bool,
}

/// Runs a client; its failure is an error.
pub fn run(this: &Path, call: &[OsString], environment: &[(OsString, OsString)], log: &Path) -> Result<Usage> {
    let output = Command::new(this)
        .args(["measure".as_ref(), "--log".as_ref(), log.as_os_str(), "--".as_ref()])
        .args(call)
        .env_clear()
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let told = || call.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if !output.status.success() {
        return Err(format!("{} could not be measured", told()).into());
    }
    let usage: Usage = serde_json::from_slice(&output.stdout)?;
    if !usage.succeeded {
        return Err(format!("{} failed after {:.1} s:\n{}", told(), usage.wall_seconds, end_of(log)).into());
    }
    Ok(usage)
}

fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_BYTES_SHOWN)..]).into_owned()
}

/// `benchmark measure`: prints the [`Usage`] of one child.
pub fn carry_out(arguments: &Arguments) -> Result<()> {
    let [program, words @ ..] = &arguments.call[..] else { return Err("no program to measure".into()) };
    let log = File::create(&arguments.log)?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let started = Instant::now();
    let mut child = command.spawn()?;
    let (ended, watch) = mpsc::channel::<()>();
    let id = Pid::from_child(&child);
    let watchdog = thread::spawn(move || {
        if watch.recv_timeout(Duration::from_secs(RUN_SECONDS_MAX)) == Err(mpsc::RecvTimeoutError::Timeout) {
            // It may have ended by itself just now.
            kill_process(id, Signal::KILL).ok();
        }
    });
    let status = child.wait()?;
    let (wall_seconds, ended_at) = (started.elapsed().as_secs_f64(), phone_host::now());
    drop(ended);
    drop(watchdog.join());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let usage = Usage {
        wall_seconds,
        cpu_seconds: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak_bytes: u64::try_from(usage.max_rss())? * 1024,
        ended_at,
        succeeded: status.success(),
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}
