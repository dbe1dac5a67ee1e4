//! The weekly check of all kept backups, a slice an hour, out of everybody's way.

use std::{path::PathBuf, time::Duration};

use backstay_shared::{health::FailureId, ids::Udid};
use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::phones::Phones;
use crate::{
    health::diagnose,
    host::priority,
    vault::{
        layout::Layout,
        scrub::{self, SLICES_A_DAY, Slice},
        transaction::VaultError,
    },
};

/// Nobody is kept from working at login.
const FIRST_AFTER: Duration = Duration::from_secs(120);

const EVERY: Duration = Duration::from_secs(24 * 3600 / SLICES_A_DAY);

/// Checks slices until the daemon ends.
pub async fn run(phones: Phones, root: PathBuf, days: u32, shutdown: CancellationToken) {
    if days == 0 {
        return;
    }
    let mut wait = FIRST_AFTER;
    while shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
        wait = EVERY;
        for udid in phones.known() {
            match slice(Layout::new(&root, &udid), days, shutdown.clone()).await {
                Ok(slice) => tell(&phones, &udid, &slice).await,
                Err(error) => tracing::warn!(%udid, %error, "the kept backups can't be checked"),
            }
        }
    }
}

async fn slice(layout: Layout, days: u32, shutdown: CancellationToken) -> Result<Slice, VaultError> {
    let (sender, slice) = tokio::sync::oneshot::channel();
    let body = move || {
        priority::lower_this_thread();
        // Who asked may have gone with the daemon.
        drop(sender.send(scrub::slice(&layout, days, Utc::now().timestamp(), &shutdown)));
    };
    match std::thread::Builder::new().name("scrub".into()).spawn(body) {
        Ok(_) => slice.await.unwrap_or_else(|_| Ok(Slice::default())),
        Err(error) => {
            tracing::warn!(%error, "no thread for a check");
            Ok(Slice::default())
        }
    }
}

async fn tell(phones: &Phones, udid: &Udid, slice: &Slice) {
    tracing::debug!(%udid, files = slice.files, bytes = slice.bytes, damaged = slice.damages.count, "checked a slice");
    if slice.damages.count > 0 {
        phones.noticed(udid, diagnose::damaged(FailureId::BackupDamaged, &slice.damages)).await;
    }
}
