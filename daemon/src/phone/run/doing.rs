//! How a run is carried out: look first, receive, check what came, commit.

use std::collections::HashMap;

use backstay_shared::{
    health::{Failure, FailureId},
    overview::Phase,
};
use chrono::{DateTime, Utc};
use plist::Dictionary;

use super::{Ended, Job};
use crate::{
    health::diagnose,
    host::{clock::Awake, disk, keyring, volume},
    phone::{
        check::{self, Checked},
        device_link::{self, Matter},
        facts::Facts,
        link::Session,
        loss, wifi,
    },
    transfer::{
        DiskError,
        digests::{Digests, Origin},
        info_plist,
        order::Order,
        recording::{self, Ending},
        sync_lock::SyncLock,
        upload::Received,
    },
    vault::{
        encryption::{self, EncryptionError, Password},
        history,
        inventory::Inventory,
        layout::Layout,
        ledger::{Ledger, LedgerError},
        name::Name,
        receipt::{self, Receipt},
        transaction::{Start, Transaction, VaultError},
        verify::{Finding, VerifyError},
    },
};

pub(super) struct Run {
    job: Job,
    started_at: DateTime<Utc>,
    received: Received,
    /// What of it is in the tree.
    digests: Digests,
    /// What the phone could not read, and whether it is harmless.
    unreadable: HashMap<Name, bool>,
    /// The phone was asked for its backup.
    conversed: bool,
    checked: Checked,
    passcode_asked: bool,
    /// The record of the conversation.
    recorded: Ending,
    noted: bool,
    /// The last backup is from before the phone was erased.
    erased: bool,
    /// What may open the new backup; empty when the phone does not encrypt.
    passwords: Vec<Password>,
}

impl Run {
    pub(super) fn new(job: Job) -> Self {
        Self {
            job,
            started_at: Utc::now(),
            received: Received::default(),
            digests: Digests::default(),
            unreadable: HashMap::new(),
            conversed: false,
            checked: Checked::default(),
            passcode_asked: false,
            recorded: Ending::default(),
            noted: false,
            erased: false,
            passwords: Vec::new(),
        }
    }

    pub(super) async fn carry_out(mut self) -> Ended {
        let awake = Awake::now();
        let result = match self.back_up().await {
            Err(failure) => {
                let came = self.received.files > 0;
                let failure = loss::told_apart(&self.job.muxer, &self.job.attached, failure, came).await;
                let failure = loss::by_sleep(failure, awake.slept());
                let by_nobody = failure.id == FailureId::CancelledByUser && self.job.shutdown.is_cancelled();
                Err(if by_nobody { Failure { id: FailureId::BackupIncomplete, ..failure } } else { failure })
            }
            done => done,
        };
        recording::tell_result(&self.recorded.log, result.as_ref().err());
        let ended = Ended { checked: std::mem::take(&mut self.checked), result, ..self.so_far() };
        // Without the lock another Backstay's run is under way, and its own to note. What a person decided is kept.
        let was_cancelled = ended.result.as_ref().is_err_and(|failure| failure.id == FailureId::CancelledByUser);
        if self.noted || was_cancelled && Layout::new(&self.job.root, &self.job.attached.udid).ledger().exists() {
            self.note(&ended);
        }
        ended
    }

    fn so_far(&self) -> Ended {
        Ended {
            files_received: self.received.files,
            bytes_received: self.received.bytes,
            passcode_asked: self.passcode_asked,
            result: Err(FailureId::BackupIncomplete.into()),
            ..Ended::nothing(self.job.run)
        }
    }

    fn note(&self, ended: &Ended) {
        let layout = Layout::new(&self.job.root, &self.job.attached.udid);
        if let Err(error) = Ledger::open(&layout).and_then(|mut ledger| ledger.note_run(&ended.told())) {
            tracing::warn!(%error, "how the run stands can't be noted");
        }
    }

