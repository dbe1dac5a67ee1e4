//! Every cause is told once, with the cure, and is followed by a backup when it is gone.

mod cured;
mod dead_links;
mod disks;
mod overdue;
mod requests;
mod schedule;
mod settings;
mod two_at_once;

use std::time::{Duration, Instant};

use backstay_shared::{
    client::Client,
    health::{FailureId, Severity},
    overview::{Activity, Overview, PhoneOverview, Problem},
    protocol::{Reply, Request},
};
use backstay_tests::{
    phone::Event,
    world::{Daemon, PATIENCE, World},
};
use tokio::{sync::broadcast, time::timeout};

/// A cause that is gone is followed by its backup within this time.
const CURED_WITHIN: Duration = Duration::from_secs(10);

fn has(phone: &PhoneOverview, id: FailureId) -> Option<Problem> {
    phone.problems.iter().find(|problem| problem.id == id).cloned()
}

fn computer_has(overview: &Overview, id: FailureId) -> Option<Problem> {
    overview.problems.iter().find(|problem| problem.id == id).cloned()
}

/// The last run was a success, and nothing is wrong.
fn backed_up(phone: &PhoneOverview) -> Option<()> {
    let succeeded = phone.last_run.as_ref().is_some_and(|run| run.failure.is_none());
    // A small disk is nearly full also when all is well.
    let is_wrong = |problem: &Problem| problem.severity > Severity::Info && problem.id != FailureId::HostDiskLow;
    (succeeded && phone.activity == Activity::Idle && !phone.problems.iter().any(is_wrong)).then_some(())
}

/// It failed for this reason and waits for its end.
async fn fails(daemon: &Daemon, id: FailureId) -> Problem {
    daemon
        .phone_shows(id.slug(), |phone| {
            let failed = phone.last_run.as_ref()?.failure.as_ref()?.id == id;
            let at_work = matches!(phone.activity, Activity::Running { .. } | Activity::Queued { .. });
            has(phone, id).filter(|_| failed && !at_work)
        })
        .await
}

async fn happens(events: &mut broadcast::Receiver<Event>, wanted: &Event) {
    let waiting = async { while events.recv().await.unwrap() != *wanted {} };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {wanted:?}"));
}

/// How many backups the phone was asked for since the last look.
fn backups_asked_for(events: &mut broadcast::Receiver<Event>) -> usize {
    std::iter::from_fn(|| events.try_recv().ok()).filter(|event| *event == Event::BackupRequested).count()
}

/// Takes the cause away: the next backup begins by itself soon, and succeeds.
async fn cured(world: &World, daemon: &Daemon, what: &str, cure: impl AsyncFnOnce()) {
    let mut events = world.phone.events();
    cure().await;
    let began = Instant::now();
    happens(&mut events, &Event::BackupRequested).await;
    let took = began.elapsed();
    println!("{what}: the backup began {:.1} s after the cure", took.as_secs_f64());
    daemon.phone_shows("the backup is done", backed_up).await;
    assert!(took <= CURED_WITHIN, "{what}: began {took:?} after the cure");
}

/// What a click in the tray or a command asks for.
async fn ask(world: &World, request: Request) -> Reply {
    Client::connect(&world.socket()).await.unwrap().request(request).await.unwrap()
}

/// The phone goes away and comes back, so that a start that must not be would have been made.
async fn comes_again(world: &World, daemon: &Daemon) {
    world.phone.unplug();
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    world.phone.plug_in();
    daemon.phone_shows("it is here", |phone| (phone.activity != Activity::Away).then_some(())).await;
}
