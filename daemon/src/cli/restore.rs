//! `backstay restore`: a snapshot back onto a phone.

use std::io::{self, IsTerminal};

use backstay_shared::{
    health::{Failure, FailureId, readable_bytes},
    ids::Udid,
    overview::{Phase, Progress},
};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Context, output, phones,
    progress::{self, Display},
    vault,
};
use crate::{
    health::diagnose,
    ipc::names,
    phone::{
        facts::Facts,
        link::{Muxer, Session},
        restore::{
            self, Choices, Job,
            preflight::{self, Source},
        },
    },
    vault::{
        check,
        encryption::Password,
        extract::selection::Amount,
        history::{Snapshot, time_of},
        layout::Layout,
        ledger::Ledger,
        lend::Held,
        scratch::Scratch,
        verify::{self, Opened, VerifyError},
    },
};

/// Arguments of `backstay restore`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The phone whose backup it is: a name, a UDID or a unique part of either
    phone: String,
    /// The id of a snapshot or a unique beginning of it; the latest when left out
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// Restore onto this phone rather than the one whose backup it is
    #[arg(long, value_name = "OTHER-PHONE")]
    to: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Leave the phone's settings as they are
    #[arg(long)]
    keep_settings: bool,
    /// Leave what is on the phone and not in the snapshot; apps that are missing then do not come back
    #[arg(long)]
    keep_others: bool,
    /// Do not let the phone fetch the snapshot's apps
    #[arg(long)]
    no_apps: bool,
    /// Do not restart the phone at the end; until it restarts, most of what came is not in use
    #[arg(long)]
    no_restart: bool,
    /// Go on though files of the snapshot are missing or damaged
    #[arg(long)]
    anyway: bool,
    /// Read the backup password from standard input rather than from the password store
    #[arg(long, requires = "yes")]
    password_stdin: bool,
    /// One event a line, for scripts
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    const fn choices(&self) -> Choices {
        Choices { keep_settings: self.keep_settings, keep_others: self.keep_others, no_restart: self.no_restart }
    }
}

/// Carries it out.
///
/// # Errors
/// When the phone does not hold the snapshot at the end.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    if !arguments.yes && (arguments.json || !io::stdin().is_terminal()) {
        return Err(CliError::Usage("a restore replaces what is on the iPhone: confirm it with --yes".into()));
    }
    let phone = vault::choose_phone(context, Some(&arguments.phone))?;
    let held = Held::take(&phone.layout).map_err(|error| diagnose::vault(&error))?;
    let snapshot = vault::choose_snapshot(&phone, arguments.snapshot.as_deref())?;
    let muxer = context.muxer()?;
    let target = find(context, &muxer, arguments.to.as_deref(), phone.layout.udid()).await?;
    // No backup may be made of the phone that changes, either.
    let target_layout = Layout::new(&context.root, &target.attached.udid);
    let _held_too = match target_layout == phone.layout {
        true => None,
        false => Some(Held::take(&target_layout).map_err(|error| diagnose::vault(&error))?),
    };
    let source = Source::read(&snapshot.tree)?;
    let passwords = vault::passwords_for(&phone, &snapshot, arguments.password_stdin).await?;
    let display = Display::new(arguments.json, &target.name);
    let backup = Backup { source: &source, snapshot: &snapshot, layout: &phone.layout, passwords };
    let checked = check(&muxer, &target, backup, arguments, &display).await;
    display.finish();
    let checked = checked?;
    let sentence = describe(&checked, &target, &source, &phone.name, &snapshot);
    confirm(&sentence, arguments)?;

    let loan = held.lend(&snapshot.tree).map_err(|error| diagnose::vault(&error))?;
    let (progress, watched) = watch::channel(Progress::start());
    let cancel = CancellationToken::new();
    let ended = restore::start(Job {
        muxer,
        attached: target.attached.clone(),
        source: phone.layout.udid().clone(),
        base: loan.base(),
        options: arguments.choices().options(),
        password: checked.password,
        applications: source.applications.filter(|_| !arguments.no_apps),
        progress,
        cancel: cancel.clone(),
    });
    let display = Display::new(arguments.json, &target.name);
    let ended = progress::follow(&display, ended, watched, &cancel).await;
    drop(loan);
    let sent = ended.ok_or_else(|| Failure::from(FailureId::HostIoError).text("the restore thread ended early"))??;
    if arguments.json {
        return output::json_line(
            &json!({ "event": "done", "snapshot": snapshot.id, "files_sent": sent.files, "bytes_sent": sent.bytes }),
        );
    }
    let next = match arguments.no_restart {
        true => "Restart it now; until then most of it is not in use.",
        false => "It restarts now and then fetches its apps; leave it on power and on Wi-Fi.",
    };
    output::line(&format!(
        "{} is restored: {} files ({}) went to it. {next}",
        target.name,
        sent.files,
        readable_bytes(sent.bytes)
    ))
}

