//! `backstay verify`: is a snapshot still what it was?

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backstay_shared::health::{Failure, FailureId, readable_bytes};
use serde_json::json;

use super::{CliError, Context, extract::plain, output, vault};
use crate::{
    health::diagnose,
    vault::{
        check::{self, Checked, Meter},
        encryption::EncryptionError,
        ledger::Unproved,
        scratch::Scratch,
        verify::Opened,
    },
};

/// How often the bar moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `backstay verify`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// Its id or a unique beginning of it, as `backstay history` shows it; the latest when left out
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// Read every file and compare its checksum: finds a single flipped bit
    #[arg(long)]
    deep: bool,
    /// Read the backup password from standard input rather than from the password store
    #[arg(long)]
    password_stdin: bool,
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// `backup-damaged`, or when the backup can't be read.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let phone = vault::choose_phone(context, arguments.phone.as_deref())?;
    // A check takes hours on a large backup and must not hold up a new one: the lock goes at once.
    let (mut ledger, _) = vault::open_ledger(&phone)?;
    let snapshot = vault::choose_snapshot(&phone, arguments.snapshot.as_deref())?;
    // Without passwords the checksums are compared all the same, so a store that can't be used is only told.
    let (passwords, store_failure) = match vault::passwords_for(&phone, &snapshot, arguments.password_stdin).await {
        Ok(passwords) => (passwords, None),
        Err(CliError::Failure(failure)) => (Vec::new(), Some(failure)),
        Err(error) => return Err(error),
    };
    let meter = Arc::new(Meter::default());
    let work = {
        let (snapshot, meter, deep) = (snapshot.clone(), meter.clone(), arguments.deep);
        let given = arguments.password_stdin;
        let scratch = Scratch::of(&phone.layout);
        tokio::task::spawn_blocking(move || {
            let opened = Opened::new(&snapshot.tree, &passwords, &scratch);
            // A password that was given is to open it; of those that are stored an older one may be meant.
            let wrong = match &opened {
                Err(error @ EncryptionError::WrongPassword) if given => Some(diagnose::encryption(error)),
                _ => None,
            };
            check::check(&mut ledger, &snapshot, &opened, deep.then_some(&*meter)).map(|checked| (checked, wrong))
        })
    };
    let checked = follow(work, &meter, arguments.deep && !arguments.json).await?;
    let (mut checked, wrong_password) = checked.map_err(|error| diagnose::vault(&error))?;
    if let (Some(unread), Some(failure)) = (&mut checked.manifest_unread, store_failure) {
        *unread = failure.to_string();
    }
    let told = tell(&phone.name, &snapshot.id, &checked, arguments);
    // What was found decides, whether or not anybody reads it.
    if checked.damages.count > 0 {
        return Err(diagnose::damaged(FailureId::BackupDamaged, &checked.damages).into());
    }
    if checked.known_damaged {
        return Err(Failure::from(FailureId::BackupDamaged).text("an earlier check found it").into());
    }
    if let Some(failure) = wrong_password {
        return Err(failure.into());
    }
    told
}

async fn follow<T>(mut work: tokio::task::JoinHandle<T>, meter: &Meter, show: bool) -> Result<T, CliError> {
    let bar = if show { indicatif::ProgressBar::new_spinner() } else { indicatif::ProgressBar::hidden() };
    loop {
        tokio::select! {
            done = &mut work => {
                bar.finish_and_clear();
                let ended_early = |error| Failure::from(FailureId::HostIoError).text(error);
                return done.map_err(|error| ended_early(error).into());
            }
            () = tokio::time::sleep(PROGRESS_EVERY) => {
                bar.set_message(format!("{} read", readable_bytes(meter.bytes.load(Ordering::Relaxed))));
                bar.tick();
            }
            signal = tokio::signal::ctrl_c() => {
                meter.stop.store(true, Ordering::Relaxed);
                if signal.is_ok() {
                    return Err(CliError::Interrupted("stopped; nothing was changed"));
                }
            }
        }
    }
}

fn tell(phone: &str, id: &str, checked: &Checked, arguments: &Arguments) -> Result<(), CliError> {
    let Unproved { without_checksum, checksum_taken_later, without_proof } = checked.unproved;
    if arguments.json {
        return output::json_line(&json!({
            "event": "checked",
            "phone": phone,
            "snapshot": id,
            "deep": arguments.deep,
            "files": checked.files,
            "bytes": checked.bytes,
            "bytes_read": checked.bytes_read,
            "without_checksum": without_checksum,
            "without_proof": without_proof,
            "checksums_taken": checked.checksums_taken,
            "checksum_taken_later": checksum_taken_later,
            "manifest_unread": checked.manifest_unread,
            "made_elsewhere": checked.made_elsewhere,
            "foreign": checked.foreign,
            "foreign_names": checked.foreign_names,
            "notes": checked.notes,
            "doubtful": checked.doubts.count,
            "doubts": checked.doubts.first,
            "damaged": checked.damages.count,
            "known_damaged": checked.known_damaged,
            "damages": checked.damages.first,
        }));
    }
    for findings in [&checked.damages, &checked.doubts] {
        findings.first.iter().try_for_each(|finding| output::line(&plain(&finding.told())))?;
        let more = findings.count - findings.first.len() as u64;
        if more > 0 {
            output::line(&format!("and {more} more"))?;
        }
    }
    if let Some(why) = &checked.manifest_unread {
        output::line(&format!("the manifest could not be compared: {}", plain(why)))?;
    }
    output::notes(checked.notes)?;
    if checked.foreign > 0 {
        let names = checked.foreign_names.iter().map(|name| plain(name)).collect::<Vec<_>>().join(", ");
        let more = if checked.foreign > checked.foreign_names.len() as u64 { ", ..." } else { "" };
        let files = output::count(checked.foreign, "file");
        output::line(&format!("{files} in its folder that are no part of it, and go when it goes: {names}{more}"))?;
    }
    if checked.checksums_taken > 0 {
        output::line(&format!(
            "{} had no checksum to compare with; it was taken now, so that damage from here on is found",
            output::count(checked.checksums_taken, "file")
        ))?;
    }
    output::unproved(without_proof)?;
    if without_checksum > 0 {
        output::line(&format!("{} without a checksum yet; --deep takes it", output::count(without_checksum, "file")))?;
    }
    let how = if arguments.deep {
        format!("every file read ({})", readable_bytes(checked.bytes_read))
    } else {
        "names and lengths compared; --deep reads every byte".to_owned()
    };
    output::line(&format!(
        "{phone}, {id}: {}, {} ({}), {how}",
        verdict(checked),
        output::count(checked.files, "file"),
        readable_bytes(checked.bytes)
    ))
}

/// No more is said than what something proves.
fn verdict(checked: &Checked) -> String {
    let Unproved { without_checksum, checksum_taken_later, .. } = checked.unproved;
    match checked.damages.count {
        0 if checked.known_damaged => "damaged, as an earlier check found; --deep says which files".into(),
        0 if checked.manifest_unread.is_some() && without_checksum + checksum_taken_later > 0 => {
            "not changed since it was first seen, as far as that is known".into()
        }
        0 if checked.manifest_unread.is_some() => "as it was when it came".into(),
        0 if checked.doubts.count > 0 => format!("whole, with {}", output::count(checked.doubts.count, "doubt")),
        0 => "whole".into(),
        count => format!("{} damaged", output::count(count, "file")),
    }
}