    async fn back_up(&mut self) -> Result<Receipt, Failure> {
        let cancel = self.job.cancel.clone();
        tokio::select! {
            checked = check::may_run(&self.job, &mut self.checked) => checked?,
            () = cancel.cancelled() => return Err(FailureId::CancelledByUser.into()),
        }
        let layout = Layout::new(&self.job.root, &self.job.attached.udid);
        self.erased = self.checked.facts.as_ref().is_some_and(|facts| was_erased(&layout, facts));
        let device_key = self.checked.facts.as_ref().and_then(Facts::device_key);
        let start = Start { afresh: self.job.full || self.erased, device_key: device_key.as_deref() };
        let begun = Transaction::begin(layout, &self.job.settings.retention(), &self.so_far().told(), start);
        self.noted = !matches!(begun, Err(VaultError::Busy { .. }));
        let mut transaction = begun.map_err(|error| diagnose::vault(&error))?;
        (self.digests, self.unreadable) = transaction.take_resumed();
        match self.carry_through(&mut transaction).await {
            Ok(receipt) => {
                self.note(&Ended { result: Ok(receipt.clone()), ..self.so_far() });
                if let Err(error) = transaction.prune(&self.job.settings.retention()) {
                    tracing::warn!(%error, "old snapshots could not be removed");
                }
                Ok(receipt)
            }
            Err(failure) => {
                // A run that did not come to the conversation leaves what was there before.
                let is_of_use = !self.conversed || worth_keeping(failure.id);
                let is_kept = is_of_use && self.keep(&mut transaction);
                if !is_kept && let Err(error) = transaction.discard() {
                    tracing::warn!(%error, "what is left of the failed run can't be removed");
                }
                let of_the_base = matches!(failure.id, FailureId::BackupVerifyFailed | FailureId::ManifestCorrupt);
                if of_the_base && let Err(error) = transaction.look_at_base() {
                    tracing::warn!(%error, "the kept backup can't be looked at");
                }
                // Whatever it looks like: without its mark the drive itself is gone.
                let marked = transaction.layout().own().try_exists();
                let is_gone = matches!(marked, Ok(false)) && failure.id != FailureId::CancelledByUser;
                let mut failure = failure;
                failure.evidence.kept = is_kept && self.conversed;
                Err(match failure.id {
                    _ if is_gone => Failure { id: FailureId::BackupDriveMissing, ..failure },
                    FailureId::HostDiskFull => self.with_room(failure),
                    _ => failure,
                })
            }
        }
    }

    /// Keeps what came for the next run; false when it can't be.
    fn keep(&mut self, transaction: &mut Transaction) -> bool {
        let (digests, unreadable) = (std::mem::take(&mut self.digests), std::mem::take(&mut self.unreadable));
        transaction.keep(digests, unreadable).unwrap_or_else(|error| {
            tracing::warn!(%error, "what came can't be kept for the next run");
            false
        })
    }

    /// A full disk, with what is free now that the failed run is removed.
    fn with_room(&self, mut failure: Failure) -> Failure {
        // A folder on another disk, with its own room, that the failure names.
        if failure.evidence.path.as_ref().is_some_and(|path| !path.starts_with(&self.job.root) && path.is_dir()) {
            return failure;
        }
        failure.evidence.bytes_free = disk::free_bytes(&self.job.root).ok().or(failure.evidence.bytes_free);
        failure.evidence.volume = Some(volume::name(&self.job.root));
        failure
    }

    async fn carry_through(&mut self, transaction: &mut Transaction) -> Result<Receipt, Failure> {
        let (receipt, inventory) = self.fill(transaction).await?;
        transaction.commit(&receipt, inventory).map_err(|error| vault_failed(transaction, &error))?;
        Ok(receipt)
    }

