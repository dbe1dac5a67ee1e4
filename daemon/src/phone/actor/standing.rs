//! How a phone stands when the daemon starts, from what is on the disk.

use std::path::Path;

use backstay_shared::{
    health::{Condition, Failure, FailureId, Retry},
    ids::Udid,
    overview::EndedRun,
};
use chrono::{DateTime, Utc};

use crate::{
    health::{snoozes::Snoozed, tracker::Tracker},
    phone::state::Doing,
    vault::{
        layout::Layout,
        ledger::LedgerError,
        phones,
        receipt::{self, Receipt},
        transaction::{self, Idle},
    },
};

/// What was found.
pub(super) struct Standing {
    pub(super) receipt: Option<Receipt>,
    pub(super) last_run: Option<EndedRun>,
    pub(super) problems: Tracker,
    pub(super) doing: Doing,
    /// Since when this phone has been known here.
    pub(super) known_since: DateTime<Utc>,
}

impl Standing {
    /// Puts in order what an earlier run left, and looks.
    pub(super) fn find(root: &Path, udid: &Udid, snoozed: Snoozed) -> Self {
        let layout = Layout::new(root, udid);
        let found = transaction::recover_if_idle(&layout).unwrap_or_else(|error| {
            tracing::warn!(%udid, %error, "what an earlier run left could not be tidied up");
            Idle::Nothing
        });
        let receipt = receipt::latest(&layout).unwrap_or_else(|error| {
            tracing::warn!(%udid, %error, "the receipts can't be read");
            None
        });
        let idle = !matches!(found, Idle::Busy);
        let (last_run, noticed) = of_the_ledger(found);
        // A run whose receipt is there did not fail, wherever it was killed; one that another process is at did not yet.
        let committed = receipt.as_ref().map(|receipt| receipt.run);
        let failed = last_run.as_ref().filter(|ended| idle && Some(ended.run) != committed);
        let failed = failed.and_then(|ended| ended.failure.clone());
        let doing = failed.as_ref().map_or(Doing::Nothing, |problem| owed(problem.id));
        let now = Utc::now();
        let mut problems = Tracker::new(snoozed);
        if let Some(problem) = failed {
            let failure = Failure { id: problem.id, evidence: Box::new(problem.evidence) };
            problems.raise_since(&failure, problem.since);
        }
        if let Some(receipt) = &receipt
            && let Some(warning) = &receipt.warning
        {
            problems.raise_since(warning, receipt.verified_at);
        }
        noticed.into_iter().for_each(|id| problems.raise(&id.into(), now));
        let known_since = phones::known_since(&layout, now);
        Self { receipt, last_run, problems, doing, known_since }
    }
}

/// What a run that failed before this start still waits for. One that was killed is owed, like one whose cable came out.
fn owed(failed: FailureId) -> Doing {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, NetworkUp, UsbmuxdUp};
    match failed.entry().retry {
        _ if failed == FailureId::BackupIncomplete => Doing::WaitFor(DeviceReconnected),
        Retry::AutomaticWhen(condition @ (DeviceReconnected | DeviceSeenOnWifi | NetworkUp | UsbmuxdUp)) => {
            Doing::WaitFor(condition)
        }
        // The schedule sees to it.
        _ => Doing::Nothing,
    }
}

/// What the ledger says.
fn of_the_ledger(found: Idle) -> (Option<EndedRun>, Vec<FailureId>) {
    let Idle::Recovered(recovered) = found else { return (None, Vec::new()) };
    let told = || {
        let damaged = recovered.ledger.newest()?.is_some_and(|newest| newest.damaged);
        Ok::<_, LedgerError>((recovered.ledger.last_run()?, damaged))
    };
    let (last_run, damaged) = told().unwrap_or_else(|error| {
        tracing::warn!(%error, "the ledger can't be read");
        (None, false)
    });
    let notices = [(damaged, FailureId::BackupDamaged), (recovered.renewed, FailureId::LedgerDamaged)];
    (last_run, notices.into_iter().filter(|(is_so, _)| *is_so).map(|(_, id)| id).collect())
}
