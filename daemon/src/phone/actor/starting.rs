//! Starting a run, and watching for what a failed one waits for.

use backstay_shared::{
    health::{Condition, FailureId},
    ids::RunId,
    overview::Progress,
};
use tokio::sync::{oneshot, watch};

use super::{Active, Actor, Running, Stage};
use crate::{
    phone::{
        cure::{self, Watched},
        phones::Message,
        run::{self, Ended, Job},
        state::{Doing, Occasion},
    },
    schedule::retry,
    vault::{layout::Layout, ledger::Ledger},
};

impl Actor {
    /// Takes a place in the queue.
    pub(super) fn queue(&mut self, run: RunId, asked: bool) {
        let last_good = self.receipt.as_ref().map(|receipt| receipt.verified_at);
        self.active = Some(Active { run, stage: Stage::Queued(self.around.turns.wait(asked, last_good)) });
    }

    /// Begins the run that has its turn.
    pub(super) fn start(&mut self, run: RunId, full: bool, occasion: Occasion) {
        let attached = self.attached.borrow().clone();
        let (Some(attached), Some(Active { stage: Stage::Next(mut turn), .. })) = (attached, self.active.take()) else {
            return;
        };
        tracing::info!(udid = %self.udid, %run, full, ?occasion, "a backup begins");
        let (progress, watched) = watch::channel(Progress::start());
        let (sender, ended) = oneshot::channel();
        let cancel = self.around.shutdown.child_token();
        let job = Job {
            run,
            muxer: self.around.muxer.clone(),
            attached,
            root: self.around.root.clone(),
            known_roots: self.around.known_roots.clone(),
            settings: self.backup.clone(),
            occasion,
            full,
            password: None,
            progress,
            cancel: cancel.clone(),
            shutdown: self.around.shutdown.clone(),
        };
        let followed = watched.clone();
        self.around.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = run::start(job) => ended.unwrap_or_else(|_| Ended::nothing(run)),
                never = turn.follow(followed) => match never {},
            };
            drop(turn);
            // An actor that is gone has ended with the daemon; the receipt is on disk.
            drop(sender.send(ended));
        });
        let running = Running { progress: watched, ended, cancel };
        self.active = Some(Active { run, stage: Stage::Running(running) });
    }

    /// How far the run is, once it has begun.
    pub(super) fn progress(&self) -> Option<Progress> {
        match self.active.as_ref().map(|active| &active.stage) {
            Some(Stage::Running(running)) => Some(running.progress.borrow().clone()),
            _ => None,
        }
    }

    /// How this run stands, if it is this phone's.
    pub(super) fn stage(&self, run: RunId) -> Option<&Stage> {
        self.active.as_ref().filter(|active| active.run == run).map(|active| &active.stage)
    }

    /// A person wants this run to end. What waits for its turn ends at once.
    pub(super) fn cancel(&mut self, run: RunId) {
        match self.stage(run) {
            Some(Stage::Running(running)) => running.cancel.cancel(),
            Some(_) => {
                let cancelled = Ended { result: Err(FailureId::CancelledByUser.into()), ..Ended::nothing(run) };
                self.note(&cancelled);
                self.ended(cancelled);
            }
            None => {}
        }
    }

    /// So that a new beginning of the daemon knows of it, too. Runs that began have noted it themselves.
    fn note(&self, ended: &Ended) {
        let (layout, told) = (Layout::new(&self.around.root, &self.udid), ended.told());
        self.around.tasks.spawn_blocking(move || {
            // Before the first backup, or with the drive away, there is nothing to write into.
            if !layout.ledger().exists() {
                return;
            }
            if let Err(error) = Ledger::open(&layout).and_then(|mut ledger| ledger.note_run(&told)) {
                tracing::warn!(%error, "a cancelled run can't be noted");
            }
        });
    }

    /// Watches for what is waited for now, and for nothing else.
    pub(super) fn watch_for_the_cure(&mut self) {
        let wanted = match self.state.doing {
            Doing::WaitFor(condition) if self.can_be_watched(condition) => Some(condition),
            _ => None,
        };
        if self.cure.as_ref().map(|(condition, _)| *condition) == wanted {
            return;
        }
        if let Some((_, watching)) = self.cure.take() {
            watching.cancel();
        }
        let Some(condition) = wanted else { return };
        let failed = self.last_run.as_ref().and_then(|ended| ended.failure.as_ref());
        let settings = &self.backup;
        let watched = Watched {
            condition,
            failure: failed.map_or(FailureId::UnknownError, |problem| problem.id),
            evidence: failed.map(|problem| problem.evidence.clone()).unwrap_or_default(),
            vitals: self.vitals.clone(),
            muxer: self.around.muxer.clone(),
            attached: self.attached.subscribe(),
            root: self.around.root.clone(),
            known_roots: self.around.known_roots.clone(),
            battery_percent_min: (!settings.only_when_charging).then_some(settings.battery_percent_min.0),
        };
        let cancel = self.around.shutdown.child_token();
        self.cure = Some((condition, cancel.clone()));
        let own = self.own.clone();
        self.around.tasks.spawn(async move {
            if cancel.run_until_cancelled(cure::holds(watched)).await.is_some() {
                // The actor ends only with the daemon.
                drop(own.send(Message::Cured(condition)).await);
            }
        });
    }

    /// A phone that is away can be asked nothing; its coming back is told.
    fn can_be_watched(&self, condition: Condition) -> bool {
        retry::is_watched(condition) && self.state.present
    }
}
