//! The daemon put together: who is here, one actor a phone, the socket, and an orderly end.

use std::{io, path::Path, sync::Arc, time::Duration};

use backstay_shared::{
    health::FailureId,
    overview::{EndedRun, NotificationWishes, Overview, Pause, Setup},
    paths::make_own_folder,
};
use chrono::{DateTime, Local, TimeDelta, Utc};
use interprocess::local_socket::tokio::Listener;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    health::{computer::Computer, snoozes::Snoozes},
    hooks,
    host::{
        clock::ClockWatch,
        lock::{LockError, LockFile},
        sleep,
    },
    ipc::{
        board::Board,
        server::{self, Server},
        takers::Takers,
    },
    metrics,
    notifier::Notifier,
    pause,
    phone::{
        link::Muxer,
        phones::{Phones, Surroundings},
        scrubber,
        turns::Turns,
    },
    presence::{
        bonjour,
        roster::Roster,
        usbmuxd::{self, Sighting},
    },
    service,
    settings::{Settings, Source},
    vault::roots::KnownRoots,
    watch,
};

/// Phones that are told within this time of usbmuxd's coming up were there before.
const LIST_SECONDS_MAX: Duration = Duration::from_secs(1);

/// Begun anew, the daemon knows within this what is still wrong.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// A backup that was broken off longer ago says nothing of why the daemon starts now.
const BROKEN_OFF_LATELY: TimeDelta = TimeDelta::days(1);

/// A run that commits is waited for this long at the end.
const SHUTDOWN_SECONDS_MAX: Duration = Duration::from_secs(20);

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// There is one already.
    #[error("the Backstay daemon is already running, as process {holder}")]
    AlreadyRunning {
        /// Its process id.
        holder: String,
    },
    /// Its socket can't be made.
    #[error("{}: {source}", path.display())]
    Socket {
        /// The socket or its folder.
        path: std::path::PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Runs until it is told to end; with other settings it begins anew between two backups.
///
/// # Errors
/// When it can't begin.
pub async fn run(source: Source, known_roots: KnownRoots, muxer: Muxer) -> Result<(), DaemonError> {
    let paths = &source.paths;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| DaemonError::Socket { path, source }
    };
    make_own_folder(&paths.runtime_dir).map_err(failed(&paths.runtime_dir))?;
    let _lock = match LockFile::take(&paths.lock_file()) {
        Ok(lock) => lock,
        Err(LockError::Held { holder }) => return Err(DaemonError::AlreadyRunning { holder }),
        Err(LockError::Io(error)) => return Err(failed(&paths.lock_file())(error)),
    };
    let the_end = wait_for_the_end();
    tokio::pin!(the_end);
    let paused = tokio::sync::watch::Sender::new(pause::kept(&paths.log_dir));
    let keeping = pause::keep(&paths.log_dir, paused.subscribe());
    tokio::pin!(keeping);
    let socket = paths.socket();
    let notifier = Notifier::start(paths.runtime_dir.clone());
    let mut settings = source.read();
    // Who has just logged in is near, too. Later a list of phones that are here says nothing of anybody's presence.
    let mut just_started = true;
    loop {
        let wifi = settings.config.network.wifi;
        muxer.use_wifi(wifi);
        let listener = server::bind(&socket).map_err(failed(&socket))?;
        let world = World::begin(&settings, &source, &known_roots, &muxer, paused.clone());
        // A computer that starts anew in the middle of a backup does it by itself, maybe at night.
        let overview = world.board.shown().overview;
        let last_runs = overview.phones.iter().filter_map(|phone| phone.last_run.as_ref());
        just_started &= !{ last_runs }.any(|run| was_broken_off(run, Utc::now()));
        notifier.follow(world.serve(listener, notifier.takers(), source.clone()));
        let (phones, wakes) = (world.phones.clone(), world.clock.wakes());
        let present =
            follow_presence(muxer.clone(), phones, world.board.clone(), wakes, Occasion { just_started, wifi });
        let changed = tokio::select! {
            () = &mut the_end => None,
            // Ends with the last who could pause.
            () = &mut keeping => None,
            () = present => None,
            changed = source.changed(&settings, &world.board, world.phones.turns()) => Some(changed),
            never = service::follow(&world.board, &socket) => match never {},
        };
        match changed {
            Some(changed) => {
                world.end().await;
                tracing::info!("the settings have changed");
                // Who agrees to backups is near, too.
                just_started = settings.setup_needed && !changed.setup_needed;
                settings = changed;
            }
            None => {
                service::ends();
                tokio::join!(world.end(), notifier.end());
                tracing::info!("the daemon ends");
                return Ok(());
            }
        }
    }
}

