//! What the companion knows of the daemon at a moment, and which of its problems need telling.

use super::command::Subject;
use crate::{
    health::{FailureId, Severity},
    ids::Udid,
    overview::{Activity, Overview, Phase, PhoneOverview, Problem},
};

/// What the companion knows of the daemon.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum View {
    /// Nothing is known yet, or the connection has just broken.
    #[default]
    Connecting,
    /// Nobody listens on the daemon's socket.
    NotRunning,
    /// A daemon of another version listens.
    OtherVersion(String),
    /// What the daemon said last.
    Connected(Overview),
}

/// Whether the problem asks a person to come to the phone; then it is told although nothing is broken.
pub fn calls_to_the_phone(problem: &Problem) -> bool {
    matches!(problem.id, FailureId::PasscodeNeeded | FailureId::TrustPending)
}

/// Whether the problem is worth a notification. The rest waits in the menu.
pub fn worth_telling(problem: &Problem) -> bool {
    (problem.severity > Severity::Info || calls_to_the_phone(problem)) && problem.snoozed_until.is_none()
}

/// Whether a person may put it off until tomorrow. Nobody does that with a sheet that waits on the phone, and what the
/// daemon has not raised it can't keep quiet about.
pub fn can_be_put_off(subject: &Subject, problem: &Problem, phone: Option<&PhoneOverview>) -> bool {
    let is_raised = match subject {
        Subject::Computer => true,
        Subject::Phone(_) => phone.is_some_and(|phone| phone.problems.iter().any(|raised| raised.id == problem.id)),
    };
    is_raised && !calls_to_the_phone(problem) && problem.snoozed_until.is_none()
}

/// Whether a backup of this phone is under way or queued.
pub fn is_busy(phone: &PhoneOverview) -> bool {
    matches!(phone.activity, Activity::Running { .. } | Activity::Queued { .. })
}

/// Whether the phone waits for its passcode.
pub fn waits_for_passcode(phone: &PhoneOverview) -> bool {
    let in_this_phase =
        matches!(&phone.activity, Activity::Running { progress, .. } if progress.phase == Phase::WaitingForPasscode);
    in_this_phase || phone.problems.iter().any(|problem| problem.id == FailureId::PasscodeNeeded)
}

/// Why the phone's last run failed, as long as no newer one is under way. A run that a person cancelled has not failed.
pub fn last_failure(phone: &PhoneOverview) -> Option<&Problem> {
    if is_busy(phone) {
        return None;
    }
    phone.last_run.as_ref()?.failure.as_ref().filter(|failure| failure.id != FailureId::CancelledByUser)
}

/// Whether no backup comes without waiting or help. A phone whose backup a person cancelled is left in peace.
pub fn is_stuck(phone: &PhoneOverview) -> bool {
    let waits = matches!(
        phone.activity,
        Activity::Blocked | Activity::RetryAt { .. } | Activity::Waiting { .. } | Activity::GaveUp { .. }
    );
    waits && (last_failure(phone).is_some() || phone.last_run.is_none())
}

/// The phone's problems; when it is stuck and the daemon raised nothing, why its last run failed, since a phone must
/// never be stuck without a reason on show.
pub fn problems(phone: &PhoneOverview) -> Vec<&Problem> {
    let mut problems = in_front(&phone.problems);
    if let (true, true, Some(failure)) = (is_stuck(phone), phone.problems.is_empty(), last_failure(phone)) {
        problems.push(failure);
    }
    problems
}

/// Those that no other problem explains, and that a person does not know: who cancelled a backup does.
pub fn in_front(problems: &[Problem]) -> Vec<&Problem> {
    problems.iter().filter(|problem| problem.is_in_front() && problem.id != FailureId::CancelledByUser).collect()
}

/// The phone that is meant when none is named: the only one there is.
pub fn only_phone(overview: &Overview) -> Option<&PhoneOverview> {
    if let [phone] = &overview.phones[..] { Some(phone) } else { None }
}

impl View {
    /// What is known of this phone.
    pub fn phone(&self, udid: Option<&Udid>) -> Option<&PhoneOverview> {
        let Self::Connected(overview) = self else { return None };
        overview.phones.iter().find(|phone| Some(&phone.udid) == udid)
    }

    /// The problem, if it is still one, with the phone that is meant.
    pub fn problem(&self, subject: &Subject, id: FailureId) -> Option<(&Problem, Option<&PhoneOverview>)> {
        let Self::Connected(overview) = self else { return None };
        let (candidates, phone) = match subject {
            Subject::Computer => (in_front(&overview.problems), only_phone(overview)),
            Subject::Phone(udid) => {
                let phone = self.phone(Some(udid))?;
                (problems(phone), Some(phone))
            }
        };
        candidates.into_iter().find(|problem| problem.id == id).map(|problem| (problem, phone))
    }
}
