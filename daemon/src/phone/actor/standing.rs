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
    schedule::{
        due::AHEAD_MAX,
        retry::{self, ATTEMPTS_MAX, Circumstances, Next},
    },
    vault::{
        layout::Layout,
        ledger::LedgerError,
        phones,
        receipt::{self, Receipt},
        transaction::{self, Idle},
    },
};

/// Enough to see that it failed too often, killed runs among them.
const RUNS_LOOKED_AT: u32 = 4 * ATTEMPTS_MAX;

/// What was found.
pub(super) struct Standing {
    pub(super) receipt: Option<Receipt>,
    pub(super) last_run: Option<EndedRun>,
    pub(super) problems: Tracker,
    pub(super) doing: Doing,
    /// Failures since the last success, where that is why nothing is tried.
    pub(super) failures_in_a_row: u32,
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
        let (mut runs, noticed) = of_the_ledger(found);
        // Of what a clock that was ahead has dated nobody knows when it was.
        runs.retain(|run| run.at <= Utc::now() + AHEAD_MAX);
        let last_run = runs.first().cloned();
        // A run whose receipt is there did not fail, wherever it was killed; one that another process is at did not yet.
        let committed = receipt.as_ref().map(|receipt| receipt.run);
        let is_newest = |ended: &EndedRun| receipt.as_ref().is_none_or(|receipt| ended.at > receipt.verified_at);
        let failed = last_run.as_ref().filter(|ended| idle && Some(ended.run) != committed && is_newest(ended));
        let failed = failed.and_then(|ended| ended.failure.clone());
        let (doing, failures_in_a_row) = if failed.is_some() { owed(&runs) } else { (Doing::Nothing, 0) };
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
        Self { receipt, last_run, problems, doing, failures_in_a_row, known_since }
    }
}

/// What follows from how the last runs ended before this start, newest first: what the last one still waits for, and after
/// how many failures. One that was killed is owed, like one whose cable came out. What a person cancelled, or what failed
/// too often, stays away as long as it would have without the new beginning.
fn owed(runs: &[EndedRun]) -> (Doing, u32) {
    use Condition::{DeviceReconnected, DeviceSeenOnWifi, NetworkUp, PasscodeEntered, UsbmuxdUp, UserPresent};
    let Some((ended, failed)) = runs.first().and_then(|ended| Some((ended, ended.failure.as_ref()?.id))) else {
        return (Doing::Nothing, 0);
    };
    let failures = runs.iter().map_while(|ended| Some(ended.failure.as_ref()?.id));
    // To be killed says nothing of the phone.
    let in_a_row = failures.filter(|id| *id != FailureId::BackupIncomplete).count();
    let in_a_row = u32::try_from(in_a_row).unwrap_or(u32::MAX);
    let seen = Circumstances { failures_in_a_row: in_a_row, ..Circumstances::default() };
    let next = retry::next(failed, &seen);
    match (failed.entry().retry, next) {
        _ if failed == FailureId::BackupIncomplete => (Doing::WaitFor(DeviceReconnected), 0),
        _ if matches!(failed, FailureId::CancelledByUser | FailureId::CancelledOnDevice) => match next {
            Next::After(pause) => (Doing::RetryAt(ended.at + pause), in_a_row),
            _ => (Doing::Nothing, 0),
        },
        (_, Next::GiveUp(pause)) => (Doing::GaveUp(ended.at + pause), in_a_row),
        (Retry::AutomaticWhen(condition @ (DeviceReconnected | DeviceSeenOnWifi | NetworkUp | UsbmuxdUp)), _) => {
            (Doing::WaitFor(condition), 0)
        }
        // Nobody is asked for a passcode a second time without being there.
        (Retry::AutomaticWhen(PasscodeEntered | UserPresent), _) => (Doing::WaitFor(UserPresent), in_a_row),
        // The schedule sees to it.
        _ => (Doing::Nothing, 0),
    }
}

/// What the ledger says: the last runs, newest first, and what else is worth knowing.
fn of_the_ledger(found: Idle) -> (Vec<EndedRun>, Vec<FailureId>) {
    let Idle::Recovered(recovered) = found else { return (Vec::new(), Vec::new()) };
    let told = || {
        let damaged = recovered.ledger.newest()?.is_some_and(|newest| newest.damaged);
        Ok::<_, LedgerError>((recovered.ledger.last_runs(RUNS_LOOKED_AT)?, damaged))
    };
    let (runs, damaged) = told().unwrap_or_else(|error| {
        tracing::warn!(%error, "the ledger can't be read");
        (Vec::new(), false)
    });
    let notices = [(damaged, FailureId::BackupDamaged), (recovered.renewed, FailureId::LedgerDamaged)];
    (runs, notices.into_iter().filter(|(is_so, _)| *is_so).map(|(_, id)| id).collect())
}

#[cfg(test)]
mod tests {
    use FailureId::{
        BackupIncomplete, BackupVerifyFailed, CancelledByUser, HostDiskFull, PasscodeNotEntered, SessionLost,
        UsbDisconnected, WifiLost,
    };
    use backstay_shared::{ids::RunId, overview::Problem};
    use chrono::TimeDelta;

    use super::*;

    fn ended(failure: Option<FailureId>) -> EndedRun {
        let at = DateTime::UNIX_EPOCH;
        let failure = failure.map(|id| Problem::new(&id.into(), at));
        EndedRun { run: RunId(1), at, files_received: 0, bytes_received: 0, failure }
    }

    #[test]
    fn a_new_beginning_forgets_nothing_that_a_person_or_the_failures_decided() {
        use Doing::{GaveUp, Nothing, RetryAt, WaitFor};
        let a_day_later = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let many = |newest: FailureId, id, count| [vec![newest], vec![id; count]].concat();
        for (newest_first, expected) in [
            (vec![], (Nothing, 0)),
            (vec![CancelledByUser], (RetryAt(a_day_later), 1)),
            (many(SessionLost, CancelledByUser, 1), (Nothing, 0)),
            (vec![BackupIncomplete], (WaitFor(Condition::DeviceReconnected), 0)),
            (many(BackupIncomplete, BackupIncomplete, 20), (WaitFor(Condition::DeviceReconnected), 0)),
            (vec![UsbDisconnected], (WaitFor(Condition::DeviceReconnected), 0)),
            (vec![WifiLost], (WaitFor(Condition::NetworkUp), 0)),
            (vec![HostDiskFull], (Nothing, 0)),
            (vec![PasscodeNotEntered], (WaitFor(Condition::UserPresent), 1)),
            (vec![BackupVerifyFailed], (Nothing, 0)),
            (many(SessionLost, SessionLost, 6), (Nothing, 0)),
            (many(SessionLost, SessionLost, 7), (GaveUp(a_day_later), 8)),
            (many(SessionLost, BackupIncomplete, 7), (Nothing, 0)),
        ] {
            let mut runs: Vec<EndedRun> = newest_first.iter().map(|id| ended(Some(*id))).collect();
            // What was before a success does not count.
            runs.push(ended(None));
            runs.extend(vec![ended(Some(SessionLost)); 9]);
            assert_eq!(owed(&runs), expected, "{newest_first:?}");
        }
    }
}
