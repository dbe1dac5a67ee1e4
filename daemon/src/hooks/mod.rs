//! Tells others than the person at the screen: programs and web services, for computers that nobody looks at.
//!
//! [`events`] says what happened, purely; one event after the other is then passed on. Nothing here can hold up or hurt
//! a backup: what hangs is ended, what fails is logged.

mod command;
pub mod events;
mod messages;
mod outside;
mod told;

use std::{path::Path, sync::Arc, time::Duration};

use backstay_shared::{
    config::{HookCommand, Hooks, WebAddress},
    overview::{Overview, Problem},
};
use chrono::Utc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::{
    events::{Event, What},
    messages::Message,
    told::Told,
};
use crate::{
    host::web::{self, WebError},
    ipc::board::Board,
};

/// A program is killed after this.
const COMMAND_SECONDS_MAX: Duration = Duration::from_secs(60);

/// Events that wait; with hanging programs older ones are worth more than newer ones, which come again.
const QUEUE_LENGTH: usize = 64;

/// The pauses before a message is tried once more; a network may need a moment after the computer woke.
const RETRY_PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Follows the board until `shutdown`. What was told is kept in `state_folder`.
pub fn run(
    hooks: &Hooks,
    board: &Board,
    state_folder: &Path,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
    // From this call on, not from the first poll: nothing that begins afterwards is missed.
    let following = follow(board.clone(), sender);
    let telling = tell(hooks.clone(), Told::read(&state_folder.join("hooks.json")), receiver);
    let idle = hooks.are_none();
    async move {
        if !idle {
            shutdown.run_until_cancelled(async { tokio::join!(following, telling) }).await;
        }
    }
}

fn follow(board: Board, events: mpsc::Sender<Event>) -> impl Future<Output = ()> {
    let began = Utc::now();
    let mut shown = board.subscribe();
    let mut before = Arc::new(Overview::default());
    async move {
        loop {
            let now = shown.borrow_and_update().overview.clone();
            for event in events::between(&before, &now, began) {
                let what = event.what.clone();
                if events.try_send(event).is_err() {
                    tracing::warn!(?what, "hooks are too slow; one was left out");
                }
            }
            before = now;
            if shown.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn tell(hooks: Hooks, mut told: Told, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        let udid = &event.phone.udid;
        let is_news = match &event.what {
            What::Failed(problem) | What::Overdue(problem) => told.is_news(udid, problem.id, Utc::now()),
            What::Cured => {
                told.cured(udid);
                false
            }
            What::Started | What::Succeeded | What::PasscodeNeeded(_) => true,
        };
        let to = |service: &Option<WebAddress>, message: fn(&str, &Event) -> Option<Message>| {
            let service = service.as_ref()?;
            Some((service.host(), message(service.as_str(), &event)?))
        };
        let ping = to(&hooks.healthchecks, messages::healthchecks);
        let notification = to(&hooks.ntfy, messages::ntfy).filter(|_| is_news);
        let program = program(&hooks, &event.what).filter(|_| is_news);
        tokio::join!(execute(program, &event), deliver(ping), deliver(notification));
    }
}

fn program<'a>(hooks: &'a Hooks, what: &What) -> Option<&'a HookCommand> {
    match what {
        What::Started => hooks.on_start.as_ref(),
        What::Succeeded => hooks.on_success.as_ref(),
        What::Failed(_) => hooks.on_failure.as_ref(),
        What::Overdue(_) => hooks.on_overdue.as_ref(),
        What::PasscodeNeeded(_) | What::Cured => None,
    }
}

async fn execute(program: Option<&HookCommand>, event: &Event) {
    let Some(command) = program else { return };
    let outcome = command::run(command, command::environment(event), COMMAND_SECONDS_MAX).await;
    let command::Outcome { success, end, output } = outcome;
    if success {
        tracing::info!(program = %command.program, ?output, "a hook's program ran");
    } else {
        tracing::warn!(program = %command.program, %end, ?output, "a hook's program failed");
    }
}

async fn deliver(message: Option<(String, Message)>) {
    let Some((host, message)) = message else { return };
    let mut pauses = RETRY_PAUSES.into_iter();
    loop {
        let Message { address, headers, body } = message.clone();
        let error = match web::post(&address, headers, body).await {
            Ok(_) => return tracing::debug!(%host, "told"),
            Err(error) => error,
        };
        match pauses.next().filter(|_| may_pass(&error)) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return tracing::warn!(%host, %error, "a hook's message was not delivered"),
        }
    }
}

/// A server that says no to the message says so again.
fn may_pass(error: &WebError) -> bool {
    error.status().is_none_or(|status| status >= 500 || status == 408 || status == 429)
}

/// What to do, one numbered step a line.
fn steps(problem: &Problem) -> String {
    let numbered = problem.steps.iter().enumerate().map(|(index, step)| format!("{}. {step}", index + 1));
    numbered.collect::<Vec<String>>().join("\n")
}
