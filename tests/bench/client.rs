//! The programs that are compared, and how each is called.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::Result;

/// Who makes the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Idevicebackup2,
    PlainCopy,
    Backstay,
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub this: PathBuf,
    pub backstay: PathBuf,
    pub idevicebackup2: PathBuf,
}

impl Programs {
    /// `backstay` is taken from the folder of this executable, `idevicebackup2` from `PATH`.
    pub fn find() -> Result<Self> {
        let this = env::current_exe()?;
        let backstay = this.with_file_name("backstay");
        if !backstay.is_file() {
            let profile = if cfg!(debug_assertions) { "" } else { "--release " };
            let folder = backstay.parent().unwrap_or(&backstay).display();
            return Err(format!("there is no backstay in {folder}; run: cargo build {profile}-p backstay").into());
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let idevicebackup2 = env::split_paths(&path)
            .map(|folder| folder.join("idevicebackup2"))
            .find(|program| program.is_file())
            .ok_or("there is no idevicebackup2; run: apt-get install libimobiledevice-utils")?;
        Ok(Self { this, backstay, idevicebackup2 })
    }

    /// When each was built; a build in the midst of the runs makes figures of two programs.
    pub fn built(&self) -> io::Result<[SystemTime; 3]> {
        let modified = |program: &PathBuf| fs::metadata(program)?.modified();
        Ok([modified(&self.this)?, modified(&self.backstay)?, modified(&self.idevicebackup2)?])
    }
}

impl Client {
    pub fn name(self) -> &'static str {
        match self {
            Self::Idevicebackup2 => "idevicebackup2",
            Self::PlainCopy => "plain copy",
            Self::Backstay => "backstay",
        }
    }

    /// Its folder.
    pub fn folder(self, targets: &Path) -> PathBuf {
        targets.join(self.name().replace(' ', "-"))
    }

    /// The call that backs the phone up into `target`.
    pub fn call(self, programs: &Programs, udid: &str, target: &Path, full: bool) -> Vec<OsString> {
        let (program, words): (&Path, &[&str]) = match self {
            Self::Idevicebackup2 => (&programs.idevicebackup2, &["--udid", udid, "backup"]),
            Self::PlainCopy => (&programs.this, &["plain-copy", "--udid", udid, "--target"]),
            Self::Backstay => (&programs.backstay, &["backup", "--once", "--json", udid, "--root"]),
        };
        let mut call: Vec<OsString> = vec![program.into()];
        call.extend(words.iter().map(OsString::from));
        if full && self == Self::Idevicebackup2 {
            call.push("--full".into());
        }
        call.push(target.into());
        if full && self == Self::Backstay {
            call.push("--full".into());
        }
        call
    }
}

/// The home of every client.
pub fn home(scratch: &Path) -> PathBuf {
    scratch.join("home")
}

/// Nothing of the person's own: home and settings are folders below `scratch`.
pub fn environment(scratch: &Path, usbmuxd: &str) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> =
        vec![("USBMUXD_SOCKET_ADDRESS".into(), usbmuxd.into()), ("LANG".into(), "C.UTF-8".into())];
    let homes = ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"];
    for name in homes.into_iter().chain(["TMPDIR"]) {
        environment.push((name.into(), home(scratch).join(name.to_lowercase()).into()));
    }
    environment.extend(env::var_os("PATH").map(|path| ("PATH".into(), path)));
    environment
}
