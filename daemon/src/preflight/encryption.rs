//! Encryption as an organisation or the settings want it.

use backstay_shared::health::FailureId;

use super::{Finding, Situation};

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    if situation.vitals.encrypts {
        Finding::Fine
    } else if situation.vitals.must_encrypt {
        Finding::Hindrance(FailureId::EncryptionRequired.into())
    } else if situation.config.require_encryption {
        Finding::Hindrance(FailureId::BackupNotEncrypted.into())
    } else {
        Finding::Fine
    }
}
