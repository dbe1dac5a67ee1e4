//! `backstay encryption`: whether and with which password a phone encrypts its backups.
//!
//! The password store always holds every password that may be in force: a new one is put there before the phone is
//! asked for it, and taken out again only when the phone has refused it.

use std::io::{self, Write};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
};
use serde_json::json;

use super::{CliError, Context, attention, backup, output, phones, secrets, vault};
use crate::{
    health::diagnose,
    host::keyring::{self, KeyringError},
    ipc::names,
    phone::{
        backup_password::{self, NotChanged},
        link::{Attached, Muxer},
    },
    transfer::change_password::Change,
    vault::{
        encryption::{self, EncryptionError, Password},
        layout::Layout,
    },
};

const LOST_FOR_EVER: &str = "Remember this password: without it nobody can open the encrypted backups, not even Apple. \
    Keep a copy of it away from this computer.";

/// Arguments of `backstay encryption`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

impl Arguments {
    /// Output for scripts is wanted.
    pub const fn json(&self) -> bool {
        matches!(&self.action, Action::Status { json: true, .. })
    }
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Does the phone encrypt, is its password stored, does it open the latest backup
    Status {
        /// A name, a UDID or a unique part of either; may be left out when there is one phone
        phone: Option<String>,
        /// One object, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Let the phone encrypt its backups from now on
    On(Asking),
    /// Let the phone encrypt its backups no longer
    Off(Asking),
    /// Another password; from standard input the old one first, then the new one
    Change(Asking),
    /// Store the password that is in force
    Remember(Asking),
    /// Remove all stored passwords of the phone
    Forget {
        /// A name, a UDID or a unique part of either; may be left out when there is one phone
        phone: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Asking {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// Read passwords from standard input, one a line, rather than ask for them
    #[arg(long)]
    password_stdin: bool,
}

/// Carries it out.
///
/// # Errors
/// When the phone or the password store refuses.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    match &arguments.action {
        Action::Status { phone, json } => status(context, phone.as_deref(), *json).await,
        Action::On(asking) => on(context, asking).await,
        Action::Off(asking) => off(context, asking).await,
        Action::Change(asking) => change(context, asking).await,
        Action::Remember(asking) => remember(context, asking).await,
        Action::Forget { phone, yes } => forget(context, phone.as_deref(), *yes).await,
    }
}

/// A phone that is connected, has a backup, or both.
struct Target {
    name: String,
    udid: Udid,
    attached: Option<Attached>,
}

async fn choose(context: &Context, wanted: Option<&str>) -> Result<Target, CliError> {
    // Without usbmuxd nothing is connected; the backups are there all the same.
    let connected = match context.muxer() {
        Ok(muxer) => phones::found(context, &muxer).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let mut targets: Vec<Target> = connected
        .into_iter()
        .map(|phone| Target { name: phone.name, udid: phone.attached.udid.clone(), attached: Some(phone.attached) })
        .collect();
    for backed_up in vault::all_phones(context)? {
        if !targets.iter().any(|target| target.udid == *backed_up.layout.udid()) {
            targets.push(Target { name: backed_up.name, udid: backed_up.layout.udid().clone(), attached: None });
        }
    }
    let names: Vec<(String, String)> =
        targets.iter().map(|target| (target.name.clone(), target.udid.to_string())).collect();
    let index = match wanted {
        Some(wanted) => names::choose(&names, wanted)?,
        None if targets.len() > 1 => {
            let names: Vec<String> = names.iter().map(|(name, udid)| format!("{name} ({udid})")).collect();
            return Err(CliError::Usage(format!("there are several iPhones, name one: {}", names.join(", "))));
        }
        None => 0,
    };
    targets.into_iter().nth(index).ok_or_else(|| Failure::from(FailureId::DeviceNotFound).into())
}

fn store_failed(error: KeyringError) -> CliError {
    diagnose::keyring(&error).into()
}

/// Whether the passwords open the latest backup; none when there is no encrypted one.
fn opens_latest(context: &Context, udid: &Udid, passwords: &[Password]) -> Result<Option<bool>, Failure> {
    let tree = Layout::new(&context.root, udid).latest();
    if !tree.join("Manifest.plist").exists() {
        return Ok(None);
    }
    if !encryption::is_encrypted(&tree).map_err(|error| diagnose::encryption(&error))? {
        return Ok(None);
    }
    match encryption::open_any(&tree, passwords) {
        Ok(_) => Ok(Some(true)),
        Err(EncryptionError::WrongPassword | EncryptionError::NoPassword) => Ok(Some(false)),
        Err(error) => Err(diagnose::encryption(&error)),
    }
}

async fn status(context: &Context, wanted: Option<&str>, as_json: bool) -> Result<(), CliError> {
    let target = choose(context, wanted).await?;
    let encrypts = match &target.attached {
        Some(attached) => Some(backup_password::encrypts(&context.muxer()?, attached).await?),
        None => None,
    };
    let (passwords, store_error) = match keyring::passwords(&target.udid).await {
        Ok(passwords) => (Some(passwords), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let known = passwords.as_deref().unwrap_or_default();
    let opens = opens_latest(context, &target.udid, known)?;
    if as_json {
        return output::json_line(&json!({
            "udid": target.udid,
            "name": target.name,
            "encrypts": encrypts,
            "passwords_stored": passwords.as_ref().map(Vec::len),
            "password_store_error": store_error,
            "opens_latest_backup": opens,
        }));
    }
    output::line(&format!("{} ({})", target.name, target.udid))?;
    output::line(match encrypts {
        Some(true) => "  encrypts its backups",
        Some(false) => "  does not encrypt its backups; switch it on with: backstay encryption on",
        None => "  is not connected",
    })?;
    output::line(&match (&passwords, store_error) {
        (_, Some(error)) => format!("  {error}"),
        (Some(none), None) if none.is_empty() => "  no password is stored".to_owned(),
        (stored, None) => match stored.as_ref().map_or(0, Vec::len) {
            1 => "  one password is stored".to_owned(),
            count => format!("  {count} passwords are stored, the older ones for older backups"),
        },
    })?;
    output::line(match opens {
        Some(true) => "  a stored password opens the latest backup",
        Some(false) => "  no stored password opens the latest backup; enter it with: backstay encryption remember",
        None => "  there is no encrypted backup yet",
    })
}

/// A connected phone, and what is stored for it.
struct Connected {
    muxer: Muxer,
    attached: Attached,
    stored: Vec<Password>,
}

impl Connected {
    /// The password store is asked before anything else: without it no password may be set.
    async fn find(context: &Context, asking: &Asking) -> Result<Self, CliError> {
        let muxer = context.muxer()?;
        let attached = backup::choose(phones::found(context, &muxer).await?, asking.phone.as_deref())?;
        let stored = keyring::passwords(&attached.udid).await.map_err(store_failed)?;
        Ok(Self { muxer, attached, stored })
    }

    async fn encrypts(&self) -> Result<bool, Failure> {
        backup_password::encrypts(&self.muxer, &self.attached).await
    }

    async fn apply(&self, change: &Change<'_>) -> Result<(), NotChanged> {
        let asked = |sheet: bool| {
            if sheet {
                // A closed terminal changes nothing about the question on the phone.
                drop(output::line("Enter the passcode on the iPhone."));
            }
        };
        backup_password::change(&self.muxer, &self.attached, change, asked).await
    }

    /// Sets a password that is put into the store beforehand, in front of `older`.
    async fn set(&self, change: &Change<'_>, new: &Password, older: Vec<Password>) -> Result<(), CliError> {
        let udid = &self.attached.udid;
        let all = std::iter::once(new.clone()).chain(older.into_iter().filter(|older| older != new)).collect();
        keyring::replace(udid, all).await.map_err(store_failed)?;
        let Err(not_changed) = self.apply(change).await else { return Ok(()) };
        if not_changed.in_doubt {
            // Both stay: whichever is in force opens the next backup.
            return Err(not_changed.failure.into());
        }
        keyring::replace(udid, self.stored.clone()).await.map_err(store_failed)?;
        Err(not_changed.failure.into())
    }
}

async fn on(context: &Context, asking: &Asking) -> Result<(), CliError> {
    let phone = Connected::find(context, asking).await?;
    if phone.encrypts().await? {
        return Err(CliError::Usage(
            "the phone encrypts its backups already; let Backstay know the password with `backstay encryption \
             remember`, or choose another with `backstay encryption change`"
                .into(),
        ));
    }
    warn_of_loss();
    let [new] = if asking.password_stdin { secrets::from_stdin()? } else { [secrets::new()?] };
    phone.set(&Change::On(&new), &new, phone.stored.clone()).await?;
    attention::look_again(context, phone.attached.udid.as_str()).await;
    output::line("The phone encrypts its backups from now on; the password is in the password store.")
}

async fn change(context: &Context, asking: &Asking) -> Result<(), CliError> {
    let phone = Connected::find(context, asking).await?;
    if !phone.encrypts().await? {
        return Err(not_encrypting());
    }
    warn_of_loss();
    let [old, new] = match asking.password_stdin {
        true => secrets::from_stdin()?,
        false => [secrets::known("Backup password in force", phone.stored.first())?, secrets::new()?],
    };
    // Older backups are opened with the old one.
    let older = std::iter::once(old.clone()).chain(phone.stored.iter().filter(|stored| **stored != old).cloned());
    phone.set(&Change::Other { old: &old, new: &new }, &new, older.collect()).await?;
    output::line("The phone has a new backup password; it is in the password store, and so is the old one.")
}

async fn off(context: &Context, asking: &Asking) -> Result<(), CliError> {
    let phone = Connected::find(context, asking).await?;
    if !phone.encrypts().await? {
        return Err(not_encrypting());
    }
    let [old] = match asking.password_stdin {
        true => secrets::from_stdin()?,
        false => [secrets::known("Backup password in force", phone.stored.first())?],
    };
    let others = phone.stored.iter().filter(|stored| **stored != old).cloned().collect();
    phone.set(&Change::Off(&old), &old, others).await?;
    output::line("The phone encrypts its backups no longer; the password stays stored for the backups that need it.")
}

/// For people; scripts read standard output.
fn warn_of_loss() {
    // A closed standard error has no reader.
    drop(writeln!(io::stderr(), "{LOST_FOR_EVER}"));
}

fn not_encrypting() -> CliError {
    CliError::Usage("the phone does not encrypt its backups; switch it on with: backstay encryption on".into())
}

async fn remember(context: &Context, asking: &Asking) -> Result<(), CliError> {
    let target = choose(context, asking.phone.as_deref()).await?;
    let [password] = match asking.password_stdin {
        true => secrets::from_stdin()?,
        false => [secrets::known("Backup password", None)?],
    };
    let opens = opens_latest(context, &target.udid, std::slice::from_ref(&password))?;
    keyring::remember(&target.udid, password).await.map_err(store_failed)?;
    attention::look_again(context, target.udid.as_str()).await;
    match opens {
        Some(true) => output::line("The password is stored; it opens the latest backup."),
        None => output::line("The password is stored; the next backup will show whether it is the right one."),
        Some(false) => {
            output::line(
                "The password is stored, but it does not open the latest backup. That is right only if it was changed \
                 on the phone since then.",
            )?;
            output::warn(&output::problem_of(&FailureId::BackupPasswordWrong.into()))
        }
    }
}

async fn forget(context: &Context, wanted: Option<&str>, yes: bool) -> Result<(), CliError> {
    let target = choose(context, wanted).await?;
    if !yes {
        let question = format!("Encrypted backups of {} stay closed without their passwords.", target.name);
        output::line(&question)?;
        output::confirm("forgetting the passwords: confirm it with --yes")?;
    }
    keyring::forget(&target.udid).await.map_err(store_failed)?;
    output::line(&format!("No backup password of {} is stored any more.", target.name))
}
