//! A run as its phone's actor holds it: from its place in the queue to its end.

use backstay_shared::{ids::RunId, overview::Progress};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::phone::{
    phones::Message,
    run::Ended,
    turns::{News, Turn, Waiting},
};

/// A run, from its place in the queue on.
pub(super) struct Active {
    pub(super) run: RunId,
    pub(super) stage: Stage,
}

pub(super) enum Stage {
    Queued(Waiting),
    /// It has its turn, and it is about to be said whether it begins.
    Next(Turn),
    Running(Running),
}

pub(super) struct Running {
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) ended: oneshot::Receiver<Ended>,
    pub(super) cancel: CancellationToken,
}

/// What an actor wakes for.
pub(super) enum Happened {
    Message(Option<Message>),
    /// Of its place in the queue, or of how far it is.
    News,
    Turn(RunId),
    Ended(Box<Ended>),
    Wake,
    HostAwake,
}

impl Active {
    /// What there is to hear of the run; never when there is none. May be dropped and called anew.
    pub(super) async fn next(active: &mut Option<Self>) -> Happened {
        let Some(Self { run, stage }) = active else { return std::future::pending().await };
        match stage {
            Stage::Queued(waiting) => match waiting.news().await {
                News::Place => Happened::News,
                News::Turn(turn) => {
                    *stage = Stage::Next(turn);
                    Happened::Turn(*run)
                }
            },
            // What follows from the turn is done at once.
            Stage::Next(_) => std::future::pending().await,
            Stage::Running(Running { progress, ended, .. }) => tokio::select! {
                biased;
                ended = ended => Happened::Ended(Box::new(ended.unwrap_or_else(|_| Ended::nothing(*run)))),
                Ok(()) = progress.changed() => Happened::News,
            },
        }
    }
}
