//! Keeps the computer awake while the bytes of a run move: from the first one to the end of the commit, and not while
//! the phone waits for its passcode or looks for what changed.

use std::thread;

use backstay_shared::overview::{Phase, Progress};
use tokio::sync::watch;

use crate::host::sleep::Block;

const fn moves_bytes(phase: Phase) -> bool {
    matches!(phase, Phase::SendingList | Phase::Transferring | Phase::Verifying | Phase::Committing)
}

/// Follows a run to its end, on a thread of its own: the run's is busy with the check and the disk, and where a thread
/// keeps the computer awake it has to be the same one all the time. A computer that can't be kept awake is no reason
/// not to back up.
pub fn keep_awake(progress: watch::Receiver<Progress>, why: &'static str) {
    let body = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(follow(progress, why)),
        Err(error) => tracing::debug!(%error, "the computer is not kept awake"),
    };
    if let Err(error) = thread::Builder::new().name("awake".into()).spawn(body) {
        tracing::debug!(%error, "the computer is not kept awake");
    }
}

async fn follow(mut progress: watch::Receiver<Progress>, why: &str) {
    loop {
        // Ends with the run.
        if progress.wait_for(|progress| moves_bytes(progress.phase)).await.is_err() {
            return;
        }
        let block = tokio::select! {
            block = Block::take(why) => block,
            ended = progress.wait_for(|progress| !moves_bytes(progress.phase)) => match ended {
                Ok(_) => continue,
                Err(_) => return,
            },
        };
        if let Err(error) = &block {
            tracing::debug!(%error, "the computer is not kept awake");
        }
        let goes_on = progress.wait_for(|progress| !moves_bytes(progress.phase)).await.is_ok();
        drop(block);
        if !goes_on {
            return;
        }
    }
}
