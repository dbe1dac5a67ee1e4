//! P1, P3: real file systems that are full, turn read-only, vanish, know no hard links or fail to sync.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use backstay_tests::{
    binaries::binary,
    disk::{
        Mounted, Volume, format,
        judge::{Found, Judge},
    },
    phone::{Event, Fault, dataset::Mutation},
    random::Random,
    world::{World, text},
};
use serde_json::Value;

use crate::place::small_phone;

/// The phone wants some 130 MB of room before it begins.
const DISK_BYTES: u64 = 224 << 20;
/// In the middle of the files that a changed phone sends.
const MIDDLE: u64 = 400_000;

/// A world whose backup folder is on a real small disk, with one good backup.
struct Place {
    mounted: Option<Mounted>,
    world: World,
    judge: Judge,
}

impl Place {
    async fn on_ext4() -> Self {
        let world = World::new(small_phone(91)).await;
        let image = world.folder.path().join("image");
        let mounted = Mounted::fresh_ext4(&image, DISK_BYTES, &world.root()).unwrap();
        Self::begun(world, mounted).await
    }

    async fn begun(world: World, mounted: Mounted) -> Self {
        let mut judge = Judge::new(&world.root(), world.phone.udid());
        judge.holds(world.phone.data());
        let mut place = Self { mounted: Some(mounted), world, judge };
        place.must_back_up().await;
        place.world.phone.mutate(Mutation::Change { count: 5 });
        place.world.phone.mutate(Mutation::Add { count: 8, size: 200_000 });
        place.judge.holds(place.world.phone.data());
        place
    }

    fn image(&self) -> PathBuf {
        self.world.folder.path().join("image")
    }

    fn mount_again(&mut self) {
        self.mounted = None;
        self.mounted = Some(Mounted::ext4(Volume::of(&self.image()).unwrap(), &self.world.root(), false).unwrap());
    }

    async fn must_back_up(&self) {
        let (code, object) = self.world.back_up_once().await;
        assert_eq!(code, 0, "{object}");
        let newest = Some(self.judge.newest());
        let found = self.judge.check().unwrap();
        assert_eq!((found.latest, found.sealed), (newest, newest));
    }

    /// A backup in the middle of which something happens to the disk.
    async fn back_up_while(&self, happens: impl AsyncFnOnce()) -> (i32, Value) {
        let mut events = self.world.phone.events();
        self.world.phone.set_fault(Some(Fault::PauseAt { bytes: MIDDLE }));
        let meanwhile = async {
            while events.recv().await.unwrap() != Event::Paused {}
            happens().await;
            self.world.phone.go_on();
        };
        let (done, ()) = tokio::join!(self.world.back_up_once(), meanwhile);
        done
    }

    /// Starts Backstay with no phone, which puts in order what a failed run left, and looks.
    async fn after_a_start(&self) -> Found {
        self.world.phone.unplug();
        self.world.daemon().await.terminate().await;
        self.world.phone.plug_in();
        self.judge.check().unwrap()
    }

    fn last_good_is_intact(&self, found: &Found) {
        let before = Some(self.judge.newest() - 1);
        assert_eq!((found.latest, found.sealed), (before, before));
    }
}

fn failed(code: i32, object: &Value, ids: &[&str]) {
    let id = object["failure"]["id"].as_str().unwrap_or("none");
    assert!(code == 1 && ids.contains(&id), "expected {ids:?}: {object}");
}

/// Takes every byte that is free; the file to remove for room.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("other people's film");
    let mut film = File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let piece = vec![7; size];
        while film.write_all(&piece).and_then(|()| film.sync_data()).is_ok() {}
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_disk_that_is_filled_in_mid_transfer() {
    needs!();
    let place = Place::on_ext4().await;
    let (code, object) = place.back_up_while(async || drop(fill(&place.world.root()))).await;
    failed(code, &object, &["host-disk-full"]);
    place.last_good_is_intact(&place.judge.check().unwrap());
    let (code, object) = place.world.back_up_once().await;
    failed(code, &object, &["host-disk-full"]);
    place.last_good_is_intact(&place.judge.check().unwrap());
    fs::remove_file(place.world.root().join("other people's film")).unwrap();
    place.must_back_up().await;
}

