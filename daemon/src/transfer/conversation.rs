//! The DeviceLink conversation itself: the phone asks, the computer answers, until the phone tells the result.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backstay_shared::{ids::Udid, overview::Phase};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    DiskError, TransferError, device_link_code,
    digests::{Digests, name_of},
    download::{Sending, Sent, multi_status},
    folders::Folders,
    frames::Frames,
    greeting::{self, EMPTY, greet, say_goodbye},
    hashing::Hashing,
    meter::Meter,
    operations,
    order::Order,
    passcode::{Sheet, while_passcode_is_typed},
    place::Place,
    recording::Recorder,
    request::{Message, OddPath, Request},
    unreadable::UnreadableFiles,
    upload::{self, Received, Upload},
    writers::Writers,
};
use crate::{
    host::disk,
    vault::{aside::Aside, name::Name},
};

/// So long a phone may say nothing, whatever came before: 15 minutes were seen with 100,000 photos, and minutes around a
/// large manifest (libimobiledevice 1413, 1707). Whether it is still there, lockdownd says meanwhile.
const SILENCE_MAX: Duration = Duration::from_secs(31 * 60);

/// A phone that asks for room more often would have the whole history.
const PURGES_MAX: u32 = 3;

/// News of the sheet may be so much later than what the phone says of it here.
const SHEET_NEWS_MAX: Duration = Duration::from_millis(200);

/// What a conversation needs.
#[derive(Debug)]
pub struct Plan {
    /// The folder that holds the backup's folder.
    pub base: PathBuf,
    /// Where files go that the phone replaces, on a disk that can't clone.
    pub aside: Option<Aside>,
    /// Whose backup it is; names the folder that every path of the phone must lie in.
    pub udid: Udid,
    /// What came in an earlier run and is there.
    pub digests: Digests,
    /// Files that the phone could not read in it, and whether they are harmless.
    pub unreadable: HashMap<Name, bool>,
    /// What the phone is asked to do.
    pub order: Order,
    /// The phone shows its passcode sheet.
    pub passcode_sheet: watch::Receiver<Sheet>,
    /// Ends the run.
    pub cancel: CancellationToken,
}

/// One conversation: the socket, the disk and what came so far. After [`Conversation::carry_out`] the fields tell what
/// happened, also when it failed.
#[derive(Debug)]
pub struct Conversation<S> {
    frames: Frames<S>,
    plan: Plan,
    folders: Folders,
    writers: Writers,
    hashing: Hashing,
    meter: Meter,
    activity: Arc<AtomicU64>,
    /// What came.
    pub received: Received,
    /// Checksums of what came.
    pub digests: Digests,
    /// What the phone fetched in a restore.
    pub sent: Sent,
    /// The first disk error; it tells why the phone gave up.
    pub disk_error: Option<DiskError>,
    /// How often the phone asked for room.
    purges: u32,
    /// Bytes that the phone reckoned to be missing.
    pub bytes_missing: Option<u64>,
    /// Bytes that the phone announced, those that came included.
    pub bytes_expected: Option<u64>,
    /// The phone showed its passcode sheet.
    pub passcode_asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Takes the mobilebackup2 socket as lockdownd handed it out.
    ///
    /// # Errors
    /// When the folder can't be opened.
    pub fn new(stream: S, mut plan: Plan, meter: Meter) -> io::Result<Self> {
        let activity = Arc::new(AtomicU64::new(0));
        Ok(Self {
            frames: Frames::new(stream, activity.clone()),
            folders: Folders::open(&plan.base, plan.aside.as_ref())?,
            writers: Writers::start(&plan.base, plan.aside.as_ref())?,
            hashing: Hashing::start()?,
            digests: std::mem::take(&mut plan.digests),
            received: Received {
                unreadable: UnreadableFiles::of_earlier(std::mem::take(&mut plan.unreadable)),
                ..Received::default()
            },
            plan,
            meter,
            activity,
            sent: Sent::default(),
            disk_error: None,
            purges: 0,
            bytes_missing: None,
            bytes_expected: None,
            passcode_asked: false,
        })
    }

    /// What writes down the conversation.
    pub const fn recorder(&mut self) -> &mut Recorder {
        &mut self.frames.recorder
    }

    /// Grows with every byte that comes or goes.
    pub fn activity(&self) -> Arc<AtomicU64> {
        self.activity.clone()
    }

