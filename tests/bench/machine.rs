//! The computer: what it is, and whether somebody else is using it while we measure.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;

use super::Result;

/// Linux counts CPU time in `/proc` in hundredths of a second on every platform.
const TICKS_A_SECOND: f64 = 100.0;

const LOOK: Duration = Duration::from_millis(300);

/// Others may take so much of one CPU; a run in which they took more is repeated.
pub const OTHERS_CPU_MAX: f64 = 0.10;

/// `Intel(R) Xeon(R) Processor, 2 cores, Linux 6.18, 2026-11-23`
pub fn line() -> Result<String> {
    let facts = fs::read_to_string("/proc/cpuinfo")?;
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model);
    let cores = thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let date = chrono::Utc::now().format("%Y-%m-%d");
    Ok(format!("{model}, {cores} cores, Linux {}, {date}", kernel.trim()))
}

/// True when files there are kept in memory.
pub fn is_memory(folder: &Path) -> bool {
    const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|facts| facts.f_type == TMPFS_MAGIC)
}

/// A file of so many bytes; dropping it frees memory that a virtual machine's host has already handed over, since the
/// first use of memory costs far more there than the next.
pub fn touched_memory(folder: &Path, bytes: u64) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    io::copy(&mut io::repeat(0).take(bytes), &mut file)?;
    Ok(file)
}

/// CPU seconds that the whole computer has spent, time that its host took away included.
pub fn busy_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guests are within user.
    let busy = ticks.iter().enumerate().take(8).filter(|(index, _)| !matches!(index, 3 | 4));
    Ok(busy.map(|(_, ticks)| ticks).sum::<f64>() / TICKS_A_SECOND)
}

/// CPU seconds that one process has spent.
pub fn process_seconds(id: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in brackets may hold anything; what follows it begins with field 3.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_A_SECOND)
}

/// Returns when others have fallen silent or `patience` has run out.
pub fn wait_until_quiet(patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    loop {
        let (before, since) = (busy_seconds()?, Instant::now());
        thread::sleep(LOOK);
        let share = (busy_seconds()? - before) / since.elapsed().as_secs_f64();
        if share <= OTHERS_CPU_MAX || Instant::now() >= until {
            return Ok(());
        }
    }
}
