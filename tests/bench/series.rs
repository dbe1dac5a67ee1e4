//! Who runs when, into which folder, and whether it did what it should.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use backstay::{
    host::disk,
    vault::{history, layout::Layout},
};
use backstay_shared::config::Config;
use backstay_tests::{oracle::check_backup, phone::dataset::DataSet};
use plist::Value;

use super::{
    Result,
    case::{Case, Files, Kind},
    client::{self, Client, Programs},
    machine,
    measure::{self, Usage},
    phone_host::PhoneProcess,
};

/// A run that others disturbed is repeated so often, then it is taken as it is.
const TRIES: usize = 4;

/// CPU time is counted in ticks, so a short run seems to have some company even when it is alone.
const OTHERS_SECONDS_SLACK: f64 = 0.05;

/// So many are slow to remove.
const MANY_FILES: usize = 1000;

/// What is to be done.
pub struct Plan {
    pub programs: Programs,
    pub runs: u32,
    /// For the backups.
    pub targets: PathBuf,
    /// For the phone, homes and logs.
    pub scratch: PathBuf,
    pub patience: Duration,
}

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub usage: Usage,
    /// From the request for a backup to the phone's final status.
    pub transfer_seconds: f64,
    /// From the phone's final status to the end of the client.
    pub after_seconds: f64,
    /// Other programs took more than a little of the CPU.
    pub disturbed: bool,
}

/// All runs of one client.
#[derive(Debug)]
pub struct Row {
    pub client: Client,
    pub samples: Vec<Sample>,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    pub case: Case,
    pub rows: Vec<Row>,
}

/// Runs every case, or `only` one.
pub fn all(plan: &Plan, big: Files, small: Files, only: Option<Kind>) -> Result<Vec<Table>> {
    let wanted = |kind: &Kind| only.is_none_or(|only| only == *kind);
    let mut tables = Vec::new();
    for kind in [Kind::Big, Kind::Small, Kind::Unchanged].into_iter().filter(wanted) {
        tables.push(match kind {
            Kind::Big => Stage::open(plan, big)?.full(kind)?,
            Kind::Small => Stage::open(plan, small)?.full(kind)?,
            Kind::Unchanged => Stage::open(plan, small)?.unchanged()?,
        });
    }
    Ok(tables)
}

/// A phone and what belongs to it.
struct Stage<'a> {
    plan: &'a Plan,
    files: Files,
    phone: PhoneProcess,
    udid: String,
    data: DataSet,
    environment: Vec<(OsString, OsString)>,
}

impl<'a> Stage<'a> {
    fn open(plan: &'a Plan, files: Files) -> Result<Self> {
        let phone = PhoneProcess::start(&plan.programs.this, &plan.scratch, files)?;
        let environment = client::environment(&plan.scratch, &phone.address());
        let spec = files.phone();
        Ok(Self { plan, files, phone, udid: spec.udid, data: DataSet::generate(&spec.data), environment })
    }

    /// Each run into a new folder; the warm-up's result is looked at byte by byte.
    fn full(&self, kind: Kind) -> Result<Table> {
        let case = Case { kind, files: self.files };
        let clients = [Client::Idevicebackup2, Client::PlainCopy, Client::Backstay];
        for client in clients {
            self.run_full(client)?;
            self.check(client)?;
            self.put_away(client)?;
        }
        let rows = self.in_turn(case, &clients, |client| {
            let sample = self.run_full(client)?;
            self.put_away(client)?;
            Ok(sample)
        })?;
        Ok(Table { case, rows })
    }

    /// Each client on a finished backup of its own. Backstay keeps older snapshots, so it warms up until it has as many
    /// as it keeps: from then on every run clones one, makes one and removes one.
    fn unchanged(&self) -> Result<Table> {
        let case = Case { kind: Kind::Unchanged, files: self.files };
        let clients = [Client::Idevicebackup2, Client::Backstay];
        let keep_last = Config::default().backup.keep_last;
        for client in clients {
            self.run_full(client)?;
            let warm_ups = if client == Client::Backstay { keep_last + 1 } else { 1 };
            for _ in 0..warm_ups {
                self.run(client, false)?;
            }
        }
        let rows = self.in_turn(case, &clients, |client| self.run(client, false))?;
        for client in clients {
            self.check(client)?;
            self.check_incremental(client)?;
        }
        let layout = Layout::new(&Client::Backstay.folder(&self.plan.targets), &self.udid.parse()?);
        let snapshots = history::older(&layout)?.len();
        if snapshots != keep_last as usize {
            return Err(format!("backstay has {snapshots} older snapshots in place of {keep_last}").into());
        }
        Ok(Table { case, rows })
    }

