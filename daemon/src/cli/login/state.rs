//! Whether login starts a part of Backstay, and by which means.

use std::path::Path;

use serde::Serialize;

use super::program::on_path;

/// By which means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A unit of the user's systemd.
    Systemd,
    /// An entry that the desktop reads.
    Autostart,
    /// An agent of launchd.
    Launchd,
    /// A value of the registry's Run key.
    RunKey,
}

/// Whether login starts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Part {
    /// No.
    #[default]
    Off,
    /// Yes.
    On {
        /// By which means.
        by: Means,
        /// The file, or the value of the registry, that says so.
        place: String,
    },
    /// It should, and can't.
    Broken {
        /// The file, or the value of the registry, that says so.
        place: String,
        /// Why not.
        why: String,
    },
}

impl Part {
    /// On, unless the executable is gone. A name alone is looked for on the path.
    pub fn starting(by: Means, place: String, executable: &str) -> Self {
        let there = match Path::new(executable).is_absolute() {
            true => Path::new(executable).is_file(),
            false => on_path(executable).next().is_some(),
        };
        match there {
            true => Self::On { by, place },
            false => Self::Broken { place, why: format!("{executable} is gone") },
        }
    }

    /// For a person.
    pub fn text(&self) -> String {
        match self {
            Self::Off => "does not start at login".into(),
            Self::On { by, place } => {
                let by = match by {
                    Means::Systemd => "systemd",
                    Means::Autostart => "the desktop",
                    Means::Launchd => "launchd",
                    Means::RunKey => "the Run key",
                };
                format!("starts at login, by {by} ({place})")
            }
            Self::Broken { place, why } => format!("would not start at login: {why} ({place})"),
        }
    }

    /// For scripts.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Off => serde_json::json!({ "at_login": false }),
            Self::On { by, place } => serde_json::json!({ "at_login": true, "by": by, "place": place }),
            Self::Broken { place, why } => serde_json::json!({ "at_login": false, "place": place, "broken": why }),
        }
    }
}

/// Both parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// The daemon.
    pub daemon: Part,
    /// The companion in the status bar.
    pub tray: Part,
}
