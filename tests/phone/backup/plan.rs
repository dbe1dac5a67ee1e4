//! What a backup begins with: the properties of the last one, what an interrupted one left, and what follows from both.

use std::{collections::HashSet, sync::Arc};

use plist::{Dictionary, Value};

use super::{
    cipher::Key,
    devicelink::Link,
    encryption::Encryption,
    engine::{blocking, payload_length},
    journal::Run,
    manifest::{self, Changes},
    plists,
    rows::RowMaker,
    stop::Stop,
    stored,
};
use crate::phone::{
    Interrupted, Stream,
    dataset::{DataFile, DataSet, FileId},
};

/// What the host holds and what follows from it.
pub(super) struct Plan {
    /// The host's `Manifest.db`, if the backup builds on it.
    pub(super) database: Option<tempfile::NamedTempFile>,
    pub(super) changes: Changes,
    /// Names in the host's folder for this phone.
    pub(super) listing: Vec<String>,
    /// Names in its `Snapshot`.
    pub(super) snapshot: Vec<String>,
    /// Files that lie in `Snapshot` as the phone would send them now.
    pub(super) resumed: HashSet<FileId>,
}

impl Plan {
    pub(super) fn full(&self) -> bool {
        self.database.is_none()
    }

    /// The files that must be sent.
    pub(super) fn uploads<'a>(&'a self, data: &'a DataSet) -> impl Iterator<Item = &'a DataFile> {
        self.changes.uploads(data).filter(|file| !self.resumed.contains(&file.file_id))
    }
}

/// Looks at one host.
pub(super) struct Planner<'a, 'p, S> {
    pub(super) link: &'a mut Link<'p, S>,
    pub(super) folder: &'a str,
    pub(super) data: &'a Arc<DataSet>,
    pub(super) encryption: Option<Arc<Encryption>>,
    pub(super) rows: RowMaker,
}

