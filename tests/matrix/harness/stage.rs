//! The small world that a row is played in, and what is seen of it.

use std::time::{Duration, Instant};

use backstay_shared::{
    client::Client,
    health::FailureId,
    overview::{Activity, Overview, PhoneOverview, Problem},
    protocol::{Reply, Request},
};
use backstay_tests::{
    phone::dataset::{DataSetSpec, Mutation},
    world::{Daemon, World},
};
use chrono::{TimeDelta, Utc};
use tokio::time::timeout;

use super::{Given, Then, Told};

/// A machine that does other things beside may take so long; a fault that is told at all is told in a fraction of it.
const PATIENCE: Duration = Duration::from_secs(75);

/// What waits for a condition begins and ends within this time from the cure on.
const AFTER_A_CURE: Duration = Duration::from_secs(10);

/// The first pause between two tries is 12 to 18 s; the backup itself comes on top.
const AFTER_A_PAUSE: Duration = Duration::from_secs(18 + 8);

/// A world, and the daemon in it.
pub(crate) struct Stage {
    daemon: Option<Daemon>,
    /// Unmounted before the world's folder goes.
    kept: Vec<Box<dyn std::any::Any>>,
    pub(crate) world: World,
    given: Given,
}

impl Stage {
    pub(crate) async fn set(given: Given) -> Self {
        let (count, size) = given.files;
        let mut world = World::new(DataSetSpec::uniform(7, count, size)).await;
        world.bound_by_permissions = given.bound_by_permissions;
        world.phone.set_lockdown_value("com.apple.fmip", "IsAssociated", Some(false.into()));
        if given.backup {
            let (code, object) = world.back_up_once().await;
            assert_eq!(code, 0, "the backup before the fault: {object}");
            world.phone.mutate(Mutation::Change { count: 5 });
            world.phone.mutate(Mutation::Add { count: 10, size: 3000 });
        }
        world.configure(given.config);
        world.phone.unplug();
        Self { daemon: None, kept: Vec::new(), world, given }
    }

    /// Starts the daemon, if it does not run yet.
    pub(crate) async fn start(&mut self) {
        if self.daemon.is_none() {
            self.daemon = Some(self.world.daemon().await);
        }
    }

    /// Keeps a disk until the row is over.
    pub(crate) fn keep(&mut self, disk: impl std::any::Any) {
        self.kept.push(Box::new(disk));
    }

