//! One phone and what is going on in it.

use std::sync::{Arc, Mutex};

use tokio::sync::{broadcast, watch};

use super::{
    Connection, Fault, PhoneSpec,
    backup::{Digests, Encryption, Journal, Restored},
    dataset::{DataSet, DataSetSpec, Mutation},
    lockdownd::Trust,
    services::Services,
    switches::Switches,
};

/// What a test can wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// StartService was answered.
    ServiceStarted(String),
    /// The passcode sheet came up.
    PasscodeSheetPresented,
    /// The passcode sheet went away.
    PasscodeSheetDismissed,
    /// A `Backup` request came in.
    BackupRequested,
    /// The final status of a backup was sent.
    BackupEnded { code: i64 },
    /// A computer has changed the backup password.
    BackupPasswordChanged {
        /// True if backups are encrypted from now on.
        encrypts: bool,
    },
    /// A restore ran to its end.
    RestoreEnded { code: i64 },
    /// The cable came out by script.
    Unplugged,
    /// Silence began by script.
    WentSilent,
    /// A pause began by script.
    Paused,
    /// The link died by script.
    Frozen,
    /// lockdownd refused a request by script.
    Refused {
        /// Its name.
        request: String,
        /// The `Error` of the answer.
        error: String,
    },
    /// The phone restarts: it is gone from its cable.
    Restarted,
    /// A trusted computer was told that the screen is locked, or is no more, and the last time it was told otherwise.
    LockTold { locked: bool },
    /// iCloud Backup was switched on or off.
    CloudBackupSwitched { on: bool },
    /// The phone has said that it goes to sleep.
    SaidGoodNight,
    /// The host has answered a Marco with a Polo.
    HeartbeatAnswered,
    /// An AFC connection was closed by script.
    MediaDisconnected,
    /// The host answered a message that names a place it must not touch ([`Fault::HostilePath`] and its like), and gave
    /// away so many bytes of a file.
    HostileAnswered {
        /// The DeviceLink status code.
        status: i64,
        /// Bytes of the file, for a download.
        bytes: u64,
    },
}

/// A handle on one simulated phone; clones are the same phone.
#[derive(Clone)]
pub struct Phone(Arc<Inner>);

struct Inner {
    spec: PhoneSpec,
    /// 0 while unplugged, else a number that is new at every plugging in.
    link: watch::Sender<u64>,
    plugged_count: Mutex<u64>,
    gone_on: watch::Sender<bool>,
    fault: Mutex<Option<Fault>>,
    bytes_sent: watch::Sender<u64>,
    data: Mutex<Arc<DataSet>>,
    encryption: Mutex<Option<Arc<Encryption>>>,
    digests: Digests,
    journal: Journal,
    restored: Mutex<Option<Arc<Restored>>>,
    trust: Mutex<Trust>,
    services: Services,
    switches: Switches,
    name: Mutex<String>,
    events: broadcast::Sender<Event>,
    notifications: broadcast::Sender<String>,
}

impl Phone {
    /// A phone that is not plugged in and trusts nobody.
    pub fn new(spec: PhoneSpec) -> Self {
        let data = DataSet::generate(&spec.data);
        Self(Arc::new(Inner {
            link: watch::Sender::new(0),
            plugged_count: Mutex::new(0),
            gone_on: watch::Sender::new(false),
            fault: Mutex::new(None),
            bytes_sent: watch::Sender::new(0),
            data: Mutex::new(Arc::new(data)),
            encryption: Mutex::new(None),
            digests: Digests::default(),
            journal: Journal::default(),
            restored: Mutex::new(None),
            trust: Mutex::new(Trust::new()),
            services: Services::default(),
            switches: Switches::default(),
            name: Mutex::new(spec.name.clone()),
            events: broadcast::Sender::new(1024),
            notifications: broadcast::Sender::new(64),
            spec,
        }))
    }

    /// The fixed facts.
    pub fn spec(&self) -> &PhoneSpec {
        &self.0.spec
    }

    /// The phone's UDID.
    pub fn udid(&self) -> &str {
        &self.0.spec.udid
    }

    /// Plugs the cable in; every time the phone is a new device to usbmuxd.
    pub fn plug_in(&self) {
        self.attach(Connection::Usb);
    }

    /// Makes the phone a new device to usbmuxd; a dead link ends with it.
    pub(crate) fn attach(&self, connection: Connection) {
        let mut count = self.0.plugged_count.lock().unwrap();
        *count += 1;
        self.set_connection(connection);
        self.0.link.send_replace(*count);
        self.thaw();
    }

