//! What runs beside the platform's event loop: the link to the daemon and the notifications, on a thread with tokio.

use std::{io, path::PathBuf, time::Duration};

use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tracing::warn;

use crate::{
    command::Command,
    link::Link,
    notifications::{self, News},
    view::View,
};

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
    news: mpsc::Sender<News>,
    quit: oneshot::Sender<()>,
    notifications: JoinHandle<()>,
}

impl Background {
    /// Starts it. Events may be dropped by `emit` when many are waiting: any event makes the loop look at the view.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(socket: PathBuf, emit: impl Fn(Event) + Clone + Send + Sync + 'static) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("background")
            .enable_all()
            .build()?;
        let (view_sender, views) = watch::channel(View::default());
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (news, news_receiver) = mpsc::channel(NEWS_MAX);
        let (quit, quit_receiver) = oneshot::channel();
        let link = Link { socket, views: view_sender, commands: command_receiver, news: news.clone() };
        runtime.spawn(link.run());
        #[cfg(target_os = "linux")]
        {
            let emit = emit.clone();
            runtime.spawn(crate::bus::run(move || emit(Event::BusLost)));
        }
        let notifications =
            runtime.spawn(notifications::run(views.clone(), news_receiver, commands.clone(), quit_receiver));
        let mut changes = views.clone();
        runtime.spawn(async move {
            while changes.changed().await.is_ok() {
                emit(Event::ViewChanged);
            }
        });
        Ok(Self { runtime, views, commands, news, quit, notifications })
    }

    /// What the daemon said last.
    pub(crate) fn view(&self) -> View {
        self.views.borrow().clone()
    }

    /// Passes a click on. Never waits.
    pub(crate) fn send(&self, command: Command) {
        let failed = match command {
            Command::Explain(subject, failure) => {
                self.news.try_send(News::Explain(subject, failure)).err().map(|error| error.to_string())
            }
            other => self.commands.try_send(other).err().map(|error| error.to_string()),
        };
        if let Some(error) = failed {
            warn!(error, "the click was not carried out");
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
