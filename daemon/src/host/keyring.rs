//! The password store of the system (Secret Service, Keychain, Credential Manager): the only place where backup
//! passwords are kept.
//!
//! One secret a phone, a JSON list of passwords, newest first: older snapshots are opened with older ones.

use std::{thread, time::Duration};

use backstay_shared::ids::Udid;
use keyring_core::{Entry, Error};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use crate::vault::encryption::Password;

/// How the entries are called.
const SERVICE: &str = "backstay";

/// Passwords that are kept for a phone.
const PASSWORDS_MAX: usize = 8;

/// A locked store asks a person to unlock it, and waits for ever when nobody is there.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(60);

/// The password store can't be used; that no password is in it is no error.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// This computer has none, or it does not answer.
    #[error("no password store: {0}")]
    Absent(String),
    /// It is there, and nobody unlocked it.
    #[error("the password store is locked: {0}")]
    Locked(String),
    /// The entry is not what Backstay put there.
    #[error("the password store holds something else under the name backstay")]
    Foreign,
}

impl From<Error> for KeyringError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoStorageAccess(cause) => Self::Locked(cause.to_string()),
            // These carry the secret itself.
            Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::Ambiguous(_) => Self::Foreign,
            error => Self::Absent(error.to_string()),
        }
    }
}

/// The passwords of a phone's backups, newest first; empty when none is stored.
///
/// # Errors
/// When the store can't be used.
pub async fn passwords(udid: &Udid) -> Result<Vec<Password>, KeyringError> {
    ask(udid, read).await
}

/// Keeps a password as the newest; older ones stay.
///
/// # Errors
/// When the store can't be used.
pub async fn remember(udid: &Udid, password: Password) -> Result<(), KeyringError> {
    ask(udid, move |entry| {
        let older = read(entry)?.into_iter().filter(|older| *older != password);
        let all: Vec<Password> = std::iter::once(password.clone()).chain(older).collect();
        write(entry, &all)
    })
    .await
}

/// Keeps exactly these, newest first.
///
/// # Errors
/// When the store can't be used.
pub async fn replace(udid: &Udid, passwords: Vec<Password>) -> Result<(), KeyringError> {
    ask(udid, move |entry| if passwords.is_empty() { delete(entry) } else { write(entry, &passwords) }).await
}

/// Removes all passwords of a phone.
///
/// # Errors
/// When the store can't be used.
pub async fn forget(udid: &Udid) -> Result<(), KeyringError> {
    ask(udid, delete).await
}

/// The store's client blocks and brings a run time of its own, so it gets a thread of its own; one that waits for a
/// prompt that nobody answers is left behind.
async fn ask<T: Send + 'static>(
    udid: &Udid,
    question: impl FnOnce(&Entry) -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let (sender, receiver) = oneshot::channel();
    let udid = udid.clone();
    let body = move || {
        let answer = open(&udid).map_err(KeyringError::from).and_then(|entry| question(&entry));
        // Who asked may have lost patience.
        drop(sender.send(answer));
    };
    thread::Builder::new()
        .name("keyring".into())
        .spawn(body)
        .map_err(|error| KeyringError::Absent(error.to_string()))?;
    match tokio::time::timeout(ANSWER_SECONDS_MAX, receiver).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(KeyringError::Absent("its client ended early".into())),
        Err(_) => Err(KeyringError::Locked(format!("no answer for {} s", ANSWER_SECONDS_MAX.as_secs()))),
    }
}

/// A new connection each time: the store may come after the daemon and be restarted.
#[cfg(target_os = "linux")]
fn open(udid: &Udid) -> Result<Entry, Error> {
    use keyring_core::api::CredentialStoreApi;
    zbus_secret_service_keyring_store::Store::new()?.build(SERVICE, udid.as_str(), None)
}

#[cfg(not(target_os = "linux"))]
fn open(udid: &Udid) -> Result<Entry, Error> {
    Ok(keyring::Entry::new(SERVICE, udid.as_str())?.inner)
}

fn read(entry: &Entry) -> Result<Vec<Password>, KeyringError> {
    let secret = match entry.get_secret() {
        Err(Error::NoEntry) => return Ok(Vec::new()),
        secret => Zeroizing::new(secret?),
    };
    parse(&secret)
}

fn write(entry: &Entry, passwords: &[Password]) -> Result<(), KeyringError> {
    Ok(entry.set_secret(&serialize(passwords)?)?)
}

fn delete(entry: &Entry) -> Result<(), KeyringError> {
    match entry.delete_credential() {
        Err(Error::NoEntry) => Ok(()),
        deleted => Ok(deleted?),
    }
}

fn parse(secret: &[u8]) -> Result<Vec<Password>, KeyringError> {
    let list: Vec<String> = serde_json::from_slice(secret).map_err(|_| KeyringError::Foreign)?;
    Ok(list.into_iter().take(PASSWORDS_MAX).map(Password::new).collect())
}

fn serialize(passwords: &[Password]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let list: Vec<&str> = passwords.iter().take(PASSWORDS_MAX).map(Password::reveal).collect();
    serde_json::to_vec(&list).map(Zeroizing::new).map_err(|_| KeyringError::Foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_keeps_its_order() {
        let all: Vec<Password> = (0..20).map(|number| Password::new(format!("passw\"rd ä {number}"))).collect();
        let kept = parse(&serialize(&all).unwrap()).unwrap();
        assert!(kept == all[..PASSWORDS_MAX]);
        assert!(matches!(parse(b"not ours"), Err(KeyringError::Foreign)));
    }

    #[test]
    fn no_error_tells_a_secret() {
        for error in [Error::BadEncoding(b"geheim".to_vec()), Error::BadDataFormat(b"geheim".to_vec(), "why".into())] {
            let error = KeyringError::from(error);
            assert!(!format!("{error} {error:?}").contains("geheim"));
        }
        assert!(!format!("{:?}", Password::new("geheim".into())).contains("geheim"));
    }
}
