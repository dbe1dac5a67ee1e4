//! Where a commit can stop, and what a start makes of it.

use std::path::Path;

use super::*;
use crate::{
    transfer::digests::Kept,
    vault::{checksum, inventory, proof::Proof},
};

/// Payloads, one that comes in each run and one that does not.
const FILE: &str = "ab/ab0d7e5fb2ce288813306e4d4636395e047a3d28";
const ADDED: &str = "ab/ab0d7e5fb2ce288813306e4d4636395e047a3d2a";
const STAYS: &str = "ab/ab0d7e5fb2ce288813306e4d4636395e047a3d29";

const KEEP_ALL: Retention = Retention { last: 99, daily: 0, weekly: 0, monthly: 0 };

fn begun() -> EndedRun {
    let (run, at) = (backstay_shared::ids::RunId(1), Utc::now());
    EndedRun { run, at, files_received: 0, bytes_received: 0, failure: None }
}

fn make_tree(tree: &Path, mark: &str) {
    fs::create_dir_all(tree.join("ab")).unwrap();
    for name in ["Info.plist", "Status.plist", "Manifest.db", FILE] {
        // Never in place: it may be a link into the backup before.
        drop(fs::remove_file(tree.join(name)));
        fs::write(tree.join(name), format!("{name} {mark}")).unwrap();
    }
    let status = format!(
        "<plist><dict><key>SnapshotState</key><string>finished</string><key>UUID</key><string>{mark}</string></dict></plist>"
    );
    fs::write(tree.join("Status.plist"), status).unwrap();
    // What a phone reads first of it.
    drop(fs::remove_file(tree.join("Manifest.db")));
    fs::write(tree.join("Manifest.db"), format!("SQLite format 3\0 {mark}")).unwrap();
    drop(fs::remove_file(tree.join("Manifest.plist")));
    fs::write(
        tree.join("Manifest.plist"),
        format!("<plist><dict><key>Mark</key><string>{mark}</string></dict></plist>"),
    )
    .unwrap();
}

fn receipt_for(transaction: &Transaction, verified_at: DateTime<Utc>) -> Receipt {
    let tree = transaction.layout().next_tree();
    Receipt {
        id: transaction.free_id(verified_at).unwrap(),
        run: backstay_shared::ids::RunId(1),
        started_at: verified_at,
        verified_at,
        phone_name: "Anna".into(),
        model: "iPhone15,2".into(),
        ios: "18.5".into(),
        files: 1,
        bytes: 4,
        files_received: 0,
        bytes_received: 0,
        full: false,
        warning: None,
        unproved: 0,
        notes: 0,
        doubts: 0,
        doubtful: Vec::new(),
        device_key: None,
        after_erasing: false,
        made_room: 0,
        tree: receipt::tree_identity(&tree).unwrap().unwrap(),
        made_by: "test".into(),
    }
}

/// As if the files of [`make_tree`] had come.
fn inventory_of(transaction: &Transaction) -> Inventory {
    let tree = transaction.layout().next_tree();
    let found = super::super::tree::list(&tree).unwrap();
    let mut digests = Digests::default();
    for found in found.iter().filter(|found| found.name.to_string() != STAYS) {
        digests.received(found.name.clone(), checksum::of_file(&found.name.below(&tree)).unwrap(), true);
    }
    let found: Vec<_> = found.into_iter().map(|found| (found, Proof::Received)).collect();
    let held = transaction.ledger.held(i64::MAX).unwrap();
    inventory::take(&tree, &found, held, transaction.base_is_known, &digests).unwrap()
}

fn layout(root: &Path) -> Layout {
    Layout::new(root, &"00008120-001A2D3E0C40201E".parse().unwrap())
}

fn content(tree: &Path) -> String {
    fs::read_to_string(tree.join("Info.plist")).unwrap()
}

fn commit(layout: &Layout, mark: &str, at: DateTime<Utc>) {
    let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), Start::default()).unwrap();
    make_tree(&layout.next_tree(), mark);
    let receipt = receipt_for(&transaction, at);
    let inventory = inventory_of(&transaction);
    transaction.commit(&receipt, inventory).unwrap();
    assert_eq!(content(&layout.latest()), format!("Info.plist {mark}"));
}

