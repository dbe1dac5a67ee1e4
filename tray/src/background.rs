//! What runs beside the platform's event loop: the link to the daemon and the notifications, on a thread with tokio.

use std::{io, time::Duration};

use backstay_shared::desktop::{command::Command, notifications, view::View};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::warn;

use crate::{Places, errands::Errands, link::Link};

/// More clicks than a person makes while the daemon is slow.
const COMMANDS_MAX: usize = 32;
const NEWS_MAX: usize = 64;
/// How long the end waits for notifications to be withdrawn.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Something for the event loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is a new [`Background::view`].
    ViewChanged,
    /// A menu entry with this id was clicked.
    Clicked(String),
    /// The desktop session's bus is gone, and the tray icon with it.
    #[cfg(target_os = "linux")]
    BusLost,
}

/// The running background.
pub(crate) struct Background {
    runtime: Runtime,
    views: watch::Receiver<View>,
    commands: mpsc::Sender<Command>,
    quit: oneshot::Sender<()>,
    notifications: JoinHandle<()>,
}

impl Background {
    /// Starts it. Events may be dropped by `emit` when many are waiting: any event makes the loop look at the view.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(places: Places, emit: impl Fn(Event) + Clone + Send + Sync + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("background")
            .enable_all()
            .build()?;
        let (view_sender, views) = watch::channel(View::default());
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (news, news_receiver) = mpsc::channel(NEWS_MAX);
        let (quit, quit_receiver) = oneshot::channel();
        let (requests, request_receiver) = mpsc::channel(COMMANDS_MAX);
        let socket = places.socket.clone();
        let link = Link { socket, views: view_sender, commands: request_receiver, news: news.clone() };
        runtime.spawn(link.run());
        runtime.spawn(carry_out(command_receiver, requests, Errands { places, news }, views.clone()));
        #[cfg(target_os = "linux")]
        {
            let emit = emit.clone();
            runtime.spawn(crate::bus::run(move || emit(Event::BusLost)));
        }
        let notifications = runtime.spawn(notifications::run(
            views.clone(),
            news_receiver,
            commands.clone(),
            quit_receiver,
            Duration::ZERO,
        ));
        let mut changes = views.clone();
        runtime.spawn(async move {
            while changes.changed().await.is_ok() {
                emit(Event::ViewChanged);
            }
        });
        Ok(Self { runtime, views, commands, quit, notifications })
    }

    /// What the daemon said last.
    pub(crate) fn view(&self) -> View {
        self.views.borrow().clone()
    }

    /// Passes a click on. Never waits.
    pub(crate) fn send(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            warn!(%error, "the click was not carried out");
        }
    }

    /// Withdraws the notifications, whose buttons would do nothing, and ends.
    pub(crate) fn stop(self) {
        if self.quit.send(()).is_ok() {
            let farewell = self.runtime.block_on(async { timeout(FAREWELL_MAX, self.notifications).await });
            if farewell.is_err() {
                warn!("the end was not waited for");
            }
        }
        self.runtime.shutdown_background();
    }
}

/// Hands each click to whoever carries it out.
async fn carry_out(
    mut commands: mpsc::Receiver<Command>,
    requests: mpsc::Sender<Command>,
    errands: Errands,
    views: watch::Receiver<View>,
) {
    while let Some(command) = commands.recv().await {
        if command.request(chrono::Local::now()).is_none() {
            let view = views.borrow().clone();
            tokio::spawn(errands.clone().run(command, view));
        } else if let Err(error) = requests.try_send(command) {
            warn!(%error, "the click was not carried out");
        }
    }
}
