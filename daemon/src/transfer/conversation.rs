//! The DeviceLink conversation itself: the phone asks, the computer answers, until the phone tells the result.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use backstay_shared::{ids::Udid, overview::Phase};
use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{
    DiskError, TransferError, device_link_code,
    download::{multi_status, send_files},
    folders::Folders,
    frames::Frames,
    meter::Meter,
    operations,
    request::{Message, Request},
    upload::{Received, Upload},
    writers::Writers,
};
use crate::host::disk;

/// The phone waits this long for its passcode and may prepare as long before its first message.
const SILENCE_MAX_BEFORE_BYTES: Duration = Duration::from_secs(31 * 60);

/// Later silences are shorter: 5 minutes over a large manifest were seen.
const SILENCE_MAX_AMONG_BYTES: Duration = Duration::from_secs(10 * 60);

/// The phone greets at once; its backup service may have to be started first.
const GREETING_SECONDS_MAX: Duration = Duration::from_secs(60);

/// How a DeviceLink status spells "nothing".
const EMPTY: &str = "___EmptyParameterString___";

/// What a conversation needs.
#[derive(Debug)]
pub struct Plan {
    /// The folder that holds the phone's folder.
    pub base: PathBuf,
    /// The phone.
    pub udid: Udid,
    /// Everything anew.
    pub full: bool,
    /// The phone shows its passcode sheet.
    pub passcode_sheet: watch::Receiver<bool>,
    /// Ends the run.
    pub cancel: CancellationToken,
}

/// One conversation: the socket, the disk and what came so far. After [`Conversation::back_up`] the fields tell what
/// happened, also when it failed.
#[derive(Debug)]
pub struct Conversation<S> {
    frames: Frames<S>,
    plan: Plan,
    folders: Folders,
    writers: Writers,
    meter: Meter,
    activity: Arc<AtomicU64>,
    /// What came.
    pub received: Received,
    /// The first disk error; it tells why the phone gave up.
    pub disk_error: Option<DiskError>,
    /// Bytes that the phone reckoned to be missing.
    pub bytes_missing: Option<u64>,
    /// The phone showed its passcode sheet.
    pub passcode_asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Takes the mobilebackup2 socket as lockdownd handed it out.
    ///
    /// # Errors
    /// When the folder can't be opened.
    pub fn new(stream: S, plan: Plan, meter: Meter) -> io::Result<Self> {
        let activity = Arc::new(AtomicU64::new(0));
        Ok(Self {
            frames: Frames::new(stream, activity.clone()),
            folders: Folders::open(&plan.base)?,
            writers: Writers::start(&plan.base)?,
            plan,
            meter,
            activity,
            received: Received::default(),
            disk_error: None,
            bytes_missing: None,
            passcode_asked: false,
        })
    }

    /// Runs a backup to the phone's final status.
    ///
    /// # Errors
    /// When it ended in any other way than the phone's own "success".
    pub async fn back_up(&mut self) -> Result<(), TransferError> {
        let cancel = self.plan.cancel.clone();
        let stalled = stalled(self.activity.clone());
        let outcome = tokio::select! {
            outcome = self.converse() => outcome,
            () = cancel.cancelled() => Err(TransferError::Cancelled),
            seconds = stalled => Err(TransferError::Stalled { seconds }),
        };
        self.writers.drain();
        self.collect_disk_error();
        self.meter.finish(&self.received);
        outcome
    }

    async fn converse(&mut self) -> Result<(), TransferError> {
        match tokio::time::timeout(GREETING_SECONDS_MAX, self.greet()).await {
            Ok(greeted) => greeted?,
            Err(_) => return Err(TransferError::Stalled { seconds: GREETING_SECONDS_MAX.as_secs() }),
        }
        self.request_backup().await?;
        self.meter.phase(Phase::Scanning);
        loop {
            let bytes = self.next_message().await?;
            let message = Message::parse(&bytes, self.plan.udid.as_str())?;
            tracing::debug!(request = ?message.request, percent = message.percent, "phone asks");
            if let Some(percent) = message.percent {
                self.meter.percent(percent);
            }
            match message.request {
                Request::Result { code: 0, .. } => return self.say_goodbye().await,
                Request::Result { code, text } => return Err(TransferError::Device { code, text }),
                Request::Disconnect => return Err(TransferError::NoResult),
                request => self.answer(request).await?,
            }
        }
    }

