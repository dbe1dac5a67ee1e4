//! Free space, syncing and the atomic swap of two folders.

use std::{fs, io, path::Path};

/// Bytes that this user may still write to the file system that holds `path`.
///
/// # Errors
/// When it can't be asked; unknown is an error, never a large number.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    fs4::available_space(path)
}

/// Brings everything that was written below `folder` to the disk, in one go.
///
/// # Errors
/// When the disk could not take it all.
#[cfg(target_os = "linux")]
pub fn sync_tree(folder: &Path) -> io::Result<()> {
    rustix::fs::syncfs(fs::File::open(folder)?)?;
    Ok(())
}

/// Brings everything that was written below `folder` to the disk, file by file where the system has nothing better.
#[cfg(not(target_os = "linux"))]
pub fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            fs::OpenOptions::new().read(true).write(cfg!(windows)).open(entry.path())?.sync_data()?;
        }
    }
    sync_folder(folder)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When the disk could not take them.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows keeps names durable by itself and can't open a folder as a file.
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Writes a small file so that a reader at any moment, also after a power cut, finds the old or the new one whole.
///
/// # Errors
/// Of the file system; the old file is then untouched.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let written = fs::write(&temporary, content)
        .and_then(|()| fs::File::open(&temporary)?.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of the temporary file is overwritten by the next try.
        drop(fs::remove_file(&temporary));
    }
    written?;
    sync_folder(folder)
}

/// Makes a folder, and those above it that are missing, for its owner alone.
///
/// # Errors
/// Of the file system; a folder that is there is none.
pub fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Exchanges two folders in one atomic step.
///
/// # Errors
/// `Unsupported` where the system has no such step; otherwise of the file system.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|error| match error {
        Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => io::ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

/// Exchanges two folders in one atomic step.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn exchange(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Writes and removes a small file, to learn what is wrong with a folder when somebody else's error does not say.
///
/// # Errors
/// What is wrong.
pub fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe-write.new");
    let written = fs::write(&path, [0; 64 * 1024]).and_then(|()| fs::File::open(&path)?.sync_all());
    let removed = fs::remove_file(&path);
    written?;
    removed
}

/// True when a file of this size finds room; also where that can't be asked without writing it.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub fn can_take(folder: &Path, bytes: u64) -> bool {
    let path = folder.join("probe-room.new");
    let taken = fs::File::create(&path)
        .and_then(|file| Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?));
    let removed = fs::remove_file(&path);
    let can_tell = !matches!(&taken, Err(error) if error.kind() == io::ErrorKind::Unsupported);
    (taken.is_ok() || !can_tell) && removed.is_ok()
}

/// True when a file of this size finds room; also where that can't be asked without writing it.
#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub const fn can_take(_folder: &Path, _bytes: u64) -> bool {
    true
}
