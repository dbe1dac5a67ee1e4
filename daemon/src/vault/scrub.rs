//! The weekly check, in slices: every content is read again and compared with its checksum.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use tokio_util::sync::CancellationToken;

use super::{
    check,
    layout::Layout,
    ledger::{Digest, Ledger, Version},
    manifest::Manifest,
    name::Name,
    transaction::VaultError,
    verify::{Damage, Damages},
};

/// Read in pieces, so that a large video can be left in the middle.
const PIECE_BYTES: usize = 1024 * 1024;

/// Slices in a day: one an hour.
pub const SLICES_A_DAY: u64 = 24;

/// What one slice found.
#[derive(Debug, Default)]
pub struct Slice {
    /// Files that were read and are good.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Damages,
}

/// Reads what was not read for longest, so that all of it is read once in `days`; stops early when told. `now` is in
/// seconds since 1970.
///
/// A backup may be committed meanwhile: what differs then is another content rather than a damage, and is left for the
/// next slice.
///
/// # Errors
/// When the ledger can't be used.
pub fn slice(layout: &Layout, days: u32, now: i64, stop: &CancellationToken) -> Result<Slice, VaultError> {
    let mut slice = Slice::default();
    if !layout.ledger().exists() || days == 0 {
        return Ok(slice);
    }
    let mut ledger = Ledger::open(layout)?;
    let entries = ledger.snapshots()?;
    let Some(newest) = entries.last().map(|entry| entry.number) else { return Ok(slice) };
    // A little more than its share, since the computer is not always on.
    let budget = ledger.bytes()? / (u64::from(days) * SLICES_A_DAY) * 3 / 2 + 1;
    let due = ledger.due_for_check(now - i64::from(days) * 24 * 3600, budget)?;
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for version in due {
        let Some(entry) = entries.iter().find(|entry| entry.number == version.holder) else { continue };
        let tree = if entry.number == newest { layout.latest() } else { layout.snapshot_tree(&entry.id) };
        let path = version.name.below(&tree);
        match read(&path, stop) {
            Ok(None) => break,
            Ok(Some((size, digest))) => {
                let as_it_was = size == version.held.size && version.held.digest.is_none_or(|known| known == digest);
                if as_it_was {
                    slice.files += 1;
                    slice.bytes += size;
                    good.push((version, digest));
                } else {
                    bad.push((version, path, "is not what it was when it came"));
                }
            }
            // A folder that is being swapped or pruned; the plain check tells what is missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a file of a backup can't be read");
                bad.push((version, path, "can't be read"));
            }
        }
    }
    ledger.note_read(&good, now)?;
    if ledger.newest()?.map(|entry| entry.number) == Some(newest) {
        tell(&mut ledger, layout, bad, &mut slice)?;
    }
    Ok(slice)
}

fn tell(
    ledger: &mut Ledger,
    layout: &Layout,
    bad: Vec<(Version, PathBuf, &'static str)>,
    slice: &mut Slice,
) -> Result<(), VaultError> {
    for (version, path, what) in bad {
        // One that was pruned meanwhile is nobody's loss.
        if ledger.version(version.holder, &version.name)?.is_none() {
            continue;
        }
        check::note_damage(ledger, &version)?;
        let (domain, relative_path) = known_as(layout, &version.name);
        slice.damages.add(Damage { domain, relative_path, path, what });
    }
    Ok(())
}

/// What a file is to the person, as far as the latest manifest tells.
fn known_as(layout: &Layout, name: &Name) -> (String, String) {
    let mut known = (String::new(), String::new());
    let visited = Manifest::plain(&layout.latest()).for_each_file(|file| {
        if Name::of_file_id(file.file_id).as_ref() == Some(name) {
            known = (file.domain.to_owned(), file.relative_path.to_owned());
        }
    });
    if let Err(error) = visited {
        tracing::debug!(%error, "a damaged file has no other name than that on disk");
    }
    known
}

/// Size and checksum of a file; none when it was told to stop.
fn read(path: &std::path::Path, stop: &CancellationToken) -> io::Result<Option<(u64, Digest)>> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if stop.is_cancelled() {
            return Ok(None);
        }
        match file.read(&mut piece)? {
            0 => return Ok(Some((hasher.count(), *hasher.finalize().as_bytes()))),
            length => hasher.update(&piece[..length]),
        };
    }
}
