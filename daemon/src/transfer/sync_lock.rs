//! The lock by which Finder, iTunes and backup tools keep out of each other's way.
//!
//! Source: `idevicebackup2.c`: open `/com.apple.itunes.lock_sync` over AFC, lock it exclusively, and post the sync
//! notifications around it.

use std::time::Duration;

use backstay_shared::health::{Failure, FailureId};
use idevice::{
    IdeviceError,
    afc::{
        AfcClient,
        errors::AfcError,
        opcode::{AfcFopenMode, AfcLockOp},
    },
    notification_proxy::NotificationProxyClient,
};

use crate::phone::{
    afc::{self, Handle},
    guard::Framing,
    link::{ANSWER_SECONDS_MAX, Session, guard, within},
};

const LOCK_FILE: &str = "/com.apple.itunes.lock_sync";

const WILL_START: &str = "com.apple.itunes-mobdev.syncWillStart";
const LOCK_REQUEST: &str = "com.apple.itunes-mobdev.syncLockRequest";
const DID_START: &str = "com.apple.itunes-mobdev.syncDidStart";
const DID_FINISH: &str = "com.apple.itunes-mobdev.syncDidFinish";

/// Another program lets go within seconds or is at work for minutes.
const TRIES: u32 = 20;
const PAUSE_BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// The lock, held until [`SyncLock::release`] or until the connection ends.
#[derive(Debug)]
pub struct SyncLock {
    afc: AfcClient,
    file: Handle,
    notifications: NotificationProxyClient,
}

impl SyncLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// `backup-in-progress-elsewhere` when another program keeps it; or the phone's.
    pub async fn take(session: &mut Session) -> Result<Self, Failure> {
        let socket = session.service("com.apple.mobile.notification_proxy").await?;
        let mut notifications = NotificationProxyClient::new(guard(socket, Framing::PropertyLists)?);
        within("announcing the backup", notifications.post_notification(WILL_START)).await?;
        let mut afc = AfcClient::new(guard(session.service("com.apple.afc").await?, Framing::Afc)?);
        let file = within("opening the sync lock", afc::open(&mut afc, LOCK_FILE, AfcFopenMode::Rw)).await?;
        within("announcing the backup", notifications.post_notification(LOCK_REQUEST)).await?;
        for _ in 0..TRIES {
            let locking = tokio::time::timeout(ANSWER_SECONDS_MAX, afc::lock(&mut afc, file, AfcLockOp::ExclusiveLock));
            match locking.await.unwrap_or(Err(IdeviceError::Timeout)) {
                Ok(()) => {
                    within("announcing the backup", notifications.post_notification(DID_START)).await?;
                    return Ok(Self { afc, file, notifications });
                }
                Err(IdeviceError::Afc(AfcError::OpWouldBlock)) => tokio::time::sleep(PAUSE_BETWEEN_TRIES).await,
                Err(error) => return Err(crate::health::diagnose::device(&error).doing("taking the sync lock")),
            }
        }
        Err(Failure::from(FailureId::BackupInProgressElsewhere).doing("taking the sync lock"))
    }

    /// Lets go of it; the phone does so itself when the connection ends, so a failure is only noted.
    pub async fn release(mut self) {
        let released = async {
            within("releasing the sync lock", afc::lock(&mut self.afc, self.file, AfcLockOp::Unlock)).await?;
            within("closing the sync lock", afc::close(&mut self.afc, self.file)).await?;
            within("announcing the end", self.notifications.post_notification(DID_FINISH)).await
        };
        if let Err(failure) = released.await {
            tracing::debug!(%failure, "the sync lock was not released cleanly");
        }
    }
}
