//! One backup, as a phone runs it: look at what the host has, send what differs, move it into place, say so.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    cipher::{self, encrypted_length},
    devicelink::Link,
    encryption::Encryption,
    journal::UnderWay,
    judgement, manifest, misbehave, names,
    plan::{Plan, Planner},
    plists,
    rows::RowMaker,
    script::Script,
    status::check_written,
    stop::Stop,
};
use crate::phone::{
    CutEnding, Fault, Moment, Phone, Stream, Unreadable,
    dataset::{DataFile, DataSet, FileId},
};

const MOVES_PER_MESSAGE: usize = 128;
const FILES_PER_UPLOAD: usize = 2048;
/// Progress goes to here while files are sent, the rest is for putting them into place.
const UPLOAD_PERCENT: f64 = 90.0;
const DEVICE_SNAPSHOT: &str = "/var/.backup.i/var/MobileBackup";

/// One running backup.
pub(super) struct Backup<'l, 'p, S> {
    link: &'l mut Link<'p, S>,
    /// The folder below the backup root: the phone's UDID.
    folder: String,
    data: Arc<DataSet>,
    encryption: Option<Arc<Encryption>>,
    uuid: String,
    script: Script,
    /// The screen locked in mid run, and nothing opens what it locks.
    locked_out: bool,
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
            locked_out: false,
        }
    }

    /// Runs to the point where only the final status is missing.
    pub(super) async fn run(self, force_full: bool) -> Result<(), Stop> {
        misbehave::unlock(self.link).await?;
        let phone = self.link.phone();
        phone.keep_bytes_resumed(0);
        if phone.is_stuck() {
            let text = "Failed to create snapshot: File exists (17) at path /private/var (MBErrorDomain/3)";
            return Err(Stop::refused(3, text));
        }
        let under_way = UnderWay::new(phone);
        let outcome = self.back_up(force_full).await;
        under_way.ended(&outcome);
        outcome
    }

    async fn back_up(mut self, force_full: bool) -> Result<(), Stop> {
        misbehave::mishaps(self.link, Moment::BeforeFiles).await?;
        misbehave::before_backup(self.link).await?;
        let mut plan = self.plan(force_full).await?;
        misbehave::mishaps(self.link, Moment::AfterIndexDownload).await?;
        let sent: HashSet<FileId> = plan.uploads(&self.data).map(|file| file.file_id).collect();
        self.script.keep_only(&sent);
        let upload = plan.uploads(&self.data).map(|file| self.payload_length(file)).sum();
        let needed = match self.phone().fault() {
            Some(Fault::SpaceNeeded { bytes }) => bytes,
            _ => upload,
        };
        self.link.prepare_free_space(needed).await?;
        if !plan.snapshot.is_empty() && self.phone().starts_over() {
            self.remove(&[self.path("Snapshot")], 0.0).await?;
        }
        self.create_snapshot(&plan).await?;
        self.phone().journal().begin(plan.full(), |id| plan.resumed.contains(&id));
        self.link.first_upload = true;
        self.send_files(&plan, upload).await?;
        if self.script.is_fatal() || self.locked_out {
            return Err(Stop::refused(104, "Multiple errors uploading files (MBErrorDomain/104)"));
        }
        misbehave::after_upload(self.link).await?;
        misbehave::mishaps(self.link, Moment::BeforeManifest).await?;
        let manifest = self.send_manifest(&mut plan).await?;
        misbehave::mishaps(self.link, Moment::BeforeMoves).await?;
        self.send_status(plan.full(), "moving").await?;
        self.put_into_place(&plan).await?;
        self.send_status(plan.full(), "finished").await?;
        self.remove(&[self.path("Snapshot")], 100.0).await?;
        misbehave::mishaps(self.link, Moment::BeforeJudgement).await?;
        judgement::judge(self.link, &self.folder, &self.data, &self.script, manifest).await?;
        self.phone().journal().end();
        match self.phone().fault() {
            Some(Fault::DisconnectWithoutStatus) => Err(Stop::Disconnect),
            _ => Ok(()),
        }
    }

    fn phone(&self) -> &'p Phone {
        self.link.phone()
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Bytes of a file as they are sent.
    fn payload_length(&self, file: &DataFile) -> u64 {
        payload_length(file, self.encryption.as_deref())
    }

    /// Makes the rows of this backup.
    fn rows(&self) -> RowMaker {
        RowMaker::new(self.phone().clone(), self.encryption.clone(), &self.script)
    }

    async fn plan(&mut self, force_full: bool) -> Result<Plan, Stop> {
        let (rows, encryption) = (self.rows(), self.encryption.clone());
        let planner = Planner { link: self.link, folder: &self.folder, data: &self.data, encryption, rows };
        planner.plan(force_full).await
    }

    async fn send_status(&mut self, full: bool, state: &str) -> Result<(), Stop> {
        let bytes = plists::status(&self.uuid, full && self.phone().says_full(), state);
        let device = format!("/var/tmp/tmp.2.{}", &self.uuid[..6]);
        self.link.upload_bytes(&device, &self.path("Status.plist"), -1.0, &bytes).await
    }

    /// Makes the folders that files go into first.
    async fn create_snapshot(&mut self, plan: &Plan) -> Result<(), Stop> {
        self.link.create_directory(&self.folder).await?;
        self.link.create_directory(&self.path("Snapshot")).await?;
        self.send_status(plan.full(), "uploading").await?;
        for folder in folders(plan.uploads(&self.data)) {
            self.link.create_directory(&self.path(&format!("Snapshot/{folder}"))).await?;
        }
        Ok(())
    }

    /// Uploads all that differs into the snapshot folders, batch by batch.
    async fn send_files(&mut self, plan: &Plan, upload: u64) -> Result<(), Stop> {
        let data = self.data.clone();
        let files: Vec<&DataFile> = plan.uploads(&data).filter(|file| !self.script.forgets(file.file_id)).collect();
        let (mut sent, mut number, mut batches) = (0, 0, 0);
        let mut rest = &files[..];
        while !rest.is_empty() {
            let (count, bytes) = self.batch(rest, batches);
            self.link.begin_upload(upload_percent(batches, sent as f64 / upload.max(1) as f64), bytes).await?;
            self.link.upload_oddities().await?;
            let mut done = 0;
            for file in &rest[..count] {
                if let Err(stop) = misbehave::mishaps(self.link, Moment::BeforeFile(number)).await {
                    return self.break_off(stop).await;
                }
                number += 1;
                done += 1;
                self.send_file(file).await?;
                if self.script.cut(file.file_id) == Some(CutEnding::EndOfList) {
                    break;
                }
            }
            self.link.end_upload().await?;
            if batches == 0 && self.phone().locks_in_mid_run() {
                self.phone().set_locked(true);
                self.locked_out = !self.phone().has_escrow_bag();
            }
            sent += rest[..done].iter().map(|file| self.payload_length(file)).sum::<u64>();
            rest = &rest[done..];
            if !rest.is_empty() {
                misbehave::mishaps(self.link, Moment::BetweenBatches(batches)).await?;
            }
            batches += 1;
        }
        Ok(())
    }

    async fn send_file(&mut self, file: &DataFile) -> Result<(), Stop> {
        let (mut device, mut path) = (String::new(), String::new());
        names::write(file, &self.folder, &mut device, &mut path);
        let encryption = self.encryption.as_deref();
        let unreadable = self.script.unreadable(file.file_id).or(self.locked_out.then(Unreadable::default));
        if let Some(manner) = unreadable {
            return self.link.upload_unreadable(&device, &path, file, manner, encryption).await;
        }
        if self.script.cut(file.file_id).is_some() {
            return self.link.upload_half(&device, &path, file, encryption).await;
        }
        match encryption {
            Some(encryption) => self.link.upload_encrypted_file(&device, &path, file, encryption).await?,
            None => self.link.upload_file(&device, &path, file).await?,
        }
        self.phone().journal().note(file, encryption, payload_length(file, encryption));
        Ok(())
    }

    /// How many of these files go together, and their bytes.
    fn batch(&self, files: &[&DataFile], number: usize) -> (usize, u64) {
        if let Some(count) = self.phone().batch_files(number) {
            let count = count.min(files.len());
            return (count, files[..count].iter().map(|file| self.payload_length(file)).sum());
        }
        let most = self.phone().batch_bytes();
        let mut bytes = 0;
        for (count, file) in files.iter().enumerate().take(FILES_PER_UPLOAD) {
            if count > 0 && bytes + self.payload_length(file) > most {
                return (count, bytes);
            }
            bytes += self.payload_length(file);
        }
        (files.len().min(FILES_PER_UPLOAD), bytes)
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
        let bytes = plists::manifest(self.phone(), &self.data, encryption);
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
            self.remove(paths, UPLOAD_PERCENT).await?;
        }
        for folder in folders(plan.changes.uploads(&self.data)).into_iter().filter(|name| !present.contains(name)) {
            self.link.create_directory(&self.path(folder)).await?;
        }
        let data = self.data.clone();
        let files = plan.changes.uploads(&data).filter(|file| self.script.moves(file.file_id));
        let files: Vec<(String, String)> = files.map(|file| self.move_of(&file.file_id.path())).collect();
        // Each alone and behind all files: where `Manifest.db` is new, they are in place.
        let manifests = ["Manifest.db", "Manifest.plist"].map(|name| [self.move_of(name)]);
        let total = (files.len() + manifests.len()) as f64;
        let (mut done, mut message) = (0, 0);
        for items in files.chunks(MOVES_PER_MESSAGE).chain(manifests.iter().map(|item| &item[..])) {
            let progress = UPLOAD_PERCENT + (100.0 - UPLOAD_PERCENT) * f64::from(done) / total;
            check_written("move files", &self.link.move_items(items, progress).await?)?;
            done += items.len() as u32;
            misbehave::mishaps(self.link, Moment::BetweenMoves(message)).await?;
            message += 1;
        }
        Ok(())
    }

    fn move_of(&self, name: &str) -> (String, String) {
        (format!("{}/Snapshot/{name}", self.folder), self.path(name))
    }

    async fn remove(&mut self, paths: &[String], progress: f64) -> Result<(), Stop> {
        let status = self.link.remove_items(paths, progress).await?;
        check_written("remove files", &status)
    }
}

/// Runs what computes or waits for a disk apart from the connections.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Stop::Link(std::io::Error::other(error)))
}

/// Bytes of a file as they are sent.
pub(super) fn payload_length(file: &DataFile, encryption: Option<&Encryption>) -> u64 {
    if encryption.is_some() { encrypted_length(file.size) } else { file.size }
}

/// What the batch of this number says of the whole, of which `share` was sent. Phones go back now and then, from 85 to 65
/// for one (libimobiledevice 251).
fn upload_percent(batch: usize, share: f64) -> f64 {
    UPLOAD_PERCENT * share * if batch % 3 == 2 { 0.75 } else { 1.0 }
}

/// True for the folders that payloads lie in.
fn is_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The folders that these files go into.
fn folders<'a>(files: impl Iterator<Item = &'a DataFile>) -> BTreeSet<&'static str> {
    files.map(|file| file.file_id.folder()).collect()
}
