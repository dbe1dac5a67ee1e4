//! What the event loop of every platform does: keeps the tray icon as the model wants it and passes clicks on.

use std::{io, time::Duration};

use backstay_shared::desktop::{command::Command, notifications::escape};
use chrono::{Local, TimeDelta};
use tracing::{debug, info, warn};
use tray_icon::{TrayIcon, TrayIconBuilder, menu::MenuEvent};

use crate::{
    Places,
    background::{Background, Event},
    icon, menu,
    model::{self, IconKind, MenuModel},
};

/// Between tries to make the tray icon.
const TRAY_PAUSE: Duration = Duration::from_secs(3);
/// At least so often "today" becomes "yesterday", also when the clock was set or the computer slept.
const REFRESH_MAX: Duration = Duration::from_secs(3600);

/// What the event loop does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Waits for an event, at most so long.
    Wait(Duration),
    /// Ends.
    Quit,
}

/// The companion. Lives on the thread of the event loop, as tray icons must.
pub(crate) struct App {
    background: Background,
    tray: Option<TrayIcon>,
    shown: Option<MenuModel>,
    complained: bool,
}

impl App {
    /// Starts the background. The tray icon is made by the first [`App::react`], when the event loop runs.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(places: Places, emit: impl Fn(Event) + Clone + Send + Sync + 'static) -> io::Result<Self> {
        let emit_click = emit.clone();
        MenuEvent::set_event_handler(Some(move |event: MenuEvent| emit_click(Event::Clicked(event.id.0))));
        let background = Background::start(places, emit)?;
        Ok(Self { background, tray: None, shown: None, complained: false })
    }

    /// Takes an event, or nothing when the time is over, and makes the tray icon what it should be now.
    pub(crate) fn react(&mut self, event: Option<Event>) -> Next {
        match event {
            Some(Event::Clicked(id)) => match Command::of_id(&id) {
                Some(Command::Quit) => return Next::Quit,
                Some(command) => {
                    info!(%command, "clicked");
                    self.background.send(command);
                }
                None => debug!("not one of our menu entries"),
            },
            #[cfg(target_os = "linux")]
            Some(Event::BusLost) => self.forget(),
            Some(Event::ViewChanged) | None => {}
        }
        let now = Local::now();
        let model = model::menu(&self.background.view(), &now);
        if self.shown.as_ref() != Some(&model) {
            self.show(model);
        }
        Next::Wait(if self.tray.is_some() { until_tomorrow(&now).min(REFRESH_MAX) } else { TRAY_PAUSE })
    }

    /// Takes the icon away and ends the background.
    pub(crate) fn stop(mut self) {
        self.forget();
        self.background.stop();
    }

    fn forget(&mut self) {
        self.tray = None;
        self.shown = None;
    }

    fn show(&mut self, model: MenuModel) {
        let done = match &self.tray {
            Some(tray) => change(tray, self.shown.as_ref(), &model),
            None => build(&model).map(|tray| {
                self.tray = Some(tray);
                self.complained = false;
            }),
        };
        match done {
            Ok(()) => self.shown = Some(model),
            Err(error) if self.complained => debug!(error, "no tray icon"),
            Err(error) => {
                // Without a desktop session there is nowhere to show it; notifications may still work.
                warn!(error, "no tray icon; trying again every few seconds");
                self.complained = true;
            }
        }
    }
}

fn until_tomorrow(now: &chrono::DateTime<Local>) -> Duration {
    let tomorrow = now.date_naive().and_time(chrono::NaiveTime::MIN) + TimeDelta::days(1);
    // A second late rather than early.
    (tomorrow - now.naive_local() + TimeDelta::seconds(1)).to_std().unwrap_or(REFRESH_MAX)
}

fn build(model: &MenuModel) -> Result<TrayIcon, String> {
    let menu = menu::build(&model.lines).map_err(|error| error.to_string())?;
    TrayIconBuilder::new()
        .with_id("backstay")
        .with_title("Backstay")
        .with_tooltip(tooltip(model))
        .with_icon(picture(model.icon)?)
        .with_menu(Box::new(menu))
        .build()
        .map_err(|error| error.to_string())
}

fn change(tray: &TrayIcon, shown: Option<&MenuModel>, model: &MenuModel) -> Result<(), String> {
    if shown.map(|shown| &shown.tooltip) != Some(&model.tooltip) {
        tray.set_tooltip(Some(tooltip(model))).map_err(|error| error.to_string())?;
    }
    if shown.map(|shown| shown.icon) != Some(model.icon) {
        tray.set_icon(Some(picture(model.icon)?)).map_err(|error| error.to_string())?;
    }
    // Last, since a person who opens the menu has seen the icon.
    if shown.map(|shown| &shown.lines) != Some(&model.lines) {
        if cfg!(target_os = "linux") && shown.is_some_and(|shown| !menu::keeps_kinds(&shown.lines, &model.lines)) {
            tray.set_menu(None);
        }
        tray.set_menu(Some(Box::new(menu::build(&model.lines).map_err(|error| error.to_string())?)));
    }
    Ok(())
}

/// Status bars on Linux take the text for markup: with a lone `&` in it some show an empty box.
fn tooltip(model: &MenuModel) -> String {
    if cfg!(target_os = "linux") { escape(&model.tooltip) } else { model.tooltip.clone() }
}

fn picture(kind: IconKind) -> Result<tray_icon::Icon, String> {
    icon::icon(kind).map_err(|error| error.to_string())
}