    /// DeviceLink's version exchange, then mobilebackup2's own.
    async fn greet(&mut self) -> Result<(), TransferError> {
        self.expect("DLMessageVersionExchange").await?;
        let versions = vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), plist::Value::from(400)];
        self.frames.send_message(versions).await?;
        self.expect("DLMessageDeviceReady").await?;

        let mut hello = plist::Dictionary::new();
        hello.insert("MessageName".into(), "Hello".into());
        let versions = vec![plist::Value::Real(2.0), plist::Value::Real(2.1)];
        hello.insert("SupportedProtocolVersions".into(), plist::Value::Array(versions));
        self.frames.send_message(vec!["DLMessageProcessMessage".into(), hello.into()]).await?;
        let answer = self.frames.message().await?;
        match Message::parse(&answer, self.plan.udid.as_str())?.request {
            Request::Result { code: 0, .. } => Ok(()),
            Request::Result { code, text } => Err(TransferError::Device { code, text }),
            _ => Err(TransferError::NoResult),
        }
    }

    async fn expect(&mut self, name: &str) -> Result<(), TransferError> {
        let bytes = self.frames.message().await?;
        match Message::parse(&bytes, self.plan.udid.as_str())?.request {
            Request::Unknown { name: came } if came == name => Ok(()),
            Request::Result { code, text } => Err(TransferError::Device { code, text }),
            _ => Err(TransferError::NoResult),
        }
    }

    async fn request_backup(&mut self) -> Result<(), TransferError> {
        let udid = self.plan.udid.as_str();
        let mut request = plist::Dictionary::new();
        request.insert("MessageName".into(), "Backup".into());
        request.insert("TargetIdentifier".into(), udid.into());
        request.insert("SourceIdentifier".into(), udid.into());
        if self.plan.full {
            let mut options = plist::Dictionary::new();
            options.insert("ForceFullBackup".into(), true.into());
            request.insert("Options".into(), options.into());
        }
        self.frames.send_message(vec!["DLMessageProcessMessage".into(), request.into()]).await
    }

    /// Waits for the phone, and tells when it waits for its passcode.
    async fn next_message(&mut self) -> Result<Bytes, TransferError> {
        let mut watching = true;
        loop {
            tokio::select! {
                biased;
                message = self.frames.message() => return message,
                changed = self.plan.passcode_sheet.changed(), if watching => {
                    watching = changed.is_ok();
                    let sheet = *self.plan.passcode_sheet.borrow_and_update();
                    self.passcode_asked |= sheet;
                    self.meter.phase(if sheet { Phase::WaitingForPasscode } else { Phase::Scanning });
                }
            }
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), TransferError> {
        // Everything that the phone has sent is in the file system before it is looked at or answered for.
        self.writers.drain();
        let done = match request {
            Request::Upload => {
                self.meter.phase(Phase::Transferring);
                let upload = Upload {
                    frames: &mut self.frames,
                    udid: self.plan.udid.as_str(),
                    writers: &self.writers,
                    folders: &mut self.folders,
                    received: &mut self.received,
                    disk_error: &mut self.disk_error,
                    meter: &mut self.meter,
                };
                upload.receive().await?;
                self.writers.drain();
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
                let failed = send_files(&mut self.frames, &mut self.folders, &files).await?;
                let (code, by_path) = multi_status(&failed);
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
                self.bytes_missing = Some(bytes.saturating_sub(2 << 30));
                return self.status(-1, "Operation not supported", empty()).await;
            }
            Request::List { folder } => {
                let listed = operations::list(&self.plan.base, &folder);
                return self.status(0, EMPTY, listed).await;
            }
            Request::Unknown { name } => {
                tracing::warn!(name, "the phone sent a message that is not known");
                return self.status(-1, "Operation not supported", empty()).await;
            }
            Request::CreateFolder { folder } => operations::create_folder(&mut self.folders, &folder),
            Request::Move { items } => operations::move_items(&self.plan.base, &mut self.folders, &items),
            Request::Remove { items } => operations::remove_items(&self.plan.base, &mut self.folders, &items),
            Request::Copy { from, to } => operations::copy(&self.plan.base, &from, &to),
            Request::Result { .. } | Request::Disconnect => Ok(()),
        };
        self.writers.forget();
        match done {
            Ok(()) => self.status(0, EMPTY, empty()).await,
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
        let message = vec!["DLMessageStatusResponse".into(), code.into(), text.into(), content];
        self.frames.send_message(message).await
    }

    async fn say_goodbye(&mut self) -> Result<(), TransferError> {
        let goodbye = vec!["DLMessageDisconnect".into(), EMPTY.into()];
        if let Err(error) = self.frames.send_message(goodbye).await {
            // The result is here; a phone that hangs up first loses nothing.
            tracing::debug!(%error, "the phone hung up before the goodbye");
        }
        Ok(())
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

/// Ends, with the seconds, when nothing has come for too long.
async fn stalled(activity: Arc<AtomicU64>) -> u64 {
    let mut seen = activity.load(Ordering::Relaxed);
    let mut since = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let now = activity.load(Ordering::Relaxed);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
        // The greeting is some hundred bytes; files are more.
        let limit = if now < 64 * 1024 { SILENCE_MAX_BEFORE_BYTES } else { SILENCE_MAX_AMONG_BYTES };
        if since.elapsed() > limit {
            return since.elapsed().as_secs();
        }
    }
}
