//! Real file systems in image files: loop devices, formatting, mounting, and what this machine lacks for it.

use std::{
    ffi::{CString, OsStr},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// What of all this is missing here; none when the test can run. `programs` come on top of root, FUSE and loop devices.
pub fn missing(programs: &[&str]) -> Option<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root");
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if !Path::new(device).exists() {
            missing.push(device);
        }
    }
    let folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .collect();
    let found = |program: &str| folders.iter().any(|folder| folder.join(program).is_file());
    missing.extend(["losetup", "mkfs.ext4"].iter().chain(programs).filter(|program| !found(program)).copied());
    (!missing.is_empty()).then(|| missing.join(", "))
}

fn run(program: &str, arguments: &[&OsStr]) -> io::Result<Output> {
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(io::Error::other(format!("{program} {arguments:?}: {said}")))
}

/// Formats a device or image, for example with `mkfs.ext4`.
pub fn format(program: &str, options: &[&str], target: &Path) -> io::Result<()> {
    let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
    arguments.push(target.as_os_str());
    run(program, &arguments).map(drop)
}

/// A block device made of a file; gone when it is dropped.
pub struct Volume {
    device: PathBuf,
}

impl Volume {
    /// Reads and writes go to the file without a cache in between.
    pub fn of(file: &Path) -> io::Result<Self> {
        let options = ["--find", "--show", "--direct-io=on"].map(OsStr::new);
        let output = run("losetup", &[&options[..], &[file.as_os_str()]].concat())?;
        Ok(Self { device: String::from_utf8_lossy(&output.stdout).trim().into() })
    }

    /// For example `/dev/loop3`.
    pub fn device(&self) -> &Path {
        &self.device
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Err(error) = run("losetup", &["--detach".as_ref(), self.device.as_os_str()]) {
            eprintln!("{error}");
        }
    }
}

/// A mounted file system; unmounted when it is dropped.
pub struct Mounted {
    at: Option<PathBuf>,
    volume: Option<Volume>,
}

impl Mounted {
    /// Mounts a volume as ext4.
    pub fn ext4(volume: Volume, at: &Path, read_only: bool) -> io::Result<Self> {
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        // A broken file system is an error to see, not one to go on with.
        let data = CString::new("errors=remount-ro").ok();
        mount(volume.device(), at, "ext4", flags, data.as_deref())?;
        Ok(Self { at: Some(at.to_owned()), volume: Some(volume) })
    }

    /// Formats an image file and mounts it as ext4.
    pub fn fresh_ext4(image: &Path, bytes: u64, at: &Path) -> io::Result<Self> {
        std::fs::File::create(image)?.set_len(bytes)?;
        format("mkfs.ext4", &["-q", "-F"], image)?;
        Self::ext4(Volume::of(image)?, at, false)
    }

    /// What another program has mounted there from this volume.
    pub fn adopt(volume: Volume, at: &Path) -> Self {
        Self { at: Some(at.to_owned()), volume: Some(volume) }
    }

    /// Makes it read-only, or writable again, under those who use it.
    pub fn remount(&self, read_only: bool) -> io::Result<()> {
        let Some(at) = &self.at else { return Ok(()) };
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        Ok(mount_remount(at, flags, "")?)
    }

    /// Makes ext4 give up as it does when the disk fails under its journal: nothing can be written until it is mounted
    /// anew, whoever has files open.
    pub fn abort(&self) -> io::Result<()> {
        let Some(at) = &self.at else { return Ok(()) };
        Ok(mount_remount(at, MountFlags::empty(), "abort")?)
    }

    /// Takes it away as `umount -l` does: whoever has it open keeps it, nobody finds it any more.
    pub fn detach(&mut self) -> io::Result<Option<Volume>> {
        if let Some(at) = self.at.take() {
            unmount(&at, UnmountFlags::DETACH)?;
        }
        Ok(self.volume.take())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(at) = self.at.take() else { return };
        // Whole if possible, so that the loop device is free at once.
        if unmount(&at, UnmountFlags::empty()).is_err()
            && let Err(error) = unmount(&at, UnmountFlags::DETACH)
        {
            eprintln!("{} stays mounted: {error}", at.display());
        }
    }
}
