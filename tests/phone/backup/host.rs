//! What the phone asks of the host's folder.

use plist::{Dictionary, Value};

use super::{
    devicelink::{EMPTY, HostStatus, Link},
    status::check_written,
    stop::Stop,
};
use crate::phone::Stream;

/// DeviceLink's EEXIST: a folder that was to be made is there already.
const EXISTS: i64 = -7;
/// What a phone asks to be freed beyond what it needs (pymobiledevice3 `device_link.py`, `purge_disk_space`).
const PURGE_OVERSHOOT: u64 = 2 << 30;
const PURGE_URGENCY: u64 = 4;
/// Room that must be left over (the same source).
pub(super) const HEADROOM: u64 = 128 << 20;

impl<S: Stream> Link<'_, S> {
    /// The names in a folder below the backup root, and what the host tells of each; none for a folder that is not there.
    pub(super) async fn listing(&mut self, path: &str) -> Result<Dictionary, Stop> {
        let status = self.ask("DLContentsOfDirectory", vec![path.into()]).await?;
        Ok(status.payload.into_dictionary().unwrap_or_default())
    }

    /// The names alone.
    pub(super) async fn contents_of_directory(&mut self, path: &str) -> Result<Vec<String>, Stop> {
        Ok(self.listing(path).await?.keys().cloned().collect())
    }

    /// Makes a folder; one that is there is fine.
    pub(super) async fn create_directory(&mut self, path: &str) -> Result<(), Stop> {
        let status = self.ask("DLMessageCreateDirectory", vec![path.into(), 0.0.into()]).await?;
        if status.code == EXISTS { Ok(()) } else { check_written("create a directory", &status) }
    }

    /// Removes files and folders; ones that are not there are fine.
    pub(super) async fn remove_items(&mut self, paths: &[String], progress: f64) -> Result<HostStatus, Stop> {
        let paths = Value::Array(paths.iter().map(|path| path.as_str().into()).collect());
        let options = Value::Dictionary(Dictionary::new());
        self.ask("DLMessageRemoveItems", vec![paths, options, progress.into()]).await
    }

    /// Renames files, from the first to the second of each pair.
    pub(super) async fn move_items(&mut self, moves: &[(String, String)], progress: f64) -> Result<HostStatus, Stop> {
        let moves: Dictionary = moves.iter().map(|(from, to)| (from.clone(), Value::from(to.as_str()))).collect();
        let options = Value::Dictionary(Dictionary::new());
        self.ask("DLMessageMoveItems", vec![Value::Dictionary(moves), options, progress.into()]).await
    }

    async fn free_disk_space(&mut self) -> Result<u64, Stop> {
        let status = self.ask("DLMessageGetFreeDiskSpace", vec![EMPTY.into()]).await?;
        check_written("ask for free disk space", &status)?;
        match status.payload {
            Value::Integer(free) => Ok(free.as_unsigned().unwrap_or(0)),
            Value::Real(free) => Ok(free as u64),
            _ => Err(Stop::protocol("free disk space that is no number")),
        }
    }

    /// Goes on only if there is room for `upload` bytes and some more, asks for it once if there isn't.
    pub(super) async fn prepare_free_space(&mut self, upload: u64) -> Result<(), Stop> {
        let required = upload.saturating_add(HEADROOM);
        let mut free = self.free_disk_space().await?;
        if free > required {
            return Ok(());
        }
        self.phone().count_purge();
        let amount = (required - free).saturating_add(PURGE_OVERSHOOT);
        let status = self.ask("DLMessagePurgeDiskSpace", vec![amount.into(), PURGE_URGENCY.into()]).await?;
        if status.code == 0 {
            free = self.free_disk_space().await?;
            if free > required {
                return Ok(());
            }
        }
        let text =
            format!("Insufficient free disk space on drive to back up ({free} < {required}) (MBErrorDomain/105)");
        Err(Stop::refused(105, text))
    }
}
