//! The connection to the daemon: follows its overviews, carries commands, reconnects for ever.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{
    client::{Client, ClientError},
    desktop::{
        command::{Command, Subject},
        notifications::News,
        view::View,
    },
    protocol::{Refusal, Reply, Request, ServerMessage},
};
use chrono::Local;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A daemon that takes the connection and says nothing for so long is none.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// More answers than a person can owe by clicking.
const ASKED_MAX: usize = 32;

/// Both ends that the link joins.
pub(crate) struct Link {
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// Where the latest view goes.
    pub(crate) views: watch::Sender<View>,
    /// Where clicks come from.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Where refusals go, and which phones a person asked for.
    pub(crate) news: mpsc::Sender<News>,
}

impl Link {
    /// Runs for ever; ends only when nobody is left who could send a command.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE_MIN;
        loop {
            let connected = match timeout(HELLO_MAX, Client::connect(&self.socket)).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(ClientError::Lost(None)),
            };
            match connected {
                Ok(client) => {
                    info!("connected");
                    pause = PAUSE_MIN;
                    let lost = self.follow(client).await;
                    let Err(error) = lost else { return };
                    info!(%error, "disconnected");
                    self.show(View::Connecting);
                }
                Err(error) => {
                    debug!(%error, "not connected");
                    self.show(match error {
                        ClientError::OtherProtocol { version } => View::OtherVersion(version),
                        ClientError::NotRunning(_) | ClientError::Lost(_) => View::NotRunning,
                    });
                }
            }
            if !self.wait(pause).await {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Passes messages on until the connection is lost; `Ok` when nobody is left to ask for anything.
    async fn follow(&mut self, mut client: Client) -> Result<(), ClientError> {
        client.send(Request::TakeNotifications).await?;
        client.send(Request::Subscribe).await?;
        let mut asked: Vec<(u64, Command)> = Vec::new();
        loop {
            tokio::select! {
                message = client.message() => self.message(message?, &asked)?,
                command = self.commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    let Some(request) = command.request(Local::now()) else { continue };
                    info!(%command, "asking");
                    if let Command::BackUp(phone) | Command::BackUpFull(phone) = &command {
                        self.tell(News::Asked(phone.clone()));
                    }
                    let id = client.send(request).await.inspect_err(|error| warn!(%command, %error, "lost"))?;
                    asked.truncate(ASKED_MAX - 1);
                    asked.insert(0, (id, command));
                }
            }
        }
    }

    fn message(&self, message: ServerMessage, asked: &[(u64, Command)]) -> Result<(), ClientError> {
        match message {
            ServerMessage::Overview { overview, .. } => self.show(View::Connected(overview)),
            ServerMessage::Reply { reply: Reply::Overview { overview, .. }, .. } => {
                self.show(View::Connected(*overview));
            }
            ServerMessage::Reply { id, reply: Reply::Refused(refusal) } => {
                warn!(reason = reason(&refusal), "refused");
                // "Nothing is running" answers a click on Cancel that came as the backup ended: as it was wanted.
                if let (Some(command), false) = (of(id, asked), refusal == Refusal::NothingRunning) {
                    let subject = command.phone().map_or(Subject::Computer, |phone| Subject::Phone(phone.clone()));
                    self.tell(News::Refused(subject, refusal));
                }
            }
            ServerMessage::Reply { id, reply: Reply::Done } => {
                if let Some((title, text)) = of(id, asked).and_then(outcome) {
                    self.tell(News::Said { title: title.to_owned(), text: text.to_owned() });
                }
            }
            ServerMessage::Goodbye => return Err(ClientError::Lost(None)),
            ServerMessage::Hello { .. } | ServerMessage::Reply { .. } | ServerMessage::Unknown => {}
        }
        Ok(())
    }

    /// Waits; commands meanwhile cannot be carried out, which the log says. False when nobody is left to send any.
    async fn wait(&mut self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(end) => return true,
                command = self.commands.recv() => match command {
                    Some(command) => warn!(%command, "not carried out: the daemon is not connected"),
                    None => return false,
                }
            }
        }
    }

    fn show(&self, view: View) {
        self.views.send_if_modified(|shown| {
            let differs = *shown != view;
            if differs {
                *shown = view;
            }
            differs
        });
    }

    /// Never waits: a hanging notification service must not hold up the menu.
    fn tell(&self, news: News) {
        if let Err(error) = self.news.try_send(news) {
            warn!(%error, "not told");
        }
    }
}

fn of(id: u64, asked: &[(u64, Command)]) -> Option<&Command> {
    asked.iter().find(|(asked_id, _)| *asked_id == id).map(|(_, command)| command)
}

/// What is said when something was done that is not to be seen otherwise.
fn outcome(command: &Command) -> Option<(&'static str, &'static str)> {
    match command {
        Command::RestartPhone(_) => {
            Some(("The iPhone restarts", "Unlock it once afterwards; the backup then goes on by itself."))
        }
        Command::SetUp => Some(("Backups are set up", "The iPhone is backed up as soon as it is unlocked.")),
        Command::FreeSpace(_) => Some(("The oldest snapshots are removed", "The backup goes on by itself.")),
        Command::CopyPhotos(_) => {
            Some(("The photos are being saved", "They come beside the backups. Leave the iPhone connected."))
        }
        _ => None,
    }
}

/// For the log, which never names a phone.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoSuchPhone { .. } => "no such phone",
        Refusal::Ambiguous { .. } => "ambiguous",
        Refusal::Failure(failure) => failure.id.slug(),
        Refusal::NoSuchProblem { .. } => "no such problem",
        Refusal::NothingRunning => "nothing running",
        Refusal::TurnedOff => "turned off",
        Refusal::UnknownRequest => "unknown request",
    }
}
