//! The decision what to tell. Pure: what was told before, and what is so now, make what to show and to withdraw.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{About, Button, Change, Key, News, Notice};
use crate::{
    desktop::{
        command::{Command, Subject},
        view::{self, View},
    },
    health::{Action, FailureId, Severity, readable_bytes},
    ids::{RunId, Udid},
    overview::{EndedRun, Overview, PhoneOverview, Problem},
    protocol::Refusal,
};

/// What was told and still holds.
#[derive(Debug, Default)]
pub(super) struct Told {
    by_key: BTreeMap<Key, Telling>,
    phones: BTreeMap<Udid, Seen>,
    /// The daemon of the last view had just begun.
    settling: bool,
}

#[derive(Debug, Clone)]
struct Telling {
    severity: Severity,
    /// The phone's last run at that time, or when the person asked.
    run: Option<RunId>,
    /// A person asked for another try since: if that fails too, it is news.
    asked: bool,
    /// A person did not want to hear of it, and then asked what it is.
    snoozed: bool,
    /// The phone that another try is for.
    meant: Option<Udid>,
    /// Seen since the daemon began: if it is gone, it is cured.
    confirmed: bool,
}

impl Telling {
    fn of(severity: Severity, meant: Option<&Udid>) -> Self {
        Self { severity, run: None, asked: false, snoozed: false, meant: meant.cloned(), confirmed: true }
    }
}

/// What was seen of a phone last.
#[derive(Debug, Clone, Copy)]
struct Seen {
    run: Option<RunId>,
    /// A person asked for a backup and waits for how it goes: told at any hour.
    asked: bool,
    /// A backup was under way.
    busy: bool,
}

/// A problem with all that its notification says.
struct Found<'a> {
    subject: Subject,
    problem: &'a Problem,
    phone: Option<&'a PhoneOverview>,
    /// The phone that is meant; for a problem of the computer the only one there is.
    meant: Option<&'a PhoneOverview>,
}

impl Told {
    /// What a new view changes. A daemon that cannot be asked changes nothing: nobody knows what is cured.
    pub(super) fn view(&mut self, view: &View) -> Vec<Change> {
        let View::Connected(overview) = view else {
            self.settling = false;
            return Vec::new();
        };
        let found = found(overview);
        self.confirm(overview, &found);
        let mut changes = self.cured(overview, &found);
        for found in found {
            let news = match self.by_key.get(&found.key()) {
                None => view::worth_telling(found.problem),
                Some(told) => {
                    let worse = found.problem.severity > told.severity && found.problem.snoozed_until.is_none();
                    worse || (told.asked && told.run != found.run())
                }
            };
            if news && !self.is_held_back(overview, found.phone) {
                changes.push(self.tell(&found));
            }
        }
        for phone in &overview.phones {
            changes.extend(self.ended(overview, phone));
        }
        changes
    }

    /// What other news change.
    pub(super) fn news(&mut self, news: News, view: &View, now: DateTime<Utc>) -> Vec<Change> {
        match news {
            News::Asked(udid) => self.asked(&udid),
            News::Refused(subject, refusal) => vec![self.refused(subject, refusal, view, now)],
            News::WhatToDo(subject, failure) => {
                let View::Connected(overview) = view else { return Vec::new() };
                let wanted = found(overview).into_iter().find(|found| found.is(&subject, failure));
                wanted.map(|found| whole_story(self.tell(&found), found.problem)).into_iter().collect()
            }
            News::Said { title, text } => {
                let key = Key { subject: Subject::Computer, about: About::Answer };
                self.by_key.insert(key.clone(), Telling::of(Severity::Info, None));
                let notice = Notice { key, summary: title, body: text, buttons: Vec::new(), severity: Severity::Info };
                vec![Change::Show(notice)]
            }
        }
    }

    /// Nothing pops up at a quiet time but what a person at the computer waits for.
    fn is_held_back(&self, overview: &Overview, phone: Option<&PhoneOverview>) -> bool {
        let seen = phone.and_then(|phone| self.phones.get(&phone.udid));
        overview.notifications.quiet && !seen.is_some_and(|seen| seen.asked)
    }

