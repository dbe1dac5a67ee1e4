//! `backstay-tray`: Backstay in the status bar. Shows what the daemon says and passes clicks on; keeps no state.
//!
//! Here are the arguments, the log and the event loop of each platform; what the loop does is in [`app`].
#![cfg_attr(windows, windows_subsystem = "windows")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on says so and ends"))]

mod app;
mod arguments;
mod background;
#[cfg(target_os = "linux")]
mod bus;
mod errands;
#[cfg(test)]
#[path = "../../shared/src/desktop/fixtures.rs"]
mod fixtures;
mod icon;
mod link;
mod menu;
mod model;
#[cfg(any(windows, target_os = "macos"))]
mod shell;
mod wording;

use std::{
    fs::{File, TryLockError},
    io::{self, IsTerminal},
    path::PathBuf,
    process::ExitCode,
};

use backstay_shared::paths::{self, Paths};
use clap::Parser;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

use app::App;
#[cfg(target_os = "linux")]
use app::Next;
use arguments::Arguments;
use background::Event;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("BACKSTAY_LOG")
        .unwrap_or_else(|_| EnvFilter::new("warn,backstay_tray=info,backstay_shared=info"));
    let terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let paths = Paths::of_this_user()?;
    let socket = arguments.socket.unwrap_or_else(|| paths.socket());
    let Some(_only_one) = only_one(&paths)? else {
        info!("the companion runs already");
        return Ok(());
    };
    event_loop(Places { socket, paths })
}

/// Held while the companion runs; none when another one does: some desktops start it once more when somebody clicks on
/// one of its notifications.
fn only_one(paths: &Paths) -> io::Result<Option<File>> {
    paths::make_own_folder(&paths.runtime_dir)?;
    let file = File::options().create(true).truncate(false).write(true).open(paths.runtime_dir.join("tray.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Where the companion finds things.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// The folders of this user.
    pub(crate) paths: Paths,
}

/// More events than one turn of the loop leaves behind.
#[cfg(target_os = "linux")]
const EVENTS_MAX: usize = 64;

/// On Linux the tray icon has a thread of its own: a channel is all the loop there is.
#[cfg(target_os = "linux")]
fn event_loop(places: Places) -> Result<(), Box<dyn std::error::Error>> {
    use std::sync::mpsc::{RecvTimeoutError, TrySendError, sync_channel};

    let (sender, events) = sync_channel(EVENTS_MAX);
    // Never waits: the tray's thread holds a lock, for which the loop may be waiting, as it tells of a click.
    let emit = move |event| match sender.try_send(event) {
        // The loop looks at the view after any of the events that fill the channel.
        Ok(()) | Err(TrySendError::Full(Event::ViewChanged)) => {}
        Err(error) => warn!(%error, "an event was lost"),
    };
    let mut app = App::start(places, emit)?;
    let mut next = app.react(None);
    while let Next::Wait(time) = next {
        next = match events.recv_timeout(time) {
            Ok(event) => app.react(Some(event)),
            Err(RecvTimeoutError::Timeout) => app.react(None),
            Err(RecvTimeoutError::Disconnected) => break,
        };
    }
    app.stop();
    Ok(())
}

/// macOS and Windows deliver clicks through the event loop of the main thread.
#[cfg(any(windows, target_os = "macos"))]
fn event_loop(places: Places) -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = winit::event_loop::EventLoop::<Event>::with_user_event();
    #[cfg(target_os = "macos")]
    {
        use winit::platform::macos::{ActivationPolicy, EventLoopBuilderExtMacOS};
        // In the menu bar only: no icon in the Dock.
        builder.with_activation_policy(ActivationPolicy::Accessory);
    }
    let event_loop = builder.build()?;
    let proxy = event_loop.create_proxy();
    let emit = move |event| {
        if let Err(error) = proxy.send_event(event) {
            warn!(%error, "an event was lost");
        }
    };
    event_loop.run_app(&mut shell::Shell::new(App::start(places, emit)?))?;
    Ok(())
}
