//! The decision what to tell. Pure: what was told before, and what is so now, make what to show and to withdraw.

use std::collections::BTreeMap;

use backstay_shared::{
    health::{Action, FailureId, Severity},
    ids::{RunId, Udid},
    overview::{Overview, PhoneOverview, Problem},
    protocol::Refusal,
};
use chrono::{DateTime, Utc};

use super::{Change, Key, News, Notice};
use crate::{
    command::Subject,
    view::{self, View},
};

/// What was told and still holds.
#[derive(Debug, Default)]
pub(crate) struct Told {
    by_key: BTreeMap<Key, Telling>,
}

#[derive(Debug, Clone, Copy)]
struct Telling {
    severity: Severity,
    /// The phone's last run at that time.
    run: Option<RunId>,
    /// A person asked for another try since: if that fails too, it is news.
    asked: bool,
}

/// A problem with all that its notification says.
struct Found<'a> {
    subject: Subject,
    problem: &'a Problem,
    phone: Option<&'a PhoneOverview>,
    retry: Option<Udid>,
}

impl Told {
    /// What a new view changes. A daemon that cannot be asked changes nothing: nobody knows what is cured.
    pub(crate) fn view(&mut self, view: &View) -> Vec<Change> {
        let View::Connected(overview) = view else { return Vec::new() };
        let found = found(overview);
        let mut changes = self.cured(overview, &found);
        for found in found {
            let news = match self.by_key.get(&found.key()) {
                None => view::worth_telling(found.problem),
                Some(told) => found.problem.severity > told.severity || (told.asked && told.run != found.run()),
            };
            if news {
                changes.push(self.tell(&found));
            }
        }
        changes
    }

    /// What other news change.
    pub(crate) fn news(&mut self, news: News, view: &View, now: DateTime<Utc>) -> Vec<Change> {
        match news {
            News::Asked(udid) => self.asked(&udid),
            News::Refused(udid, refusal) => self.refused(udid, refusal, view, now),
            News::Explain(subject, failure) => {
                let View::Connected(overview) = view else { return Vec::new() };
                let wanted = found(overview).into_iter().find(|found| found.is(&subject, failure));
                wanted.map(|found| self.tell(&found)).into_iter().collect()
            }
        }
    }

    /// Withdraws what no longer holds.
    fn cured(&mut self, overview: &Overview, found: &[Found<'_>]) -> Vec<Change> {
        let gone: Vec<Key> = self.by_key.keys().filter(|key| !still_holds(key, overview, found)).cloned().collect();
        gone.into_iter()
            .map(|key| {
                self.by_key.remove(&key);
                Change::Withdraw(key)
            })
            .collect()
    }

    fn tell(&mut self, found: &Found<'_>) -> Change {
        let telling = Telling { severity: found.problem.severity, run: found.run(), asked: false };
        self.by_key.insert(found.key(), telling);
        Change::Show(found.notice())
    }

    /// The person has seen it and acts: it leaves the screen, and returns only if the next run fails with it too.
    fn asked(&mut self, udid: &Udid) -> Vec<Change> {
        let of_this_phone = self.by_key.iter_mut().filter(|(key, _)| key.subject.phone() == Some(udid));
        of_this_phone
            .map(|(key, telling)| {
                telling.asked = true;
                Change::Withdraw(key.clone())
            })
            .collect()
    }

    fn refused(&mut self, udid: Udid, refusal: Refusal, view: &View, now: DateTime<Utc>) -> Vec<Change> {
        let name = match view {
            View::Connected(overview) => overview.phones.iter().find(|phone| phone.udid == udid),
            _ => None,
        }
        .map_or_else(|| udid.to_string(), |phone| phone.name.clone());
        let key = Key { subject: Subject::Phone(udid.clone()), failure: None };
        let notice = match refusal {
            Refusal::Failure(failure) => {
                let problem = Problem::new(&failure, now);
                let retry = problem.actions.contains(&Action::Retry).then_some(udid);
                Notice {
                    key: key.clone(),
                    summary: problem.title.clone(),
                    body: body(Some(&name), &problem),
                    retry,
                    severity: problem.severity,
                }
            }
            other => Notice {
                key: key.clone(),
                summary: "Backstay could not do that".to_owned(),
                body: format!("{name}: {other}"),
                retry: None,
                severity: Severity::Warning,
            },
        };
        self.by_key.insert(key, Telling { severity: notice.severity, run: None, asked: false });
        vec![Change::Show(notice)]
    }
}

fn found(overview: &Overview) -> Vec<Found<'_>> {
    let of_phones = overview.phones.iter().flat_map(|phone| {
        view::problems(phone).into_iter().map(|problem| Found {
            subject: Subject::Phone(phone.udid.clone()),
            problem,
            phone: Some(phone),
            retry: Some(phone.udid.clone()),
        })
    });
    // A computer's problem says nothing of phones, so only with a single phone it is clear what to try again.
    let only_phone = if let [phone] = &overview.phones[..] { Some(phone.udid.clone()) } else { None };
    let of_computer = view::in_front(&overview.problems).into_iter().map(|problem| Found {
        subject: Subject::Computer,
        problem,
        phone: None,
        retry: only_phone.clone(),
    });
    of_phones.chain(of_computer).collect()
}

fn still_holds(key: &Key, overview: &Overview, found: &[Found<'_>]) -> bool {
    let phone = overview.phones.iter().find(|phone| Some(&phone.udid) == key.subject.phone());
    let busy = phone.is_some_and(view::is_busy);
    match key.failure {
        // The phone was refused something: old news as soon as it gets it.
        None => phone.is_some() && !busy,
        Some(failure) if found.iter().any(|found| found.is(&key.subject, failure)) => true,
        // Whether the cause is gone shows when the run ends; were it withdrawn now, each try would tell it anew.
        Some(failure) => busy && !matches!(failure, FailureId::PasscodeNeeded | FailureId::TrustPending),
    }
}

impl Found<'_> {
    fn key(&self) -> Key {
        Key { subject: self.subject.clone(), failure: Some(self.problem.id) }
    }

    fn is(&self, subject: &Subject, failure: FailureId) -> bool {
        self.subject == *subject && self.problem.id == failure
    }

    fn run(&self) -> Option<RunId> {
        Some(self.phone?.last_run.as_ref()?.run)
    }

    fn notice(&self) -> Notice {
        let can_retry = self.problem.actions.contains(&Action::Retry);
        Notice {
            key: self.key(),
            summary: self.problem.title.clone(),
            body: body(self.phone.map(|phone| phone.name.as_str()), self.problem),
            retry: self.retry.clone().filter(|_| can_retry),
            severity: self.problem.severity,
        }
    }
}

fn body(name: Option<&str>, problem: &Problem) -> String {
    let mut body = name.map_or_else(String::new, |name| format!("{name}: "));
    body.push_str(&problem.why);
    if let Some(step) = problem.steps.first() {
        body.push('\n');
        body.push_str(step);
    }
    body
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
