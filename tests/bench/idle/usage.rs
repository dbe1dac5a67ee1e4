//! What a process uses, as Linux counts it.

use std::{collections::BTreeMap, fmt, fs, io, time::Duration};

/// Of one core, in percent.
const CPU_PERCENT_MAX: f64 = 0.05;
const MEMORY_MAX: u64 = 20 << 20;
/// Linux counts a process' time in `/proc` in hundredths of a second on every platform.
const TICK: Duration = Duration::from_millis(10);

/// The counters of a process at a moment.
pub(crate) struct Reading {
    /// Of all its threads, those that have ended included.
    cpu: Duration,
    threads: BTreeMap<u32, Thread>,
    resident_bytes: u64,
    /// What it shares with others counted in parts.
    proportional_bytes: u64,
}

struct Thread {
    name: String,
    cpu: Duration,
    wake_ups: u64,
}

impl Reading {
    /// Reads them.
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn of(process: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name in brackets may hold anything; what follows it begins with field 3 of proc(5).
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u32 = fields.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u32>().ok()).sum();
        let mut threads = BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{process}/task"))? {
            let folder = entry?.path();
            let read = |name: &str| fs::read_to_string(folder.join(name));
            // A thread may end between two of these.
            let (Ok(name), Ok(status), Ok(times)) = (read("comm"), read("status"), read("schedstat")) else { continue };
            let nanoseconds = times.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
            let id = field(&status, "Pid").unwrap_or(0);
            let wake_ups = field(&status, "voluntary_ctxt_switches").unwrap_or(0);
            let thread = Thread { name: name.trim().to_owned(), cpu: Duration::from_nanos(nanoseconds), wake_ups };
            threads.insert(id as u32, thread);
        }
        let kibibytes = |file: &str, name: &str| -> io::Result<u64> {
            let text = fs::read_to_string(format!("/proc/{process}/{file}"))?;
            Ok(field(&text, name).ok_or(io::ErrorKind::InvalidData)? * 1024)
        };
        Ok(Self {
            cpu: TICK * ticks,
            threads,
            resident_bytes: kibibytes("status", "VmRSS")?,
            proportional_bytes: kibibytes("smaps_rollup", "Pss")?,
        })
    }
}

/// The number behind a name and a colon.
fn field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// What a process used in a while.
pub(crate) struct Usage {
    cpu_percent: f64,
    threads: Vec<(String, f64, f64)>,
    /// Threads whose wake-ups nobody saw, as they ended meanwhile.
    ended: usize,
    resident_bytes: u64,
    proportional_bytes: u64,
}

impl Usage {
    pub(crate) fn between(before: &Reading, after: &Reading, elapsed: Duration) -> Self {
        let percent = |cpu: Duration| 100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64();
        let threads = after.threads.iter().map(|(id, thread)| {
            let (cpu, wake_ups) = before.threads.get(id).map_or((Duration::ZERO, 0), |old| (old.cpu, old.wake_ups));
            let a_minute = (thread.wake_ups - wake_ups) as f64 * 60.0 / elapsed.as_secs_f64();
            (thread.name.clone(), percent(thread.cpu.saturating_sub(cpu)), a_minute)
        });
        Self {
            cpu_percent: percent(after.cpu.saturating_sub(before.cpu)),
            threads: threads.collect(),
            ended: before.threads.keys().filter(|id| !after.threads.contains_key(id)).count(),
            resident_bytes: after.resident_bytes,
            proportional_bytes: after.proportional_bytes,
        }
    }

    pub(crate) fn is_within(&self) -> bool {
        self.cpu_percent < CPU_PERCENT_MAX && self.resident_bytes < MEMORY_MAX
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = |good: bool| if good { "within" } else { "OVER" };
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let wake_ups: f64 = self.threads.iter().map(|thread| thread.2).sum();
        writeln!(
            out,
            "  processor  {:.3} % of a core: {} the limit of {CPU_PERCENT_MAX} %",
            self.cpu_percent,
            verdict(self.cpu_percent < CPU_PERCENT_MAX)
        )?;
        writeln!(
            out,
            "  memory     {:.1} MiB resident, {:.1} MiB with what is shared counted in parts: {} the limit of {:.0} MiB",
            mebibytes(self.resident_bytes),
            mebibytes(self.proportional_bytes),
            verdict(self.resident_bytes < MEMORY_MAX),
            mebibytes(MEMORY_MAX)
        )?;
        writeln!(out, "  wake-ups   {wake_ups:.1} a minute")?;
        for (name, cpu, wake_ups) in &self.threads {
            writeln!(out, "    {name:<16} {cpu:.4} %  {wake_ups:.1} a minute")?;
        }
        if self.ended > 0 {
            writeln!(out, "    {} threads ended meanwhile", self.ended)?;
        }
        Ok(())
    }
}