/// What the ledger and the disk say of each snapshot must agree.
fn check_agreement(layout: &Layout) {
    let Recovered { ledger, .. } = recovery::recover(layout).unwrap();
    let entries = ledger.snapshots().unwrap();
    let on_disk = history::all(layout).unwrap();
    assert_eq!(entries.len(), on_disk.len(), "{entries:#?} {on_disk:#?}");
    for (index, entry) in entries.iter().enumerate() {
        let is_latest = index + 1 == entries.len();
        let tree = if is_latest { layout.latest() } else { layout.snapshot_tree(&entry.id) };
        assert_eq!(receipt::tree_identity(&tree).unwrap().as_ref(), Some(&entry.tree));
        let held = ledger.held(entry.number).unwrap();
        let found = super::super::tree::list(&tree).unwrap();
        assert_eq!(held.len(), found.len());
        for found in found {
            let held = held[&found.name];
            assert_eq!(Some(held.size), found.size);
            if let Some(digest) = held.digest {
                assert_eq!(super::super::tree::digest(&found.name.below(&tree)).unwrap(), digest);
            }
        }
    }
}

/// P5: every place where a commit can stop, and what a start makes of it.
#[test]
fn p5_a_commit_is_finished_wherever_it_stopped() {
    for stop in ["before ledger", "before receipt", "after receipt", "moved aside", "after swap", "after history"] {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        make_tree(&layout.latest(), "old");
        let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), Start::default()).unwrap();
        make_tree(&layout.next_tree(), "new");
        let receipt = receipt_for(&transaction, Utc::now());
        if stop != "before ledger" {
            let Inventory { new, gone, unreadable } = inventory_of(&transaction);
            let (id, tree) = (&*receipt.id, &*receipt.tree);
            let snapshot = NewSnapshot { id, tree, files: 1, bytes: 4, receipt: Some(&receipt), new, gone, unreadable };
            transaction.ledger.seal(snapshot).unwrap();
        }
        if !stop.starts_with("before") {
            receipt::write(&layout.next_receipt(), &receipt).unwrap();
        }
        let entries = transaction.ledger.snapshots().unwrap();
        match stop {
            "moved aside" => fs::rename(layout.latest(), layout.next().join("old")).unwrap(),
            "after swap" => disk::exchange(&layout.next_tree(), &layout.latest()).unwrap(),
            "after history" => {
                disk::exchange(&layout.next_tree(), &layout.latest()).unwrap();
                let id = history::id_of_old(&layout, &entries, &layout.next_tree(), &receipt).unwrap();
                fs::create_dir_all(layout.history().join(&id)).unwrap();
                fs::rename(layout.next_tree(), layout.snapshot_tree(&id)).unwrap();
            }
            _ => {}
        }
        drop(transaction);

        recovery::recover(&layout).unwrap();
        recovery::recover(&layout).unwrap();
        if stop.starts_with("before") {
            assert_eq!(content(&layout.latest()), "Info.plist old", "{stop}");
            assert!(receipt::latest(&layout).unwrap().is_none(), "{stop}");
        } else {
            assert_eq!(content(&layout.latest()), "Info.plist new", "{stop}");
            assert_eq!(receipt::latest(&layout).unwrap(), Some(receipt), "{stop}");
            let all = history::all(&layout).unwrap();
            assert_eq!(all.len(), 2, "{stop}");
            assert_eq!(content(&all[0].tree), "Info.plist old", "{stop}");
        }
        check_agreement(&layout);
        commit(&layout, "next", Utc::now());
        check_agreement(&layout);
    }
}

#[test]
fn p4_a_tree_that_was_replaced_has_no_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path());
    commit(&layout, "ours", Utc::now());
    assert!(receipt::latest(&layout).unwrap().is_some());
    fs::remove_dir_all(layout.latest()).unwrap();
    assert!(receipt::latest(&layout).unwrap().is_none());
    make_tree(&layout.latest(), "somebody else's");
    assert!(receipt::latest(&layout).unwrap().is_none());
    check_agreement(&layout);
    commit(&layout, "ours again", Utc::now());
    check_agreement(&layout);
}

/// A clock that was set back gives times that were there before; no snapshot is lost and no commit gets stuck.
#[test]
fn the_clock_may_be_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path());
    for (hour, mark) in [(10, "a"), (12, "b"), (11, "c"), (11, "d"), (9, "e"), (13, "f")] {
        commit(&layout, mark, format!("2026-11-23T{hour:02}:00:00Z").parse().unwrap());
    }
    let kept = history::all(&layout).unwrap();
    let mut kept: Vec<String> = kept.iter().map(|snapshot| content(&snapshot.tree)).collect();
    kept.sort();
    assert_eq!(kept, ["a", "b", "c", "d", "e", "f"].map(|mark| format!("Info.plist {mark}")));
}

#[test]
fn only_one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Transaction::begin(layout(folder.path()), &KEEP_ALL, &begun(), Start::default()).unwrap();
    let second = Transaction::begin(layout(folder.path()), &KEEP_ALL, &begun(), Start::default());
    assert!(matches!(second, Err(VaultError::Busy { .. })));
}

