//! `backstay verify`: is a snapshot still what it was?

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use backstay_shared::health::{Failure, FailureId, readable_bytes};
use serde_json::json;

use super::{CliError, Context, output, vault};
use crate::{
    health::diagnose,
    vault::check::{self, Checked, Meter},
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
        tokio::task::spawn_blocking(move || check::check(&mut ledger, &snapshot, &passwords, deep.then_some(&*meter)))
    };
    let checked = follow(work, &meter, arguments.deep && !arguments.json).await?;
    let mut checked = checked.map_err(|error| diagnose::vault(&error))?;
    if let (Some(unread), Some(failure)) = (&mut checked.manifest_unread, store_failure) {
        *unread = failure.to_string();
    }
    tell(&phone.name, &snapshot.id, &checked, arguments)?;
    if checked.damages.count == 0 && !checked.known_damaged {
        return Ok(());
    }
    if checked.damages.count == 0 {
        return Err(Failure::from(FailureId::BackupDamaged).text("an earlier check found it").into());
    }
    Err(diagnose::damaged(FailureId::BackupDamaged, &checked.damages).into())
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
    if arguments.json {
        return output::json_line(&json!({
            "event": "checked",
            "phone": phone,
            "snapshot": id,
            "deep": arguments.deep,
            "files": checked.files,
            "bytes": checked.bytes,
            "bytes_read": checked.bytes_read,
            "without_checksum": checked.without_checksum,
            "checksums_taken": checked.checksums_taken,
            "checksum_taken_later": checked.checksum_taken_later,
            "manifest_unread": checked.manifest_unread,
            "damaged": checked.damages.count,
            "known_damaged": checked.known_damaged,
            "damages": checked.damages.first,
        }));
    }
    for damage in &checked.damages.first {
        output::line(&damage.told())?;
    }
    let more = checked.damages.count - checked.damages.first.len() as u64;
    if more > 0 {
        output::line(&format!("and {more} more"))?;
    }
    if let Some(why) = &checked.manifest_unread {
        output::line(&format!("the manifest could not be compared: {why}"))?;
    }
    if checked.checksums_taken > 0 {
        output::line(&format!(
            "{} files had no checksum to compare with; it was taken now, so that damage from here on is found",
            checked.checksums_taken
        ))?;
    }
    if checked.without_checksum > 0 {
        output::line(&format!(
            "{} files have no checksum yet: they were not received by Backstay, or the record of checksums was lost",
            checked.without_checksum
        ))?;
    }
    let how = if arguments.deep {
        format!("every file read ({})", readable_bytes(checked.bytes_read))
    } else {
        "names and sizes compared; --deep reads every byte".to_owned()
    };
    let verdict = match checked.damages.count {
        0 if checked.known_damaged => "damaged, as an earlier check found; --deep says which files".to_owned(),
        0 if checked.manifest_unread.is_some() => "as it was when it came".to_owned(),
        0 => "whole".to_owned(),
        count => format!("{count} files damaged"),
    };
    output::line(&format!(
        "{phone}, {id}: {verdict}, {} files ({}), {how}",
        checked.files,
        readable_bytes(checked.bytes)
    ))
}
