//! History, retention, and the proof that a snapshot is what it was: every damage is found and named.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use backstay::vault::{layout::Layout, ledger::Ledger, scrub};
use backstay_tests::{
    binaries::binary,
    oracle,
    phone::dataset::{DataSetSpec, Mutation},
    random::{Random, seed},
    world::{World, text, watch_memory},
};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio_util::sync::CancellationToken;

async fn json(world: &World, arguments: &[&str]) -> (i32, Value) {
    let output = world.backstay(arguments).await;
    let first = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned).unwrap_or_default();
    let object = serde_json::from_str(&first).unwrap_or_else(|_| panic!("no object: {}", text(&output)));
    (output.status.code().expect("killed"), object)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let list = if entry.file_type().unwrap().is_dir() { &mut open } else { &mut found };
            list.push(entry.path());
        }
    }
    found.sort();
    found
}

/// A bit of a file, flipped in place; flipped again it is as it was.
pub(crate) fn flip(path: &Path, bit: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(bit / 8)).unwrap();
    file.read_exact(&mut byte).unwrap();
    byte[0] ^= 1 << (bit % 8);
    file.seek(SeekFrom::Start(bit / 8)).unwrap();
    file.write_all(&byte).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_in_any_file_is_found_and_named() {
    let seed = seed();
    let mut random = Random::new(seed);
    let world = World::new(DataSetSpec::mixed(61, 60, 2_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    world.change();
    assert_eq!(world.back_up_once().await.0, 0);
    let (code, whole) = json(&world, &["verify", "--deep", "--json"]).await;
    assert_eq!((code, &whole["damaged"], &whole["without_checksum"]), (0, &0.into(), &0.into()), "{whole}");
    assert_eq!(whole["checksum_taken_later"], 0, "{whole}");

    let latest = world.latest();
    let names: BTreeMap<String, String> = {
        let data = world.phone.data();
        data.files().map(|file| (file.file_id.path(), file.name())).collect()
    };
    for path in files_below(&latest) {
        let file = path.strip_prefix(&latest).unwrap();
        let length = fs::metadata(&path).unwrap().len();
        if length == 0 {
            continue;
        }
        let bit = random.below(length * 8);
        flip(&path, bit);
        let (code, told) = json(&world, &["verify", "--deep", "--json"]).await;
        flip(&path, bit);
        assert_eq!(code, 1, "seed {seed}, bit {bit} of {}: {told}", file.display());
        let damages = told["damages"].as_array().unwrap();
        let named = damages.iter().find(|damage| damage["path"].as_str().is_some_and(|told| Path::new(told) == path));
        let named = named.unwrap_or_else(|| panic!("seed {seed}, bit {bit} of {}: {told}", file.display()));
        if let Some(name) = names.get(&file.display().to_string()) {
            let told = format!("{}-{}", named["domain"].as_str().unwrap(), named["relative_path"].as_str().unwrap());
            assert_eq!(&told, name);
        }
    }
    let (code, whole) = json(&world, &["verify", "--deep", "--json"]).await;
    assert_eq!((code, &whole["damaged"]), (0, &0.into()), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_short_or_extra_file_is_found_by_plain_verify() {
    let world = World::new(DataSetSpec::mixed(62, 60, 2_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    let latest = world.latest();
    let file = world.phone.data().files().find(|file| file.size > 100).unwrap().clone();
    let path = latest.join(file.file_id.path());
    let content = fs::read(&path).unwrap();
    let expect = async |what: &str, path: &Path| {
        let (code, told) = json(&world, &["verify", "--json"]).await;
        assert_eq!((code, &told["damaged"]), (1, &1.into()), "{told}");
        let damage = &told["damages"][0];
        assert_eq!(
            (damage["what"].as_str(), damage["path"].as_str().map(Path::new)),
            (Some(what), Some(path)),
            "{told}"
        );
        damage["relative_path"].as_str().unwrap().to_owned()
    };
    fs::remove_file(&path).unwrap();
    assert_eq!(expect("is missing", &path).await, *file.relative_path);
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    assert_eq!(expect("is shorter than it was when it came", &path).await, *file.relative_path);
    fs::write(&path, [&content[..], b"!"].concat()).unwrap();
    assert_eq!(expect("is longer than it was when it came", &path).await, *file.relative_path);
    fs::write(&path, &content).unwrap();
    // What other programs leave is none of the backup's, and no damage.
    for foreign in ["3d/stray", ".DS_Store", "@eaDir/x", "3d/._x", "Thumbs.db"] {
        let foreign = latest.join(foreign);
        fs::create_dir_all(foreign.parent().unwrap()).unwrap();
        fs::write(&foreign, "what is this?").unwrap();
        let (code, told) = json(&world, &["verify", "--json"]).await;
        assert_eq!((code, &told["damaged"], &told["foreign"]), (1, &0.into(), &1.into()), "{told}");
        fs::remove_file(&foreign).unwrap();
    }
    // What was found damaged is not called whole again by a glance.
    let output = world.backstay(&["verify"]).await;
    assert!(!output.status.success() && text(&output).contains("an earlier check found"), "{}", text(&output));
    for arguments in [&["verify", "--deep"][..], &["verify"]] {
        let output = world.backstay(arguments).await;
        assert!(output.status.success(), "{}", text(&output));
    }

    // A person is told the file as they know it, and what to do.
    fs::remove_file(&path).unwrap();
    let output = world.backstay(&["verify"]).await;
    let told = text(&output);
    assert!(told.contains(&*file.relative_path) && told.contains("backstay backup"), "{told}");

    // What was damaged is brought anew by the next backup, though nothing changed on the phone.
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["receipt"]["full"]), (0, &true.into()), "{object}");
    world.judge();
    assert!(world.backstay(&["verify", "--deep"]).await.status.success());
}

/// A latest backup that is hardly one any more is told as damaged; no older one is taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ruined_latest_is_not_passed_over() {
    for ruin in ["Status.plist", "Info.plist", "Manifest.db"] {
        let world = World::new(DataSetSpec::mixed(67, 40, 1_000_000)).await;
        assert_eq!(world.back_up_once().await.0, 0);
        world.change();
        let (_, second) = world.back_up_once().await;
        fs::remove_file(world.latest().join(ruin)).unwrap();
        let (code, told) = json(&world, &["verify", "--json"]).await;
        assert_eq!((code, &told["snapshot"]), (1, &second["receipt"]["id"]), "{ruin}: {told}");
        let (_, history) = json(&world, &["history", "--json"]).await;
        let snapshots = history["snapshots"].as_array().unwrap();
        assert_eq!((snapshots.len(), &snapshots[1]["damaged"]), (2, &true.into()), "{ruin}: {history}");
        assert_eq!(snapshots[0]["damaged"], false);
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 0, "{ruin}: {object}");
        world.judge();
        assert!(world.backstay(&["verify", "--deep"]).await.status.success());
    }
}

/// Bytes on disk below a folder, each file once, as `du` counts.
fn bytes_on_disk(folder: &Path) -> u64 {
    let mut seen = BTreeMap::new();
    for file in files_below(folder) {
        let facts = fs::metadata(file).unwrap();
        seen.insert((facts.dev(), facts.ino()), facts.len());
    }
    seen.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_costs_what_changed_and_prune_frees_what_it_says() {
    let world = World::new(DataSetSpec::uniform(63, 300, 20_000)).await;
    world.configure("[backup]\nkeep_last = 9\n");
    assert_eq!(world.back_up_once().await.0, 0);
    let own = world.root().join(".backstay").join(world.phone.udid());
    let trees = || bytes_on_disk(&world.latest()) + bytes_on_disk(&own.join("history"));
    for round in 0..3 {
        let before = bytes_on_disk(&world.root());
        let manifest = fs::metadata(world.latest().join("Manifest.db")).unwrap().len();
        world.phone.mutate(Mutation::Change { count: 10 });
        assert_eq!(world.back_up_once().await.0, 0);
        let added = bytes_on_disk(&world.root()) - before;
        // Ten files, the manifest of another backup, and some pages of the ledger.
        assert!((200_000..200_000 + manifest + 300_000).contains(&added), "round {round}: {added} bytes were added");
    }
    let (_, history) = json(&world, &["history", "--json"]).await;
    let snapshots = history["snapshots"].as_array().unwrap();
    assert_eq!(snapshots.len(), 4);
    assert!(snapshots.iter().all(|snapshot| snapshot["made_by_backstay"] == true && snapshot["damaged"] == false));
    assert_eq!(snapshots[3]["latest"], true);
    let text_of_history = text(&world.backstay(&["history"]).await);
    for snapshot in snapshots {
        assert!(text_of_history.contains(snapshot["id"].as_str().unwrap()), "{text_of_history}");
        oracle::check_finished(Path::new(snapshot["folder"].as_str().unwrap())).unwrap();
    }

    world.configure("[backup]\nkeep_last = 1\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n");
    let (_, dry) = json(&world, &["prune", "--dry-run", "--json"]).await;
    assert_eq!(dry["removed"].as_array().unwrap().len(), 2, "{dry}");
    let (_, same) = json(&world, &["history", "--json"]).await;
    assert_eq!(same, history, "a dry run changes nothing");
    let mut told = 0;
    for _ in 0..2 {
        // The oldest alone first: what the history says of it is what goes.
        let (_, history) = json(&world, &["history", "--json"]).await;
        told += history["snapshots"][0]["bytes_only_here"].as_u64().unwrap();
        let keep = history["snapshots"].as_array().unwrap().len() - 2;
        world.configure(&format!("[backup]\nkeep_last = {keep}\nkeep_daily = 0\nkeep_weekly = 0\nkeep_monthly = 0\n"));
        let before = trees();
        let (code, pruned) = json(&world, &["prune", "--json"]).await;
        assert_eq!((code, pruned["removed"].as_array().unwrap().len()), (0, 1), "{pruned}");
        let freed = before - trees();
        assert_eq!(pruned["removed"][0]["bytes_only_here"], freed);
        told -= freed;
    }
    assert_eq!(told, 0, "what it said was what went");
    world.judge();
    assert!(world.backstay(&["verify", "--deep"]).await.status.success());
}

/// Room is made of old snapshots, one by one and no further than asked; the latest and the last whole one are not for
/// sale. The disk is one of our own, so that nobody else moves its free space.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn prune_frees_room_and_no_more_than_asked() {
    let world = World::new(DataSetSpec::uniform(68, 40, 500_000)).await;
    world.configure("[backup]\nkeep_last = 9\n");
    let root = world.root().display().to_string();
    let backstay = binary("backstay").display().to_string();
    // Four backups on a file system in memory; each line that comes in is a command for it, each answer one line.
    let script = format!(
        "mount -t tmpfs -o size=1g tmpfs '{root}'
         while read -r command; do '{backstay}' --root '{root}' $command --json | tr '\\n' ' '; echo; done"
    );
    let mut command = world.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    // All objects of the answer.
    let mut run = async |command: String| -> Vec<Value> {
        input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let line = lines.next_line().await.unwrap().expect("the script goes on");
        serde_json::Deserializer::from_str(&line).into_iter().map(Result::unwrap).collect()
    };
    for _ in 0..4 {
        let told = run("backup --once".into()).await;
        assert_eq!(told.last().unwrap()["event"], "done");
        world.phone.mutate(Mutation::Change { count: 10 });
    }
    let ids = |history: &Value| -> Vec<String> {
        let snapshots = history["snapshots"].as_array().unwrap();
        snapshots.iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
    };
    let before = ids(&run("history".into()).await[0]);
    assert_eq!(before.len(), 4);

    let nothing = &run("prune --free 1MB".into()).await[0];
    assert_eq!(nothing["removed"], serde_json::json!([]), "there is that much already: {nothing}");
    let free = nothing["bytes_free"].as_u64().unwrap();
    // Ten files of half a megabyte changed each time: a little more than one snapshot brings two.
    let wanted = free + 6_000_000;
    let dry = &run(format!("prune --free {wanted}B --dry-run")).await[0];
    let removed = |told: &Value| -> Vec<String> {
        let removed = told["removed"].as_array().unwrap();
        removed.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(removed(dry), before[..2], "the oldest go first: {dry}");
    assert_eq!(ids(&run("history".into()).await[0]), before, "a dry run changes nothing");
    let done = &run(format!("prune --free {wanted}B")).await[0];
    assert_eq!(removed(done), before[..2], "{done}");
    assert!(done["bytes_free"].as_u64().unwrap() >= wanted, "{done}");
    let (reckoned, came) = (dry["bytes_freed"].as_u64().unwrap(), done["bytes_freed"].as_u64().unwrap());
    assert!(came.abs_diff(reckoned) < 2_000_000, "{came} bytes came free, {reckoned} were reckoned");

    // All that may go is not enough: then nothing is given away for nothing.
    let told = run("prune --free 900GB".into()).await;
    assert!(removed(&told[0]).is_empty(), "{told:?}");
    assert_eq!(told[1]["failure"]["id"], "host-disk-full", "{told:?}");
    assert_eq!(ids(&run("history".into()).await[0]), before[2..]);
    assert_eq!(run("verify --deep".into()).await[0]["damaged"], 0);
    drop(input);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weekly_check_reads_everything_once_and_finds_a_flipped_bit() {
    let world = World::new(DataSetSpec::mixed(64, 80, 4_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    world.change();
    assert_eq!(world.back_up_once().await.0, 0);
    let layout = Layout::new(&world.root(), &world.phone.udid().parse().unwrap());
    let (never, week) = (CancellationToken::new(), 7);
    let hour = 3600;
    let begin = chrono::Utc::now().timestamp();
    let contents = Ledger::open(&layout).unwrap().due_for_check(begin, u64::MAX).unwrap();
    let mut read = 0;
    for slice in 0..24 * i64::from(week) {
        let slice = scrub::slice(&layout, week, begin + slice * hour, &never).unwrap();
        assert_eq!(slice.damages.count, 0);
        read += slice.files;
    }
    assert_eq!(read, contents.len() as u64, "each content is read once in a week, also of the older snapshot");

    let file = world.phone.data().files().find(|file| file.size > 1000).unwrap().clone();
    flip(&world.latest().join(file.file_id.path()), 4000);
    let mut told = None;
    for slice in 24 * i64::from(week)..2 * 24 * i64::from(week) + 1 {
        let slice = scrub::slice(&layout, week, begin + slice * hour, &never).unwrap();
        told = told.or_else(|| slice.damages.first.first().cloned());
    }
    let told = told.expect("the damage is found");
    assert_eq!((&*told.domain, &*told.relative_path), (&*file.domain, &*file.relative_path));
    // A daemon that starts tells it, and the next backup brings everything anew.
    let daemon = world.daemon().await;
    let damaged = |id: &str| id == "backup-damaged";
    daemon
        .phone_shows("the damage", |phone| {
            phone.problems.iter().any(|problem| damaged(&problem.id.to_string())).then_some(())
        })
        .await;
    drop(daemon);
    let (code, object) = world.back_up_once().await;
    assert_eq!((code, &object["receipt"]["full"]), (0, &true.into()), "{object}");
    world.judge();
}

#[tokio::test(flavor = "multi_thread")]
async fn p5_a_lost_ledger_is_made_anew_and_says_what_it_does_not_know() {
    let world = World::new(DataSetSpec::mixed(65, 60, 2_000_000)).await;
    assert_eq!(world.back_up_once().await.0, 0);
    world.change();
    assert_eq!(world.back_up_once().await.0, 0);
    let ledger = world.root().join(".backstay").join(world.phone.udid()).join("ledger.sqlite");
    for damage in [None, Some(b"no database".as_slice())] {
        match damage {
            None => fs::remove_file(&ledger).unwrap(),
            Some(garbage) => fs::write(&ledger, garbage).unwrap(),
        }
        let daemon = world.daemon().await;
        let told = |id: &str| id == "ledger-damaged";
        daemon
            .phone_shows("it is told", |phone| {
                phone.problems.iter().any(|problem| told(&problem.id.to_string())).then_some(())
            })
            .await;
        drop(daemon);
        let (_, history) = json(&world, &["history", "--json"]).await;
        assert!(history["snapshots"].as_array().unwrap().len() >= 2, "{history}");
        let (code, checked) = json(&world, &["verify", "--json"]).await;
        assert_eq!(code, 0, "{checked}");
        assert!(checked["without_checksum"].as_u64().unwrap() > 20, "{checked}");
        world.change();
        let (code, object) = world.back_up_once().await;
        assert_eq!(code, 0, "{object}");
        world.judge();
    }
}

/// The size of a real phone: what a nightly backup costs beside the transfer.
#[tokio::test(flavor = "multi_thread")]
async fn p6_a_hundred_changes_on_200_000_files() {
    let world = World::new(DataSetSpec::uniform(66, 200_000, 300)).await;
    // On a busy machine the first one takes minutes.
    let mut first = world.command(binary("backstay"));
    first.arg("--root").arg(world.root()).args(["backup", "--once"]).stdout(Stdio::null());
    assert!(first.status().await.unwrap().success());
    let before = bytes_on_disk(&world.root());
    world.phone.mutate(Mutation::Change { count: 100 });
    let mut command = world.command(binary("backstay"));
    command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let memory = tokio::spawn(watch_memory(child.id().unwrap()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap();
        told.push((begun.elapsed(), event));
    }
    assert!(child.wait().await.unwrap().success());
    let peak = memory.await.unwrap();
    let (wall, done) = told.last().unwrap();
    assert_eq!(done["receipt"]["full"], false, "{done}");
    let at = |phase: &str| told.iter().find(|(_, event)| event["phase"] == phase).map(|(at, _)| *at);
    println!(
        "whole {wall:?}; phases began: scanning {:?}, verifying {:?}, committing {:?}; peak {} MiB",
        at("scanning"),
        at("verifying"),
        at("committing"),
        peak >> 20
    );
    assert!(peak < 200 << 20, "{peak} bytes of memory");
    let added = bytes_on_disk(&world.root()) - before;
    let manifest = fs::metadata(world.latest().join("Manifest.db")).unwrap().len();
    println!("history added {added} bytes, {manifest} of them the manifest");
    assert!(added < 100 * 300 + manifest + (2 << 20), "{added} bytes were added");
    assert!(world.backstay(&["verify", "--deep"]).await.status.success());
}