    /// Everything up to the verified tree.
    async fn fill(&mut self, transaction: &mut Transaction) -> Result<(Receipt, Inventory), Failure> {
        self.receive(transaction).await?;
        let facts = self.checked.facts.as_ref().ok_or_else(|| Failure::from(FailureId::SessionLost))?;
        self.job.progress.send_modify(|progress| progress.phase = Phase::Verifying);
        let tree = transaction.layout().next_tree();
        let verified = transaction.verify(&self.passwords, &mut self.digests, &self.unreadable);
        let (verified, inventory) =
            verified.map_err(|error| vault_failed(transaction, &error))?.map_err(|error| match &error {
                VerifyError::Encryption(EncryptionError::WrongPassword) => self.not_opened(transaction.layout()),
                _ => diagnose::verification(&error),
            })?;
        let unreadable = diagnose::unreadable_files(&self.received, &verified.doubts);
        self.recorded.unreadables.tell_rows(&self.recorded.log, &verified.unreadable);
        let again = transaction.contradicted_again(&verified).map_err(|error| diagnose::ledger(&error))?;
        let contradicted = &verified.contradicted;
        if contradicted.count > 0 && !again {
            return Err(diagnose::damaged(FailureId::BackupVerifyFailed, contradicted));
        }
        let refused = [contradicted, &verified.kept_contradicted].into_iter().find(|findings| findings.count > 0);
        let contradicted = refused.map(diagnose::contradicted);
        let verified_at = Utc::now();
        let id = transaction.free_id(verified_at).map_err(|error| diagnose::vault(&error.into()))?;
        let identity = receipt::tree_identity(&tree).map_err(|source| {
            diagnose::disk(&DiskError { operation: "reading", path: tree.join("Info.plist"), source })
        })?;
        // It names the tree, so that it has to be the one that was written for this run.
        let written = self.digests.of(&Name::new("Info.plist"));
        let is_ours = matches!(written, Some(Origin::Received { checksums, .. })
            if identity.as_deref() == Some(blake3::Hash::from_bytes(checksums.digest).to_hex().as_str()));
        if identity.is_some() && !is_ours {
            return Err(Failure::from(FailureId::DeviceDataRefused).path(tree.join("Info.plist")).text("was replaced"));
        }
        self.job.progress.send_modify(|progress| progress.phase = Phase::Committing);
        let receipt = Receipt {
            id,
            run: self.job.run,
            started_at: self.started_at,
            verified_at,
            phone_name: facts.name.clone(),
            model: facts.model.clone(),
            ios: facts.ios.clone(),
            files: verified.files,
            bytes: verified.bytes,
            files_received: self.received.files,
            bytes_received: self.received.bytes,
            full: verified.full,
            device_key: facts.device_key(),
            after_erasing: self.erased,
            made_room: self.checked.made_room + transaction.made_room(),
            unproved: verified.unproved,
            notes: verified.notes,
            doubts: verified.doubts.count,
            doubtful: verified.doubts.first.iter().map(Finding::named).collect(),
            warning: unreadable
                .or(contradicted)
                .or_else(|| transaction.ledger_was_renewed().then(|| FailureId::LedgerDamaged.into())),
            tree: identity.ok_or_else(|| {
                Failure::from(FailureId::BackupVerifyFailed).path(tree.join("Info.plist")).text("is missing")
            })?,
            made_by: env!("CARGO_PKG_VERSION").into(),
        };
        Ok((receipt, inventory))
    }

    async fn receive(&mut self, transaction: &mut Transaction) -> Result<(), Failure> {
        let cancel = self.job.cancel.clone();
        // From then on the conversation itself sees to it, so that what came can be kept.
        let (mut session, facts, sync_lock, info) = tokio::select! {
            prepared = self.prepare() => prepared?,
            () = cancel.cancelled() => return Err(FailureId::CancelledByUser.into()),
        };
        let received = self.converse(transaction, &mut session, &facts, &info).await;
        if received.is_ok() {
            sync_lock.release().await;
            session.close().await;
        }
        received
    }

    async fn prepare(&mut self) -> Result<(Session, Facts, SyncLock, Dictionary), Failure> {
        let mut session = Session::open(&self.job.muxer, &self.job.attached).await?;
        let facts = Facts::read(&mut session, &self.job.attached.udid).await?;
        self.checked.facts = Some(facts.clone());
        if facts.encrypts_backups(&mut session).await? {
            self.passwords = self.known_passwords().await?;
        }
        let sync_lock = SyncLock::take(&mut session).await?;
        let info = info_plist::gather(&mut session, &facts).await?;
        Ok((session, facts, sync_lock, info))
    }

    /// What may open an encrypted backup. A backup that nobody can open is no backup: without a password nothing is
    /// begun, and the phone asks its owner for nothing.
    async fn known_passwords(&self) -> Result<Vec<Password>, Failure> {
        if let Some(password) = &self.job.password {
            return Ok(vec![password.clone()]);
        }
        let stored = keyring::passwords(&self.job.attached.udid).await;
        match stored.map_err(|error| diagnose::keyring(&error).doing("looking for the backup password"))? {
            none if none.is_empty() => Err(FailureId::BackupPasswordMissing.into()),
            passwords => Ok(passwords),
        }
    }

