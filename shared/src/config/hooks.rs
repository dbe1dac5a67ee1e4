//! `[hooks]`: whom to tell besides the person at the screen.

use serde::Deserialize;

use super::WebAddress;

/// Commands and web addresses that hear of backups; for computers without a screen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// When a backup begins.
    pub on_start: Option<HookCommand>,
    /// When one was verified and synced.
    pub on_success: Option<HookCommand>,
    /// When one failed; once for each cause, and once a day while the cause lasts.
    pub on_failure: Option<HookCommand>,
    /// When a phone has no backup as recent as was planned.
    pub on_overdue: Option<HookCommand>,
    /// The address of a healthchecks-style check: it is asked for at success, with `/start` and `/fail` behind it at
    /// the beginning and when a backup failed. `{udid}` in it stands for the phone.
    pub healthchecks: Option<WebAddress>,
    /// An ntfy topic that hears of failures, overdue backups and the passcode.
    pub ntfy: Option<WebAddress>,
}

impl Hooks {
    /// Nobody is told anything.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A program and its arguments; no shell in between, so nothing has to be quoted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct HookCommand {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub program: String,
    /// What it is given.
    pub arguments: Vec<String>,
}

impl TryFrom<Vec<String>> for HookCommand {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        if words.iter().any(|word| word.contains('\0')) {
            return Err("a command has no NUL in it".into());
        }
        let mut words = words.into_iter();
        match words.next().filter(|program| !program.is_empty()) {
            Some(program) => Ok(Self { program, arguments: words.collect() }),
            None => Err("an empty command: expected [\"program\", \"argument\", ...]".into()),
        }
    }
}
