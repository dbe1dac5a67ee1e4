//! Apple's side, as a server on this computer plays it, and what the phone says of iCloud.

use std::time::Instant;

use backstay_shared::health::FailureId::{self, *};
use backstay_tests::{
    web_server::{Answer, WebServer},
    world::World,
};
use chrono::{TimeDelta, Utc};

use crate::harness::{PLAIN, Row, Stage, Then};

const FINE: &str = r#"{"services": [{"serviceName": "iCloud Backup", "redirectUrl": null, "events": []}]}"#;

const OUTAGE: &str = r#"jsonCallback({"services": [{"serviceName": "iCloud Backup", "events": [
    {"usersAffected": "Some users are affected", "epochStartDate": 1763990000000, "epochEndDate": null,
     "statusType": "Outage", "message": "Users may be unable to back up.", "eventStatus": "ongoing"}]}]});"#;

/// The values count seconds from 2001.
const APPLE_EPOCH: i64 = 978_307_200;

async fn replug(world: &World) {
    world.phone.unplug();
    world.phone.plug_in();
}

fn last_success(world: &World, days_ago: i64) {
    let at = (Utc::now() - TimeDelta::days(days_ago)).timestamp() - APPLE_EPOCH;
    world.phone.set_lockdown_value("com.apple.mobile.backup", "LastCloudBackupDate", Some(at.into()));
}

fn watched<I, C>(
    fault: &str,
    (raises, quotes): (FailureId, &str),
    then: Then,
    page: &'static str,
    inject: I,
    cure: C,
) -> Row
where
    I: FnOnce(&World) + Send + 'static,
    C: AsyncFnOnce(&World) + Send + 'static,
{
    Row::own(fault, raises, quotes, move |id, quotes| async move {
        let mut stage = Stage::set(PLAIN).await;
        let model = stage.world.phone.spec().product_type.clone();
        let versions = format!(
            r#"{{"PublicAssetSets": {{"iOS": [{{"ProductVersion": "99.1", "Build": "99A1", "SupportedDevices": ["{model}"]}}]}}}}"#
        );
        let server = WebServer::start(move |request| match request.path.as_str() {
            "/status.js" => Answer::Ok(page.into()),
            "/pmv" => Answer::Ok(versions.clone()),
            _ => Answer::Status(404),
        })
        .await;
        let address = server.address();
        stage.world.configure(&format!(
            "[watch.addresses]\nstatus = \"{address}/status.js\"\nversions = \"{address}/pmv\"\nfirmwares = \"{address}/device\"\n"
        ));
        inject(&stage.world);
        stage.start().await;
        let began = Instant::now();
        stage.bring_the_phone().await?;
        let told = stage.told(id, &quotes, began).await?;
        stage.after(id, then, told, cure).await
    })
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        watched(
            "Apple's status page tells an outage of iCloud Backup",
            (AppleServiceOutage, "Users may be unable to back up."),
            Then::News,
            OUTAGE,
            |world| world.phone.set_cloud_backup(true),
            async |_: &World| {},
        ),
        watched(
            "there is a newer iOS for the phone",
            (IosOutdated, "99.1 can be had"),
            Then::News,
            FINE,
            |_| {},
            async |_: &World| {},
        ),
        watched(
            "iCloud Backup is off",
            (IcloudBackupOff, "no copy in iCloud"),
            Then::Goes,
            FINE,
            |world| world.phone.set_cloud_backup(false),
            async |world: &World| {
                world.phone.set_cloud_backup(true);
                replug(world).await;
            },
        ),
        watched(
            "iCloud Backup is on and was last made nine days ago",
            (IcloudBackupStale, "9 days ago"),
            Then::Goes,
            FINE,
            |world| {
                world.phone.set_cloud_backup(true);
                last_success(world, 9);
            },
            async |world: &World| {
                last_success(world, 0);
                replug(world).await;
            },
        ),
    ]
}
