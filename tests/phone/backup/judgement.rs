//! What the phone looks at before its final answer: is all that the manifest lists on the host?
//!
//! Real phones end such a backup with 205 "Manifest references files not in backup", even where `Status.plist` says that it
//! is finished (Netimobiledevice 68).

use std::{
    collections::{BTreeSet, HashSet},
    io,
};

use super::{
    devicelink::Link,
    download::Sink,
    plists,
    script::Script,
    stop::Stop,
    stored::{damaged, missing},
};
use crate::phone::{
    Stream,
    dataset::{DataFile, DataSet},
};

/// Takes the hash of a file that comes.
#[derive(Default)]
struct Hashed {
    hasher: blake3::Hasher,
    complete: bool,
}

impl Sink for Hashed {
    fn begin(&mut self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        Ok(())
    }

    fn done(&mut self) -> io::Result<()> {
        self.complete = true;
        Ok(())
    }

    fn failed(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Requires that the host has the manifest that it was sent, and every file in it.
pub(super) async fn judge<S: Stream>(
    link: &mut Link<'_, S>,
    folder: &str,
    data: &DataSet,
    script: &Script,
    manifest: blake3::Hash,
) -> Result<(), Stop> {
    let listed: Vec<&DataFile> = data.files().filter(|file| !script.trusts_blindly(file.file_id)).collect();
    let folders: BTreeSet<&'static str> = listed.iter().map(|file| file.file_id.folder()).collect();
    let mut present = HashSet::new();
    for name in folders {
        present.extend(link.contents_of_directory(&format!("{folder}/{name}")).await?);
    }
    let status = link.download_bytes(&format!("{folder}/Status.plist"), 100.0).await?;
    if !status.is_some_and(|status| plists::is_finished(&status)) {
        return Err(missing("Status.plist"));
    }
    if link.download_bytes(&format!("{folder}/Manifest.plist"), 100.0).await?.is_none() {
        return Err(missing("Manifest.plist"));
    }
    let mut sink = Hashed::default();
    link.download(&[format!("{folder}/Manifest.db")], 100.0, &mut sink).await?;
    if !sink.complete {
        return Err(missing("Manifest.db"));
    }
    if sink.hasher.finalize() != manifest {
        return Err(damaged("Manifest.db is not what was sent"));
    }
    if listed.iter().any(|file| !present.contains(&file.file_id.hex())) {
        return Err(damaged("Manifest references files not in backup"));
    }
    Ok(())
}
