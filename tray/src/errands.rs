//! What a click asks of the companion itself rather than of the daemon: to show folders, files and pages, and to run
//! the command line for what that knows already.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use backstay_shared::{
    config::Config,
    desktop::{
        command::Command,
        notifications::News,
        page::{self, Page},
        view::View,
    },
    overview::Overview,
};
use chrono::Local;
use tokio::{process, sync::mpsc, time::timeout};
use tracing::{info, warn};

use crate::Places;

/// A command that takes longer hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// Carries errands out, and tells what came of them.
#[derive(Debug, Clone)]
pub(crate) struct Errands {
    /// Where things are.
    pub(crate) places: Places,
    /// Where the outcome is told.
    pub(crate) news: mpsc::Sender<News>,
}

impl Errands {
    /// Carries one out; what fails is told to the person who clicked.
    pub(crate) async fn run(self, command: Command, view: View) {
        let overview = if let View::Connected(overview) = &view { Some(overview) } else { None };
        let done = match &command {
            Command::WhatToDo(subject, problem) => {
                let Some((found, phone)) = view.problem(subject, *problem) else { return };
                let shown = self.show(Page::what_to_do(found, phone)).await;
                if let Err(error) = shown {
                    info!(%error, "no page can be shown");
                    self.tell(News::WhatToDo(subject.clone(), *problem));
                }
                return;
            }
            Command::OpenPage(url) if url.starts_with("https://") => open(url.into()).await,
            Command::OpenBackups => self.open_backups(overview).await,
            Command::OpenSettings => self.open_settings(overview).await,
            Command::History => self.history(overview).await,
            Command::Doctor => self.page_of(&["doctor"], "doctor", "What this computer lacks").await,
            Command::Report => self.report().await,
            Command::StartDaemon => self.backstay(&["login", "start"]).await.and_then(said_well).map(drop),
            Command::RestartDaemon => self.backstay(&["login", "restart"]).await.and_then(said_well).map(drop),
            _ => return,
        };
        if let Err(error) = done {
            warn!(%command, %error, "not done");
            self.tell(News::Said { title: "Backstay could not do that".to_owned(), text: error.to_string() });
        }
    }

    fn tell(&self, news: News) {
        if let Err(error) = self.news.try_send(news) {
            warn!(%error, "not told");
        }
    }

    async fn show(&self, page: Page) -> io::Result<()> {
        let folder = self.places.paths.runtime_dir.clone();
        blocking(move || page.show(&folder)).await
    }

    async fn open_backups(&self, overview: Option<&Overview>) -> io::Result<()> {
        let root = match overview {
            Some(overview) if !overview.root.is_empty() => PathBuf::from(&overview.root),
            _ => self.places.paths.default_root.clone(),
        };
        if !root.is_dir() {
            let why = if root.exists() { "is no folder" } else { "is not there (yet)" };
            return Err(io::Error::other(format!("{} {why}", root.display())));
        }
        open(root).await
    }

    /// A first edit begins with all the settings there are, each with its default.
    async fn open_settings(&self, overview: Option<&Overview>) -> io::Result<()> {
        let file = match overview {
            Some(overview) if !overview.config_file.is_empty() => PathBuf::from(&overview.config_file),
            _ => self.places.paths.config_file.clone(),
        };
        let wanted = file.clone();
        blocking(move || {
            if let Some(folder) = wanted.parent() {
                fs::create_dir_all(folder)?;
            }
            match fs::OpenOptions::new().write(true).create_new(true).open(&wanted) {
                Ok(mut new) => io::Write::write_all(&mut new, Config::TEMPLATE.as_bytes()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await?;
        open(file).await
    }

    async fn history(&self, overview: Option<&Overview>) -> io::Result<()> {
        let phones = overview.map(|overview| overview.phones.as_slice()).unwrap_or_default();
        if phones.is_empty() {
            return self.page_of(&["history"], "history", "History").await;
        }
        let root = overview.map(|overview| overview.root.clone()).unwrap_or_default();
        let mut text = String::new();
        for phone in phones {
            let output = self.backstay(&["history", "--root", &root, phone.udid.as_str()]).await?;
            text.push_str(&format!("{}\n\n", told(&output)));
        }
        self.show(Page::text("history", "History", &text)).await
    }

    async fn report(&self) -> io::Result<()> {
        let home = self.places.paths.default_root.parent().unwrap_or(Path::new("/")).to_owned();
        let file = home.join(format!("backstay-report-{}.txt", Local::now().format("%Y-%m-%dT%H%M%S")));
        let argument = file.to_string_lossy();
        let output = self.backstay(&["report", &argument]).await.and_then(said_well)?;
        self.tell(News::Said { title: "The report is saved".to_owned(), text: told(&output) });
        // What is said is where it is; whether it can be shown, too, matters less.
        open(file).await.or_else(|error| {
            info!(%error, "the report is not shown");
            Ok(())
        })
    }

    /// What a command prints, as a page; also what it prints when it finds something wrong.
    async fn page_of(&self, arguments: &[&str], name: &str, title: &str) -> io::Result<()> {
        let output = self.backstay(arguments).await?;
        self.show(Page::text(name, title, &told(&output))).await
    }

    /// Runs the command line that was installed with this companion.
    async fn backstay(&self, arguments: &[&str]) -> io::Result<Output> {
        let mut command = process::Command::new(command_line());
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        match timeout(COMMAND_MAX, command.output()).await {
            Ok(output) => output.map_err(|error| io::Error::other(format!("backstay: {error}"))),
            Err(_elapsed) => Err(io::Error::other(format!("backstay {} hangs", arguments.join(" ")))),
        }
    }
}

/// The one beside this executable, else whichever is in the `PATH`.
fn command_line() -> PathBuf {
    let name = format!("backstay{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|companion| companion.with_file_name(&name));
    beside.filter(|file| file.is_file()).unwrap_or_else(|| name.into())
}

fn said_well(output: Output) -> io::Result<Output> {
    if output.status.success() { Ok(output) } else { Err(io::Error::other(told(&output))) }
}

fn told(output: &Output) -> String {
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    String::from_utf8_lossy(text).trim_end().to_owned()
}

async fn open(what: PathBuf) -> io::Result<()> {
    let shown = what.display().to_string();
    blocking(move || page::open(what.as_ref())).await.map_err(|error| {
        info!(%error, "nothing is opened");
        io::Error::other(format!("No program of this desktop opens {shown}"))
    })
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
