//! Settings, clock, log folder and start at login.

use std::path::Path;

use backstay_shared::paths::Paths;
use chrono::{DateTime, Utc};

use super::finding::{Check, Finding};
use crate::{
    cli::{
        Given,
        login::{self, state::Part},
        output,
    },
    host::disk,
    vault::{phones, receipt},
};

/// Can the settings be used?
pub fn settings(given: &Given) -> Finding {
    let file = given.paths.config_file.display();
    match &given.config {
        Err(error) => {
            Finding::lack(Check::Settings, error.to_string().trim_end().replace('\n', "\n                      "))
                .mend(format!("correct it in {file}"))
        }
        Ok(_) if given.paths.config_file.exists() => Finding::ok(Check::Settings, format!("{file}")),
        Ok(_) => Finding::ok(Check::Settings, format!("there is no {file}, so all have their defaults")),
    }
}

/// A clock that is wrong makes backups look overdue, or never due.
pub fn clock(root: &Path) -> Vec<Finding> {
    let now = Utc::now();
    let newest = newest_backup(root);
    let built = std::env::current_exe().and_then(|program| program.metadata()?.modified()).map(DateTime::<Utc>::from);
    let behind = newest.into_iter().chain(built.ok()).max().filter(|known| *known > now + chrono::Duration::minutes(5));
    vec![match behind {
        Some(known) => {
            let says = format!("says {}, and something here is from {}", output::moment(now), output::moment(known));
            Finding::note(Check::Clock, says).mend("sudo timedatectl set-ntp true")
        }
        None => Finding::ok(Check::Clock, output::moment(now)),
    }]
}

fn newest_backup(root: &Path) -> Option<DateTime<Utc>> {
    let phones = phones::backed_up(root).ok()?;
    let newest = |phone: &phones::BackedUp| Some(receipt::all(&phone.layout).ok()?.pop()?.verified_at);
    phones.iter().filter_map(newest).max()
}

/// The daemon needs it to be able to begin.
pub fn log_folder(paths: &Paths) -> Vec<Finding> {
    let folder = &paths.log_dir;
    let shown = folder.display();
    if !folder.exists() {
        return vec![Finding::ok(Check::LogFolder, format!("{shown} is made when the daemon starts"))];
    }
    vec![match disk::probe(folder) {
        Ok(()) => Finding::ok(Check::LogFolder, format!("{shown}")),
        Err(error) => Finding::lack(Check::LogFolder, format!("{shown} can't be written: {error}"))
            .mend(format!("sudo chown -R \"$USER\" '{shown}'")),
    }]
}

/// Does a login start the daemon?
pub fn login(_paths: &Paths) -> Vec<Finding> {
    let daemon = login::state().daemon;
    vec![match &daemon {
        Part::On { .. } => Finding::ok(Check::Login, format!("the daemon {}", daemon.text())),
        _ => Finding::note(Check::Login, format!("the daemon {}", daemon.text())).mend("backstay login enable"),
    }]
}
