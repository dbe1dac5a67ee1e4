//! What the commands that read backups have in common: which phone, which snapshot.

use backstay_shared::{
    health::{Failure, FailureId},
    protocol::Refusal,
};

use super::{CliError, Context, output, secrets};
use crate::{
    health::diagnose,
    host::{keyring, lock::LockFile},
    transfer::DiskError,
    vault::{
        encryption::{self, Password},
        history::{self, Snapshot},
        ledger::Ledger,
        phones::{self, BackedUp},
        recovery,
        transaction::{self, VaultError},
    },
};

/// The phones that have a backup.
///
/// # Errors
/// When the backup folder can't be read.
pub fn all_phones(context: &Context) -> Result<Vec<BackedUp>, CliError> {
    let mut found = phones::backed_up(&context.root).map_err(|source| reading(&context.root, source))?;
    for phone in &mut found {
        if let Some(name) = context.config.name_of(phone.layout.udid()) {
            name.clone_into(&mut phone.name);
        }
    }
    let known = |phone: &BackedUp| (phone.name.clone(), phone.layout.udid().to_string());
    let told_apart = crate::ipc::names::told_apart(&found.iter().map(known).collect::<Vec<_>>());
    found.iter_mut().zip(told_apart).for_each(|(phone, name)| phone.name = name);
    Ok(found)
}

/// The phone that is meant, of those that have a backup; may be left out when there is one.
///
/// # Errors
/// When none or several fit, or the backup folder can't be read.
pub fn choose_phone(context: &Context, wanted: Option<&str>) -> Result<BackedUp, CliError> {
    let found = all_phones(context)?;
    let names: Vec<(String, String)> =
        found.iter().map(|phone| (phone.name.clone(), phone.layout.udid().to_string())).collect();
    let index = match (wanted, &names[..]) {
        (_, []) => return Err(CliError::Failed(format!("{} holds no backup yet", context.root.display()))),
        (Some(wanted), _) => crate::ipc::names::choose(&names, wanted).map_err(|refusal| match refusal {
            // The phone may well be known, and its first backup to come.
            Refusal::NoSuchPhone { name, known } => {
                let (root, known) = (context.root.display(), known.join(", "));
                CliError::Failed(format!("{root} holds no backup of {name:?} yet; it holds those of {known}"))
            }
            refusal => refusal.into(),
        })?,
        (None, [_]) => 0,
        (None, _) => {
            let names: Vec<String> = names.iter().map(|(name, udid)| format!("{name} ({udid})")).collect();
            return Err(CliError::Usage(format!("there are several iPhones, name one: {}", names.join(", "))));
        }
    };
    found.into_iter().nth(index).ok_or_else(|| CliError::Usage("no such phone".into()))
}

/// The snapshot that is meant: its id or a unique beginning of it; the latest when none is named.
///
/// # Errors
/// When none or several fit, or the history can't be read.
pub fn choose_snapshot(phone: &BackedUp, wanted: Option<&str>) -> Result<Snapshot, CliError> {
    let own = phone.layout.own();
    let mut all = history::all(&phone.layout).map_err(|source| reading(&own, source))?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != "latest") {
        let exact = all.iter().any(|snapshot| snapshot.id == wanted);
        all.retain(|snapshot| if exact { snapshot.id == wanted } else { snapshot.id.starts_with(wanted) });
        if all.len() > 1 {
            let ids: Vec<String> = all.into_iter().map(|snapshot| snapshot.id).collect();
            return Err(CliError::Usage(format!("several snapshots fit: {}", ids.join(", "))));
        }
    }
    let name = wanted.unwrap_or("latest");
    all.pop().ok_or_else(|| CliError::Usage(format!("{} has no snapshot {name:?}; see: backstay history", phone.name)))
}

/// The phone's ledger, in line with the disk; the lock, unless another Backstay is at work and sees to that.
///
/// # Errors
/// When the backups can't be read.
pub fn open_ledger(phone: &BackedUp) -> Result<(Ledger, Option<LockFile>), CliError> {
    let layout = &phone.layout;
    let opened = match transaction::lock(layout) {
        Ok(lock) => recovery::recover(layout).map(|recovered| {
            if recovered.renewed {
                // A closed standard error has no reader.
                drop(output::warn(&output::problem_of(&FailureId::LedgerDamaged.into())));
            }
            (recovered.ledger, Some(lock))
        }),
        Err(VaultError::Busy { .. }) => Ledger::open(layout).map(|ledger| (ledger, None)).map_err(VaultError::from),
        Err(error) => Err(error),
    };
    opened.map_err(|error| diagnose::vault(&error).into())
}

/// The stored passwords, or the one on standard input, when the snapshot is encrypted. That none of them opens it is told by who needs it.
///
/// # Errors
/// When the password store can't be used: that is not to be taken for a password that is missing.
pub async fn passwords_for(phone: &BackedUp, snapshot: &Snapshot, from_stdin: bool) -> Result<Vec<Password>, CliError> {
    if from_stdin {
        return Ok(secrets::from_stdin::<1>()?.to_vec());
    }
    // A tree that doesn't tell is not opened anyway, and who opens it tells why.
    if !encryption::is_encrypted(&snapshot.tree).unwrap_or(false) {
        return Ok(Vec::new());
    }
    let stored = keyring::passwords(phone.layout.udid()).await;
    Ok(stored.map_err(|error| diagnose::keyring(&error).doing("looking for the backup password"))?)
}

fn reading(path: &std::path::Path, source: std::io::Error) -> Failure {
    diagnose::disk(&DiskError { operation: "reading", path: path.to_owned(), source })
}
