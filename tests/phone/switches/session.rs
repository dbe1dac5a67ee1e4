//! In what the sessions of one phone differ from those of another: what it greets with, what it makes of a tree that an
//! interrupted run left, what it forgives.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::watch;

use super::value_of;
use crate::phone::{Phone, Unreadable};

/// iOS 14 and later (libimobiledevice 998, 1379); iOS 8 said 300.
const DEVICE_LINK_VERSION: [u64; 2] = [400, 0];
/// Batches of 2 MB to 2.7 GB were seen.
const BATCH_BYTES: u64 = 256 << 20;

/// What the phone makes of a `Snapshot` that lists something when a backup begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interrupted {
    /// It goes on: what its last broken run sent whole and the host lists in full length is not sent again.
    #[default]
    Resumes,
    /// It removes `Snapshot` and sends everything that differs.
    StartsOver,
    /// It ends the backup with 205.
    Refuses,
}

pub(super) struct SessionSwitches {
    device_link_version: Mutex<[u64; 2]>,
    device_link_answer: Mutex<Option<u64>>,
    interrupted: Mutex<Interrupted>,
    bytes_resumed: AtomicU64,
    strict_properties: AtomicBool,
    says_full: AtomicBool,
    batch_bytes: AtomicU64,
    unreadable: Mutex<Vec<(usize, Unreadable)>>,
    stuck_after_abrupt_end: AtomicBool,
    stuck: AtomicBool,
    busy_after_password: AtomicBool,
    busy: watch::Sender<bool>,
    locks_in_mid_run: AtomicBool,
    has_escrow_bag: AtomicBool,
    shrugs_at_refusals: AtomicBool,
    odd_paths: AtomicUsize,
    purges: AtomicU64,
}

impl Default for SessionSwitches {
    fn default() -> Self {
        Self {
            device_link_version: Mutex::new(DEVICE_LINK_VERSION),
            device_link_answer: Mutex::default(),
            interrupted: Mutex::default(),
            bytes_resumed: AtomicU64::default(),
            strict_properties: AtomicBool::default(),
            says_full: AtomicBool::default(),
            batch_bytes: AtomicU64::new(BATCH_BYTES),
            unreadable: Mutex::default(),
            stuck_after_abrupt_end: AtomicBool::default(),
            stuck: AtomicBool::default(),
            busy_after_password: AtomicBool::default(),
            busy: watch::Sender::new(false),
            locks_in_mid_run: AtomicBool::default(),
            has_escrow_bag: AtomicBool::default(),
            shrugs_at_refusals: AtomicBool::default(),
            odd_paths: AtomicUsize::default(),
            purges: AtomicU64::default(),
        }
    }
}

impl Phone {
    /// Greets with this version of DeviceLink, 400.0 at first. Hosts answer with its first number, or with 400.
    pub fn set_device_link_version(&self, version: [u64; 2]) {
        *value_of(&self.switches().session.device_link_version) = version;
    }

    pub(crate) fn device_link_version(&self) -> [u64; 2] {
        *value_of(&self.switches().session.device_link_version)
    }

    /// The number that a host put behind `DLVersionsOk` last.
    pub fn device_link_answer(&self) -> Option<u64> {
        *value_of(&self.switches().session.device_link_answer)
    }

    pub(crate) fn keep_device_link_answer(&self, number: Option<u64>) {
        *value_of(&self.switches().session.device_link_answer) = number;
    }

    /// Says what the phone makes of the tree of an interrupted run.
    pub fn set_interrupted(&self, interrupted: Interrupted) {
        *value_of(&self.switches().session.interrupted) = interrupted;
    }

    pub(crate) fn interrupted(&self) -> Interrupted {
        *value_of(&self.switches().session.interrupted)
    }

    pub(crate) fn starts_over(&self) -> bool {
        self.interrupted() == Interrupted::StartsOver
    }

    /// Bytes that the last backup did not send since an interrupted one had sent them ([`Interrupted::Resumes`]).
    pub fn bytes_resumed(&self) -> u64 {
        self.switches().session.bytes_resumed.load(SeqCst)
    }

    pub(crate) fn keep_bytes_resumed(&self, bytes: u64) {
        self.switches().session.bytes_resumed.store(bytes, SeqCst);
    }

    /// A finished `Status.plist` without a `Manifest.plist` ends in 205, in place of a full backup.
    pub fn set_strict_properties(&self, strict: bool) {
        self.switches().session.strict_properties.store(strict, SeqCst);
    }

    pub(crate) fn has_strict_properties(&self) -> bool {
        self.switches().session.strict_properties.load(SeqCst)
    }

    /// `IsFullBackup` is true after a full backup, as old phones have it; others say false always.
    pub fn set_says_full(&self, says: bool) {
        self.switches().session.says_full.store(says, SeqCst);
    }

    pub(crate) fn says_full(&self) -> bool {
        self.switches().session.says_full.load(SeqCst)
    }

