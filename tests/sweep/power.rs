//! P1, P2, P5: the power goes. The disk keeps what was flushed, and of the rest a random part.

use std::{fs, path::PathBuf};

use backstay_tests::{
    disk::{Moment, Mounted, RecordedDisk, Volume, format, judge::Judge},
    phone::dataset::Mutation,
    random::{Random, seed},
    world::World,
};

use crate::place::{side_by_side, small_phone};

/// The phone wants some 130 MB of room before it begins.
const DISK_BYTES: usize = 224 << 20;

/// Power cuts in all, split between two worlds.
const CUTS: usize = 150;
const WORLDS: u64 = 2;

struct Recording {
    disk: RecordedDisk,
    world: World,
    judge: Judge,
    /// When Backstay said "done", and what the phone held then.
    done: Vec<(Moment, usize)>,
    end: Moment,
}

/// Three backups, each of a changed phone.
async fn record() -> Recording {
    let world = World::new(small_phone(81)).await;
    let served = world.folder.path().join("served");
    fs::create_dir(&served).unwrap();
    let disk = RecordedDisk::mount(DISK_BYTES, &served).unwrap();
    let volume = Volume::of(&disk.image()).unwrap();
    format("mkfs.ext4", &["-q", "-F"], volume.device()).unwrap();
    let mounted = Mounted::ext4(volume, &world.root(), false).unwrap();
    rustix::fs::syncfs(fs::File::open(world.root()).unwrap()).unwrap();
    disk.begin_recording();
    let mut judge = Judge::new(&world.root(), world.phone.udid());
    let mut done = Vec::new();
    for round in 0..3 {
        if round > 0 {
            world.phone.mutate(Mutation::Change { count: 3 });
            world.phone.mutate(Mutation::Add { count: 2, size: 150_000 });
            world.phone.mutate(Mutation::Remove { count: 2 });
        }
        judge.holds(world.phone.data());
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 0, "{object}");
        // The very moment: what was said must be true on the platter.
        done.push((disk.now(), judge.newest()));
        judge.check().unwrap();
    }
    let end = disk.now();
    println!(
        "recorded {} writes and flushes, {} of them flushes, {} bytes",
        end.0,
        disk.barriers().len(),
        disk.bytes_written()
    );
    assert!(disk.barriers().len() >= 6, "Backstay syncs");
    drop(mounted);
    Recording { disk, world, judge, done, end }
}

impl Recording {
    /// Right when "done" was said, around flushes, and anywhere.
    fn moments(&self, random: &mut Random, count: usize) -> Vec<Moment> {
        let barriers: Vec<Moment> = self.disk.barriers().into_iter().filter(|moment| *moment <= self.end).collect();
        let mut moments: Vec<Moment> = self.done.iter().flat_map(|(moment, _)| [*moment; 3]).collect();
        while moments.len() < count {
            moments.push(match random.below(3) {
                0 => {
                    let barrier = barriers[random.below(barriers.len() as u64) as usize];
                    // One before the flush, the flush, some writes after it.
                    Moment((barrier.0 + random.below(6) as usize).saturating_sub(2).min(self.end.0))
                }
                _ => Moment(random.below(self.end.0 as u64 + 1) as usize),
            });
        }
        moments
    }

    fn image(&self) -> PathBuf {
        self.world.folder.path().join("image")
    }

    async fn cut(&self, moment: Moment, random: &mut Random) {
        let told = format!("power cut after {} of {} events", moment.0, self.end.0);
        self.disk.image_at(moment, random, &self.image()).unwrap();
        let look = self.world.folder.path().join("look");
        fs::create_dir_all(&look).unwrap();
        let mounted = Mounted::ext4(Volume::of(&self.image()).unwrap(), &look, true).unwrap();
        let found = self.judge.below(&look).check().unwrap_or_else(|error| panic!("{told}: {error}"));
        drop(mounted);
        let done = self.done.iter().filter(|(said, _)| *said <= moment).map(|(_, holds)| *holds).next_back();
        assert!(found.latest >= done && found.sealed >= done, "{told}: {done:?} was done, there is {found:?}");

        let mounted = Mounted::ext4(Volume::of(&self.image()).unwrap(), &self.world.root(), false).unwrap();
        if !self.world.root().join(".backstay").exists() {
            // The computer remembers a drive only once its mark is on the platter; here its memory is from later.
            let flushed = self.disk.barriers().into_iter().filter(|barrier| *barrier < moment).count();
            assert!(flushed < 3, "{told}: no mark after {flushed} flushes");
            fs::remove_file(self.world.folder.path().join("home/.local/state/backstay/backup-folders.json")).unwrap();
        }
        let (code, object) = self.world.back_up_once().await;
        assert_eq!(code, 0, "{told}: the next backup failed: {object}");
        let found = self.judge.check().unwrap_or_else(|error| panic!("{told}, after the next backup: {error}"));
        assert_eq!((found.latest, found.sealed), (Some(self.judge.newest()), Some(self.judge.newest())), "{told}");
        drop(mounted);
    }
}

async fn cuts(seed: u64, count: usize) {
    let recording = record().await;
    let mut random = Random::new(seed);
    for moment in recording.moments(&mut random, count) {
        recording.cut(moment, &mut random).await;
    }
}

#[test]
fn p1_p2_p5_the_power_goes_at_150_moments() {
    needs!();
    let seed = seed();
    side_by_side(WORLDS, move |world| cuts(seed.wrapping_add(world), CUTS / WORLDS as usize));
}
