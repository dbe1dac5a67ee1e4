//! Watches for what a failed backup waits for. Looks only while something waits, and asks the phone for nothing that
//! its owner would notice.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use backstay_shared::health::{Condition, Evidence, Failure, FailureId};
use tokio::sync::watch;

use super::{
    facts::Facts,
    link::{Attached, Muxer, Session},
    vitals::Vitals,
};
use crate::{
    host::disk,
    preflight::{ROOM_SLACK_BYTES, STORAGE_FULL_BYTES},
    vault::{layout::OWN_FOLDER, roots::KnownRoots},
};

/// So that a cure is followed by its backup within ten seconds.
const EVERY: Duration = Duration::from_secs(4);

/// Over Wi-Fi each question keeps the phone from sleeping: what is asked in vain is asked ever more rarely, the longest
/// while it has no power.
const FIRST_PAUSE_OVER_WIFI: Duration = Duration::from_secs(5);
const LONGEST_PAUSE_OVER_WIFI: Duration = Duration::from_secs(300);
const LONGEST_PAUSE_ON_POWER: Duration = Duration::from_secs(30);

/// A disk that was full by the phone's or its own word has room again when this much more is free.
const GAIN_BYTES: u64 = 64 << 20;

/// What is watched, and where.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What is watched for.
    pub condition: Condition,
    /// Which failure it was.
    pub failure: FailureId,
    /// What was seen when it failed.
    pub evidence: Evidence,
    /// How the phone was then.
    pub vitals: Option<Vitals>,
    /// The way to the phones.
    pub muxer: Muxer,
    /// The phone, while it is there.
    pub attached: watch::Receiver<Option<Attached>>,
    /// Where backups go.
    pub root: PathBuf,
    /// Folders that held backups before.
    pub known_roots: KnownRoots,
    /// Charge from which a phone without power may start, in percent; none when it never may.
    pub battery_percent_min: Option<u8>,
}

/// Ends when it holds; never when it is no condition that can be looked at.
pub async fn holds(mut watched: Watched) {
    let powered = watched.vitals.as_ref().is_some_and(|vitals| vitals.powered == Some(true));
    let mut phone = Asked { session: None, first: watched.vitals.clone(), was_locked: false, powered };
    let free_at_first = disk::free_bytes(full_place(&watched)).ok();
    let mut in_vain = 0;
    loop {
        let over_wifi = watched.attached.borrow_and_update().as_ref().is_some_and(|attached| !attached.usb);
        let host_only = matches!(watched.condition, Condition::SpaceAvailable | Condition::BackupDrivePresent);
        let pause = if over_wifi && !host_only { pause_over_wifi(in_vain, phone.powered) } else { EVERY };
        in_vain += 1;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Over another link it may be asked sooner, and a person is near.
            Ok(()) = watched.attached.changed(), if over_wifi => {
                in_vain = 0;
                continue;
            }
        }
        let cured = match watched.condition {
            Condition::SpaceAvailable => of_the_disk(&watched, move |watched| has_room(watched, free_at_first)).await,
            Condition::BackupDrivePresent => {
                of_the_disk(&watched, |watched| watched.known_roots.is_ready(&watched.root)).await
            }
            _ => phone.holds(&watched).await,
        };
        if cured {
            return;
        }
    }
}

fn pause_over_wifi(in_vain: u32, powered: bool) -> Duration {
    let longest = if powered { LONGEST_PAUSE_ON_POWER } else { LONGEST_PAUSE_OVER_WIFI };
    FIRST_PAUSE_OVER_WIFI.saturating_mul(2_u32.saturating_pow(in_vain)).min(longest)
}

/// A disk that is in trouble may hang; nobody else waits for it.
async fn of_the_disk(watched: &Watched, question: impl FnOnce(&Watched) -> bool + Send + 'static) -> bool {
    let watched = watched.clone();
    tokio::task::spawn_blocking(move || question(&watched)).await.unwrap_or(false)
}

/// Where the room was missing: on the backup disk, or in a folder elsewhere that the failure names.
fn full_place(watched: &Watched) -> &Path {
    let elsewhere = watched.evidence.path.as_deref().filter(|path| !path.starts_with(&watched.root) && path.is_dir());
    elsewhere.unwrap_or(&watched.root)
}