    /// Pulls the cable: usbmuxd says Detached and drops every connection.
    pub fn unplug(&self) {
        self.0.link.send_replace(0);
    }

    /// 0 while unplugged, else a number that is new at every plugging in.
    pub fn link(&self) -> watch::Receiver<u64> {
        self.0.link.subscribe()
    }

    /// Sets or clears the fault; byte counts start at 0.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.0.bytes_sent.send_replace(0);
        self.forget_passcode();
        self.0.gone_on.send_replace(false);
        *self.0.fault.lock().unwrap() = fault;
    }

    /// The fault in force.
    pub fn fault(&self) -> Option<Fault> {
        self.0.fault.lock().unwrap().clone()
    }

    /// Clears a fault that happens once; the count of bytes stands.
    pub fn fault_happened(&self) {
        *self.0.fault.lock().unwrap() = None;
    }

    /// Bytes of the plain mobilebackup2 stream since the fault was last set.
    pub fn bytes_sent(&self) -> &watch::Sender<u64> {
        &self.0.bytes_sent
    }

    /// Ends a pause ([`Fault::PauseAt`]).
    pub fn go_on(&self) {
        self.0.gone_on.send_replace(true);
    }

    /// True once the pause is over.
    pub fn gone_on(&self) -> watch::Receiver<bool> {
        self.0.gone_on.subscribe()
    }

    /// What is on the phone now.
    pub fn data(&self) -> Arc<DataSet> {
        self.0.data.lock().unwrap().clone()
    }

    /// Changes what is on the phone.
    pub fn mutate(&self, mutation: Mutation) {
        let mut data = self.0.data.lock().unwrap();
        *data = Arc::new(data.mutated(mutation));
    }

    /// Settings > General > Transfer or Reset > Erase All Content and Settings, and set up anew: it has other content and
    /// another key, and trusts nobody.
    pub fn erase(&self, data: &DataSetSpec) {
        *self.0.data.lock().unwrap() = Arc::new(DataSet::generate(data));
        *self.0.encryption.lock().unwrap() = None;
        *self.trust() = Trust::new();
    }

    /// The backup password, if backups are encrypted.
    pub fn backup_password(&self) -> Option<String> {
        self.encryption().map(|encryption| encryption.password().to_owned())
    }

    /// Sets, changes or with none removes the backup password, as the Finder of another computer would: the next backup
    /// is full and has keys of its own.
    pub fn set_backup_password(&self, password: Option<&str>) {
        let cost = self.0.spec.key_derivation;
        let encryption = password.map(|password| Arc::new(Encryption::new(password, cost)));
        *self.0.encryption.lock().unwrap() = encryption;
    }

    /// What backups are encrypted with, if they are.
    pub(crate) fn encryption(&self) -> Option<Arc<Encryption>> {
        self.0.encryption.lock().unwrap().clone()
    }

    /// Digests of what backups were sent.
    pub(crate) fn digests(&self) -> &Digests {
        &self.0.digests
    }

    /// What the last backup sent, if it did not end well.
    pub(crate) fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// What the last restore brought, also one that failed.
    pub fn restored(&self) -> Option<Arc<Restored>> {
        self.0.restored.lock().unwrap().clone()
    }

    /// Keeps what a restore brought.
    pub fn set_restored(&self, restored: Restored) {
        *self.0.restored.lock().unwrap() = Some(Arc::new(restored));
    }

    /// Keys, pairing and what the person answers to the trust dialog.
    pub fn trust(&self) -> std::sync::MutexGuard<'_, Trust> {
        self.0.trust.lock().unwrap()
    }

    /// What can go wrong beside a fault.
    pub(super) fn switches(&self) -> &Switches {
        &self.0.switches
    }

    /// What the services keep between connections.
    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    /// `DeviceName`, which SetValue may change.
    pub fn name(&self) -> String {
        self.0.name.lock().unwrap().clone()
    }

    /// Renames the phone.
    pub fn set_name(&self, name: &str) {
        name.clone_into(&mut self.0.name.lock().unwrap());
    }

    /// Subscribes to what happens in the phone.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Says that something happened; nobody needs to listen.
    pub fn tell(&self, event: Event) {
        drop(self.0.events.send(event));
    }

    /// The phone's notification centre, which notification_proxy relays.
    pub fn notifications(&self) -> &broadcast::Sender<String> {
        &self.0.notifications
    }
}
