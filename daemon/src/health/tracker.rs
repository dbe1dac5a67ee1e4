//! What is wrong with one subject, a phone or the computer: since when, what stands behind what, and what a person does
//! not want to hear of for a while. Pure: the time is an argument; no entry means healthy.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use backstay_shared::{
    health::{Failure, FailureId},
    overview::{Overview, Problem},
};
use chrono::{DateTime, Utc};

use super::snoozes::Snoozed;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Raised {
    failure: Failure,
    since: DateTime<Utc>,
}

/// The problems of one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracker {
    raised: BTreeMap<FailureId, Raised>,
    snoozed: Snoozed,
}

impl Tracker {
    /// Healthy; what of it a person did not want to hear of when it was last looked at.
    pub fn new(snoozed: Snoozed) -> Self {
        Self { raised: BTreeMap::new(), snoozed }
    }

    /// What a person does not want to hear of.
    pub fn snoozed(&self) -> &Snoozed {
        &self.snoozed
    }

    /// It is so. What is known already keeps its "since" and takes the newer evidence.
    pub fn raise(&mut self, failure: &Failure, now: DateTime<Utc>) {
        self.raise_since(failure, now);
    }

    /// It has been so since then, unless it is known already.
    pub fn raise_since(&mut self, failure: &Failure, since: DateTime<Utc>) {
        let known = self.raised.get(&failure.id).map(|known| known.since);
        self.raised.insert(failure.id, Raised { failure: failure.clone(), since: known.unwrap_or(since) });
    }

    /// Raised when it is so, cleared when not.
    pub fn set(&mut self, id: FailureId, failure: Option<Failure>, now: DateTime<Utc>) {
        match failure {
            Some(failure) => self.raise(&failure, now),
            None => self.clear(id),
        }
    }

    /// It is not so any more.
    pub fn clear(&mut self, id: FailureId) {
        // What nobody has raised yet, after a start, is not cured.
        if self.raised.remove(&id).is_some() {
            self.snoozed.remove(&id);
        }
    }

    /// Keeps only these.
    pub fn retain(&mut self, keep: impl Fn(FailureId) -> bool) {
        let raised = &self.raised;
        self.snoozed.retain(|id, _| keep(*id) || !raised.contains_key(id));
        self.raised.retain(|id, _| keep(*id));
    }

    /// A person has heard of it. False when there is no such problem.
    pub fn snooze(&mut self, id: FailureId, until: DateTime<Utc>) -> bool {
        let known = self.raised.contains_key(&id);
        if known {
            self.snoozed.insert(id, until);
        }
        known
    }

    /// True when it is so, told or not.
    pub fn has(&self, id: FailureId) -> bool {
        self.raised.contains_key(&id)
    }

    /// What is to be told now, worst first.
    pub fn told(&self, now: DateTime<Utc>) -> Vec<Problem> {
        // A clock that was set back must not hide what is wrong.
        let lasted = |raised: &&Raised| told_from(raised) <= now || raised.since > now;
        let mut problems: Vec<Problem> = self
            .raised
            .values()
            .filter(lasted)
            .map(|raised| Problem {
                snoozed_until: self.snoozed.get(&raised.failure.id).copied().filter(|until| *until > now),
                ..Problem::new(&raised.failure, raised.since)
            })
            .collect();
        problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        problems
    }

    /// When [`Self::told`] changes by itself: something has lasted long enough, or a snooze ends.
    pub fn next_change(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let lasted = self.raised.values().map(told_from);
        lasted.chain(self.snoozed.values().copied()).filter(|at| *at > now).min()
    }
}

fn told_from(raised: &Raised) -> DateTime<Utc> {
    raised.since + Duration::from_secs(raised.failure.id.entry().grace_seconds)
}

/// Puts problems behind those that explain them, of the same phone or of the computer. What stands in front is as bad as
/// the worst that it hides.
pub fn put_behind(overview: &mut Overview) {
    let computer = Elsewhere {
        all: overview.problems.iter().map(|problem| problem.id).collect(),
        explaining: explaining(&overview.problems),
    };
    let mut lent = Vec::new();
    let mut own = std::mem::take(&mut overview.problems);
    behind(&mut own, &Elsewhere::default(), &mut lent);
    for phone in &mut overview.phones {
        behind(&mut phone.problems, &computer, &mut lent);
    }
    for (id, severity) in lent {
        for problem in own.iter_mut().filter(|problem| problem.id == id) {
            problem.severity = problem.severity.max(severity);
        }
    }
    overview.problems = own;
    only_the_worse(overview);
}