fn has_room(watched: &Watched, free_at_first: Option<u64>) -> bool {
    let Ok(free) = disk::free_bytes(full_place(watched)) else { return false };
    let folder = watched.root.join(OWN_FOLDER);
    if watched.failure == FailureId::HostQuotaExceeded {
        // A quota is not to be seen in the free bytes; only taking some room shows that there is some.
        return free > GAIN_BYTES && disk::probe(&folder).is_ok() && disk::can_take(&folder, GAIN_BYTES);
    }
    // Removing the failed run may have made the room; a phone that says "full" all the same is tried a few times only.
    let needed = watched.evidence.bytes_needed.or_else(|| Some(free_at_first? + GAIN_BYTES));
    free > needed.unwrap_or(0).max(ROOM_SLACK_BYTES) && disk::probe(&folder).is_ok()
}

/// What is known of the phone between two questions.
struct Asked {
    session: Option<Session>,
    first: Option<Vitals>,
    was_locked: bool,
    powered: bool,
}

impl Asked {
    async fn holds(&mut self, watched: &Watched) -> bool {
        let Some(vitals) = self.vitals(watched).await else { return false };
        let first = self.first.get_or_insert_with(|| vitals.clone());
        match watched.condition {
            Condition::DeviceUnlocked => vitals.locked == Some(false),
            // Somebody has just typed the passcode, or looked at it.
            Condition::UserPresent => {
                let just_unlocked = self.was_locked && vitals.locked == Some(false);
                self.was_locked = vitals.locked == Some(true);
                just_unlocked
            }
            Condition::Charging => {
                let enough = |least: u8| vitals.battery_percent >= Some(u64::from(least));
                vitals.powered == Some(true) || watched.battery_percent_min.is_some_and(enough)
            }
            Condition::DeviceSpaceAvailable => {
                // The phone may have said "full" with more than our limit free; then what is free at the first look counts.
                let least = match (watched.evidence.bytes_needed, first.bytes_free) {
                    (Some(needed), _) => needed,
                    (None, Some(free)) if free >= STORAGE_FULL_BYTES => free.saturating_add(GAIN_BYTES),
                    (None, _) => STORAGE_FULL_BYTES,
                };
                vitals.bytes_free >= Some(least)
            }
            // It has just answered a computer that it trusts.
            Condition::PairingAccepted => true,
            // It has just answered over it.
            Condition::NetworkUp | Condition::DeviceSeenOnWifi => true,
            // The phone wants a password set; one that is wrong is mended here, and told by whoever mends it.
            Condition::PasswordEntered => {
                matches!(watched.failure, FailureId::EncryptionRequired | FailureId::BackupNotEncrypted)
                    && vitals.encrypts
            }
            _ => false,
        }
    }

    async fn vitals(&mut self, watched: &Watched) -> Option<Vitals> {
        let attached = watched.attached.borrow().clone();
        let Some(attached) = attached else {
            self.session = None;
            return None;
        };
        if !attached.usb {
            self.session = None;
            let mut session = Session::open_plainly(&watched.muxer, &attached).await.ok()?;
            let vitals = over_wifi(&mut session, &attached, watched.condition).await.ok()?;
            self.powered = vitals.powered.unwrap_or(self.powered);
            return Some(vitals);
        }
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::open(&watched.muxer, &attached).await.ok()?,
        };
        let facts = Facts::read(&mut session, &attached.udid).await.ok()?;
        let vitals = Vitals::read(&mut session, &facts).await.ok()?;
        // Kept for the next question; one that broke is opened anew.
        self.session = Some(session);
        Some(vitals)
    }
}

/// As little as the condition needs, in a session that ends with it: more would keep the phone from sleeping.
async fn over_wifi(session: &mut Session, attached: &Attached, condition: Condition) -> Result<Vitals, Failure> {
    match condition {
        // That it answers is all.
        Condition::NetworkUp | Condition::DeviceSeenOnWifi | Condition::PairingAccepted => Ok(Vitals::default()),
        Condition::DeviceUnlocked | Condition::UserPresent => Vitals::of_the_lock(session).await,
        _ => {
            let facts = Facts::read(session, &attached.udid).await?;
            Vitals::read(session, &facts).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_that_lies_locked_on_wifi_is_asked_ever_more_rarely() {
        let pauses = |powered| (0..8).map(|in_vain| pause_over_wifi(in_vain, powered).as_secs()).collect::<Vec<_>>();
        assert_eq!(pauses(false), [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(pauses(true), [5, 10, 20, 30, 30, 30, 30, 30]);
        assert_eq!(pause_over_wifi(u32::MAX, false), LONGEST_PAUSE_OVER_WIFI);
    }
}
