//! The connection to the daemon: follows its overviews, carries commands, reconnects for ever.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{
    client::{Client, ClientError},
    ids::Udid,
    protocol::{Refusal, Reply, Request, ServerMessage},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use crate::{command::Command, notifications::News, view::View};

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
        client.send(Request::Subscribe).await?;
        let mut asked: Vec<(u64, Udid)> = Vec::new();
        loop {
            tokio::select! {
                message = client.message() => self.message(message?, &asked)?,
                command = self.commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    let Some((phone, request)) = request(&command) else { continue };
                    info!(%command, "asking");
                    if matches!(command, Command::BackUp(_)) {
                        self.tell(News::Asked(phone.clone()));
                    }
                    let id = client.send(request).await.inspect_err(|error| warn!(%command, %error, "lost"))?;
                    asked.truncate(ASKED_MAX - 1);
                    asked.insert(0, (id, phone));
                }
            }
        }
    }

    fn message(&self, message: ServerMessage, asked: &[(u64, Udid)]) -> Result<(), ClientError> {
        match message {
            ServerMessage::Overview { overview, .. } => self.show(View::Connected(overview)),
            ServerMessage::Reply { reply: Reply::Overview { overview, .. }, .. } => {
                self.show(View::Connected(*overview));
            }
            ServerMessage::Reply { id, reply: Reply::Refused(refusal) } => {
                warn!(reason = reason(&refusal), "refused");
                let phone = asked.iter().find(|(asked_id, _)| *asked_id == id).map(|(_, phone)| phone.clone());
                // "Nothing is running" answers a click on Cancel that came as the backup ended: as it was wanted.
                if let (Some(phone), false) = (phone, refusal == Refusal::NothingRunning) {
                    self.tell(News::Refused(phone, refusal));
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

fn request(command: &Command) -> Option<(Udid, Request)> {
    match command {
        Command::BackUp(udid) => Some((udid.clone(), Request::BackUp { phone: Some(udid.to_string()), full: false })),
        Command::Cancel(udid) => Some((udid.clone(), Request::Cancel { phone: Some(udid.to_string()) })),
        Command::Explain(..) | Command::Quit => None,
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
        Refusal::UnknownRequest => "unknown request",
    }
}