/// The phone to restore onto, of those that are connected.
async fn find(context: &Context, muxer: &Muxer, wanted: Option<&str>, own: &Udid) -> Result<phones::Found, CliError> {
    let found = phones::found(context, muxer).await?;
    let index = match wanted {
        Some(wanted) => {
            let known: Vec<(String, String)> =
                found.iter().map(|phone| (phone.name.clone(), phone.attached.udid.to_string())).collect();
            Some(names::choose(&known, wanted)?)
        }
        // By cable rather than over Wi-Fi, where both are there.
        None => {
            let own = |usb| found.iter().position(|phone| phone.attached.udid == *own && phone.attached.usb == usb);
            own(true).or_else(|| own(false))
        }
    };
    let phone = index.and_then(|index| found.into_iter().nth(index));
    Ok(phone.ok_or_else(|| Failure::from(FailureId::DeviceNotFound))?)
}

/// What is to be restored.
struct Backup<'a> {
    source: &'a Source,
    snapshot: &'a Snapshot,
    layout: &'a Layout,
    passwords: Vec<Password>,
}

/// What was found out before anything changes.
struct Checked {
    facts: Facts,
    amount: Amount,
    password: Option<Password>,
}

async fn check(
    muxer: &Muxer,
    target: &phones::Found,
    backup: Backup<'_>,
    arguments: &Arguments,
    display: &Display,
) -> Result<Checked, Failure> {
    let mut session = Session::open(muxer, &target.attached).await?;
    let facts = Facts::read(&mut session, &target.attached.udid).await?;
    preflight::check(&mut session, &facts, backup.source).await?;
    session.close().await;
    // A closed pipe ends the showing, not the work.
    drop(display.show(&Progress { phase: Phase::Verifying, ..Progress::start() }));
    let (snapshot, passwords, anyway) = (backup.snapshot.clone(), backup.passwords, arguments.anyway);
    let layout = backup.layout.clone();
    let proved = tokio::task::spawn_blocking(move || prove(&layout, &snapshot, &passwords, anyway)).await;
    let (amount, password) =
        proved.unwrap_or_else(|_| Err(Failure::from(FailureId::HostIoError).doing("checking the backup")))?;
    // Checking took its time; a session that idles is ended by the phone.
    let mut session = Session::open(muxer, &target.attached).await?;
    preflight::check_room(&mut session, amount.bytes, facts.udid == *backup.layout.udid()).await?;
    session.close().await;
    Ok(Checked { facts, amount, password })
}

/// The snapshot is whole; how much it is, and the password that opens it.
fn prove(
    layout: &Layout,
    snapshot: &Snapshot,
    passwords: &[Password],
    anyway: bool,
) -> Result<(Amount, Option<Password>), Failure> {
    // Whatever is asked for: nothing restores from what was never finished.
    verify::check_status(&snapshot.tree).map_err(|error| diagnose::verification(&error))?;
    let mut ledger = Ledger::open(layout).map_err(|error| diagnose::ledger(&error))?;
    let scratch = Scratch::of(layout);
    let opened = Opened::new(&snapshot.tree, passwords, &scratch)
        .map_err(|error| diagnose::of_kept(diagnose::encryption(&error)))?;
    let password = opened.password.clone();
    let checked = check::check(&mut ledger, snapshot, &Ok(opened), None).map_err(|error| diagnose::vault(&error))?;
    if let Some(why) = checked.manifest_unread {
        return Err(Failure::from(FailureId::BackupDamaged).path(snapshot.tree.join("Manifest.db")).text(why));
    }
    if checked.files == 0 {
        return Err(diagnose::verification(&VerifyError::Empty));
    }
    match checked.damages {
        none if none.count == 0 => {}
        damages if anyway => {
            tracing::warn!(count = damages.count, "the snapshot is damaged; it is restored all the same");
        }
        damages => {
            let failure = diagnose::damaged(FailureId::BackupDamaged, &damages);
            let text = failure.evidence.text.clone().unwrap_or_default();
            return Err(failure.text(format!("{text}; --anyway goes on all the same")));
        }
    }
    Ok((Amount { files: checked.files, bytes: checked.bytes }, password))
}

/// What is replaced by what.
fn describe(
    checked: &Checked,
    target: &phones::Found,
    source: &Source,
    phone_name: &str,
    snapshot: &Snapshot,
) -> String {
    let facts = &checked.facts;
    format!(
        "What is on this iPhone is replaced:\n  {} ({}, iOS {}), {}\nby this backup:\n  {}, of {phone_name} ({}, iOS \
         {}), {} files, {}",
        facts.name,
        facts.model,
        facts.ios,
        target.attached.udid,
        time_of(&snapshot.id).map_or_else(|| snapshot.id.clone(), output::moment),
        source.model,
        source.ios,
        checked.amount.files,
        readable_bytes(checked.amount.bytes),
    )
}

fn confirm(sentence: &str, arguments: &Arguments) -> Result<(), CliError> {
    if arguments.yes {
        return match arguments.json {
            true => Ok(()),
            false => output::line(sentence),
        };
    }
    output::line(sentence)?;
    output::confirm("a restore replaces what is on the iPhone: confirm it with --yes")
}
