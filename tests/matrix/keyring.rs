//! Backup passwords, in a real password store on a private bus.

use std::{process::Stdio, time::Instant};

use backstay_shared::health::FailureId::{self, *};
use backstay_tests::{
    binaries::binary,
    desktop::{PrivateBus, SecretService},
    world::{PATIENCE, World, text},
};
use tokio::io::AsyncWriteExt;

use crate::harness::{Given, PLAIN, Row, Stage, Then, Told};

const PASSWORD: &str = "Hirschgeweih-4711";
const OTHER: &str = "Pflaumenmus-0815";

const MUST_ENCRYPT: &str = "[watch]\napple_status = false\nios_versions = false\nicloud = false\n\
                            [backup]\nrequire_encryption = true\n";

/// `backstay encryption ...` with this on standard input.
async fn encryption(world: &World, arguments: &[&str], input: &str) {
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).arg("encryption").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("backstay hangs").unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
}

/// A person stores the right one.
async fn remember(world: &World) {
    encryption(world, &["remember", "--password-stdin"], &format!("{PASSWORD}\n")).await;
}

/// A row on a desktop. The store lives as long as the row.
fn desktop<P, I, C>(
    fault: &str,
    (raises, quotes): (FailureId, &str),
    then: Then,
    given: Given,
    prepare: P,
    inject: I,
    cure: C,
) -> Row
where
    P: AsyncFnOnce(&World) + Send + 'static,
    I: AsyncFnOnce(&World, &SecretService) + Send + 'static,
    C: AsyncFnOnce(&World) + Send + 'static,
{
    let play = async move |id: FailureId, quotes: String| -> Result<Told, String> {
        let bus = PrivateBus::start();
        let mut stage = Stage::set(given).await;
        stage.world.bus = Some(bus.address().to_owned());
        let store = SecretService::start(&bus, &stage.world.folder.path().join("home")).await;
        stage.world.phone.plug_in();
        prepare(&stage.world).await;
        stage.world.phone.unplug();
        inject(&stage.world, &store).await;
        stage.start().await;
        let began = Instant::now();
        stage.bring_the_phone().await?;
        let told = stage.told(id, &quotes, began).await?;
        let told = stage.after(id, then, told, cure).await;
        drop(store);
        told
    };
    Row::own(fault, raises, quotes, play)
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        desktop(
            "the phone encrypts, and no password is stored",
            (BackupPasswordMissing, "password"),
            Then::ByItself,
            PLAIN,
            async |_: &World| {},
            async |world: &World, _: &SecretService| world.phone.set_backup_password(Some(PASSWORD)),
            remember,
        ),
        desktop(
            "the stored password is not the phone's",
            (BackupPasswordWrong, "password"),
            Then::ByItself,
            PLAIN,
            async |world: &World| encryption(world, &["on", "--password-stdin"], &format!("{OTHER}\n")).await,
            async |world: &World, _: &SecretService| world.phone.set_backup_password(Some(PASSWORD)),
            remember,
        ),
        desktop(
            "the password was changed on the phone since the last backup",
            (BackupPasswordChanged, "password"),
            Then::ByItself,
            Given { backup: true, ..PLAIN },
            async |world: &World| {
                encryption(world, &["on", "--password-stdin"], &format!("{OTHER}\n")).await;
                assert_eq!(world.back_up_once().await.0, 0);
            },
            async |world: &World, _: &SecretService| world.phone.set_backup_password(Some(PASSWORD)),
            remember,
        ),
        desktop(
            "the password store is locked",
            (KeyringUnavailable, "password"),
            Then::AfterAPause,
            PLAIN,
            async |world: &World| encryption(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await,
            async |_: &World, store: &SecretService| store.lock().await,
            async |world: &World| world.phone.set_backup_password(None),
        ),
        desktop(
            "an organisation wants backups encrypted, and they are not",
            (EncryptionRequired, "encrypt"),
            Then::ByItself,
            PLAIN,
            async |_: &World| {},
            async |world: &World, _: &SecretService| {
                world.phone.set_lockdown_value("com.apple.mobile.backup", "RequiresEncryption", Some(true.into()));
            },
            async |world: &World| encryption(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await,
        ),
        desktop(
            "the settings want backups encrypted, and they are not",
            (BackupNotEncrypted, "without a backup password"),
            Then::ByItself,
            Given { config: MUST_ENCRYPT, ..PLAIN },
            async |_: &World| {},
            async |_: &World, _: &SecretService| {},
            async |world: &World| encryption(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await,
        ),
        Row::daemon(
            "the phone encrypts, and there is no password store",
            (KeyringUnavailable, "looking for the backup password"),
            Then::AfterAPause,
            PLAIN,
            async |world: &World| world.phone.set_backup_password(Some(PASSWORD)),
            async |world: &World| world.phone.set_backup_password(None),
        ),
    ]
}
