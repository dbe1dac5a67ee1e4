//! A phone without a backup for days is told, from the receipts and the clock alone.

use backstay_shared::{health::FailureId::BackupOverdue, overview::Activity};
use backstay_tests::{
    phone::dataset::DataSetSpec,
    world::{World, age_receipts},
};
use chrono::Duration;

use super::{backed_up, has};

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_away_for_days_is_overdue_until_its_backup() {
    let world = World::new(DataSetSpec::mixed(451, 50, 1_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    world.phone.unplug();
    age_receipts(&world, Duration::hours(5 * 24 + 2));
    let daemon = world.daemon().await;
    let told = daemon.phone_shows("it is overdue", |phone| has(phone, BackupOverdue)).await;
    assert_eq!(told.evidence.days, Some(5), "{told:?}");
    assert!(told.why.contains("5 days") && told.is_in_front(), "{told:?}");
    world.phone.plug_in();
    daemon.phone_shows("it is backed up", backed_up).await;
    world.judge();
}

/// As long as the settings say, and no sooner.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_overdue_is_in_the_settings() {
    let world = World::new(DataSetSpec::mixed(452, 50, 1_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    world.phone.unplug();
    age_receipts(&world, Duration::hours(5 * 24 + 2));
    world.configure("[backup]\noverdue_days = 6\n");
    let daemon = world.daemon().await;
    let phone =
        daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then(|| phone.clone())).await;
    assert!(has(&phone, BackupOverdue).is_none(), "{phone:?}");
    drop(daemon);
    world.configure("[backup]\noverdue_days = 1\n");
    let daemon = world.daemon().await;
    daemon.phone_shows("it is overdue", |phone| has(phone, BackupOverdue)).await;
}