/// A ledger that is lost, or is no ledger any more, is made anew from what is on disk; what is shared stays shared.
#[test]
fn p5_a_lost_ledger_is_made_anew() {
    for garbage in [None, Some("no database at all"), Some("SQLite format 3\0 cut short")] {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        make_tree(&layout.latest(), "old");
        fs::write(layout.latest().join(STAYS), "the same in all").unwrap();
        commit(&layout, "one", Utc::now());
        commit(&layout, "two", Utc::now());
        let costs =
            |ledger: &Ledger| -> Vec<u64> { ledger.costs().unwrap().into_iter().map(|(_, bytes)| bytes).collect() };
        let before = costs(&recovery::recover(&layout).unwrap().ledger);
        match garbage {
            None => fs::remove_file(layout.ledger()).unwrap(),
            Some(garbage) => fs::write(layout.ledger(), garbage).unwrap(),
        }
        let recovered = recovery::recover(&layout).unwrap();
        assert!(recovered.renewed);
        assert_eq!(costs(&recovered.ledger), before);
        let newest = recovered.ledger.newest().unwrap().unwrap();
        assert!(newest.receipt.is_some());
        assert_eq!(recovered.ledger.unproved(newest.number).unwrap().without_checksum, 6);
        drop(recovered);
        check_agreement(&layout);
        assert!(!recovery::recover(&layout).unwrap().renewed);
        commit(&layout, "three", Utc::now());
        check_agreement(&layout);
    }
}

/// A disk that can't clone: the latest backup itself is worked on and put back, wherever the run stops.
#[test]
fn p1_without_clones_the_backup_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path());
    make_tree(&layout.latest(), "old");
    // Another program's, which is none of the phone's files.
    fs::write(layout.latest().join("ab/y"), "stays").unwrap();
    recovery::recover(&layout).unwrap_err();
    fs::create_dir_all(layout.own()).unwrap();
    recovery::recover(&layout).unwrap();
    let before = super::super::tree::list(&layout.latest()).unwrap();
    for steps in 0..6 {
        disk::make_private(&layout.next()).unwrap();
        aside::begin(&layout, false).unwrap();
        let aside = Aside::of(&layout);
        let udid = layout.udid();
        let tree = layout.next_tree();
        let work: [&dyn Fn(); 5] = [
            &|| assert!(aside.take(&format!("{udid}/{FILE}")).unwrap()),
            &|| fs::write(tree.join(FILE), "new and longer").unwrap(),
            &|| {
                assert!(!aside.take(&format!("{udid}/{FILE}")).unwrap());
                fs::write(tree.join(FILE), "newer").unwrap();
            },
            &|| fs::write(tree.join(ADDED), "added").unwrap(),
            &|| {
                aside.take_folder(&format!("{udid}/ab")).unwrap();
                fs::remove_dir_all(tree.join("ab")).unwrap();
                fs::write(tree.join("Info.plist"), "new").unwrap();
            },
        ];
        work.iter().take(steps).for_each(|step| step());
        recovery::recover(&layout).unwrap();
        assert_eq!(super::super::tree::list(&layout.latest()).unwrap(), before, "{steps}");
        assert_eq!(content(&layout.latest()), "Info.plist old", "{steps}");
        assert_eq!(fs::read_to_string(layout.latest().join(FILE)).unwrap(), format!("{FILE} old"), "{steps}");
        assert!(!layout.next().exists());
    }
}

