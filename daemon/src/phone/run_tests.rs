//! What outlives a run that failed, and what goes on beside it.

use std::{sync::mpsc, time::Duration};

use super::{doing::worth_keeping, *};

#[test]
fn what_came_over_wifi_is_kept_as_what_came_over_the_cable_is() {
    for id in [
        FailureId::BackupStalled,
        FailureId::WifiDeviceAsleep,
        FailureId::WifiHeartbeatLost,
        FailureId::WifiLost,
        FailureId::HostOffline,
        FailureId::WifiDifferentNetwork,
        FailureId::WifiFirewallBlocked,
    ] {
        assert!(worth_keeping(id), "{id}");
    }
    assert!(!worth_keeping(FailureId::ManifestCorrupt));
}

/// As the heartbeat does while writing waits for the disk.
#[test]
fn over_wifi_the_rest_goes_on_while_the_thread_of_the_backup_is_blocked() {
    runtime(false).unwrap().block_on(async {
        let (mut phone, mut computer) = tokio::io::duplex(8);
        let (sender, answered) = mpsc::channel();
        tokio::spawn(async move {
            tokio::io::AsyncReadExt::read_u8(&mut computer).await.unwrap();
            sender.send(()).unwrap();
        });
        tokio::io::AsyncWriteExt::write_u8(&mut phone, 1).await.unwrap();
        answered.recv_timeout(Duration::from_secs(20)).unwrap();
    });
}
