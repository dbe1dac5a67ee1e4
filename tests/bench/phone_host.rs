//! The simulated iPhone, in a process of its own so that its work counts for no client.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use backstay_tests::phone::{Event, Phone, usbmuxd::Usbmuxd};
use chrono::Utc;
use tokio::sync::broadcast::Receiver;

use super::{Result, case::Files};

const START_SECONDS_MAX: u64 = 30;
const END_SECONDS_MAX: u64 = 5;
const NOTE_SECONDS_MAX: u64 = 5;
const LOOK: Duration = Duration::from_millis(10);

/// Exists once the phone can be found.
const READY: &str = "ready";
const BACKUPS: &str = "backups";

#[derive(clap::Args)]
pub struct Arguments {
    /// For its socket
    #[arg(long)]
    dir: PathBuf,
    #[command(flatten)]
    files: Files,
}

/// `benchmark phone`: plugged in and paired until standard input ends.
pub fn carry_out(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let usbmuxd = Usbmuxd::start(&arguments.dir).await?;
        let phone = Phone::new(arguments.files.phone());
        phone.pair_with(&usbmuxd)?;
        phone.plug_in();
        usbmuxd.add(&phone);
        tokio::spawn(note_backups(phone.events(), File::create(arguments.dir.join(BACKUPS))?));
        File::create(arguments.dir.join(READY))?;
        tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
        usbmuxd.stop().await;
        Ok(())
    })
}

/// A line for each backup: when it was asked for and when the phone sent its final status.
async fn note_backups(mut events: Receiver<Event>, mut file: File) -> io::Result<()> {
    let mut requested = now();
    while let Ok(event) = events.recv().await {
        match event {
            Event::BackupRequested => requested = now(),
            Event::BackupEnded { code: 0 } => writeln!(file, "{requested} {}", now())?,
            _ => {}
        }
    }
    Ok(())
}

/// Seconds since 1970.
pub fn now() -> f64 {
    Utc::now().timestamp_micros() as f64 / 1e6
}

/// One backup as the phone saw it, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub requested_at: f64,
    pub ended_at: f64,
}

/// A phone that is there until this is dropped.
pub struct PhoneProcess {
    child: Child,
    dir: PathBuf,
}

impl PhoneProcess {
    /// Starts one below `scratch`; its manifests are made there too.
    pub fn start(this: &Path, scratch: &Path, files: Files) -> Result<Self> {
        let dir = scratch.join("phone");
        fs::create_dir_all(&dir)?;
        let child = Command::new(this)
            .args(["phone", "--count", &files.count.to_string(), "--size", &files.size.to_string(), "--dir"])
            .arg(&dir)
            .env("TMPDIR", &dir)
            .stdin(Stdio::piped())
            .spawn()?;
        let mut phone = Self { child, dir };
        let until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        while !phone.dir.join(READY).exists() {
            if phone.child.try_wait()?.is_some() || Instant::now() > until {
                return Err("the simulated phone did not start".into());
            }
            thread::sleep(LOOK);
        }
        Ok(phone)
    }

    /// The backups so far that ended well.
    pub fn backups(&self) -> io::Result<Vec<Seen>> {
        let text = fs::read_to_string(self.dir.join(BACKUPS))?;
        // A line that is being written is no line yet.
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once(' '));
        let seen = whole.filter_map(|(requested, ended)| {
            Some(Seen { requested_at: requested.parse().ok()?, ended_at: ended.parse().ok()? })
        });
        Ok(seen.collect())
    }

    /// The backup after the first `count` of them, which the client says has ended.
    pub fn backup_after(&self, count: usize) -> Result<Seen> {
        let until = Instant::now() + Duration::from_secs(NOTE_SECONDS_MAX);
        loop {
            match &self.backups()?[count..] {
                [seen] => return Ok(*seen),
                [] if Instant::now() < until => thread::sleep(LOOK),
                seen => return Err(format!("the phone saw {} backups where there was one", seen.len()).into()),
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What `USBMUXD_SOCKET_ADDRESS` has to say.
    pub fn address(&self) -> String {
        format!("UNIX:{}", self.dir.join("usbmuxd.sock").display())
    }
}

impl Drop for PhoneProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(END_SECONDS_MAX);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            thread::sleep(LOOK);
        }
        // Already gone as a rule, and then this does nothing.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.dir));
    }
}
