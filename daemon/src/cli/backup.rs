//! `backstay backup`: ask the daemon and follow, or with `--once` do it here.

use std::time::Duration;

use backstay_shared::{
    client::Client,
    health::{Failure, FailureId, readable_bytes},
    ids::RunId,
    overview::{Activity, EndedRun, Overview, PhoneOverview, Progress},
    protocol::{Refusal, Reply, Request},
};
use serde_json::json;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    CliError, Context,
    extract::plain,
    output, phones,
    progress::{self, Display},
    secrets,
};
use crate::{
    phone::{
        link::Attached,
        run::{self, Job, new_run_id},
        state::Occasion,
    },
    vault::{
        layout::Layout,
        receipt::{self, Receipt},
    },
};

/// Arguments of `backstay backup`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
    /// Everything anew rather than what changed
    #[arg(long)]
    full: bool,
    /// Do it here, with no daemon
    #[arg(long)]
    pub once: bool,
    /// Read the backup password from standard input, for this backup alone
    #[arg(long, requires = "once")]
    password_stdin: bool,
    /// One event a line, for scripts
    #[arg(long)]
    pub json: bool,
}

/// A wait that is shorter is none.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// Carries it out.
///
/// # Errors
/// When there is no new backup at the end.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    if arguments.once { once(context, arguments).await } else { by_daemon(context, arguments).await }
}

async fn once(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let password = match arguments.password_stdin {
        true => Some(secrets::from_stdin::<1>()?),
        false => None,
    };
    let muxer = context.muxer()?;
    let attached = choose(phones::found(context, &muxer).await?, arguments.phone.as_deref())?;
    if context.config.is_turned_off(&attached.udid) {
        return Err(Refusal::TurnedOff.into());
    }
    let settings = context.config.backup_of(&attached.udid);
    let layout = Layout::new(&context.root, &attached.udid);
    let (progress, watched) = watch::channel(Progress::start());
    let cancel = CancellationToken::new();
    let display = Display::new(arguments.json, attached.udid.as_str());
    let ended = run::start(Job {
        run: new_run_id(),
        muxer,
        attached,
        root: context.root.clone(),
        known_roots: context.known_roots(),
        settings,
        occasion: Occasion::Asked,
        full: arguments.full,
        password: password.map(|[password]| password),
        progress,
        cancel: cancel.clone(),
        shutdown: CancellationToken::new(),
    });
    let ended = progress::follow(&display, ended, watched, &cancel).await;
    let ended = ended.ok_or_else(|| Failure::from(FailureId::HostIoError).text("the backup thread ended early"))?;
    let receipt = ended.result.map_err(|mut failure| {
        failure.evidence.no_backup_yet = matches!(receipt::latest(&layout), Ok(None));
        failure
    })?;
    told(&receipt, arguments.json)
}

fn told(receipt: &Receipt, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return output::json_line(&json!({ "event": "done", "receipt": receipt }));
    }
    output::line(&format!(
        "{}: backed up and verified, {} files ({}); {} files came ({})",
        receipt.phone_name,
        receipt.files,
        readable_bytes(receipt.bytes),
        receipt.files_received,
        readable_bytes(receipt.bytes_received),
    ))?;
    match receipt.made_room {
        0 => {}
        1 => output::line("the oldest snapshot was removed to make room")?,
        count => output::line(&format!("{count} of the oldest snapshots were removed to make room"))?,
    }
    output::notes(receipt.notes)?;
    output::unproved(receipt.unproved)?;
    for doubt in &receipt.doubtful {
        output::line(&plain(doubt))?;
    }
    let more = receipt.doubts.saturating_sub(receipt.doubtful.len() as u64);
    if more > 0 {
        output::line(&format!("and {more} more"))?;
    }
    match &receipt.warning {
        Some(warning) => output::warn(&output::problem_of(warning)),
        None => Ok(()),
    }
}

/// The connected phone that is meant; may be left out when there is one.
pub(super) fn choose(found: Vec<phones::Found>, wanted: Option<&str>) -> Result<Attached, CliError> {
    let describe = |phone: &phones::Found| format!("{} ({})", phone.name, phone.attached.udid);
    let Some(wanted) = wanted else {
        let mut found = found;
        return match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(only.attached),
            (None, _) => Err(Failure::from(FailureId::DeviceNotFound).into()),
            (Some(last), _) => {
                let names: Vec<String> = found.iter().chain([&last]).map(describe).collect();
                Err(CliError::Usage(format!("there are several iPhones, name one: {}", names.join(", "))))
            }
        };
    };
    let names: Vec<(String, String)> =
        found.iter().map(|phone| (phone.name.clone(), phone.attached.udid.to_string())).collect();
    let index = crate::ipc::names::choose(&names, wanted)?;
    Ok(found.into_iter().nth(index).ok_or(FailureId::DeviceNotFound).map_err(Failure::from)?.attached)
}

