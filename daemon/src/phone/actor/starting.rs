//! Starting a run, and watching for what a failed one waits for.

use backstay_shared::{
    health::{Condition, FailureId},
    ids::RunId,
    overview::Progress,
};
use tokio::sync::{oneshot, watch};

use super::{Active, Actor};
use crate::{
    phone::{
        cure::{self, Watched},
        phones::Message,
        run::{self, Ended, Job},
        state::{Doing, Occasion},
    },
    schedule::retry,
};

impl Actor {
    pub(super) fn start(&mut self, run: RunId, full: bool, occasion: Occasion) {
        let Some(attached) = self.attached.borrow().clone() else { return };
        tracing::info!(udid = %self.udid, %run, full, ?occasion, "a backup begins");
        let (progress, watched) = watch::channel(Progress::start());
        let last_good = self.receipt.as_ref().map(|receipt| receipt.verified_at);
        let waiting = self.around.turns.wait(occasion == Occasion::Asked, last_good);
        let ticket = waiting.number();
        let (place, places) = watch::channel(Some(waiting.place()));
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
        let link = self.attached.subscribe();
        self.around.tasks.spawn(async move {
            let cancelled = |run| Ended { result: Err(FailureId::CancelledByUser.into()), ..Ended::nothing(run) };
            let mut job = job;
            let turn = tokio::select! {
                turn = waiting.turn(&place) => turn,
                () = job.cancel.cancelled() => return drop(sender.send(cancelled(run))),
            };
            place.send_replace(None);
            if turn.asked {
                job.occasion = Occasion::Asked;
            }
            // It may have been plugged in anew while it waited.
            if let Some(attached) = link.borrow().clone() {
                job.attached = attached;
            }
            let ended = run::start(job).await.unwrap_or_else(|_| Ended::nothing(run));
            drop(turn);
            // An actor that is gone has ended with the daemon; the receipt is on disk.
            drop(sender.send(ended));
        });
        self.active = Some(Active { run, progress: watched, ended, cancel, ticket, places });
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
