//! A phone, a disk and a first good backup: where every test here begins.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use backstay_tests::{
    disk::{
        FaultyDisk,
        judge::{Found, Judge},
    },
    phone::dataset::{DataSetSpec, FileGroup, Mutation, SizeRule},
    world::World,
};
use serde_json::Value;

/// Says why a test can't run here, and ends it.
macro_rules! needs {
    ($($program:literal),*) => {
        if let Some(missing) = backstay_tests::disk::missing(&[$($program),*]) {
            println!("NOT RUN: this machine lacks {missing}");
            return;
        }
    };
}

/// Small, with files of each way to the disk: empty ones, small ones, and some over 128 KiB.
pub(crate) fn small_phone(seed: u64) -> DataSetSpec {
    let group = |domain: &str, directory: &str, count, size| FileGroup {
        domain: domain.into(),
        directory: directory.into(),
        count,
        size,
    };
    let groups = vec![
        group("HomeDomain", "Library/Preferences", 6, SizeRule::Between(500, 20_000)),
        group("CameraRollDomain", "Media/DCIM", 4, SizeRule::Between(140_000, 300_000)),
        group("HomeDomain", "Library/Caches/Locks", 2, SizeRule::Fixed(0)),
    ];
    DataSetSpec::of_groups(seed, groups)
}

/// A world whose backup folder is on a faulty disk.
pub(crate) struct Place {
    // Unmounted before the world's folder goes.
    pub(crate) disk: Option<FaultyDisk>,
    pub(crate) world: World,
    pub(crate) judge: Judge,
}

impl Place {
    /// With one good backup, made without faults.
    pub(crate) async fn new(seed: u64) -> Self {
        let world = World::new(small_phone(seed)).await;
        let below = world.folder.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let judge = Judge::new(&below, world.phone.udid());
        let mut place = Self { disk: None, world, judge };
        place.mount();
        place.judge.holds(place.world.phone.data());
        place.must_back_up("the first").await;
        place
    }

    /// What the disk shows, looked at past it.
    pub(crate) fn below(&self) -> PathBuf {
        self.world.folder.path().join("below")
    }

    pub(crate) fn disk(&self) -> &FaultyDisk {
        self.disk.as_ref().unwrap()
    }

    pub(crate) fn mount(&mut self) {
        self.disk = None;
        self.disk = Some(FaultyDisk::mount(&self.below(), &self.world.root()).unwrap());
    }

    /// Puts the disk back to what `keep` was made of.
    pub(crate) fn restore(&mut self, kept: &Path) {
        self.disk = None;
        std::fs::remove_dir_all(self.below()).unwrap();
        copy(kept, &self.below()).unwrap();
        self.mount();
    }

    /// Keeps what is on the disk now.
    pub(crate) fn keep(&self) -> PathBuf {
        let kept = self.world.folder.path().join("kept");
        copy(&self.below(), &kept).unwrap();
        kept
    }

    /// The phone's owner used it.
    pub(crate) fn change(&mut self) {
        let phone = &self.world.phone;
        phone.mutate(Mutation::Change { count: 3 });
        phone.mutate(Mutation::Add { count: 2, size: 5000 });
        phone.mutate(Mutation::Add { count: 1, size: 200_000 });
        phone.mutate(Mutation::Remove { count: 3 });
        self.judge.holds(phone.data());
    }

    /// What the phone holds now, as the judge counts.
    pub(crate) fn current(&self) -> usize {
        self.judge.newest()
    }

    /// Whole is whole, sealed is whole; tells what is there.
    pub(crate) fn judged(&self, told: &str) -> Found {
        self.judge.check().unwrap_or_else(|error| panic!("{told}: {error}"))
    }

    /// A backup that has to succeed with nobody's help, and be what the phone holds.
    pub(crate) async fn must_back_up(&self, told: &str) -> Value {
        let (code, object) = self.world.back_up_once().await;
        assert_eq!((code, &object["event"]), (0, &"done".into()), "{told}: {object}");
        let found = self.judged(told);
        assert_eq!((found.latest, found.sealed), (Some(self.current()), Some(self.current())), "{told}");
        object
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let status = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("cp -a {}: {status}", from.display()))) }
}

/// Does the same in so many worlds at a time, each on threads of its own.
pub(crate) fn side_by_side<T, F>(worlds: u64, live: impl Fn(u64) -> F + Copy + Send + 'static) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let live = move |world| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(live(world))
    };
    let worlds: Vec<_> = (0..worlds).map(|world| std::thread::spawn(move || live(world))).collect();
    // The panic of a world was printed by its thread; here it ends the test.
    worlds.into_iter().map(|world| world.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
}
