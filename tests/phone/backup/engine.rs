//! One backup, as a phone runs it: look at what the host has, send what differs, move it into place, say so.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use plist::Dictionary;

use super::{
    cipher::{self, Key, encrypted_length},
    devicelink::Link,
    encryption::Encryption,
    judgement,
    manifest::{self, Changes},
    misbehave, plists,
    rows::RowMaker,
    script::Script,
    status::check_written,
    stop::Stop,
    stored,
};
use crate::phone::{
    CutEnding, Fault, Moment, Stream,
    dataset::{DataFile, DataSet, FileId},
};

const MOVES_PER_MESSAGE: usize = 256;
const FILES_PER_UPLOAD: usize = 2048;
const BYTES_PER_UPLOAD: u64 = 256 << 20;
/// Progress goes to here while files are sent, the rest is for putting them into place.
const UPLOAD_PERCENT: f64 = 90.0;
const DEVICE_ROOT: &str = "/var/mobile";
const DEVICE_SNAPSHOT: &str = "/var/.backup.i/var/MobileBackup";

/// What the host holds and what follows from it.
struct Plan {
    /// The host's `Manifest.db`, if the backup builds on it.
    database: Option<tempfile::NamedTempFile>,
    changes: Changes,
    /// Names in the host's folder for this phone.
    listing: Vec<String>,
}

impl Plan {
    fn full(&self) -> bool {
        self.database.is_none()
    }
}

/// One running backup.
pub(super) struct Backup<'l, 'p, S> {
    link: &'l mut Link<'p, S>,
    /// The folder below the backup root: the phone's UDID.
    folder: String,
    data: Arc<DataSet>,
    encryption: Option<Arc<Encryption>>,
    uuid: String,
    script: Script,
}

impl<'l, 'p, S: Stream> Backup<'l, 'p, S> {
    pub(super) fn new(link: &'l mut Link<'p, S>, folder: String) -> Self {
        let phone = link.phone();
        let data = phone.data();
        Self {
            link,
            folder,
            uuid: uuid::Uuid::new_v4().to_string().to_uppercase(),
            script: Script::of(phone, &data),
            encryption: phone.encryption(),
            data,
        }
    }

