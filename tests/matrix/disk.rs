//! The backup disk: full, read-only, taken away, failing, with a quota. Most want root and FUSE or loop devices; where
//! those are missing the row says so.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use backstay_shared::health::FailureId::{self, *};
use backstay_tests::{
    disk::{FaultyDisk, Mounted, Plan, Volume, missing},
    phone::{Event, Fault},
    world::World,
};
use rustix::io::Errno;

use crate::harness::{
    BACKED_UP, Given, PLAIN, Row, Stage,
    Then::{self, AfterAPause, Asked, ByItself},
};

/// The phone wants some 130 MB of room before it begins.
const DISK_BYTES: u64 = 224 << 20;

/// Takes every byte that is free.
fn fill(folder: &Path) {
    let mut film = File::create(film(folder)).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let piece = vec![7; size];
        while film.write_all(&piece).and_then(|()| film.sync_data()).is_ok() {}
    }
}

fn film(folder: &Path) -> PathBuf {
    folder.join("other people's film")
}

/// On a small disk of its own.
fn on_ext4<I, C>(
    fault: &str,
    (raises, quotes): (FailureId, &str),
    then: Then,
    bytes: u64,
    mid_run: bool,
    inject: I,
    cure: C,
) -> Row
where
    I: FnOnce(&World, &Mutex<Option<Mounted>>) + Send + 'static,
    C: FnOnce(&World, &Mutex<Option<Mounted>>) + Send + 'static,
{
    let row = Row::own(fault, raises, quotes, move |id, quotes| async move {
        let mut stage = Stage::set(PLAIN).await;
        let image = stage.world.folder.path().join("image");
        let disk = Arc::new(Mutex::new(Some(Mounted::fresh_ext4(&image, bytes, &stage.world.root()).unwrap())));
        stage.keep(disk.clone());
        // A folder that is in use: what is looked at beforehand is the room.
        fs::create_dir(stage.world.root().join(".backstay")).unwrap();
        stage.start().await;
        let began;
        if mid_run {
            let mut events = stage.world.phone.events();
            stage.world.phone.set_fault(Some(Fault::PauseAt { bytes: 20_000 }));
            stage.world.phone.plug_in();
            while events.recv().await.unwrap() != Event::Paused {}
            inject(&stage.world, &disk);
            began = Instant::now();
            stage.world.phone.go_on();
        } else {
            inject(&stage.world, &disk);
            began = Instant::now();
            stage.world.phone.plug_in();
        }
        let told = stage.told(id, &quotes, began).await?;
        stage.world.phone.set_fault(None);
        stage.after(id, then, told, async move |world: &World| cure(world, &disk)).await
    });
    row.needs(missing(&[]))
}

/// Every operation that can fail so does, from the plugging in on.
fn faulty(fault: &str, (raises, quotes): (FailureId, &str), then: Then, errors: &'static [Errno]) -> Row {
    let row = Row::own(fault, raises, quotes, move |id, quotes| async move {
        let mut stage = Stage::set(PLAIN).await;
        let below = stage.world.folder.path().join("below");
        fs::create_dir(&below).unwrap();
        let disk = Arc::new(FaultyDisk::mount(&below, &stage.world.root()).unwrap());
        stage.keep(disk.clone());
        stage.start().await;
        let mut events = stage.world.phone.events();
        stage.world.phone.set_fault(Some(Fault::PauseAt { bytes: 1000 }));
        stage.world.phone.plug_in();
        while events.recv().await.unwrap() != Event::Paused {}
        disk.set(Plan::FailFrom { at: 1, errors });
        let began = Instant::now();
        stage.world.phone.go_on();
        let told = stage.told(id, &quotes, began).await?;
        stage.world.phone.set_fault(None);
        stage.after(id, then, told, async move |_: &World| disk.set(Plan::Well)).await
    });
    row.needs(missing(&[]))
}

pub(crate) fn rows() -> Vec<Row> {
    let elsewhere = |world: &World| world.folder.path().join("elsewhere");
    vec![
        on_ext4(
            "the backup disk is full",
            (HostDiskFull, "\"bytes_needed\":134217729"),
            ByItself,
            DISK_BYTES,
            false,
            |world, _| fill(&world.root()),
            |world, _| fs::remove_file(film(&world.root())).unwrap(),
        ),
        on_ext4(
            "the backup disk fills up in the middle",
            (HostDiskFull, "No space left on device"),
            ByItself,
            DISK_BYTES,
            true,
            |world, _| fill(&world.root()),
            |world, _| fs::remove_file(film(&world.root())).unwrap(),
        ),
        on_ext4(
            "the backup disk is nearly full",
            (HostDiskLow, "bytes_needed"),
            Then::News,
            400 << 20,
            false,
            |_, _| {},
            |_, _| {},
        ),
        on_ext4(
            "the backup disk is read-only",
            (HostWriteDenied, "Read-only file system"),
            Asked,
            DISK_BYTES,
            true,
            |_, disk| disk.lock().unwrap().as_ref().unwrap().abort().unwrap(),
            mount_again,
        ),
        on_ext4(
            "the backup disk is taken away in the middle",
            (BackupDriveMissing, "backups"),
            ByItself,
            DISK_BYTES,
            true,
            |_, disk| drop(disk.lock().unwrap().as_mut().unwrap().detach().unwrap()),
            mount_again,
        ),
        faulty("the backup disk fails", (HostIoError, "Input/output error"), AfterAPause, &[Errno::IO]),
        faulty("the quota is used up", (HostQuotaExceeded, "quota"), ByItself, &[Errno::DQUOT]),
        faulty("a file too large for the disk's format", (HostFileLimit, "File too large"), Asked, &[Errno::FBIG]),
        faulty("a network share that is stale", (BackupDriveMissing, "Stale file handle"), ByItself, &[Errno::STALE]),
        Row::daemon(
            "the folder of the backups is gone before a backup",
            (BackupDriveMissing, "backups"),
            ByItself,
            BACKED_UP,
            async move |world: &World| fs::rename(world.root(), elsewhere(world)).unwrap(),
            async move |world: &World| fs::rename(elsewhere(world), world.root()).unwrap(),
        ),
        Row::daemon(
            "the folder of the backups can't be written",
            (HostWriteDenied, "Permission denied"),
            Asked,
            Given { bound_by_permissions: true, ..PLAIN },
            async |world: &World| fs::set_permissions(world.root(), Permissions::from_mode(0o555)).unwrap(),
            async |world: &World| fs::set_permissions(world.root(), Permissions::from_mode(0o755)).unwrap(),
        ),
    ]
}

fn mount_again(world: &World, disk: &Mutex<Option<Mounted>>) {
    let mut disk = disk.lock().unwrap();
    *disk = None;
    let image = world.folder.path().join("image");
    *disk = Some(Mounted::ext4(Volume::of(&image).unwrap(), &world.root(), false).unwrap());
}
