//! The companion inside the event loop of macOS and Windows.

use winit::{
    application::ApplicationHandler,
    event::{StartCause, WindowEvent},
    event_loop::{ActiveEventLoop, ControlFlow},
    window::WindowId,
};

use crate::{
    app::{App, Next},
    background::Event,
};

/// Hands events and timeouts to the companion.
pub(crate) struct Shell {
    /// None once it was stopped.
    app: Option<App>,
}

impl Shell {
    /// For this companion.
    pub(crate) fn new(app: App) -> Self {
        Self { app: Some(app) }
    }

    fn step(&mut self, event_loop: &ActiveEventLoop, event: Option<Event>) {
        match self.app.as_mut().map(|app| app.react(event)) {
            Some(Next::Wait(time)) => event_loop.set_control_flow(ControlFlow::wait_duration(time)),
            Some(Next::Quit) => {
                if let Some(app) = self.app.take() {
                    app.stop();
                }
                event_loop.exit();
            }
            None => {}
        }
    }
}

impl ApplicationHandler<Event> for Shell {
    /// The tray icon can be made from the first turn of the loop on, not before.
    fn new_events(&mut self, event_loop: &ActiveEventLoop, cause: StartCause) {
        if matches!(cause, StartCause::Init | StartCause::ResumeTimeReached { .. }) {
            self.step(event_loop, None);
        }
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, event: Event) {
        self.step(event_loop, Some(event));
    }

    fn resumed(&mut self, _event_loop: &ActiveEventLoop) {}

    fn window_event(&mut self, _event_loop: &ActiveEventLoop, _window: WindowId, _event: WindowEvent) {}
}