async fn by_daemon(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let mut client = Client::connect(&context.paths.socket()).await?;
    let request = Request::BackUp { phone: arguments.phone.clone(), full: arguments.full };
    let run = match client.request(request).await? {
        Reply::Started { run } => run,
        Reply::Refused(refusal) => return Err(refusal.into()),
        reply => return Err(CliError::Usage(format!("the daemon answered {reply:?}"))),
    };
    client.send(Request::Subscribe).await?;
    let (mut display, mut queued, mut place_told) = (None::<Display>, None, None);
    loop {
        let overview = tokio::select! {
            overview = client.overview() => overview?,
            // Where no other phone has the disk the turn comes at once.
            place = still_queued(queued) => {
                (queued, place_told) = (None, Some(place));
                if let Some(display) = &display {
                    display.waits(place);
                }
                continue;
            }
            signal = tokio::signal::ctrl_c() => {
                let goes_on = "the daemon goes on with the backup; follow it with: backstay status --watch";
                return if signal.is_ok() { Err(CliError::Interrupted(goes_on)) } else { Ok(()) };
            }
        };
        let Some(phone) = phone_of(&overview, run) else {
            // Its phone was unplugged before its turn, or it waits for something.
            return Err(put_off(display.as_ref()));
        };
        let display = display.get_or_insert_with(|| Display::new(arguments.json, &phone.name));
        match &phone.activity {
            // A closed pipe ends the showing; how the run ends still decides the exit code.
            Activity::Running { progress, .. } => {
                queued = None;
                drop(display.show(progress));
            }
            Activity::Queued { place, .. } if place_told != Some(*place) => {
                let tell_at = queued.map_or_else(|| Instant::now() + TOLD_AFTER, |(_, at)| at);
                queued = Some((*place, tell_at));
            }
            _ => queued = None,
        }
        if let Some(ended) = phone.last_run.as_ref().filter(|ended| ended.run == run) {
            display.finish();
            return finished(phone, ended, arguments.json);
        }
    }
}

/// The place in the queue, when it is time to tell it.
async fn still_queued(queued: Option<(Option<u32>, Instant)>) -> Option<u32> {
    match queued {
        Some((place, tell_at)) => {
            tokio::time::sleep_until(tell_at).await;
            place
        }
        None => std::future::pending().await,
    }
}

/// A backup that ended before it began.
fn put_off(display: Option<&Display>) -> CliError {
    if let Some(display) = display {
        display.finish();
    }
    CliError::Failed(
        "the backup has not begun, and is made later; what it waits for is told by: backstay status".into(),
    )
}

fn phone_of(overview: &Overview, run: RunId) -> Option<&PhoneOverview> {
    overview.phones.iter().find(|phone| {
        let active = match phone.activity {
            Activity::Queued { run: active, .. } | Activity::Running { run: active, .. } => active == run,
            _ => false,
        };
        active || phone.last_run.as_ref().is_some_and(|ended| ended.run == run)
    })
}

fn finished(phone: &PhoneOverview, ended: &EndedRun, as_json: bool) -> Result<(), CliError> {
    if let Some(problem) = &ended.failure {
        return Err(Failure { id: problem.id, evidence: Box::new(problem.evidence.clone()) }.into());
    }
    let (files, bytes) = phone.last_good.as_ref().map_or((0, 0), |good| (good.files, good.bytes));
    if as_json {
        return output::json_line(&json!({
            "event": "done",
            "receipt": {
                "run": ended.run,
                "verified_at": ended.at,
                "phone_name": phone.name,
                "files": files,
                "bytes": bytes,
                "files_received": ended.files_received,
                "bytes_received": ended.bytes_received,
                "warning": phone.problems.first(),
            },
        }));
    }
    output::line(&format!(
        "{}: backed up and verified, {files} files ({}); {} files came ({})",
        phone.name,
        readable_bytes(bytes),
        ended.files_received,
        readable_bytes(ended.bytes_received),
    ))?;
    phone.problems.iter().try_for_each(output::warn)
}