    pub(crate) async fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill().await;
        }
    }

    /// Plugs it in, if it was not yet, and asks for a backup that is not due.
    pub(crate) async fn bring_the_phone(&self) -> Result<(), String> {
        if *self.world.phone.link().borrow() == 0 {
            self.world.phone.plug_in();
        }
        if self.given.backup && phone_of(&self.overview().await).is_none_or(|phone| !is_busy(phone)) {
            self.ask().await?;
        }
        Ok(())
    }

    /// Waits until the phone is known to be here.
    pub(crate) async fn is_here(&self) -> Result<(), String> {
        let here = |overview: &Overview| phone_of(overview).filter(|phone| phone.activity != Activity::Away).map(drop);
        self.shows("the phone is here", here).await
    }

    /// Waits for a good backup.
    pub(crate) async fn is_backed_up(&self) -> Result<(), String> {
        let done = |overview: &Overview| phone_of(overview).filter(|phone| phone.last_good.is_some()).map(drop);
        self.shows("it is backed up", done).await
    }

    /// "Back up now", as soon as the phone is here.
    pub(crate) async fn ask(&self) -> Result<(), String> {
        self.is_here().await?;
        match self.request(Request::BackUp { phone: None, full: false }).await {
            Reply::Started { .. } => Ok(()),
            other => Err(format!("a backup was asked for: {other:?}")),
        }
    }

    pub(crate) async fn request(&self, request: Request) -> Reply {
        let mut client = Client::connect(&self.world.socket()).await.expect("the daemon answers");
        client.request(request).await.expect("the daemon answers")
    }

    pub(crate) async fn overview(&self) -> Overview {
        self.daemon.as_ref().expect("it runs").overview().await.expect("the daemon answers")
    }

    /// Waits until what is shown is as wanted.
    pub(crate) async fn shows<T>(&self, what: &str, wanted: impl Fn(&Overview) -> Option<T>) -> Result<T, String> {
        self.shows_within(PATIENCE, what, wanted).await
    }

    async fn shows_within<T>(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Overview) -> Option<T>,
    ) -> Result<T, String> {
        let mut client = Client::connect(&self.world.socket()).await.map_err(|error| error.to_string())?;
        client.send(Request::Subscribe).await.map_err(|error| error.to_string())?;
        let mut last = None;
        let found = timeout(patience, async {
            loop {
                let overview = client.overview().await.map_err(|error| format!("the daemon ended: {error}"))?;
                if let Some(found) = wanted(&overview) {
                    return Ok(found);
                }
                last = Some(overview);
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => Err(format!("never: {what}; {}", last.as_ref().map_or("nothing".into(), in_short))),
        }
    }

    /// Waits until the problem is told, in front, with its evidence.
    pub(crate) async fn told(&self, id: FailureId, quotes: &str, began: Instant) -> Result<Told, String> {
        self.told_within(PATIENCE, id, quotes, began).await
    }

    /// As [`Self::told`], for what takes its time.
    pub(crate) async fn told_within(
        &self,
        patience: Duration,
        id: FailureId,
        quotes: &str,
        began: Instant,
    ) -> Result<Told, String> {
        let wanted = |overview: &Overview| {
            let unknown = |problem: &Problem| problem.id == FailureId::UnknownError;
            if id != FailureId::UnknownError && problems(overview).any(unknown) {
                return Some(Err(in_short(overview)));
            }
            let problem = problems(overview).find(|problem| problem.id == id && is_told(problem))?;
            Some(Ok((problem.why.clone(), serde_json::to_string(&problem.evidence).unwrap())))
        };
        let (why, evidence) = self.shows_within(patience, &format!("{id} is told"), wanted).await??;
        let visible = began.elapsed();
        let evidence = format!("{why} {evidence}");
        match evidence.contains(quotes) {
            true => Ok(Told { visible, evidence, retry: String::new() }),
            false => Err(format!("{quotes:?} is not in {evidence}")),
        }
    }

    /// Takes the cause away, and sees what follows.
    pub(crate) async fn after<C>(self, id: FailureId, then: Then, mut told: Told, cure: C) -> Result<Told, String>
    where
        C: AsyncFnOnce(&World),
    {
        let gone = |overview: &Overview| problems(overview).all(|problem| problem.id != id).then_some(());
        if matches!(then, Then::News | Then::Goes) {
            cure(&self.world).await;
            let cured = Instant::now();
            told.retry = "-".into();
            if then == Then::Goes {
                self.shows("it goes", gone).await?;
                told.retry = format!("gone {} after the cure", seconds(cured.elapsed()));
            }
            return Ok(told);
        }
        let stands = |overview: &Overview| {
            phone_of(overview).filter(|phone| !is_busy(phone)).map(|phone| phone.activity.clone())
        };
        // What waits for something that is so already may be at its next try: then the run after it counts.
        let standing = match then {
            Then::ByItself => None,
            _ => Some(self.shows("the run has ended", stands).await?),
        };
        match (then, &standing) {
            (Then::Asked, Some(Activity::Blocked)) | (Then::AfterAPause, Some(Activity::RetryAt { .. })) => {}
            (Then::Tomorrow, Some(Activity::RetryAt { at, .. })) if *at - Utc::now() > TimeDelta::hours(18) => {}
            (Then::ByItself, _) => {}
            (then, standing) => return Err(format!("{then:?}, but it stands at {standing:?}")),
        }
        let before = phone_of(&self.overview().await).and_then(|phone| phone.last_good.clone());
        let sheets = self.world.phone.sheets_shown();
        cure(&self.world).await;
        let cured = Instant::now();
        if matches!(then, Then::Asked | Then::Tomorrow) {
            let now = self.overview().await;
            if phone_of(&now).map(|phone| &phone.activity) != standing.as_ref() {
                return Err(format!("it did not wait for a person: {}", in_short(&now)));
            }
            self.ask().await?;
        }
        let done = |overview: &Overview| {
            let phone = phone_of(overview)?;
            let new = phone.last_good.is_some() && phone.last_good != before;
            (new && phone.activity == Activity::Idle).then(|| gone(overview)).flatten()
        };
        self.shows("it backs up after the cure", done).await?;
        let took = cured.elapsed();
        let sheets_after = self.world.phone.sheets_shown() - sheets;
        if sheets > 1 || sheets_after > 1 {
            return Err(format!("{sheets} passcode sheets before the cure and {sheets_after} after it"));
        }
        let (limit, how) = match then {
            Then::Asked => (PATIENCE, "waits for a person, then Try again works"),
            Then::Tomorrow => (PATIENCE, "comes by itself another day; Try again works"),
            Then::AfterAPause => (AFTER_A_PAUSE, "backed up by itself"),
            _ => (AFTER_A_CURE, "backed up by itself"),
        };
        let limit = if machine_is_busy() { limit.max(PATIENCE) } else { limit };
        if took > limit {
            return Err(format!("backed up {} after the cure; at most {}", seconds(took), seconds(limit)));
        }
        told.retry = match then {
            Then::Asked | Then::Tomorrow => how.into(),
            Then::AfterAPause => format!("{how} after the pause, {} after the cure", seconds(took)),
            _ => format!("{how} {} after the cure", seconds(took)),
        };
        Ok(told)
    }
}

/// In front, or behind the phone's own question, which then is what a person has to see first.
fn is_told(problem: &Problem) -> bool {
    matches!(problem.behind, None | Some(FailureId::TrustPending))
}

/// Others keep this machine so busy that its times say nothing of the product.
fn machine_is_busy() -> bool {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or_default();
    load > 2.5 * std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

/// As the table tells it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn phone_of(overview: &Overview) -> Option<&PhoneOverview> {
    overview.phones.first()
}

fn is_busy(phone: &PhoneOverview) -> bool {
    matches!(phone.activity, Activity::Running { .. } | Activity::Queued { .. })
}

fn problems(overview: &Overview) -> impl Iterator<Item = &Problem> {
    overview.problems.iter().chain(overview.phones.iter().flat_map(|phone| &phone.problems))
}

fn in_short(overview: &Overview) -> String {
    let told: Vec<String> = problems(overview)
        .map(|problem| format!("{} {}", problem.id, serde_json::to_string(&problem.evidence).unwrap_or_default()))
        .collect();
    let phone = phone_of(overview).map(|phone| (&phone.activity, phone.last_run.as_ref().map(|run| &run.failure)));
    format!("told {told:?}, {phone:?}")
}