    /// Runs to the point where only the final status is missing.
    pub(super) async fn run(mut self, force_full: bool) -> Result<(), Stop> {
        misbehave::unlock(self.link).await?;
        misbehave::mishaps(self.link, Moment::BeforeFiles).await?;
        misbehave::before_backup(self.link).await?;
        let mut plan = self.plan(force_full).await?;
        misbehave::mishaps(self.link, Moment::AfterIndexDownload).await?;
        let sent: HashSet<FileId> = plan.changes.uploads(&self.data).map(|file| file.file_id).collect();
        self.script.keep_only(&sent);
        let upload = plan.changes.uploads(&self.data).map(|file| self.payload_length(file)).sum();
        let needed = match self.link.phone().fault() {
            Some(Fault::SpaceNeeded { bytes }) => bytes,
            _ => upload,
        };
        self.link.prepare_free_space(needed).await?;
        if plan.listing.iter().any(|name| name == "Snapshot") {
            self.remove(&[self.path("Snapshot")]).await?;
        }
        self.send_status(plan.full(), "uploading").await?;
        self.create_snapshot_folders(&plan).await?;
        self.link.first_upload = true;
        self.send_files(&plan, upload).await?;
        misbehave::after_upload(self.link).await?;
        misbehave::mishaps(self.link, Moment::BeforeManifest).await?;
        let manifest = self.send_manifest(&mut plan).await?;
        misbehave::mishaps(self.link, Moment::BeforeMoves).await?;
        self.send_status(plan.full(), "moving").await?;
        self.put_into_place(&plan).await?;
        self.send_status(plan.full(), "finished").await?;
        judgement::judge(self.link, &self.folder, &self.data, &self.script, manifest).await?;
        match self.link.phone().fault() {
            Some(Fault::DisconnectWithoutStatus) => Err(Stop::Disconnect),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Bytes of a file as they are sent.
    fn payload_length(&self, file: &DataFile) -> u64 {
        if self.encryption.is_some() { encrypted_length(file.size) } else { file.size }
    }

    /// Makes the rows of this backup.
    fn rows(&self) -> RowMaker {
        RowMaker::new(self.link.phone().clone(), self.encryption.clone(), &self.script)
    }

    /// The key of the host's `Manifest.db`, or none if it has none. An error means that the password was set, changed or
    /// removed since then: no file there fits the keys of now.
    fn manifest_key(&self, manifest: &Dictionary) -> Result<Option<Key>, EncryptionChanged> {
        match (&self.encryption, plists::encryption(manifest)) {
            (None, None) => Ok(None),
            (Some(encryption), Some(locked)) if encryption.keybag().bytes() == locked.keybag => {
                encryption.keybag().unwrap(&locked.manifest_key).map(Some).ok_or(EncryptionChanged)
            }
            _ => Err(EncryptionChanged),
        }
    }

    /// Looks at the host's last backup and decides whether to build on it.
    async fn plan(&mut self, force_full: bool) -> Result<Plan, Stop> {
        let listing = self.link.contents_of_directory(&self.folder).await?;
        let status = self.link.download_bytes(&self.path("Status.plist")).await?;
        let manifest = self.link.download_bytes(&self.path("Manifest.plist")).await?;
        let finished = status.is_some_and(|status| plists::is_finished(&status));
        let manifest = manifest.and_then(|manifest| plists::dictionary(&manifest)).filter(|_| finished && !force_full);
        let mut database = None;
        let mut key = None;
        if let Some(Ok(manifest_key)) = manifest.map(|manifest| self.manifest_key(&manifest)) {
            database = self.link.download_database(&self.path("Manifest.db")).await?;
            key = manifest_key;
        }
        let (data, rows) = (self.data.clone(), self.rows());
        let compared = blocking(move || {
            let readable = database.and_then(|database| match key {
                Some(key) => stored::decrypted(&database, &key).ok().flatten(),
                None => Some(database),
            });
            let Some(database) = readable else { return (None, Changes::whole(&data)) };
            match manifest::compare(database.path(), &data, &rows) {
                Ok(changes) => (Some(database), changes),
                // A phone is not told why a manifest can't be read either: it sends everything.
                Err(_) => (None, Changes::whole(&data)),
            }
        });
        let (database, changes) = compared.await?;
        Ok(Plan { database, changes, listing })
    }

    async fn send_status(&mut self, full: bool, state: &str) -> Result<(), Stop> {
        let bytes = plists::status(&self.uuid, full, state);
        let device = format!("{DEVICE_SNAPSHOT}/Status.plist");
        self.link.upload_bytes(&device, &self.path("Status.plist"), -1.0, &bytes).await
    }

    async fn create_snapshot_folders(&mut self, plan: &Plan) -> Result<(), Stop> {
        self.link.create_directory(&self.path("Snapshot")).await?;
        for folder in folders(plan, &self.data) {
            self.link.create_directory(&format!("{}/Snapshot/{folder}", self.folder)).await?;
        }
        Ok(())
    }

    /// Uploads all that differs into the snapshot folders, batch by batch.
    async fn send_files(&mut self, plan: &Plan, upload: u64) -> Result<(), Stop> {
        let data = self.data.clone();
        let files: Vec<&DataFile> =
            plan.changes.uploads(&data).filter(|file| !self.script.forgets(file.file_id)).collect();
        let (mut sent, mut number) = (0, 0);
        let mut batches = 0..;
        let mut rest = &files[..];
        while !rest.is_empty() {
            let (count, bytes) = batch(rest, |file| self.payload_length(file));
            let (count, bytes) = self.told_batch(rest, batches.next()).unwrap_or((count, bytes));
            self.link.begin_upload(UPLOAD_PERCENT * sent as f64 / upload.max(1) as f64, bytes).await?;
            let (mut device, mut path) = (String::new(), String::new());
            let mut done = 0;
            for file in &rest[..count] {
                if let Err(stop) = misbehave::mishaps(self.link, Moment::BeforeFile(number)).await {
                    return self.break_off(stop).await;
                }
                number += 1;
                done += 1;
                write_names(file, &self.folder, &mut device, &mut path);
                let ending = self.script.cut(file.file_id);
                if let Some(manner) = self.script.unreadable(file.file_id) {
                    self.link.upload_unreadable(&device, &path, file, manner, self.encryption.as_deref()).await?;
                } else if ending.is_some() {
                    self.link.upload_half(&device, &path, file, self.encryption.as_deref()).await?;
                } else if let Some(encryption) = &self.encryption {
                    self.link.upload_encrypted_file(&device, &path, file, encryption).await?;
                } else {
                    self.link.upload_file(&device, &path, file).await?;
                }
                if ending == Some(CutEnding::EndOfList) {
                    break;
                }
            }
            self.link.end_upload().await?;
            sent += rest[..done].iter().map(|file| self.payload_length(file)).sum::<u64>();
            rest = &rest[done..];
        }
        Ok(())
    }

    /// The batch of this number, where a test says how many files it has.
    fn told_batch(&self, files: &[&DataFile], number: Option<usize>) -> Option<(usize, u64)> {
        let count = self.link.phone().batch_files(number?)?.min(files.len());
        Some((count, files[..count].iter().map(|file| self.payload_length(file)).sum()))
    }

    /// Ends the upload under way, so that what is said next is a message.
    async fn break_off(&mut self, stop: Stop) -> Result<(), Stop> {
        if !matches!(stop, Stop::Link(_)) {
            self.link.end_upload().await?;
        }
        Err(stop)
    }

    /// Brings `Manifest.db` up to date and uploads both manifests; the hash of its bytes as they went.
    async fn send_manifest(&mut self, plan: &mut Plan) -> Result<blake3::Hash, Stop> {
        let rows = self.rows().without_digests_of(self.script.undigested());
        let (data, unreadable) = (self.data.clone(), self.script.omitted());
        let (database, changes) = (plan.database.take(), std::mem::take(&mut plan.changes));
        let manifest_key = self.encryption.as_ref().map(|encryption| encryption.new_manifest_key());
        let (key, wrapped_key) = manifest_key.unzip();
        let written = blocking(move || -> Result<_, Stop> {
            let (file, keep) = match database {
                Some(file) => {
                    manifest::update(file.path(), &data, &changes, &rows, &unreadable)?;
                    (file, true)
                }
                None => {
                    let file = tempfile::NamedTempFile::new()?;
                    manifest::create(file.path(), &data, &rows, &unreadable)?;
                    (file, false)
                }
            };
            let mut bytes = std::fs::read(file.path())?;
            if let Some(key) = key {
                bytes = cipher::encrypt(&key, bytes);
            }
            Ok((keep.then_some(file), changes, bytes))
        });
        let (database, changes, bytes) = written.await??;
        (plan.database, plan.changes) = (database, changes);
        let hash = blake3::hash(&bytes);
        let device = format!("{DEVICE_SNAPSHOT}/Manifest.db");
        self.link.upload_bytes(&device, &self.path("Snapshot/Manifest.db"), UPLOAD_PERCENT, &bytes).await?;
        let encryption = self.encryption.as_ref().map(|encryption| encryption.keybag()).zip(wrapped_key);
        let bytes = plists::manifest(self.link.phone(), &self.data, encryption);
        let device = format!("{DEVICE_SNAPSHOT}/Manifest.plist");
        self.link.upload_bytes(&device, &self.path("Snapshot/Manifest.plist"), UPLOAD_PERCENT, &bytes).await?;
        Ok(hash)
    }

    /// Removes what is gone, moves what came, the manifests last.
    async fn put_into_place(&mut self, plan: &Plan) -> Result<(), Stop> {
        let mut present: BTreeSet<&str> =
            plan.listing.iter().map(String::as_str).filter(|name| is_folder(name)).collect();
        let mut gone: Vec<String> = Vec::new();
        if plan.full() {
            gone.extend(std::mem::take(&mut present).into_iter().map(|folder| self.path(folder)));
        } else {
            let removed = plan.changes.gone.iter().filter(|(_, payload)| *payload).map(|(id, _)| id);
            gone.extend(removed.chain(self.script.left_out()).map(|id| self.path(&id.path())));
        }
        for paths in gone.chunks(MOVES_PER_MESSAGE) {
            self.remove(paths).await?;
        }
        for folder in folders(plan, &self.data).into_iter().filter(|folder| !present.contains(folder)) {
            self.link.create_directory(&self.path(folder)).await?;
        }
        let data = self.data.clone();
        let sent = |file: &&DataFile| self.script.moves(file.file_id);
        let mut moves: Vec<(String, String)> =
            plan.changes.uploads(&data).filter(sent).map(|file| self.move_of(&file.file_id.path())).collect();
        moves.extend(["Manifest.db", "Manifest.plist"].map(|name| self.move_of(name)));
        let total = moves.len();
        for (number, items) in moves.chunks(MOVES_PER_MESSAGE).enumerate() {
            let done = (number * MOVES_PER_MESSAGE) as f64 / total as f64;
            let progress = UPLOAD_PERCENT + (100.0 - UPLOAD_PERCENT) * done;
            check_written("move files", &self.link.move_items(items, progress).await?)?;
        }
        self.remove(&[self.path("Snapshot")]).await
    }

    fn move_of(&self, name: &str) -> (String, String) {
        (format!("{}/Snapshot/{name}", self.folder), self.path(name))
    }

    async fn remove(&mut self, paths: &[String]) -> Result<(), Stop> {
        let status = self.link.remove_items(paths, UPLOAD_PERCENT).await?;
        check_written("remove files", &status)
    }
}

/// The host's backup is encrypted otherwise than the phone encrypts now.
struct EncryptionChanged;

/// Runs what computes or waits for a disk apart from the connections.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Stop::Link(std::io::Error::other(error)))
}

/// True for the folders that payloads lie in.
fn is_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The folders that this backup puts files into.
fn folders(plan: &Plan, data: &DataSet) -> BTreeSet<&'static str> {
    plan.changes.uploads(data).map(|file| file.file_id.folder()).collect()
}

/// How many of these files go together, and their bytes.
fn batch(files: &[&DataFile], length: impl Fn(&DataFile) -> u64) -> (usize, u64) {
    let mut bytes = 0;
    for (count, file) in files.iter().enumerate().take(FILES_PER_UPLOAD) {
        if count > 0 && bytes + length(file) > BYTES_PER_UPLOAD {
            return (count, bytes);
        }
        bytes += length(file);
    }
    (files.len().min(FILES_PER_UPLOAD), bytes)
}

fn write_names(file: &DataFile, folder: &str, device: &mut String, path: &mut String) {
    device.clear();
    for part in [DEVICE_ROOT, "/", &file.domain, "/", &file.relative_path] {
        device.push_str(part);
    }
    path.clear();
    path.push_str(folder);
    path.push_str("/Snapshot/");
    file.file_id.push_path(path);
}