/// Everything that runs under one set of settings.
struct World {
    board: Board,
    phones: Phones,
    clock: ClockWatch,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    fn begin(
        settings: &Settings,
        source: &Source,
        known_roots: &KnownRoots,
        muxer: &Muxer,
        paused: tokio::sync::watch::Sender<Option<Pause>>,
    ) -> Self {
        let (config, root) = (&settings.config, &settings.root);
        let state_folder = &source.paths.log_dir;
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let overview = Overview {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            root: root.display().to_string(),
            config_file: source.paths.config_file.display().to_string(),
            notifications: NotificationWishes {
                quiet: config.notify.is_quiet(Utc::now(), &Local),
                success: config.notify.success,
            },
            paused: *paused.borrow(),
            settling: true,
            setup: if settings.setup_needed { Setup::Needed } else { Setup::Done },
            ..Overview::default()
        };
        let board = Board::new(overview, Snoozes::kept(state_folder));
        if let Some(mistake) = &settings.mistake {
            board.raise(mistake);
        }
        // Before the first phone is heard of, so that nothing is missed.
        tasks.spawn(hooks::run(&config.hooks, &board, state_folder, shutdown.clone()));
        tasks.spawn(metrics::run(&config.metrics, &board, shutdown.clone()));
        let (apple, watching) = watch::start(&config.watch, state_folder, shutdown.clone());
        tasks.spawn(watching);
        let clock = ClockWatch::default();
        let phones = Phones::new(Surroundings {
            muxer: muxer.clone(),
            config: Arc::new(config.clone()),
            root: root.clone(),
            known_roots: known_roots.clone(),
            board: board.clone(),
            turns: Turns::default(),
            paused,
            held: match settings.setup_needed {
                true => Some(FailureId::SetupNeeded.into()),
                false => settings.mistake.clone().filter(|_| settings.held),
            },
            apple,
            clock: clock.clone(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        });
        phones.remember_all();
        tasks.spawn(scrubber::run(phones.clone(), root.clone(), config.backup.check_days, shutdown.clone()));
        let wakes = sleep::tell_wakes(clock.clone());
        let computer = Computer {
            board: board.clone(),
            phones: phones.clone(),
            root: root.clone(),
            known_roots: known_roots.clone(),
            clock: clock.clone(),
            notify: config.notify.clone(),
        };
        let beside = {
            let (board, shutdown, phones) = (board.clone(), shutdown.clone(), phones.clone());
            async move {
                let settle = async {
                    tokio::time::sleep(SETTLES_WITHIN).await;
                    board.settled();
                };
                let quiet = computer.clone().keep_quiet_hours();
                let (looks, fresh, pauses) = (computer.watch(), board.keep_fresh(), phones.end_pauses());
                let watching = async { tokio::join!(looks, quiet, fresh, pauses, settle, wakes) };
                shutdown.run_until_cancelled(watching).await
            }
        };
        tasks.spawn(beside);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), root = %root.display(), "the daemon runs");
        Self { board, phones, clock, shutdown, tasks }
    }

    fn serve(&self, listener: Listener, takers: Takers, source: Source) -> Server {
        let (board, phones, shutdown) = (self.board.clone(), self.phones.clone(), self.shutdown.clone());
        let server = Server { board, phones, takers, source, shutdown };
        self.tasks.spawn(server.clone().serve(listener));
        server
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_SECONDS_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!("something did not end in time; the next start tidies up");
        }
    }
}

