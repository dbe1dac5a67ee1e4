//! One mobilebackup2 conversation with a phone whose session is open: from starting the service to what its end means.

use std::{collections::HashMap, path::Path};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
    overview::Progress,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{facts::Facts, heartbeat::Pulse, link::Session, liveness};
use crate::{
    health::diagnose::{self, Seen},
    host::disk,
    transfer::{
        DiskError, TransferError,
        conversation::{Conversation, MakeRoom, Plan},
        digests::Digests,
        download::Sent,
        meter::Meter,
        order::Order,
        passcode,
        recording::{self, Ending, Log, Recorder},
        upload::Received,
    },
    vault::{aside::Aside, name::Name},
};

/// What it is about.
pub struct Matter<'a> {
    /// What the phone is asked to do.
    pub order: Order,
    /// The folder that holds the backup's folder.
    pub base: &'a Path,
    /// Where files go that the phone replaces, on a disk that can't clone.
    pub aside: Option<Aside>,
    /// What came in an earlier run and is there.
    pub digests: Digests,
    /// Files that the phone could not read in it, and whether they are harmless.
    pub unreadable: HashMap<Name, bool>,
    /// Makes room on the disk.
    pub make_room: &'a mut MakeRoom<'a>,
    /// Whose backup it is.
    pub source: &'a Udid,
    /// The phone is on a cable.
    pub usb: bool,
    /// Where to tell how far it is.
    pub progress: &'a watch::Sender<Progress>,
    /// Ends it.
    pub cancel: &'a CancellationToken,
    /// Where it is written down.
    pub log: Log,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What came.
    pub received: Received,
    /// Its checksums.
    pub digests: Digests,
    /// What went, in a restore.
    pub sent: Sent,
    /// The phone showed its passcode sheet.
    pub passcode_asked: bool,
    /// What is left of its record.
    pub recorded: Ending,
    /// The phone's own "success", or why not.
    pub result: Result<(), Failure>,
}

/// Carries an order out.
///
/// # Errors
/// When it could not be begun.
pub async fn converse(session: &mut Session, facts: &Facts, matter: Matter<'_>) -> Result<Outcome, Failure> {
    recording::tell_phone(&matter.log, session, facts);
    if let Some(heart) = session.heart() {
        recording::tell_heartbeats(&matter.log, heart.beats());
    }
    let passcode_sheet = passcode::watch_sheet(session, matter.log.clone()).await?;
    let socket = session.service("com.apple.mobilebackup2").await?.get_socket();
    let socket = socket.ok_or_else(|| Failure::from(FailureId::SessionLost).text("no socket"))?;
    let restore = matches!(matter.order, Order::Restore { .. });
    let plan = Plan {
        base: matter.base.to_owned(),
        aside: matter.aside,
        udid: matter.source.clone(),
        digests: matter.digests,
        unreadable: matter.unreadable,
        order: matter.order,
        passcode_sheet,
        cancel: matter.cancel.clone(),
    };
    let meter = Meter::new(matter.progress.clone());
    let mut conversation = Conversation::new(socket, plan, meter)
        .map_err(|source| diagnose::disk(&DiskError { operation: "opening", path: matter.base.to_owned(), source }))?;
    *conversation.recorder() = Recorder::new(matter.log, matter.source.as_str());
    let (muxer, attached) = session.way();
    let lost = liveness::lost(muxer, attached, conversation.activity(), session.pulse());
    let ended = conversation.carry_out(lost, matter.make_room).await;
    let disk_error = conversation.disk_error.take();
    let recorded = conversation.recorder().ended(ended.as_ref(), disk_error.as_ref());
    let received = std::mem::take(&mut conversation.received);
    let result = match &ended {
        // A phone that takes no notice of a write that failed has not made a backup.
        Ok(()) => disk_error.as_ref().map_or(Ok(()), |error| Err(diagnose::disk(error))),
        Err(error) => {
            tracing::warn!(%error, "the transfer ended without success");
            let seen = Seen {
                received: &received,
                disk_error: disk_error.as_ref(),
                bytes_missing: conversation.bytes_missing,
                bytes_expected: conversation.bytes_expected,
                bytes_free: disk::free_bytes(matter.base).ok(),
            };
            let link_lost = FailureId::SessionLost;
            let silent = if matter.usb { FailureId::BackupStalled } else { FailureId::WifiHeartbeatLost };
            Err(match (error, restore) {
                (TransferError::LinkDead { seconds }, _) => {
                    let mut failure = Failure::from(silent);
                    failure.evidence.seconds = Some(*seconds);
                    failure.evidence.bytes_received = Some(received.bytes);
                    failure
                }
                (error, true) => diagnose::restore(error, &seen, link_lost).doing("restoring the backup"),
                (error, false) => diagnose::transfer(error, &seen, link_lost).doing("receiving the backup"),
            })
        }
    };
    // A phone that said good night did not just go.
    let asleep = session.pulse().is_some_and(|pulse| *pulse.borrow() == Pulse::Asleep);
    let result = result.map_err(|failure| match failure.id {
        FailureId::SessionLost | FailureId::WifiHeartbeatLost if asleep => {
            Failure { id: FailureId::WifiDeviceAsleep, ..failure }
        }
        _ => failure,
    });
    let passcode_asked = conversation.passcode_asked;
    // 208 means a locked phone as well as a passcode that nobody typed; it had to ask for the second.
    let locked = facts.value("PasswordProtected").and_then(plist::Value::as_boolean) == Some(true);
    let result = result.map_err(|failure| match failure.id {
        FailureId::PasscodeNotEntered if locked && !passcode_asked => {
            Failure { id: FailureId::DeviceLocked, ..failure }
        }
        _ => failure,
    });
    let result = match result {
        Err(failure) => Err(by_its_cause(failure, &received, session).await),
        result => result,
    };
    let digests = std::mem::take(&mut conversation.digests);
    Ok(Outcome { received, digests, sent: conversation.sent, passcode_asked, recorded, result })
}

/// What the phone's code alone does not say.
async fn by_its_cause(failure: Failure, received: &Received, session: &mut Session) -> Failure {
    if failure.id == FailureId::DeviceDataRefused {
        return failure;
    }
    // A phone that heard "no" about a path outside its folder may end over it, and so may one that misses here
    // (MBErrorDomain/4) what it sent there.
    let is_missing_here = failure.evidence.text.as_ref().is_some_and(|text| text.contains("/4)"));
    let may_be_odd = (received.odd_paths.refused || is_missing_here) && received.unreadable.missed().is_none();
    if let (Some(104 | 103), Some(why), true) = (failure.evidence.code, &received.odd_paths.first, may_be_odd) {
        let mut refused = Failure { id: FailureId::DeviceDataRefused, ..failure };
        refused.evidence.text = Some(why.to_string());
        return refused;
    }
    // Without an escrow bag nothing of the phone can be read once its screen is locked, and it says no more than 104
    // (pymobiledevice3 820).
    let is_104 = failure.id == FailureId::DeviceIoError && failure.evidence.code == Some(104);
    if is_104 && !session.has_escrow_bag() {
        let locked = session.value(None, Some("PasswordProtected")).await.ok().flatten();
        if locked.and_then(|locked| locked.as_boolean()) == Some(true) {
            return Failure { id: FailureId::DeviceLocked, ..failure };
        }
    }
    failure
}