/// What a broken run left is gone on with on its own backup alone, as it was left, and not for ever.
#[test]
fn what_a_broken_run_left_has_its_backup_and_its_time() {
    const STAGED: &str = "Snapshot/ab/ab0d7e5fb2ce288813306e4d4636395e047a3d28";
    for (what, goes_on) in [
        ("as it was left", true),
        ("a month later", false),
        ("on another backup", false),
        ("a file is shorter", false),
        ("a file is gone", false),
        ("everything is wanted", false),
        ("the phone was erased", false),
        ("a row of it can't be read", false),
        ("a link lies in it", false),
        ("it is a link itself", false),
        ("in part", false),
        ("its backup is broken since", false),
        ("what was made of an earlier file is gone", false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let layout = layout(folder.path());
        commit(&layout, "one", Utc::now());
        let before = content(&layout.latest());
        let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), Start::default()).unwrap();
        assert!(!transaction.is_resumed());
        let staged = layout.next_tree().join(STAGED);
        fs::create_dir_all(staged.parent().unwrap()).unwrap();
        fs::write(&staged, "what came").unwrap();
        let mut digests = Digests::default();
        digests.received(Name::new(STAGED), checksum::of_file(&staged).unwrap(), what != "in part");
        if what == "what was made of an earlier file is gone" {
            let file = Kept::File(Name::of_file_id(&FILE[3..]).unwrap(), Origin::Derived, None);
            fs::remove_file(layout.next_tree().join(FILE)).unwrap();
            digests.keep(file);
        }
        assert_eq!(transaction.keep(digests, HashMap::new()).unwrap(), what != "in part", "{what}");
        drop(transaction);
        match what {
            "a month later" => {
                let ledger = rusqlite::Connection::open(layout.ledger()).unwrap();
                ledger.execute("UPDATE interrupted SET at = at - 31 * 24 * 3600", []).unwrap();
            }
            "a row of it can't be read" => {
                let ledger = rusqlite::Connection::open(layout.ledger()).unwrap();
                ledger.execute("UPDATE received SET name = x'0102'", []).unwrap();
                ledger.execute("INSERT INTO received (name, kind) VALUES (3, 9)", []).unwrap();
            }
            #[cfg(unix)]
            "a link lies in it" => {
                std::os::unix::fs::symlink("/etc/hostname", layout.next_tree().join("Manifest.plist.new")).unwrap();
            }
            #[cfg(unix)]
            "it is a link itself" => {
                let elsewhere = folder.path().join("elsewhere");
                fs::rename(layout.next_tree(), &elsewhere).unwrap();
                std::os::unix::fs::symlink(&elsewhere, layout.next_tree()).unwrap();
            }
            "on another backup" => make_tree(&layout.latest(), "another"),
            "its backup is broken since" => fs::write(layout.latest().join("Manifest.plist"), "").unwrap(),
            "a file is shorter" => fs::write(&staged, "what").unwrap(),
            "a file is gone" => fs::remove_file(&staged).unwrap(),
            _ => {}
        }
        let start = match what {
            "everything is wanted" => Start { afresh: true, device_key: None },
            "the phone was erased" => Start { afresh: false, device_key: Some("another") },
            _ => Start::default(),
        };
        let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), start).unwrap();
        assert_eq!((transaction.is_resumed(), staged.exists()), (goes_on, goes_on), "{what}");
        assert_eq!(transaction.take_resumed().0.of(&Name::new(STAGED)).is_some(), goes_on, "{what}");
        assert_eq!(content(&layout.latest()) == before, what != "on another backup", "{what}");
        // A run that is killed leaves nothing that is known.
        drop(transaction);
        let transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), Start::default()).unwrap();
        assert!(!transaction.is_resumed() && !staged.exists(), "{what}");
    }
}

/// What the rules no longer keep goes for a run also where the history itself is not to make room.
#[test]
fn the_rules_make_room_first() {
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path());
    for (day, mark) in ["one", "two", "three"].into_iter().enumerate() {
        commit(&layout, mark, Utc::now() - chrono::TimeDelta::days(9 - day as i64));
    }
    let mut ledger = Ledger::open(&layout).unwrap();
    assert_eq!(history::older(&layout).unwrap().len(), 2);
    free_space::for_run(&layout, &mut ledger, (1, 1), &KEEP_ALL, false).unwrap();
    assert_eq!(history::older(&layout).unwrap().len(), 2, "the rules keep them");
    let none = Retention { last: 0, daily: 0, weekly: 0, monthly: 0 };
    free_space::for_run(&layout, &mut ledger, (1, 1), &none, false).unwrap();
    assert_eq!(history::older(&layout).unwrap(), [""; 0]);
}

/// A run that looks for room keeps what an interrupted one received; only where nothing else is left does it go.
#[test]
fn what_a_broken_run_left_goes_last() {
    const STAGED: &str = "Snapshot/ab/ab0d7e5fb2ce288813306e4d4636395e047a3d28";
    let folder = tempfile::tempdir().unwrap();
    let layout = layout(folder.path());
    commit(&layout, "one", Utc::now());
    let mut transaction = Transaction::begin(layout.clone(), &KEEP_ALL, &begun(), Start::default()).unwrap();
    let staged = layout.next_tree().join(STAGED);
    fs::create_dir_all(staged.parent().unwrap()).unwrap();
    fs::write(&staged, "what came").unwrap();
    let mut digests = Digests::default();
    digests.received(Name::new(STAGED), checksum::of_file(&staged).unwrap(), true);
    assert!(transaction.keep(digests, HashMap::new()).unwrap());
    drop(transaction);
    free_space::free(&layout, u64::MAX).unwrap();
    free_space::free_interrupted_too(&layout, 1).unwrap();
    assert!(staged.exists(), "it is not asked for");
    free_space::free_interrupted_too(&layout, u64::MAX).unwrap();
    assert!(!layout.next().exists() && layout.latest().exists());
}
