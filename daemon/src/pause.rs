//! The pause outlives the daemon: who said "until I resume" has not resumed by starting the computer anew.

use std::{fs, io, path::Path};

use backstay_shared::overview::Pause;
use chrono::Utc;
use tokio::sync::watch;

use crate::host::disk;

const FILE: &str = "paused.json";

/// The pause that was kept in this folder, if it has not ended meanwhile.
pub fn kept(folder: &Path) -> Option<Pause> {
    let text = match fs::read(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "nobody knows whether backups were paused");
            return None;
        }
    };
    let pause: Option<Pause> = serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(%error, "the kept pause can't be read"))
        .unwrap_or_default();
    pause.filter(|pause| pause.until.is_none_or(|until| until > Utc::now()))
}

/// Keeps each pause in this folder, for ever.
pub async fn keep(folder: &Path, mut paused: watch::Receiver<Option<Pause>>) {
    while paused.changed().await.is_ok() {
        let pause = *paused.borrow_and_update();
        let text = serde_json::to_vec(&pause).unwrap_or_default();
        let written = disk::make_private(folder).and_then(|()| disk::write_durably(&folder.join(FILE), &text));
        if let Err(error) = written {
            tracing::warn!(%error, "the pause will be forgotten when the daemon ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_or_no_pause_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept(folder.path()), None);
        for (text, is_paused) in [
            (r#"{"until":null}"#, true),
            (r#"{"until":"2001-01-01T00:00:00Z"}"#, false),
            (r#"{"until":"2999-01-01T00:00:00Z"}"#, true),
            ("null", false),
            ("", false),
            ("{", false),
        ] {
            fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(kept(folder.path()).is_some(), is_paused, "{text:?}");
        }
    }
}
