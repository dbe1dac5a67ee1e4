//! What is asked for, how often, and what follows from the answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use backstay_shared::{
    config,
    health::{Failure, FailureId},
};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Findings, Known, Wanted,
    lookup::Lookup,
    status::{self, Event},
    versions,
};

/// The status page, while all is well there.
const STATUS_AGE_MAX: TimeDelta = TimeDelta::hours(6);

/// The status page, while it tells a problem.
const OUTAGE_AGE_MAX: TimeDelta = TimeDelta::minutes(15);

/// A problem that Apple told so long ago is no news any more when the page can't be read since.
const OUTAGE_BELIEVED: TimeDelta = TimeDelta::days(2);

/// So many failures in a row are needed before a person hears of it: some 45 minutes.
const FAILURES_MIN: u32 = 3;

const VERSIONS_AGE_MAX: TimeDelta = TimeDelta::hours(24);

/// More models than a household has; each costs a question where Apple's own list can't be read.
const MODELS_MAX: usize = 16;

type Newest = BTreeMap<String, String>;

/// All that is looked up.
#[derive(Debug)]
pub struct Desk {
    folder: PathBuf,
    config: config::Watch,
    status: Lookup<Vec<Event>>,
    versions: Lookup<Newest>,
    /// The second source, by model.
    firmwares: BTreeMap<String, Lookup<Newest>>,
}

impl Desk {
    /// With the answers that are in `state_folder`.
    pub fn new(config: &config::Watch, state_folder: &Path) -> Self {
        let folder = state_folder.join("apple");
        Self {
            status: Lookup::new(config.addresses.status.as_str(), folder.join("status.json")),
            versions: Lookup::new(config.addresses.versions.as_str(), folder.join("versions.json")),
            firmwares: BTreeMap::new(),
            config: config.clone(),
            folder,
        }
    }

    /// Asks for what is wanted and due; returns when to look again, none while nothing is wanted.
    pub async fn look(&mut self, now: DateTime<Utc>, wanted: &Wanted) -> Option<DateTime<Utc>> {
        let mut next = None;
        let mut at = |due: DateTime<Utc>| next = Some(next.map_or(due, |next: DateTime<Utc>| next.min(due)));
        if self.wants_status(wanted) {
            self.status.refresh(now, self.status_age_max(now), status::parse).await;
            at(self.status.due(now, self.status_age_max(now)));
        }
        let models = self.models(wanted);
        if !models.is_empty() {
            let today = now.date_naive();
            self.versions.refresh(now, VERSIONS_AGE_MAX, |reply| versions::of_apple(reply, today)).await;
            at(self.versions.due(now, VERSIONS_AGE_MAX));
        }
        // A failed try leaves Apple's list old; then the other source is asked.
        if self.versions.trouble().is_some() {
            for model in models {
                let address = format!("{}/{model}?type=ipsw", self.config.addresses.firmwares.as_str());
                let file = self.folder.join(format!("firmwares-{model}.json"));
                let lookup = self.firmwares.entry(model.clone()).or_insert_with(|| Lookup::new(&address, file));
                lookup.refresh(now, VERSIONS_AGE_MAX, |reply| versions::of_firmwares(reply, &model)).await;
                at(lookup.due(now, VERSIONS_AGE_MAX));
            }
        }
        next
    }

    /// What follows from the answers so far.
    pub fn findings(&self, now: DateTime<Utc>, wanted: &Wanted) -> Findings {
        let mut findings = Findings::default();
        if self.wants_status(wanted) {
            findings.outage = self.outage(now);
            findings.status_unknown = self.status_unknown();
        }
        let sources = || [self.versions.kept()].into_iter().chain(self.firmwares.values().map(Lookup::kept)).flatten();
        for model in self.models(wanted) {
            for version in sources().filter_map(|kept| kept.content.get(&model)) {
                versions::keep_newer(&mut findings.newest_ios, &model, version);
            }
        }
        findings
    }

    fn wants_status(&self, wanted: &Wanted) -> bool {
        self.config.apple_status && wanted.values().any(|known| known.icloud_backup)
    }

    fn models(&self, wanted: &Wanted) -> BTreeSet<String> {
        let models = wanted.values().filter_map(|known: &Known| known.model.clone());
        models.filter(|model| self.config.ios_versions && versions::is_model(model)).take(MODELS_MAX).collect()
    }

    fn status_age_max(&self, now: DateTime<Utc>) -> TimeDelta {
        if self.outage(now).is_some() { OUTAGE_AGE_MAX } else { STATUS_AGE_MAX }
    }

    fn outage(&self, now: DateTime<Utc>) -> Option<Failure> {
        let kept = self.status.kept().filter(|kept| now - kept.at <= OUTAGE_BELIEVED)?;
        status::outage(&kept.content, now)
    }

    fn status_unknown(&self) -> Option<Failure> {
        let trouble = self.status.trouble().filter(|trouble| trouble.failures >= FAILURES_MIN)?;
        let mut failure = Failure::from(FailureId::AppleStatusUnknown).text(&trouble.text);
        failure.evidence.code = trouble.status.map(i64::from);
        failure.evidence.times = Some(trouble.failures.into());
        Some(failure)
    }
}
