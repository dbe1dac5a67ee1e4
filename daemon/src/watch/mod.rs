//! Apple's side: does iCloud work, and is there a newer iOS. Nothing here is needed for a backup or ever waits for one.
//!
//! [`status`], [`versions`] and [`icloud`] are pure; [`lookup`] asks, seldom, and remembers the answers on disk;
//! [`desk`] decides what is asked for. Actors say what they have through [`Apple`] and read [`Findings`] there.

pub mod desk;
pub mod icloud;
pub mod lookup;
pub mod status;
pub mod versions;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use backstay_shared::{config, health::Failure, ids::Udid};
use chrono::Utc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{desk::Desk, icloud::IcloudBackup};

/// The wall clock is looked at this often, since it may be set or the computer may sleep.
const CLOCK_CHECK: Duration = Duration::from_secs(600);

/// A reply that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// What is known of a phone here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// `ProductType`
    pub model: Option<String>,
    /// iCloud Backup is on.
    pub icloud_backup: bool,
}

/// Every phone that somebody asked about. Without one nothing is looked up.
pub type Wanted = BTreeMap<Udid, Known>;

/// What is known of Apple's side.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// `apple-service-outage`, while Apple reports one; also when the page could not be read lately.
    pub outage: Option<Failure>,
    /// `apple-status-unknown`, after several tries.
    pub status_unknown: Option<Failure>,
    /// The newest iOS by model.
    pub newest_ios: BTreeMap<String, String>,
}

/// How the rest of the daemon speaks to the watch. Clones are the same.
#[derive(Debug, Clone)]
pub struct Apple {
    wanted: Arc<watch::Sender<Wanted>>,
    findings: watch::Receiver<Findings>,
    judges_icloud: bool,
}

impl Apple {
    /// A phone tells its model and whether iCloud Backup is on; this is what makes it worth asking.
    pub fn phone(&self, udid: &Udid, known: Known) {
        self.wanted.send_if_modified(|wanted| {
            let news = wanted.get(udid) != Some(&known);
            if news {
                wanted.insert(udid.clone(), known);
            }
            news
        });
    }

    /// What is known, now and at every change.
    pub fn findings(&self) -> watch::Receiver<Findings> {
        self.findings.clone()
    }

    /// What a phone's owner should know: iCloud's state with what explains it in front, and a newer iOS.
    pub fn of_phone(&self, model: Option<&str>, ios: Option<&str>, icloud: Option<&IcloudBackup>) -> Vec<Failure> {
        let findings = self.findings.borrow();
        let newest = model.and_then(|model| findings.newest_ios.get(model));
        let outdated = ios.zip(newest).and_then(|(ios, newest)| versions::outdated(ios, newest));
        let uses_icloud = icloud.is_some_and(|icloud| icloud.on == Some(true));
        let apple = [&findings.outage, &findings.status_unknown].into_iter().flatten().filter(|_| uses_icloud).cloned();
        let judged = icloud.filter(|_| self.judges_icloud).and_then(icloud::judge);
        apple.chain(judged).chain(outdated).collect()
    }
}

/// The watch, and the task that does its work until `shutdown`. Answers are kept in `state_folder`.
pub fn start(
    config: &config::Watch,
    state_folder: &Path,
    shutdown: CancellationToken,
) -> (Apple, impl Future<Output = ()> + use<>) {
    let (wanted, asked) = watch::channel(Wanted::new());
    let (findings, told) = watch::channel(Findings::default());
    let desk = Desk::new(config, state_folder);
    let watching = async move {
        shutdown.run_until_cancelled(run(desk, asked, findings)).await;
    };
    (Apple { wanted: Arc::new(wanted), findings: told, judges_icloud: config.icloud }, watching)
}

async fn run(mut desk: Desk, mut wanted: watch::Receiver<Wanted>, findings: watch::Sender<Findings>) {
    loop {
        let asked = wanted.borrow_and_update().clone();
        let now = Utc::now();
        let next = desk.look(now, &asked).await;
        findings.send_if_modified(|told| {
            let found = desk.findings(now, &asked);
            let news = *told != found;
            *told = found;
            news
        });
        let pause = async {
            match next {
                Some(next) => {
                    let pause = (next - Utc::now()).to_std().unwrap_or_default();
                    tokio::time::sleep(pause.clamp(Duration::from_secs(1), CLOCK_CHECK)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            // Without anybody left to ask there is nothing to look up.
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}