    /// How many bytes of files a batch has at most; a larger file is a batch of its own.
    pub fn set_batch_bytes(&self, bytes: u64) {
        self.switches().session.batch_bytes.store(bytes, SeqCst);
    }

    pub(crate) fn batch_bytes(&self) -> u64 {
        self.switches().session.batch_bytes.load(SeqCst)
    }

    /// The files at these places of the data set can't be read, in every backup that sends them;
    /// [`Fault::FileUnreadable`](crate::phone::Fault::FileUnreadable) goes with it.
    pub fn set_unreadable(&self, files: Vec<(usize, Unreadable)>) {
        *value_of(&self.switches().session.unreadable) = files;
    }

    pub(crate) fn unreadable(&self) -> Vec<(usize, Unreadable)> {
        value_of(&self.switches().session.unreadable).clone()
    }

    /// After a backup whose connection broke the next ones end with 3, until the phone restarts: its own snapshot is in the
    /// way (libimobiledevice 1257).
    pub fn set_stuck_after_abrupt_end(&self, stuck: bool) {
        self.switches().session.stuck_after_abrupt_end.store(stuck, SeqCst);
    }

    /// A backup broke off without a final status.
    pub(crate) fn ended_abruptly(&self) {
        let session = &self.switches().session;
        session.stuck.fetch_or(session.stuck_after_abrupt_end.load(SeqCst), SeqCst);
    }

    /// True while the snapshot of an earlier backup is in the way.
    pub(crate) fn is_stuck(&self) -> bool {
        self.switches().session.stuck.load(SeqCst)
    }

    pub(super) fn unstick(&self) {
        self.switches().session.stuck.store(false, SeqCst);
    }

    /// After a change of the backup password mobilebackup2 takes connections and does not greet, until
    /// [`Self::backup_service_is_idle`].
    pub fn set_busy_after_password(&self, busy: bool) {
        self.switches().session.busy_after_password.store(busy, SeqCst);
    }

    /// mobilebackup2 greets again.
    pub fn backup_service_is_idle(&self) {
        self.switches().session.busy.send_replace(false);
    }

    /// The backup password was changed.
    pub(crate) fn gets_busy(&self) {
        let session = &self.switches().session;
        if session.busy_after_password.load(SeqCst) {
            session.busy.send_replace(true);
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        *self.switches().session.busy.borrow()
    }

    pub(crate) async fn idle(&self) {
        // The sender lives in the phone.
        drop(self.switches().session.busy.subscribe().wait_for(|busy| !*busy).await);
    }

    /// The screen locks after the first batch of a backup. Without an escrow bag in StartService the files behind it can't
    /// be read, and the backup ends with 104.
    pub fn set_locks_in_mid_run(&self, locks: bool) {
        self.switches().session.locks_in_mid_run.store(locks, SeqCst);
    }

    pub(crate) fn locks_in_mid_run(&self) -> bool {
        self.switches().session.locks_in_mid_run.load(SeqCst)
    }

    /// StartService of mobilebackup2 came, with an escrow bag or without.
    pub(crate) fn keep_escrow_bag(&self, given: bool) {
        self.switches().session.has_escrow_bag.store(given, SeqCst);
    }

    pub(crate) fn has_escrow_bag(&self) -> bool {
        self.switches().session.has_escrow_bag.load(SeqCst)
    }

    /// The person stops the sync on the phone: every computer that observes it hears of it. The backup itself goes on; one
    /// that ends with 202 is a [`Mishap::Error`](super::Mishap::Error).
    pub fn cancel_on_phone(&self) {
        // There may be no listener.
        drop(self.notifications().send("com.apple.itunes-client.syncCancelRequest".into()));
    }

    /// The phone goes on where the host refuses an odd path (`Fault::HostilePath`, `HostileMove`, `HostileRemove`,
    /// `HostileDownload`); the path of `HostilePath` is that of one file more than there are.
    pub fn set_shrugs_at_refusals(&self, shrugs: bool) {
        self.switches().session.shrugs_at_refusals.store(shrugs, SeqCst);
    }

    pub(crate) fn shrugs_at_refusals(&self) -> bool {
        self.switches().session.shrugs_at_refusals.load(SeqCst)
    }

    /// So many files with odd paths come in every batch beside its own.
    pub fn set_odd_paths(&self, count: usize) {
        self.switches().session.odd_paths.store(count, SeqCst);
    }

    pub(crate) fn odd_paths(&self) -> usize {
        self.switches().session.odd_paths.load(SeqCst)
    }

    /// How often the phone asked for room to be made (`DLMessagePurgeDiskSpace`).
    pub fn purges(&self) -> u64 {
        self.switches().session.purges.load(SeqCst)
    }

    pub(crate) fn count_purge(&self) {
        self.switches().session.purges.fetch_add(1, SeqCst);
    }
}
