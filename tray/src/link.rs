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
/// A click is carried out when the daemon is back within this.
const LATE_MAX: Duration = Duration::from_secs(8);
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
        let mut late = Late::default();
        loop {
            let connected = match timeout(HELLO_MAX, Client::connect(&self.socket)).await {
                Ok(connected) => connected,
                Err(_elapsed) => Err(ClientError::Lost(None)),
            };
            match connected {
                Ok(client) => {
                    info!("connected");
                    pause = PAUSE_MIN;
                    let lost = self.follow(client, &mut late).await;
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
            if !self.wait(pause, &mut late).await {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Passes messages on until the connection is lost; `Ok` when nobody is left to ask for anything.
    async fn follow(&mut self, mut client: Client, late: &mut Late) -> Result<(), ClientError> {
        client.send(Request::TakeNotifications).await?;
        client.send(Request::Subscribe).await?;
        let mut asked: Vec<(u64, Command)> = Vec::new();
        for command in late.take() {
            self.ask(&mut client, command, &mut asked).await?;
        }
        loop {
            tokio::select! {
                message = client.message() => self.message(message?, &asked)?,
                command = self.commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    self.ask(&mut client, command, &mut asked).await?;
                }
            }
        }
    }

    async fn ask(
        &self,
        client: &mut Client,
        command: Command,
        asked: &mut Vec<(u64, Command)>,
    ) -> Result<(), ClientError> {
        let Some(request) = command.request(Local::now()) else { return Ok(()) };
        info!(%command, "asking");
        if let Command::BackUp(phone) | Command::BackUpFull(phone) = &command {
            self.tell(News::Asked(phone.clone()));
        }
        let id = client.send(request).await.inspect_err(|error| warn!(%command, %error, "lost"))?;
        asked.truncate(ASKED_MAX - 1);
        asked.insert(0, (id, command));
        Ok(())
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

    /// Waits; commands meanwhile are late. False when nobody is left to send any.
    async fn wait(&mut self, pause: Duration, late: &mut Late) -> bool {
        let end = Instant::now() + pause;
        loop {
            for command in late.too_late() {
                warn!(%command, "not carried out: the daemon is not connected");
                let text = "Nothing was done: Backstay is not running. Start it from the menu of its icon.";
                self.tell(News::Said { title: "Backstay is not running".to_owned(), text: text.to_owned() });
            }
            tokio::select! {
                () = sleep_until(end) => return true,
                command = self.commands.recv() => match command {
                    Some(command) => late.push(command),
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

/// Clicks that came while the daemon was away: one that restarts is back within moments.
#[derive(Default)]
struct Late(Vec<(Instant, Command)>);

impl Late {
    fn push(&mut self, command: Command) {
        self.0.truncate(ASKED_MAX - 1);
        self.0.push((Instant::now(), command));
    }

    /// All that are still wanted.
    fn take(&mut self) -> impl Iterator<Item = Command> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|(_, command)| command)
    }

    /// Those that nobody expects to be carried out any more.
    fn too_late(&mut self) -> impl Iterator<Item = Command> + use<> {
        let now = Instant::now();
        let is_late = |(came, _): &mut (Instant, Command)| now.duration_since(*came) > LATE_MAX;
        self.0.extract_if(.., is_late).map(|(_, command)| command).collect::<Vec<_>>().into_iter()
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
        Command::FreeSpace(_) => Some(("There is room on the backup disk", "The backup goes on by itself.")),
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
        Refusal::Unnamed { .. } => "no phone named",
        Refusal::Failure(failure) => failure.id.slug(),
        Refusal::NoSuchProblem { .. } => "no such problem",
        Refusal::NothingRunning => "nothing running",
        Refusal::TurnedOff => "turned off",
        Refusal::NotFullUnderWay => "one that is not full is under way",
        Refusal::UnknownRequest => "unknown request",
        Refusal::Unknown => "unknown",
    }
}