    /// No password opens the new backup. One that opens the newest encrypted backup before it was right once.
    fn not_opened(&self, layout: &Layout) -> Failure {
        let earlier = history::all(layout).unwrap_or_default().into_iter().rev();
        let encrypted =
            earlier.map(|snapshot| snapshot.tree).find(|tree| matches!(encryption::is_encrypted(tree), Ok(true)));
        let opens = encrypted.is_some_and(|tree| encryption::open_any(&tree, &self.passwords).is_ok());
        Failure::from(if opens { FailureId::BackupPasswordChanged } else { FailureId::BackupPasswordWrong })
    }

    async fn converse(
        &mut self,
        transaction: &mut Transaction,
        session: &mut Session,
        facts: &Facts,
        info: &Dictionary,
    ) -> Result<(), Failure> {
        let layout = transaction.layout().clone();
        let info = info_plist::write(&layout.next_tree(), info).map_err(|error| diagnose::disk(&error))?;
        self.digests.received(Name::new("Info.plist"), info, true);
        let log = recording::begin(&self.job.attached.udid, "backup");
        recording::tell_tree(&log, &layout.next_tree(), transaction.has_base(), transaction.is_resumed());
        self.recorded.log = log.clone();
        let (retention, of_history) = (self.job.settings.retention(), self.job.settings.make_room);
        let (full, aside) = (transaction.wants_everything(), transaction.aside().cloned());
        let mut make_room = |missing, welcome| transaction.make_room(missing, welcome, &retention, of_history);
        let matter = Matter {
            order: Order::Backup { full },
            aside,
            base: &layout.next(),
            digests: self.digests.clone(),
            unreadable: self.unreadable.clone(),
            make_room: &mut make_room,
            source: &self.job.attached.udid,
            usb: self.job.attached.usb,
            progress: &self.job.progress,
            cancel: &self.job.cancel,
            log,
        };
        let outcome = device_link::converse(session, facts, matter).await?;
        self.passcode_asked = outcome.passcode_asked;
        self.received = outcome.received;
        self.unreadable = self.received.unreadable.names().clone();
        self.conversed = true;
        self.recorded = outcome.recorded;
        self.digests = outcome.digests;
        // Whatever the phone did to it.
        self.digests.received(Name::new("Info.plist"), info, true);
        outcome.result
    }
}

/// Whether the phone was erased since its last backup. Such a phone has nothing in common with it but the UDID, so that
/// it is to send everything.
fn was_erased(layout: &Layout, facts: &Facts) -> bool {
    // Receipts that can't be read are the business of whoever commits the next one.
    let before = receipt::all(layout).unwrap_or_default().into_iter().rev().find_map(|receipt| receipt.device_key);
    let erased = before.is_some_and(|before| facts.device_key().is_some_and(|now| now != before));
    if erased {
        tracing::info!(udid = %layout.udid(), "the phone was erased since its last backup");
    }
    erased
}

/// A ledger in which more is wrong than its own check finds is made anew by the next run.
fn vault_failed(transaction: &Transaction, error: &VaultError) -> Failure {
    if let VaultError::Ledger(LedgerError::Damaged { .. }) = error
        && let Err(error) = Ledger::set_aside(transaction.layout())
    {
        tracing::warn!(%error, "the damaged ledger stays");
    }
    diagnose::vault(error)
}

/// Failures after which the phone can go on with what has come.
pub(super) const fn worth_keeping(id: FailureId) -> bool {
    use FailureId::{
        BackupPasswordWrong, BackupStalled, CancelledByUser, CancelledOnDevice, DeviceAgentDied, DeviceBackupBusy,
        DeviceLocked, HostAsleep, PasscodeNotEntered, SessionLost, UsbDisconnected, UsbmuxdNotRunning,
        WifiDeviceAsleep, WifiHeartbeatLost, WifiLost,
    };
    // Told apart by what is seen of the network, which is no news of what has come.
    let link_broke = wifi::is_about_the_network(id);
    link_broke
        || matches!(
            id,
            UsbDisconnected
            | WifiLost
            | WifiDeviceAsleep
            | WifiHeartbeatLost
            | SessionLost
            | UsbmuxdNotRunning
            | DeviceAgentDied
            | DeviceLocked
            | PasscodeNotEntered
            | HostAsleep
            | BackupStalled
            | CancelledByUser
            // The person at the phone may want it to go on another day.
            | CancelledOnDevice
            | DeviceBackupBusy
            // Whole, as far as anybody can tell: with the right password the next run needs only what changed.
            | BackupPasswordWrong
        )
}