/// A backup that was begun not long ago did not end: whoever starts the daemon now is maybe no person who has just logged in.
fn was_broken_off(run: &EndedRun, now: DateTime<Utc>) -> bool {
    let incomplete = run.failure.as_ref().is_some_and(|failure| failure.id == FailureId::BackupIncomplete);
    incomplete && now - run.at < BROKEN_OFF_LATELY
}

/// How presence is followed this time.
#[derive(Clone, Copy)]
struct Occasion {
    just_started: bool,
    wifi: bool,
}

async fn follow_presence(
    muxer: Muxer,
    phones: Phones,
    board: Board,
    wakes: tokio::sync::watch::Receiver<u64>,
    occasion: Occasion,
) {
    let (sender, mut sightings) = mpsc::channel(64);
    let muxer_place = muxer.clone();
    let watching = async {
        let over_wifi = async {
            if occasion.wifi {
                bonjour::watch(muxer.clone(), sender.clone(), wakes).await;
            }
        };
        tokio::join!(usbmuxd::watch(muxer.clone(), sender.clone()), over_wifi);
    };
    tokio::pin!(watching);
    let mut roster = Roster::default();
    let mut told = Vec::new();
    let mut first_list = occasion.just_started;
    let mut listing_until: Option<tokio::time::Instant> = None;
    loop {
        let sighting = tokio::select! {
            () = &mut watching => return,
            sighting = sightings.recv() => sighting,
        };
        let Some(sighting) = sighting else { return };
        match &sighting {
            Sighting::ServiceUp => {
                told.drain(..).for_each(|id| board.clear(id));
                let already = !std::mem::take(&mut first_list);
                listing_until = already.then(|| tokio::time::Instant::now() + LIST_SECONDS_MAX);
            }
            Sighting::ServiceDown(failure) if muxer_place.is_not_wanted(failure) => {
                told.drain(..).for_each(|id| board.clear(id));
            }
            // A restart of usbmuxd is over before anybody needs to know: the catalogue gives it a moment of grace.
            Sighting::ServiceDown(failure) => {
                told.push(failure.id);
                board.raise(failure);
            }
            Sighting::NotReached(udid, failure) => phones.not_reached(udid, failure.clone()).await,
            Sighting::Attached(_) | Sighting::Detached(_) => {}
        }
        for change in roster.apply(&sighting) {
            let just_came = listing_until.is_none_or(|until| tokio::time::Instant::now() > until);
            phones.presence(&change.udid, change.attached, just_came).await;
        }
    }
}

/// Told to end. The signals are taken from this call on, not from the first wait: a daemon that can be reached can be
/// ended in good order.
fn wait_for_the_end() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    async move {
        #[cfg(unix)]
        if let Ok(mut terminate) = terminate {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
            }
        }
        // Without signals there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use backstay_shared::{health::Failure, ids::RunId, overview::Problem};

    use super::*;

    #[test]
    fn a_backup_that_was_broken_off_lately_brings_nobody_to_the_phones() {
        let now = Utc::now();
        for (failure, days_ago, expected) in [
            (Some(FailureId::BackupIncomplete), 0, true),
            (Some(FailureId::BackupIncomplete), 2, false),
            (Some(FailureId::SessionLost), 0, false),
            (None, 0, false),
        ] {
            let failure = failure.map(|id| Problem::new(&Failure::from(id), now));
            let at = now - TimeDelta::days(days_ago);
            let run = EndedRun { run: RunId(1), at, files_received: 0, bytes_received: 0, failure };
            assert_eq!(was_broken_off(&run, now), expected, "{run:?}");
        }
    }
}