    /// A B A B, so that what changes in the computer over time changes for all; and each round another client is first,
    /// so that none always follows the same other.
    fn in_turn(&self, case: Case, clients: &[Client], run: impl Fn(Client) -> Result<Sample>) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = clients.iter().map(|client| Row { client: *client, samples: Vec::new() }).collect();
        for round in 0..self.plan.runs as usize {
            for turn in 0..rows.len() {
                let row = &mut rows[(round + turn) % clients.len()];
                let sample = self.undisturbed(|| run(row.client))?;
                let (name, seconds) = (row.client.name(), sample.usage.wall_seconds);
                let remark = if sample.disturbed { ", disturbed" } else { "" };
                eprintln!("{}: run {}, {name}: {seconds:.2} s{remark}", case.title(), round + 1);
                row.samples.push(sample);
            }
        }
        Ok(rows)
    }

    fn undisturbed(&self, run: impl Fn() -> Result<Sample>) -> Result<Sample> {
        let mut tries = 1;
        loop {
            let sample = run()?;
            if !sample.disturbed || tries == TRIES {
                return Ok(sample);
            }
            tries += 1;
            eprintln!("other programs disturbed a run; it is repeated");
        }
    }

    fn folder(&self, client: Client) -> PathBuf {
        client.folder(&self.plan.targets)
    }

    /// Removes what a run made. On a disk many small files are only moved aside until the end: ext4 keeps the places of
    /// removed files free for minutes, and looking for other ones would be counted for the next run.
    fn put_away(&self, client: Client) -> io::Result<()> {
        let (folder, targets) = (self.folder(client), &self.plan.targets);
        if machine::is_memory(targets) || self.files.count < MANY_FILES {
            return remove(&folder);
        }
        let aside = tempfile::Builder::new().prefix("old-").tempdir_in(targets)?.keep();
        fs::rename(folder, aside.join("backup"))
    }

    /// A folder and a home that were never used: Backstay remembers where backups were, and refuses a folder that was
    /// emptied behind its back.
    fn run_full(&self, client: Client) -> Result<Sample> {
        for folder in [self.folder(client), client::home(&self.plan.scratch)] {
            remove(&folder)?;
            fs::create_dir_all(folder)?;
        }
        self.run(client, true)
    }

    fn run(&self, client: Client, full: bool) -> Result<Sample> {
        let Plan { programs, scratch, targets, .. } = self.plan;
        let memory = match machine::is_memory(targets) {
            true if full => Some(machine::touched_memory(targets, self.files.bytes())?),
            true => None,
            false => {
                // Else Backstay, which syncs, would write what the one before has left to be written.
                disk::sync_tree(targets)?;
                None
            }
        };
        let call = client.call(programs, &self.udid, &self.folder(client), full);
        machine::wait_until_quiet(self.plan.patience)?;
        let (all, phone) = (machine::busy_seconds()?, machine::process_seconds(self.phone.id())?);
        let backups = self.phone.backups()?.len();
        drop(memory);
        let usage = measure::run(&programs.this, &call, &self.environment, &scratch.join("client.log"))?;
        let all = machine::busy_seconds()? - all;
        let others = all - (machine::process_seconds(self.phone.id())? - phone) - usage.cpu_seconds;
        let limit = OTHERS_SECONDS_SLACK + machine::OTHERS_CPU_MAX * usage.wall_seconds;
        let seen = self.phone.backup_after(backups)?;
        Ok(Sample {
            usage,
            transfer_seconds: seen.ended_at - seen.requested_at,
            after_seconds: usage.ended_at - seen.ended_at,
            disturbed: others > limit,
        })
    }

    fn backup(&self, client: Client) -> PathBuf {
        self.folder(client).join(&self.udid)
    }

    fn check(&self, client: Client) -> Result<()> {
        check_backup(&self.backup(client), &self.data).map_err(|error| format!("{}: {error}", client.name()).into())
    }

    /// Else the phone sent everything and the figure is another case's.
    fn check_incremental(&self, client: Client) -> Result<()> {
        if is_full(&self.backup(client).join("Status.plist"))? != Some(false) {
            return Err(format!("{}: the last backup was no incremental one", client.name()).into());
        }
        Ok(())
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_full(status: &Path) -> Result<Option<bool>> {
    let status = Value::from_file(status)?;
    Ok(status.as_dictionary().and_then(|status| status.get("IsFullBackup")?.as_boolean()))
}
