//! Whether a phone encrypts its backups, and with which password: its own setting, which it changes on request.

use backstay_shared::health::{Failure, FailureId};

use super::{
    facts::Facts,
    link::{Attached, Muxer, Session},
};
use crate::{
    health::diagnose::{self, Seen},
    transfer::{
        change_password::{self, Change},
        passcode,
        recording::{self, Recorder},
        upload::Received,
    },
};

/// True when the phone encrypts its backups.
///
/// # Errors
/// When the phone can't be asked.
pub async fn encrypts(muxer: &Muxer, attached: &Attached) -> Result<bool, Failure> {
    let mut session = Session::open(muxer, attached).await?;
    let facts = Facts::read(&mut session, &attached.udid).await?;
    let encrypts = facts.encrypts_backups(&mut session).await;
    session.close().await;
    encrypts
}

/// The password was not changed, or nobody knows.
#[derive(Debug)]
pub struct NotChanged {
    /// Why.
    pub failure: Failure,
    /// The phone got the request and its answer did not come: either password may be in force.
    pub in_doubt: bool,
}

impl From<Failure> for NotChanged {
    fn from(failure: Failure) -> Self {
        Self { failure, in_doubt: false }
    }
}

/// Changes the password; the phone asks its owner for the passcode, of which `asked` hears.
///
/// # Errors
/// When the phone refused, or no answer came.
pub async fn change(
    muxer: &Muxer,
    attached: &Attached,
    change: &Change<'_>,
    asked: impl FnMut(bool),
) -> Result<(), NotChanged> {
    let mut session = Session::open(muxer, attached).await?;
    let facts = Facts::read(&mut session, &attached.udid).await?;
    let log = recording::begin(&attached.udid, "change-password");
    recording::tell_phone(&log, &session, &facts);
    let passcode_sheet = passcode::watch_sheet(&mut session, log.clone()).await?;
    let recorder = Recorder::new(log, attached.udid.as_str());
    let socket = session.service("com.apple.mobilebackup2").await?.get_socket();
    let socket = socket.ok_or_else(|| Failure::from(FailureId::SessionLost).text("no socket"))?;
    let changed =
        change_password::change_password(socket, &attached.udid, change, passcode_sheet, asked, recorder).await;
    changed.map_err(|not_changed| {
        let received = Received::default();
        let seen =
            Seen { received: &received, disk_error: None, bytes_missing: None, bytes_expected: None, bytes_free: None };
        let failure = diagnose::transfer(&not_changed.error, &seen, FailureId::SessionLost);
        NotChanged { failure: failure.doing("changing the backup password"), in_doubt: not_changed.in_doubt }
    })?;
    session.close().await;
    Ok(())
}
