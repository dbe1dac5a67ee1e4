//! What the phone is asked for.

use backstay_shared::{ids::Udid, overview::Phase};

use crate::vault::encryption::Password;

/// What a conversation is for.
#[derive(Debug, Clone)]
pub enum Order {
    /// The phone brings its backup up to date.
    Backup {
        /// The phone sends everything again.
        full: bool,
    },
    /// The phone takes over what the backup holds.
    Restore {
        /// The phone; the backup may be another one's.
        target: Udid,
        /// The request's `Options`.
        options: plist::Dictionary,
        /// What opens an encrypted backup.
        password: Option<Password>,
    },
}

impl Order {
    /// The message that asks for it, of the backup of `source`.
    pub(super) fn request(&self, source: &Udid) -> plist::Dictionary {
        let (name, target, options) = match self {
            Self::Backup { full: false } => ("Backup", source, None),
            Self::Backup { full: true } => {
                let options = plist::Dictionary::from_iter([("ForceFullBackup", plist::Value::from(true))]);
                ("Backup", source, Some(options))
            }
            Self::Restore { target, options, password } => {
                let mut options = options.clone();
                if let Some(password) = password {
                    options.insert("Password".into(), password.reveal().into());
                }
                ("Restore", target, Some(options))
            }
        };
        let mut request = plist::Dictionary::new();
        request.insert("MessageName".into(), name.into());
        request.insert("TargetIdentifier".into(), target.as_str().into());
        request.insert("SourceIdentifier".into(), source.as_str().into());
        if let Some(options) = options {
            request.insert("Options".into(), options.into());
        }
        request
    }

    /// What the phone does while nothing of it is seen.
    pub(super) const fn silent_phase(&self) -> Phase {
        match self {
            Self::Backup { .. } => Phase::Scanning,
            Self::Restore { .. } => Phase::Transferring,
        }
    }

    /// The phone takes rather than gives.
    pub(super) const fn is_restore(&self) -> bool {
        matches!(self, Self::Restore { .. })
    }
}