/// As ext4 does by itself when it finds that the disk lies.
#[tokio::test(flavor = "multi_thread")]
async fn p1_a_disk_that_turns_read_only_in_mid_transfer() {
    needs!();
    let mut place = Place::on_ext4().await;
    let (code, object) = place.back_up_while(async || place.mounted.as_ref().unwrap().abort().unwrap()).await;
    // The kernel says EROFS or, where its journal is asked, EIO.
    failed(code, &object, &["host-write-denied", "host-io-error"]);
    let (code, object) = place.world.back_up_once().await;
    failed(code, &object, &["host-write-denied", "host-io-error"]);
    place.mount_again();
    place.last_good_is_intact(&place.judge.check().unwrap());
    place.must_back_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_disk_that_is_read_only_from_the_start() {
    needs!();
    let place = Place::on_ext4().await;
    let mounted = place.mounted.as_ref().unwrap();
    mounted.remount(true).unwrap();
    let (code, object) = place.world.back_up_once().await;
    failed(code, &object, &["host-write-denied"]);
    place.last_good_is_intact(&place.judge.check().unwrap());
    mounted.remount(false).unwrap();
    place.must_back_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_drive_that_is_taken_away() {
    needs!();
    let mut place = Place::on_ext4().await;
    let mut mounted = place.mounted.take().unwrap();
    let mut volume = None;
    let (code, object) = place.back_up_while(async || volume = mounted.detach().unwrap()).await;
    failed(code, &object, &["backup-drive-missing"]);
    let bare = |place: &Place| fs::read_dir(place.world.root()).unwrap().count();
    assert_eq!(bare(&place), 0, "nothing is written to the bare mount point");
    let (code, object) = place.world.back_up_once().await;
    failed(code, &object, &["backup-drive-missing"]);
    assert_eq!(bare(&place), 0, "nothing is written to the bare mount point");
    drop(volume);
    place.mount_again();
    place.last_good_is_intact(&place.judge.check().unwrap());
    place.must_back_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p5_a_file_system_without_hard_links() {
    needs!("mkfs.exfat", "mount.exfat-fuse");
    let world = World::new(small_phone(92)).await;
    let image = world.folder.path().join("image");
    File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
    format("mkfs.exfat", &[], &image).unwrap();
    let volume = Volume::of(&image).unwrap();
    let output = Command::new("mount.exfat-fuse").arg(volume.device()).arg(world.root()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let mounted = Mounted::adopt(volume, &world.root());
    assert!(fs::write(world.root().join("one"), "").is_ok());
    assert!(fs::hard_link(world.root().join("one"), world.root().join("other")).is_err(), "it knows no hard links");
    fs::remove_file(world.root().join("one")).unwrap();
    let place = Place::begun(world, mounted).await;

    let (code, object) = place.back_up_while(async || drop(fill(&place.world.root()))).await;
    failed(code, &object, &["host-disk-full"]);
    place.last_good_is_intact(&place.after_a_start().await);
    fs::remove_file(place.world.root().join("other people's film")).unwrap();

    // The cable comes out at some places of the stream.
    let mut random = Random::new(92);
    for _ in 0..5 {
        let bytes = 1000 + random.below(1_500_000);
        place.world.phone.set_fault(Some(Fault::UnplugAt { bytes }));
        let (code, object) = place.world.back_up_once().await;
        failed(code, &object, &["usb-disconnected"]);
        place.last_good_is_intact(&place.after_a_start().await);
    }
    place.world.phone.set_fault(None);
    place.must_back_up().await;
}

/// "Backed up" is not said of what the disk did not take.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_sync_that_fails_is_no_backup() {
    needs!("strace");
    let place = Place::on_ext4().await;
    for call in ["syncfs", "fsync"] {
        let trace = place.world.folder.path().join("trace");
        let mut command = place.world.command("strace");
        command.args(["-f", "-qq", "-e", &format!("trace={call}"), "-e"]).arg(format!("inject={call}:error=EIO"));
        command.arg("-o").arg(&trace).arg(binary("backstay")).arg("--root").arg(place.world.root());
        let output = command.args(["backup", "--once", "--json"]).output().await.unwrap();
        let traced = fs::read_to_string(&trace).unwrap();
        if traced.contains("ptrace") || text(&output).contains("ptrace") {
            println!("NOT RUN: strace may not trace here: {}", text(&output));
            return;
        }
        assert!(traced.contains("EIO"), "{call} is called: {}", text(&output));
        let last = String::from_utf8_lossy(&output.stdout).lines().last().map(str::to_owned).unwrap_or_default();
        let object: Value = serde_json::from_str(&last).unwrap_or_else(|_| panic!("no object: {}", text(&output)));
        failed(output.status.code().unwrap(), &object, &["host-io-error"]);
        place.last_good_is_intact(&place.judge.check().unwrap());
    }
    place.must_back_up().await;
}

/// Without clones there is no history: the last good content of a file that the phone can't read stays in its place, and a
/// full backup begins without what the phone reads first.
#[tokio::test(flavor = "multi_thread")]
async fn p1_without_hard_links_the_last_good_content_stays() {
    needs!();
    let place = crate::place::Place::new(83).await;
    place.disk().without_hard_links();
    let world = &place.world;
    world.phone.mutate(Mutation::Change { count: 12 });
    let data = world.phone.data();
    let (index, file) = data.files().enumerate().find(|(_, file)| file.size > 1000).expect("such a file");
    let stored = world.latest().join(file.file_id.path());
    let before = std::fs::read(&stored).unwrap();
    world.phone.set_unreadable(vec![(index, backstay_tests::phone::Unreadable::default())]);
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["receipt"]["warning"]["id"]), (0, &"device-files-unreadable".into()), "{object}");
    assert_eq!(std::fs::read(&stored).unwrap(), before, "what was good of it is there");
    assert!(object["receipt"]["doubtful"].to_string().contains(&*file.relative_path), "{object}");
    world.phone.set_unreadable(Vec::new());
    world.phone.set_strict_properties(true);
    for full in [false, true] {
        let path = world.latest().join("Manifest.plist");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        world.phone.mutate(Mutation::Change { count: 5 });
        let arguments = ["backup", "--once", "--json", "--full"];
        let output = world.backstay(&arguments[..if full { 4 } else { 3 }]).await;
        assert!(output.status.success(), "full {full}: {}", backstay_tests::world::text(&output));
        world.judge();
    }
}