    /// Looks whether a run of this phone has ended since the last view, and tells that it went well if that is wanted.
    fn ended(&mut self, overview: &Overview, phone: &PhoneOverview) -> Option<Change> {
        let run = phone.last_run.as_ref().map(|run| run.run);
        let busy = view::is_busy(phone);
        let held_back = self.is_held_back(overview, Some(phone));
        let seen = self.phones.entry(phone.udid.clone()).or_insert(Seen { run, asked: false, busy });
        // However it ended: nobody waits for it any more.
        let goes_on = busy || !seen.busy;
        seen.asked &= goes_on && seen.run == run;
        seen.busy = busy;
        let success = phone.last_run.as_ref().filter(|run| run.failure.is_none() && overview.notifications.success);
        // What is held back stays news until it may be told.
        if seen.run == run || (held_back && success.is_some()) {
            return None;
        }
        seen.run = run;
        let notice = self::success(phone, success?);
        self.by_key.insert(notice.key.clone(), Telling::of(Severity::Info, Some(&phone.udid)));
        Some(Change::Show(notice))
    }

    /// Notes what is so since the daemon began.
    fn confirm(&mut self, overview: &Overview, found: &[Found<'_>]) {
        if overview.settling && !self.settling {
            self.by_key.values_mut().for_each(|telling| telling.confirmed = false);
        }
        self.settling = overview.settling;
        for found in found {
            if let Some(telling) = self.by_key.get_mut(&found.key()) {
                telling.confirmed = true;
            }
        }
    }

    /// Withdraws what no longer holds.
    fn cured(&mut self, overview: &Overview, found: &[Found<'_>]) -> Vec<Change> {
        let holds = |key: &Key, telling: &Telling| {
            let unknown = overview.settling && !telling.confirmed;
            (unknown || still_holds(key, overview, found)) && !is_snoozed(key, telling, found)
        };
        let gone = self.by_key.iter().filter(|(key, telling)| !holds(key, telling)).map(|(key, _)| key.clone());
        let gone: Vec<Key> = gone.collect();
        gone.into_iter()
            .map(|key| {
                self.by_key.remove(&key);
                Change::Withdraw(key)
            })
            .collect()
    }

    fn tell(&mut self, found: &Found<'_>) -> Change {
        let snoozed = found.problem.snoozed_until.is_some();
        let meant = found.meant.map(|phone| &phone.udid);
        let telling = Telling { run: found.run(), snoozed, ..Telling::of(found.problem.severity, meant) };
        self.by_key.insert(found.key(), telling);
        Change::Show(found.notice())
    }

    /// The person has seen it and acts: it leaves the screen, and returns only if the next run fails with it too.
    fn asked(&mut self, udid: &Udid) -> Vec<Change> {
        let seen = self.phones.get_mut(udid).map(|seen| {
            seen.asked = true;
            *seen
        });
        let of_this_phone = self.by_key.iter_mut().filter(|(_, telling)| telling.meant.as_ref() == Some(udid));
        of_this_phone
            .map(|(key, telling)| {
                telling.asked = true;
                // Runs that failed between the telling and now are no answer.
                telling.run = seen.and_then(|seen| seen.run);
                Change::Withdraw(key.clone())
            })
            .collect()
    }

    fn refused(&mut self, subject: Subject, refusal: Refusal, view: &View, now: DateTime<Utc>) -> Change {
        let phone = view.phone(subject.phone());
        let about = |text: String| match subject.phone() {
            Some(udid) => format!("{}: {text}", phone.map_or_else(|| udid.to_string(), |phone| phone.name.clone())),
            None => text,
        };
        let key = Key { subject: subject.clone(), about: About::Refusal };
        let notice = match refusal {
            Refusal::Failure(failure) => {
                let problem = Problem::new(&failure, now);
                let retry = problem.actions.contains(&Action::Retry);
                let retry = subject.phone().filter(|_| retry).map(|udid| Command::BackUp(udid.clone()));
                Notice {
                    key: key.clone(),
                    summary: problem.title.clone(),
                    body: about(text(&problem)),
                    buttons: retry.map(|command| (Button::Retry, command)).into_iter().collect(),
                    severity: problem.severity,
                }
            }
            other => Notice {
                key: key.clone(),
                summary: "Backstay could not do that".to_owned(),
                body: about(other.to_string()),
                buttons: Vec::new(),
                severity: Severity::Warning,
            },
        };
        // There is no run to wait for.
        if let Some(seen) = subject.phone().and_then(|udid| self.phones.get_mut(udid)) {
            seen.asked = false;
        }
        self.by_key.insert(key, Telling::of(notice.severity, subject.phone()));
        Change::Show(notice)
    }
}

fn found(overview: &Overview) -> Vec<Found<'_>> {
    let of_phones = overview.phones.iter().flat_map(|phone| {
        view::problems(phone).into_iter().map(|problem| Found {
            subject: Subject::Phone(phone.udid.clone()),
            problem,
            phone: Some(phone),
            meant: Some(phone),
        })
    });
    // A computer's problem says nothing of phones, so only with a single phone it is clear what to try again.
    let only_phone = view::only_phone(overview);
    let of_computer = view::in_front(&overview.problems).into_iter().map(move |problem| Found {
        subject: Subject::Computer,
        problem,
        phone: None,
        meant: only_phone,
    });
    of_phones.chain(of_computer).collect()
}

fn still_holds(key: &Key, overview: &Overview, found: &[Found<'_>]) -> bool {
    let phone = overview.phones.iter().find(|phone| Some(&phone.udid) == key.subject.phone());
    let busy = phone.is_some_and(view::is_busy);
    match key.about {
        // Nobody waits for the end of an answer but whoever reads it.
        About::Answer => true,
        // Old news as soon as the next backup is under way.
        About::Success | About::Refusal => key.subject == Subject::Computer || phone.is_some() && !busy,
        About::Problem(failure) if found.iter().any(|found| found.is(&key.subject, failure)) => true,
        // Whether the cause is gone shows when the run ends; were it withdrawn now, each try would tell it anew.
        About::Problem(failure) => busy && !matches!(failure, FailureId::PasscodeNeeded | FailureId::TrustPending),
    }
}

/// What a person does not want to hear of leaves the screen, and is told anew when that time is over.
fn is_snoozed(key: &Key, telling: &Telling, found: &[Found<'_>]) -> bool {
    let snoozed = |found: &Found<'_>| found.key() == *key && found.problem.snoozed_until.is_some();
    !telling.snoozed && found.iter().any(snoozed)
}

impl Found<'_> {
    fn key(&self) -> Key {
        Key { subject: self.subject.clone(), about: About::Problem(self.problem.id) }
    }

    fn is(&self, subject: &Subject, failure: FailureId) -> bool {
        self.subject == *subject && self.problem.id == failure
    }

    fn run(&self) -> Option<RunId> {
        Some(self.meant?.last_run.as_ref()?.run)
    }

    fn notice(&self) -> Notice {
        let (subject, id) = (&self.subject, self.problem.id);
        let retry = self.meant.filter(|_| self.problem.actions.contains(&Action::Retry));
        let retry = retry.map(|phone| (Button::Retry, Command::BackUp(phone.udid.clone())));
        let set_up = self.problem.actions.contains(&Action::SetUp).then_some((Button::SetUp, Command::SetUp));
        let what_to_do = (Button::WhatToDo, Command::WhatToDo(subject.clone(), id));
        let snooze = view::can_be_put_off(subject, self.problem, self.phone)
            .then(|| (Button::Snooze, Command::Snooze(subject.clone(), id)));
        let said = text(self.problem);
        Notice {
            key: self.key(),
            summary: self.problem.title.clone(),
            body: self.phone.map_or_else(|| said.clone(), |phone| format!("{}: {said}", phone.name)),
            buttons: set_up.into_iter().chain(retry).chain([what_to_do]).chain(snooze).collect(),
            severity: self.problem.severity,
        }
    }
}

/// Why, and the first step.
fn text(problem: &Problem) -> String {
    let step = problem.steps.first().map_or_else(String::new, |step| format!("\n{step}"));
    format!("{}{step}", problem.why)
}

/// With all the steps, where the page with them could not be shown.
fn whole_story(told: Change, problem: &Problem) -> Change {
    match told {
        Change::Show(mut notice) => {
            for (number, step) in problem.steps.iter().enumerate().skip(1) {
                notice.body.push_str(&format!("\n{}. {step}", number + 1));
            }
            notice.buttons.retain(|(button, _)| *button != Button::WhatToDo);
            Change::Show(notice)
        }
        withdraw => withdraw,
    }
}

fn success(phone: &PhoneOverview, run: &EndedRun) -> Notice {
    let files = match run.files_received {
        0 => "nothing new".to_owned(),
        1 => format!("one new file, {}", readable_bytes(run.bytes_received)),
        files => format!("{files} new files, {}", readable_bytes(run.bytes_received)),
    };
    Notice {
        key: Key { subject: Subject::Phone(phone.udid.clone()), about: About::Success },
        summary: format!("{} is backed up", phone.name),
        body: format!("Verified: {files}."),
        buttons: Vec::new(),
        severity: Severity::Info,
    }
}

#[cfg(test)]
#[path = "told_tests.rs"]
mod tests;
