//! Notifications by the daemon itself, while no front end shows any: a computer without a tray hears of failures, too.
//!
//! It lives across changes of the settings, in which everything else begins anew: what is on the screen stays there.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{
    desktop::{
        command::{Command, Subject},
        notifications::{self, News},
        page::Page,
        view::View,
    },
    overview::Overview,
    protocol::Refusal,
};
use chrono::Local;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{self, JoinHandle},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::ipc::{server::Server, takers::Takers};

/// At login the tray comes some seconds after the daemon, and one that restarts is back sooner.
const GRACE: Duration = Duration::from_secs(8);

/// Presses that wait; nobody makes more.
const PRESSES_MAX: usize = 32;
const NEWS_MAX: usize = 64;

/// How long the end of the daemon waits for notifications to be withdrawn.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// The running notifier.
#[derive(Debug)]
pub struct Notifier {
    takers: Takers,
    servers: watch::Sender<Option<Server>>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Starts it. Pages that explain are written to `page_folder`.
    pub fn start(page_folder: PathBuf) -> Self {
        let (takers, servers, end) = (Takers::default(), watch::Sender::new(None), CancellationToken::new());
        let desk = Desk { takers: takers.count(), servers: servers.subscribe(), page_folder, end: end.clone() };
        Self { takers, servers, end, task: tokio::spawn(desk.run()) }
    }

    /// The front ends that show notifications in its place.
    pub fn takers(&self) -> Takers {
        self.takers.clone()
    }

    /// From now on this is what is shown, and who carries presses out.
    pub fn follow(&self, server: Server) {
        self.servers.send_replace(Some(server));
    }

    /// Withdraws what is shown: its buttons would do nothing.
    pub async fn end(self) {
        self.end.cancel();
        if timeout(FAREWELL_MAX, self.task).await.is_err() {
            tracing::debug!("notifications were not withdrawn in time");
        }
    }
}

struct Desk {
    takers: watch::Receiver<usize>,
    servers: watch::Receiver<Option<Server>>,
    page_folder: PathBuf,
    end: CancellationToken,
}

impl Desk {
    async fn run(mut self) {
        let end = self.end.clone();
        while end.run_until_cancelled(nobody_for(GRACE, &mut self.takers)).await.is_some() {
            tracing::debug!("no front end shows notifications: the daemon does");
            self.show().await;
        }
    }

    /// Shows notifications until a front end does, or until the end.
    async fn show(&mut self) {
        let (views, shown) = watch::channel(View::default());
        let (news, heard) = mpsc::channel(NEWS_MAX);
        let (presses, pressed) = mpsc::channel(PRESSES_MAX);
        let (quit, quits) = oneshot::channel();
        let hand = Hand { servers: self.servers.clone(), views: shown.clone(), news, page_folder: &self.page_folder };
        let until = async {
            tokio::select! {
                _taken = self.takers.wait_for(|count| *count > 0) => {}
                () = self.end.cancelled() => {}
            }
            // Who shows them is there until this comes.
            let _gone = quit.send(());
            std::future::pending::<()>().await;
        };
        let beside = async { tokio::join!(feed(self.servers.clone(), views), hand.carry_out(pressed), until) };
        tokio::select! {
            () = notifications::run(shown, heard, presses, quits, GRACE) => {}
            _ = beside => {}
        }
    }
}

/// Waits until there is no front end for so long.
async fn nobody_for(grace: Duration, takers: &mut watch::Receiver<usize>) {
    loop {
        tokio::select! {
            () = sleep(grace), if *takers.borrow() == 0 => return,
            // They are counted for as long as the notifier lives.
            _changed = takers.changed() => {}
        }
    }
}

/// Passes on what the boards show, one after the other, for ever.
async fn feed(mut servers: watch::Receiver<Option<Server>>, views: watch::Sender<View>) {
    loop {
        let Some(server) = servers.borrow_and_update().clone() else {
            if servers.changed().await.is_err() {
                return;
            }
            continue;
        };
        let mut shown = server.board.subscribe();
        loop {
            let overview = shown.borrow_and_update().overview.clone();
            views.send_replace(View::Connected(Overview::clone(&overview)));
            tokio::select! {
                Ok(()) = shown.changed() => {}
                Ok(()) = servers.changed() => break,
                else => return,
            }
        }
    }
}

/// Carries out what is pressed.
struct Hand<'a> {
    servers: watch::Receiver<Option<Server>>,
    views: watch::Receiver<View>,
    news: mpsc::Sender<News>,
    page_folder: &'a PathBuf,
}

impl Hand<'_> {
    async fn carry_out(&self, mut pressed: mpsc::Receiver<Command>) {
        while let Some(command) = pressed.recv().await {
            tracing::info!(%command, "pressed");
            if let Command::WhatToDo(..) = &command {
                self.explain(command);
            } else {
                self.ask(&command).await;
            }
        }
        // Presses are taken for as long as notifications are shown.
        std::future::pending::<()>().await;
    }

    /// What the socket would answer, with the same consequences.
    async fn ask(&self, command: &Command) {
        let Some(request) = command.request(Local::now()) else { return };
        let Some(server) = self.servers.borrow().clone() else { return };
        if let Command::BackUp(phone) | Command::BackUpFull(phone) = command {
            // Before it is carried out: how the backup ends is then known to be waited for.
            tell(&self.news, News::Asked(phone.clone()));
        }
        match server.answer(request).await {
            Ok(_) | Err(Refusal::NothingRunning) => {}
            Err(refusal) => {
                tracing::warn!(%command, "refused");
                let subject = command.phone().map_or(Subject::Computer, |phone| Subject::Phone(phone.clone()));
                tell(&self.news, News::Refused(subject, refusal));
            }
        }
    }

    /// Shows the page; where no program can, the notification tells the rest.
    fn explain(&self, command: Command) {
        let Command::WhatToDo(subject, id) = command else { return };
        let page = self.views.borrow().problem(&subject, id).map(|(problem, phone)| Page::what_to_do(problem, phone));
        let Some(page) = page else { return };
        let (folder, news) = (self.page_folder.clone(), self.news.clone());
        // Starting a program takes a while, in which other buttons may be pressed.
        task::spawn_blocking(move || {
            if let Err(error) = page.show(&folder) {
                tracing::info!(%error, "no page can be shown");
                tell(&news, News::WhatToDo(subject, id));
            }
        });
    }
}

/// Never waits: a notification service that hangs must not hold anything up.
fn tell(news: &mpsc::Sender<News>, what: News) {
    if let Err(error) = news.try_send(what) {
        tracing::warn!(%error, "not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_front_end_that_comes_and_goes_begins_the_wait_anew() {
        let grace = Duration::from_millis(60);
        let takers = Takers::default();
        let mut count = takers.count();
        let (first, second) = (takers.one_more(), takers.one_more());
        let waiting = tokio::spawn(async move { nobody_for(grace, &mut count).await });
        sleep(grace * 2).await;
        drop(first);
        sleep(grace * 2).await;
        assert!(!waiting.is_finished(), "there is one");
        let gone = std::time::Instant::now();
        drop(second);
        waiting.await.unwrap();
        assert!(gone.elapsed() >= grace, "{:?}", gone.elapsed());
    }
}