    /// Carries the order out, to the phone's final status. `lost` ends, with the seconds, when the phone does not answer
    /// any more on any way.
    ///
    /// # Errors
    /// When it ended in any other way than the phone's own "success".
    pub async fn carry_out(
        &mut self,
        lost: impl Future<Output = u64>,
        make_room: &mut MakeRoom<'_>,
    ) -> Result<(), TransferError> {
        let cancel = self.plan.cancel.clone();
        let stalled = stalled(self.activity.clone());
        let mut sheet = self.plan.passcode_sheet.clone();
        let cancelled_on_phone = async {
            if sheet.wait_for(|sheet| sheet.cancelled).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let outcome = tokio::select! {
            outcome = self.converse(make_room) => outcome,
            () = cancel.cancelled() => Err(TransferError::Cancelled),
            () = cancelled_on_phone => Err(TransferError::CancelledOnPhone),
            seconds = stalled => Err(TransferError::Stalled { seconds }),
            seconds = lost => Err(TransferError::LinkDead { seconds }),
        };
        self.writers.drain();
        upload::collect_digests(&self.writers, &self.hashing, &mut self.digests);
        self.collect_disk_error();
        if outcome.is_err() {
            self.remove_parts();
        }
        self.passcode_asked = self.sheet_was_shown(outcome.is_err()).await;
        if self.plan.order.is_restore() {
            self.meter.finish(self.sent.files, self.sent.bytes);
        } else {
            self.meter.finish(self.received.files, self.received.bytes);
        }
        outcome
    }

    /// Also of a sheet that came and went while something else was waited for: it decides whether the next try would
    /// ask for the passcode once more. News of it comes on a connection of its own, maybe after the phone's last word.
    async fn sheet_was_shown(&mut self, failed: bool) -> bool {
        let sheet = &mut self.plan.passcode_sheet;
        if failed {
            // Nothing came in time, or the connection ended too: what is known stands.
            drop(tokio::time::timeout(SHEET_NEWS_MAX, sheet.wait_for(|sheet| sheet.was_shown)).await);
        }
        sheet.borrow().was_shown
    }

    /// A later run that goes on with what came must not take a part of a file for the file.
    fn remove_parts(&mut self) {
        let unreadable = self.received.unreadable.names();
        let mut parts = self.digests.take_parts(self.plan.udid.as_str(), |name| unreadable.contains_key(name));
        if let Some(place) = self.received.under_way.take() {
            // What came of it earlier is gone, too.
            self.digests.forget_file(&name_of(&place));
            parts.push(place);
        }
        for place in parts {
            if let Err(error) = self.folders.remove_file(&place) {
                tracing::debug!(?place, %error, "a part of a file stays");
            }
        }
    }

    async fn converse(&mut self, make_room: &mut MakeRoom<'_>) -> Result<(), TransferError> {
        greet(&mut self.frames, self.plan.udid.as_str()).await?;
        let request = self.plan.order.request(&self.plan.udid);
        greeting::request(&mut self.frames, request).await?;
        self.meter.phase(self.plan.order.silent_phase());
        loop {
            let bytes = self.next_message().await?;
            let message = Message::parse(&bytes, self.plan.udid.as_str())?;
            tracing::debug!(request = ?message.request, percent = message.percent, "phone asks");
            if let Some(percent) = message.percent {
                self.meter.percent(percent);
            }
            for OddPath { why, .. } in &message.odd {
                self.received.odd_paths.add(why, true)?;
            }
            match message.request {
                Request::Result { code: 0, .. } => {
                    say_goodbye(&mut self.frames).await;
                    return Ok(());
                }
                Request::Result { code, text } => return Err(TransferError::Device { code, text }),
                Request::Disconnect => return Err(TransferError::NoResult),
                request => self.answer(request, &message.odd, make_room).await?,
            }
        }
    }

    /// Waits for the phone, and tells when it waits for its passcode.
    async fn next_message(&mut self) -> Result<Bytes, TransferError> {
        let (silent, meter) = (self.plan.order.silent_phase(), &mut self.meter);
        let seen = |is_up| meter.phase(if is_up { Phase::WaitingForPasscode } else { silent });
        while_passcode_is_typed(&mut self.plan.passcode_sheet, self.frames.message(), seen).await
    }

    async fn answer(
        &mut self,
        request: Request,
        odd: &[OddPath],
        make_room: &mut MakeRoom<'_>,
    ) -> Result<(), TransferError> {
        // Everything that the phone has sent is in the file system before it is looked at or answered for.
        self.writers.drain();
        let done = match request {
            Request::Upload { announced } => {
                self.meter.phase(Phase::Transferring);
                let whole = announced.map(|bytes| bytes.saturating_add(self.received.bytes));
                self.bytes_expected = self.bytes_expected.max(whole);
                let upload = Upload {
                    frames: &mut self.frames,
                    udid: self.plan.udid.as_str(),
                    writers: &self.writers,
                    folders: &mut self.folders,
                    received: &mut self.received,
                    hashing: &self.hashing,
                    digests: &mut self.digests,
                    disk_error: &mut self.disk_error,
                    meter: &mut self.meter,
                };
                upload.receive().await?;
                self.collect_disk_error();
                return match &self.disk_error {
                    None => self.status(0, EMPTY, empty()).await,
                    Some(error) => {
                        let (code, text) = (device_link_code(&error.source), error.source.to_string());
                        self.status(code, &text, empty()).await
                    }
                };
            }
            Request::Download { files } => {
                let sending = Sending {
                    frames: &mut self.frames,
                    folders: &mut self.folders,
                    sent: &mut self.sent,
                    meter: &mut self.meter,
                    is_restore: self.plan.order.is_restore(),
                };
                let failed = sending.files(&files, odd).await?;
                self.note_unreadable(&failed);
                let (code, by_path) = multi_status(&failed, odd);
                self.meter.sent_list();
                return self.status(code, if code == 0 { EMPTY } else { "Multi status" }, by_path).await;
            }
            Request::FreeSpace => {
                return match disk::free_bytes(&self.plan.base) {
                    Ok(bytes) => self.status(0, EMPTY, bytes.into()).await,
                    Err(source) => {
                        let (code, text) = (device_link_code(&source), source.to_string());
                        // The phone takes it for an error of its own; the errno says whose it is.
                        let path = self.plan.base.clone();
                        self.disk_error.get_or_insert(DiskError {
                            operation: "asking for the free space",
                            path,
                            source,
                        });
                        self.status(code, &text, 0.into()).await
                    }
                };
            }
            Request::Purge { bytes } => {
                // The phone asks for 2 GiB more than it lacks (source: disassembly quoted in pymobiledevice3 #1879).
                let missing = bytes.saturating_sub(2 << 30);
                // After "success" the phone asks for the free space again, and goes on with the passcode it was given.
                self.purges += 1;
                if self.purges <= PURGES_MAX && make_room(missing, bytes) {
                    self.bytes_missing = None;
                    return self.status(0, EMPTY, bytes.into()).await;
                }
                self.bytes_missing = Some(missing);
                return self.status(-1, "DLPurgeDiskSpace failed to purge", 0.into()).await;
            }
            Request::List { folder } => match operations::list(&self.plan.base, &folder) {
                Ok(listed) => return self.status(0, EMPTY, listed).await,
                Err(error) => Err(error),
            },
            Request::Unknown { name } => {
                tracing::warn!(name, "the phone sent a message that is not known");
                return self.status(-1, "Operation not supported", empty()).await;
            }
            Request::CreateFolder { folder } => operations::create_folder(&mut self.folders, &folder),
            Request::Move { items } => {
                operations::move_items(&self.plan.base, &mut self.folders, &mut self.digests, &items)
            }
            Request::Remove { items } => {
                operations::remove_items(&self.plan.base, &mut self.folders, &mut self.digests, &items)
            }
            Request::Copy { from, to } => {
                operations::copy(&self.plan.base, &mut self.folders, &mut self.digests, &from, &to)
            }
            Request::Odd => Ok(()),
            Request::Result { .. } | Request::Disconnect | Request::Versions { .. } => Ok(()),
        };
        self.writers.forget();
        match done {
            Ok(()) if odd.is_empty() => self.status(0, EMPTY, empty()).await,
            Ok(()) => self.status(-1, "Operation not permitted", empty()).await,
            Err(error) => {
                let (code, text) = (device_link_code(&error.source), error.source.to_string());
                tracing::warn!(%error, "could not do what the phone asked for");
                // A missing file is the phone's own mistake, not the disk's.
                if error.source.kind() != io::ErrorKind::NotFound {
                    self.disk_error.get_or_insert(error);
                }
                self.status(code, &text, empty()).await
            }
        }
    }

    async fn status(&mut self, code: i64, text: &str, content: plist::Value) -> Result<(), TransferError> {
        greeting::status(&mut self.frames, code, text, content).await
    }

    /// A backup may lack what the phone asks for; a restore may not. Any other error is the disk's.
    fn note_unreadable(&mut self, failed: &[(Place, io::Error)]) {
        let is_restore = self.plan.order.is_restore();
        let is_fault = |(_, error): &&(Place, io::Error)| is_restore || error.kind() != io::ErrorKind::NotFound;
        let Some((place, error)) = failed.iter().find(is_fault) else { return };
        tracing::warn!(?place, %error, "could not read what the phone asked for");
        let path = self.plan.base.join(place.as_str());
        // The error itself went to the phone in words; its code and kind are what is needed of it here.
        let source = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
        self.disk_error.get_or_insert(DiskError { operation: "reading", path, source });
    }

    fn collect_disk_error(&mut self) {
        if let Some(error) = self.writers.take_error() {
            tracing::warn!(%error, "could not write what the phone sent");
            self.disk_error.get_or_insert(error);
        }
    }
}

fn empty() -> plist::Value {
    plist::Value::Dictionary(plist::Dictionary::new())
}

/// Makes room on the backup disk: what is lacking, and what would be welcome, in bytes. True when what is lacking is free
/// now.
pub type MakeRoom<'a> = dyn FnMut(u64, u64) -> bool + Send + 'a;

/// Ends, with the seconds, when nothing has moved for too long.
async fn stalled(activity: Arc<AtomicU64>) -> u64 {
    let mut seen = activity.load(Ordering::Relaxed);
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let now = activity.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        if since.elapsed() > SILENCE_MAX {
            return since.elapsed().as_secs();
        }
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