impl<S: Stream> Planner<'_, '_, S> {
    /// Looks at the host's last backup and decides whether to build on it.
    pub(super) async fn plan(mut self, force_full: bool) -> Result<Plan, Stop> {
        let status = match self.link.fetch(&self.path("Status.plist")).await? {
            Some(status) => Some(plists::dictionary(&status).ok_or_else(|| unreadable(&status))?),
            None => None,
        };
        let finished = status.as_ref().is_some_and(plists::says_finished);
        let resumes = self.link.phone().interrupted() == Interrupted::Resumes;
        let mut broken = self.link.phone().journal().broken().filter(|_| resumes);
        let mut base = None;
        if finished || broken.as_ref().is_some_and(|run| !run.full) {
            base = self.base(status.as_ref(), finished).await?;
        }
        let (listing, snapshot) = self.listings(finished).await?;
        if !snapshot.is_empty() && self.link.phone().interrupted() == Interrupted::Refuses {
            return Err(Stop::refused(205, "An interrupted backup is in the way (MBErrorDomain/205)"));
        }
        broken = broken.filter(|_| !snapshot.is_empty());
        let builds = match &broken {
            Some(run) => !run.full,
            None => finished,
        };
        let whole = || (None, Changes::whole(self.data));
        let (database, changes) = match base {
            Some((database, changes)) if builds && !force_full => (Some(database), changes),
            _ => whole(),
        };
        let mut plan = Plan { database, changes, listing, snapshot, resumed: HashSet::new() };
        if let Some(run) = broken {
            plan.resumed = self.resumed(&plan, &run).await?;
        }
        let bytes = plan.changes.uploads(self.data).filter(|file| plan.resumed.contains(&file.file_id));
        let bytes = bytes.map(|file| payload_length(file, self.encryption.as_deref())).sum();
        self.link.phone().keep_bytes_resumed(bytes);
        Ok(plan)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Reads the properties and the database of the backup that is there, also where everything will be sent; none where
    /// nothing can be built on it. `finished` ones must be sound.
    async fn base(
        &mut self,
        status: Option<&Dictionary>,
        finished: bool,
    ) -> Result<Option<(tempfile::NamedTempFile, Changes)>, Stop> {
        let path = self.path("Manifest.plist");
        let Some(bytes) = self.link.fetch(&path).await? else { return self.absent(&path) };
        // How pymobiledevice3 asks for a full backup, and real phones take it: a status of a full one, and this file
        // without a byte. Of one that was not full it ends in 205 (iBackep 10).
        let says_full = status.is_some_and(|status| status.get("IsFullBackup") == Some(&Value::Boolean(true)));
        if bytes.is_empty() && says_full {
            return Ok(None);
        }
        let Some(manifest) = plists::dictionary(&bytes) else {
            return if finished { Err(unreadable(&bytes)) } else { Ok(None) };
        };
        let Ok(key) = manifest_key(self.encryption.as_deref(), &manifest) else { return Ok(None) };
        let path = self.path("Manifest.db");
        let Some(database) = self.link.fetch_database(&path).await? else { return self.absent(&path) };
        let (data, rows) = (self.data.clone(), self.rows.clone());
        let compared = blocking(move || {
            let database = match key {
                Some(key) => stored::decrypted(&database, &key).ok().flatten()?,
                None => database,
            };
            let changes = manifest::compare(database.path(), &data, &rows).ok()?;
            Some((database, changes))
        });
        match compared.await? {
            None if finished => {
                let text = "Error reading backup database (MBErrorDomain/205). \
                    Underlying error: file is not a database (MBErrorDomain/16).";
                Err(Stop::refused(205, text))
            }
            compared => Ok(compared),
        }
    }

    /// A part of the properties is not there.
    fn absent<T>(&self, path: &str) -> Result<Option<T>, Stop> {
        if self.link.phone().has_strict_properties() {
            let text = format!(
                "Error reading backup properties (MBErrorDomain/205). \
                Underlying error: No such file or directory at path \"{path}\" (MBErrorDomain/4)."
            );
            return Err(Stop::refused(205, text));
        }
        Ok(None)
    }

    /// What is in the folder and in its `Snapshot`. Where a backup came to its end `Snapshot` is looked into only if it is
    /// there: pymobiledevice3, which works with real phones, survives no listing of a folder that is not.
    async fn listings(&mut self, finished: bool) -> Result<(Vec<String>, Vec<String>), Stop> {
        let path = self.path("Snapshot");
        let mut snapshot = Vec::new();
        if !finished {
            snapshot = self.link.contents_of_directory(&path).await?;
        }
        let listing = self.link.contents_of_directory(self.folder).await?;
        if finished && listing.iter().any(|name| name == "Snapshot") {
            snapshot = self.link.contents_of_directory(&path).await?;
        }
        Ok((listing, snapshot))
    }

    /// Files that the broken run sent whole, that have not changed since and that the host lists in full length.
    async fn resumed(&mut self, plan: &Plan, run: &Run) -> Result<HashSet<FileId>, Stop> {
        let encryption = self.encryption.as_deref();
        let mut candidates: Vec<(&DataFile, u64)> =
            plan.changes.uploads(self.data).filter_map(|file| Some((file, run.sent(file, encryption)?))).collect();
        candidates.sort_unstable_by_key(|(file, _)| file.file_id);
        let mut resumed = HashSet::new();
        for files in candidates.chunk_by(|(a, _), (b, _)| a.file_id.folder() == b.file_id.folder()) {
            let Some((first, _)) = files.first() else { continue };
            let name = first.file_id.folder();
            if !plan.snapshot.iter().any(|listed| listed == name) {
                continue;
            }
            let listed = self.link.listing(&self.path(&format!("Snapshot/{name}"))).await?;
            let size = |file: &DataFile| {
                listed.get(&file.file_id.hex())?.as_dictionary()?.get("DLFileSize")?.as_unsigned_integer()
            };
            let whole = files.iter().filter(|(file, length)| size(file) == Some(*length));
            resumed.extend(whole.map(|(file, _)| file.file_id));
        }
        Ok(resumed)
    }
}

/// The end for properties that are there and no property list.
fn unreadable(bytes: &[u8]) -> Stop {
    let why = if bytes.is_empty() { "Cannot parse a NULL or zero-length data" } else { "The data is no property list" };
    let text = format!(
        "Error reading backup properties (MBErrorDomain/205). \
        Underlying error: Error deserializing properties: {why} (MBErrorDomain/11)."
    );
    Stop::refused(205, text)
}

/// The host's backup is encrypted otherwise than the phone encrypts now.
struct EncryptionChanged;

/// The key of the host's `Manifest.db`, or none if it has none. An error means that the password was set, changed or
/// removed since then: no file there fits the keys of now.
fn manifest_key(encryption: Option<&Encryption>, manifest: &Dictionary) -> Result<Option<Key>, EncryptionChanged> {
    match (encryption, plists::encryption(manifest)) {
        (None, None) => Ok(None),
        (Some(encryption), Some(locked)) if encryption.keybag().bytes() == locked.keybag => {
            encryption.keybag().unwrap(&locked.manifest_key).map(Some).ok_or(EncryptionChanged)
        }
        _ => Err(EncryptionChanged),
    }
}