/// All phones share the disk: while it is full for one of them, nobody has to hear that it is nearly full, not even who
/// does not want to hear that it is full.
fn only_the_worse(overview: &mut Overview) {
    let of_phones = overview.phones.iter_mut().flat_map(|phone| &mut phone.problems);
    let mut all: Vec<&mut Problem> = of_phones.chain(&mut overview.problems).collect();
    if all.iter().any(|problem| problem.id == FailureId::HostDiskFull) {
        for low in all.iter_mut().filter(|problem| problem.id == FailureId::HostDiskLow) {
            low.behind.get_or_insert(FailureId::HostDiskFull);
        }
    }
}

/// Those that can stand in front of others: what a person does not want to hear of explains nothing.
fn explaining(problems: &[Problem]) -> BTreeSet<FailureId> {
    problems.iter().filter(|problem| problem.snoozed_until.is_none()).map(|problem| problem.id).collect()
}

/// Problems of the computer, as a phone's see them.
#[derive(Default)]
struct Elsewhere {
    all: BTreeSet<FailureId>,
    explaining: BTreeSet<FailureId>,
}

/// `elsewhere` are the computer's; what is lent to one of them is noted for later.
fn behind(
    problems: &mut [Problem],
    elsewhere: &Elsewhere,
    lent: &mut Vec<(FailureId, backstay_shared::health::Severity)>,
) {
    let here = explaining(problems);
    for problem in problems.iter_mut() {
        problem.severity = problem.id.entry().severity;
        let explains = |cause: &&FailureId| here.contains(cause) || elsewhere.explaining.contains(cause);
        // The same trouble told of the computer and of the phone is one, also while nobody wants to hear of it.
        let same = elsewhere.all.contains(&problem.id).then_some(problem.id);
        problem.behind = same.or_else(|| problem.id.entry().depends_on.iter().find(explains).copied());
    }
    let hidden: Vec<_> =
        problems.iter().filter_map(|problem| problem.behind.map(|cause| (cause, problem.severity))).collect();
    for (mut cause, severity) in hidden {
        // To the very front, where a person sees it; the catalogue has no circles.
        while let Some(further) = problems.iter().find(|problem| problem.id == cause).and_then(|problem| problem.behind)
        {
            if further == cause {
                break;
            }
            cause = further;
        }
        match problems.iter_mut().find(|problem| problem.id == cause && problem.behind.is_none()) {
            Some(front) => front.severity = front.severity.max(severity),
            None => lent.push((cause, severity)),
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_shared::health::Severity;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_435_200 + seconds, 0).unwrap()
    }

    #[test]
    fn since_stays_and_evidence_follows() {
        let mut tracker = Tracker::default();
        let full = |free| {
            let mut failure = Failure::from(FailureId::HostDiskFull);
            failure.evidence.bytes_free = Some(free);
            failure
        };
        tracker.raise(&full(5), at(0));
        tracker.raise(&full(3), at(60));
        let told = tracker.told(at(61));
        assert_eq!((told[0].since, told[0].evidence.bytes_free), (at(0), Some(3)));
        tracker.clear(FailureId::HostDiskFull);
        assert_eq!(tracker.told(at(61)), []);
        tracker.raise(&full(3), at(100));
        assert_eq!(tracker.told(at(101))[0].since, at(100), "it is a new one");
    }

    #[test]
    fn a_snooze_ends_by_itself_and_with_the_problem() {
        let mut tracker = Tracker::default();
        let id = FailureId::HostDiskFull;
        assert!(!tracker.snooze(id, at(50)), "there is none");
        tracker.raise(&id.into(), at(0));
        assert!(tracker.snooze(id, at(50)));
        assert_eq!(tracker.told(at(1))[0].snoozed_until, Some(at(50)));
        assert_eq!(tracker.next_change(at(1)), Some(at(50)));
        assert_eq!(tracker.told(at(50))[0].snoozed_until, None);
        tracker.clear(id);
        tracker.raise(&id.into(), at(10));
        assert_eq!(tracker.told(at(11))[0].snoozed_until, None, "a new one is told");
    }

    #[test]
    fn what_passes_by_itself_is_no_news() {
        let graced: Vec<_> = FailureId::ALL.iter().filter(|id| id.entry().grace_seconds > 0).collect();
        for id in graced {
            let grace = i64::try_from(id.entry().grace_seconds).unwrap();
            let mut tracker = Tracker::default();
            tracker.raise(&(*id).into(), at(0));
            assert_eq!(tracker.told(at(grace - 1)), [], "{id}");
            assert_eq!(tracker.next_change(at(0)), Some(at(grace)), "{id}");
            assert_eq!(tracker.told(at(grace)).len(), 1, "{id}");
        }
    }

    /// The root cause first, and no flood.
    #[test]
    fn what_another_explains_stands_behind_it() {
        use FailureId::{BackupDriveMissing, DeviceLocked};
        let of = |ids: &[FailureId]| -> Vec<Problem> {
            let mut tracker = Tracker::default();
            ids.iter().for_each(|id| tracker.raise(&(*id).into(), at(0)));
            tracker.told(at(10_000))
        };
        // Every edge of the catalogue, within a phone and from the computer.
        for id in FailureId::ALL {
            for cause in &id.entry().depends_on {
                let worst = id.entry().severity.max(cause.entry().severity);
                let phone = backstay_shared::overview::PhoneOverview { problems: of(&[*id, *cause]), ..phone() };
                let mut within = Overview { phones: vec![phone], ..Overview::default() };
                put_behind(&mut within);
                let find = |id| within.phones[0].problems.iter().find(|problem| problem.id == id).unwrap();
                assert_eq!(find(*id).behind, Some(*cause));
                assert_eq!(find(*cause).severity, worst);

                let phone = backstay_shared::overview::PhoneOverview { problems: of(&[*id]), ..self::phone() };
                let mut across = Overview { problems: of(&[*cause]), phones: vec![phone], ..Overview::default() };
                put_behind(&mut across);
                assert_eq!(across.phones[0].problems[0].behind, Some(*cause));
                assert_eq!(across.problems[0].severity, worst);
            }
        }
        let phone =
            backstay_shared::overview::PhoneOverview { problems: of(&[BackupDriveMissing, DeviceLocked]), ..phone() };
        let mut same = Overview { problems: of(&[BackupDriveMissing]), phones: vec![phone], ..Overview::default() };
        put_behind(&mut same);
        let told = same.phones[0].problems.iter().find(|problem| problem.id == BackupDriveMissing).unwrap();
        assert_eq!(told.behind, Some(BackupDriveMissing), "told of the computer, not twice");
        assert_eq!(same.problems[0].severity, Severity::Error);
    }

    #[test]
    fn a_disk_that_is_full_is_not_nearly_full_as_well() {
        use FailureId::{HostDiskFull, HostDiskLow};
        let told = |id: FailureId, snoozed_until| Problem { snoozed_until, ..Problem::new(&id.into(), at(0)) };
        let with = |problems| backstay_shared::overview::PhoneOverview { problems, ..phone() };
        for phones in [
            vec![with(vec![told(HostDiskFull, None), told(HostDiskLow, None)])],
            vec![with(vec![told(HostDiskFull, Some(at(9))), told(HostDiskLow, None)])],
            vec![with(vec![told(HostDiskLow, None)]), with(vec![told(HostDiskFull, None)])],
        ] {
            let mut overview = Overview { phones, ..Overview::default() };
            put_behind(&mut overview);
            let all = overview.phones.iter().flat_map(|phone| &phone.problems);
            let in_front: Vec<_> = all.filter(|problem| problem.is_in_front()).map(|problem| problem.id).collect();
            assert_eq!(in_front, [HostDiskFull]);
        }
        let mut low = Overview { phones: vec![with(vec![told(HostDiskLow, None)])], ..Overview::default() };
        put_behind(&mut low);
        assert!(low.phones[0].problems[0].is_in_front(), "by itself it is told");
    }

    fn phone() -> backstay_shared::overview::PhoneOverview {
        backstay_shared::overview::PhoneOverview {
            udid: "00008120-001A2D3E0C40201E".parse().unwrap(),
            name: "Anna".into(),
            model: None,
            ios: None,
            link: None,
            wifi_allowed: None,
            activity: backstay_shared::overview::Activity::Idle,
            last_good: None,
            next_due: None,
            next_due_reason: None,
            last_run: None,
            problems: Vec::new(),
            turned_off: false,
            earlier: None,
        }
    }
}
