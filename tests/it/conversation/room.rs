//! Too little room by the phone's reckoning: it is made while the phone waits, so that no passcode is typed twice.

use backstay_tests::{
    binaries::binary,
    phone::{
        PasscodeAnswer,
        dataset::{DataSetSpec, Mutation},
    },
    world::World,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// A disk of its own, in memory, that is nearly full of old snapshots.
#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_make_room_in_the_run() {
    for (make_room, code) in [(true, 0), (false, 1)] {
        let world = World::new(DataSetSpec::uniform(651, 50, 2_000_000)).await;
        world.configure(&format!("[backup]\nkeep_last = 10\nmake_room = {make_room}\n"));
        let root = world.root().display().to_string();
        let backstay = binary("backstay").display().to_string();
        // 100 MB each; the phone wants 128 MiB beside what it sends.
        let script = format!(
            "set -e; back_up() {{ '{backstay}' --root '{root}' backup --once --json | tail -n 1; }}
             mount -t tmpfs -o size=500m tmpfs '{root}'
             back_up; read -r go; back_up; read -r go; back_up; read -r go; back_up || true
             ls '{root}/.backstay/{}/history' | wc -l; '{backstay}' --root '{root}' verify --deep --json
             '{backstay}' --root '{root}' history",
            world.phone.udid()
        );
        let mut command = world.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let mut child =
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut go = child.stdin.take().unwrap();
        let mut told = Vec::new();
        for round in 0..4 {
            let line = lines.next_line().await.unwrap().expect("the script goes on");
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            println!("make_room = {make_room}, round {round}: {}", object["event"]);
            told.push(object);
            if round == 2 {
                world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenPresent {
                    patience: std::time::Duration::from_secs(60),
                }));
                world.phone.set_person_present(true);
            }
            world.phone.mutate(Mutation::Change { count: 50 });
            if round < 3 {
                tokio::io::AsyncWriteExt::write_all(&mut go, b"go\n").await.unwrap();
            }
        }
        assert!(told[..3].iter().all(|object| object["event"] == "done"), "{told:?}");
        let last = &told[3];
        assert_eq!(last["event"] == "done", code == 0, "{last}");
        assert_eq!(world.phone.sheets_shown(), 1, "one passcode: {last}");
        assert_eq!(world.phone.purges(), 1, "{last}");
        let snapshots: usize = lines.next_line().await.unwrap().unwrap().trim().parse().unwrap();
        if make_room {
            assert!((1..3).contains(&snapshots), "{snapshots} older snapshots are left");
            assert!(last["receipt"]["made_room"].as_u64() >= Some(1), "{last}");
        } else {
            assert_eq!((&last["failure"]["id"], snapshots), (&"host-disk-full".into(), 2), "{last}");
        }
        let verified: serde_json::Value =
            serde_json::from_str(&lines.next_line().await.unwrap().expect("verify answers")).unwrap();
        assert_eq!(verified["damaged"], 0, "{verified}");
        let mut history = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            history.push_str(&line);
        }
        // A person who misses them later finds out where they went.
        assert_eq!(history.contains("removed to make room for it"), make_room, "{history}");
        assert!(child.wait().await.unwrap().success());
    }
}

/// A disk so full that no backup would begin: room is made before the phone is asked for anything.
#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_make_room_before_the_run() {
    let world = World::new(DataSetSpec::uniform(652, 50, 2_000_000)).await;
    world.configure("[backup]\nkeep_last = 10\n");
    let root = world.root().display().to_string();
    let backstay = binary("backstay").display().to_string();
    let script = format!(
        "set -e; back_up() {{ '{backstay}' --root '{root}' backup --once --json | tail -n 1; }}
         mount -t tmpfs -o size=500m tmpfs '{root}'
         back_up; read -r go; back_up; read -r go; back_up; read -r go
         head -c 180000000 /dev/zero > '{root}/filler'; back_up || true; read -r go; back_up || true
         '{backstay}' --root '{root}' verify --deep --json"
    );
    let mut command = world.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let mut child = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut go = child.stdin.take().unwrap();
    let mut last = serde_json::Value::Null;
    for round in 0..5 {
        let line = lines.next_line().await.unwrap().expect("the script goes on");
        last = serde_json::from_str(&line).unwrap();
        if round == 3 {
            // Nothing goes for a phone that can't be backed up now.
            assert_eq!(last["failure"]["id"], "device-storage-full", "{last}");
            world.phone.set_free_space(50_000_000_000);
        } else {
            assert_eq!(last["event"], "done", "round {round}: {last}");
        }
        world.phone.mutate(Mutation::Change { count: if round < 2 { 50 } else { 20 } });
        if round == 2 {
            world.phone.set_free_space(1_000_000);
        }
        if round < 4 {
            tokio::io::AsyncWriteExt::write_all(&mut go, b"go\n").await.unwrap();
        }
    }
    assert!(last["receipt"]["made_room"].as_u64() >= Some(1), "{last}");
    assert_eq!(world.phone.purges(), 0, "it had room when it asked: {last}");
    let verified: serde_json::Value =
        serde_json::from_str(&lines.next_line().await.unwrap().expect("verify answers")).unwrap();
    assert_eq!(verified["damaged"], 0, "{verified}");
    assert!(child.wait().await.unwrap().success());
}
