//! A folder seen through a disk that fails, or kills who uses it, at a chosen operation.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use fuser::{BackgroundSession, Config, MountOption, spawn_mount};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{
    passthrough::Passthrough,
    plan::{Gate, Operation, Plan},
};

/// Requests that are carried out at the same time.
const THREADS: usize = 4;

/// Mounted while it lives.
pub struct FaultyDisk {
    gate: Arc<Gate>,
    hard_links: Arc<AtomicBool>,
    folder: PathBuf,
    mount_point: PathBuf,
    _session: BackgroundSession,
}

impl FaultyDisk {
    /// Shows `folder` at `mount_point`. From now on only the mount may change the folder; looking is free.
    pub fn mount(folder: &Path, mount_point: &Path) -> io::Result<Self> {
        let (gate, hard_links) = (Arc::new(Gate::default()), Arc::new(AtomicBool::new(true)));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("backstay-faulty".into()), MountOption::NoAtime];
        config.n_threads = Some(THREADS);
        let file_system = Passthrough::new(folder, gate.clone(), hard_links.clone())?;
        let session = spawn_mount(file_system, mount_point, &config)?;
        let (folder, mount_point) = (folder.to_owned(), mount_point.to_owned());
        Ok(Self { gate, hard_links, folder, mount_point, _session: session })
    }

    /// From now on like FAT: no hard links, no exchange of names.
    pub fn without_hard_links(&self) {
        self.hard_links.store(false, Ordering::Relaxed);
    }

    /// A new plan; counting begins anew, and a disk that stood still after a kill goes on.
    pub fn set(&self, plan: Plan) {
        self.gate.set(plan);
    }

    /// The operation at which the plan came true, if it did, and what it was answered.
    pub fn fired(&self) -> Option<(Operation, Errno)> {
        self.gate.fired()
    }

    /// Every operation since the plan was set.
    pub fn log(&self) -> Vec<Operation> {
        self.gate.log()
    }

    /// What is really on the disk, to be looked at without passing the gate.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        self.gate.set(Plan::Well);
        // Detached: also when a process that is about to end still has a file open.
        if let Err(error) = unmount(&self.mount_point, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.mount_point.display());
        }
    }
}
