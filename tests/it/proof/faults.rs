//! Every fault is found, each time, by the rule that should find it: a table, printed.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use backstay_tests::{
    phone::{
        CutEnding, Fault, Unreadable,
        dataset::{DataFile, DataSetSpec, Mutation},
    },
    world::{World, text},
};
use serde_json::Value;

use super::{PASSWORD, back_up, judged, verify};
use crate::history::flip;

/// A row of the table.
struct Told {
    phone: &'static str,
    fault: &'static str,
    file: &'static str,
    found: String,
}

/// Which files a fault is tried on.
#[derive(Clone, Copy)]
enum Kind {
    /// Its row has a digest.
    Digest,
    /// Its row has none.
    NoDigest,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Digest => "with a digest",
            Self::NoDigest => "without one",
        }
    }

    fn fits(self, file: &DataFile) -> bool {
        file.size > 600 && file.has_digest() == matches!(self, Self::Digest) && file.odd.is_none()
    }
}

async fn phone(seed: u64, encrypts: bool) -> World {
    phone_of(DataSetSpec::mixed(seed, 60, 600_000), encrypts).await
}

async fn phone_of(data: DataSetSpec, encrypts: bool) -> World {
    let world = World::new(data).await;
    world.phone.set_backup_password(encrypts.then_some(PASSWORD));
    world
}

/// The place of a file of this kind that the next backup sends since it changed.
fn changed(world: &World, kind: Kind) -> usize {
    let before = world.phone.data();
    world.phone.mutate(Mutation::Change { count: 30 });
    let after = world.phone.data();
    let is_new = |file: &DataFile| before.files().any(|old| old.file_id == file.file_id && old.mtime != file.mtime);
    after.files().position(|file| kind.fits(file) && is_new(file)).expect("a changed file of this kind")
}

/// What a run is told to do wrong, and what is to be said of it: a part of the failure's text.
async fn in_a_run(
    rows: &mut Vec<Told>,
    seed: u64,
    encrypts: bool,
    kind: Kind,
    name: &'static str,
    fault: impl Fn(usize) -> Fault,
    wanted: &str,
) {
    let world = phone(seed, encrypts).await;
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{object}");
    let index = changed(&world, kind);
    let path = world.phone.data().file(index).unwrap().relative_path.clone();
    world.phone.set_fault(Some(fault(index)));
    let (code, object) = back_up(&world).await;
    let what = format!("{name}, {}, encrypted {encrypts}", kind.name());
    let told = if code == 0 { object["receipt"]["doubtful"].to_string() } else { object.to_string() };
    assert!(told.contains(wanted), "{what}: {object}");
    if wanted != "device-data-refused" {
        assert!(told.contains(&*path), "{what} names another file: {object}");
    }
    // The next run is whole.
    world.phone.set_fault(None);
    let (code, object) = back_up(&world).await;
    assert_eq!(code, 0, "{what}: {object}");
    if told.contains("\"failed\"") {
        judged(&world, &world.latest()).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    rows.push(Told { phone: label(encrypts), fault: name, file: kind.name(), found: wanted.to_owned() });
}

const fn label(encrypts: bool) -> &'static str {
    if encrypts { "encrypted" } else { "plain" }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_run_is_found_by_its_rule() {
    let mut rows = Vec::new();
    for encrypts in [false, true] {
        for kind in [Kind::Digest, Kind::NoDigest] {
            let by_digest = matches!(kind, Kind::Digest);
            let older = "is an older one than the list names";
            let cut = |index| Fault::CutFile { index, ending: CutEnding::EndOfList };
            let wanted = if by_digest { "is not what the list says it is" } else { "came without its end" };
            in_a_run(&mut rows, 401, encrypts, kind, "cut, then the end of the list", cut, wanted).await;
            let cut = |index| Fault::CutFile { index, ending: CutEnding::NextName };
            in_a_run(&mut rows, 402, encrypts, kind, "cut, then the next name", cut, "device-data-refused").await;
            let wanted = match (by_digest, encrypts) {
                (true, _) => "is not what the list says it is",
                (_, true) => older,
                (_, false) => "is an older one: the new one came and was lost",
            };
            in_a_run(&mut rows, 403, encrypts, kind, "never moved", |index| Fault::MoveLost { index }, wanted).await;
            let wanted = match (by_digest, encrypts) {
                (true, _) => "is not what the list says it is",
                (_, true) => older,
                // Neither its digest nor its key tells; that it may be old is all that can be said.
                (_, false) => "and nothing came: it may be incomplete",
            };
            let forgotten = |index| Fault::FileForgotten { index };
            in_a_run(&mut rows, 404, encrypts, kind, "an old one left in its place", forgotten, wanted).await;
        }
    }
    print(&rows);
}

/// A file of this kind in the latest backup.
fn payload(world: &World, fits: impl Fn(&DataFile) -> bool) -> (PathBuf, DataFile) {
    let data = world.phone.data();
    let file = data.files().find(|file| fits(file)).expect("such a file").clone();
    (world.latest().join(file.file_id.path()), file)
}

/// What is done to a file of a finished backup.
#[derive(Clone, Copy, PartialEq)]
enum Harm {
    Lost,
    Cut,
    Flipped,
}

/// Harms the file, asks `verify`, and puts it back; the rule and the words.
async fn harmed(world: &World, path: &Path, harm: Harm, deep: bool) -> (String, String) {
    let content = fs::read(path).unwrap();
    match harm {
        Harm::Lost => fs::remove_file(path).unwrap(),
        Harm::Cut => {
            OpenOptions::new().write(true).open(path).unwrap().set_len(content.len() as u64 / 32 * 16).unwrap()
        }
        Harm::Flipped => flip(path, 4321),
    }
    let (code, object) = verify(world, deep).await;
    fs::write(path, &content).unwrap();
    let list = if object["damaged"] == 0 { &object["doubts"] } else { &object["damages"] };
    assert_eq!(code, i32::from(object["damaged"] != 0), "{object}");
    let is_it = |finding: &&Value| finding["path"].as_str().is_some_and(|told| Path::new(told) == path);
    let finding = list.as_array().unwrap().iter().find(is_it);
    let finding = finding.unwrap_or_else(|| panic!("{} is not told: {object}", path.display()));
    (finding["rule"].as_str().unwrap().to_owned(), finding["what"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_harm_to_a_kept_backup_is_found_by_its_rule() {
    let mut rows = Vec::new();
    for encrypts in [false, true] {
        let world = phone(411, encrypts).await;
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        for kind in [Kind::Digest, Kind::NoDigest] {
            let (path, _) = payload(&world, |file| kind.fits(file));
            for (harm, fault, deep, rule) in [
                (Harm::Lost, "lost", false, "there"),
                (Harm::Cut, "cut on the disk", false, "carried-over"),
                (
                    Harm::Flipped,
                    "a bit flipped",
                    true,
                    if matches!(kind, Kind::Digest) { "digest" } else { "checksum" },
                ),
            ] {
                let found = harmed(&world, &path, harm, deep).await;
                // The ledger's checksum finds the flipped bit as well, whatever the row has.
                let is_right = found.0 == rule || (harm == Harm::Flipped && found.0 == "checksum");
                assert!(is_right, "{fault}: {found:?}");
                let (phone, found) = (label(encrypts), format!("{}: {}", found.0, found.1));
                rows.push(Told { phone, fault, file: kind.name(), found });
            }
        }
        let (code, object) = verify(&world, true).await;
        assert_eq!(code, 0, "{object}");
    }
    print(&rows);
}

/// What another program made has no checksums: the digests, and the form of the files, are all that there is.
#[tokio::test(flavor = "multi_thread")]
async fn harm_to_another_programs_backup_is_found_by_digest_or_form() {
    let mut rows = Vec::new();
    for encrypts in [false, true] {
        let world = phone_of(DataSetSpec::mixed(421, 60, 6_000_000), encrypts).await;
        let is_database = |file: &DataFile| file.relative_path.ends_with(".sqlite") && file.size >= 8192;
        let data = world.phone.data();
        let database = data.files().find(|file| is_database(file) && !file.has_digest());
        let database = database.expect("a database without a digest").clone();
        // Each harm to a backup that nobody has looked at yet: what is read once is known from then on.
        for (harm, fault, file, deep, rules) in [
            (Harm::Lost, "lost", "any", false, &["there"][..]),
            (Harm::Cut, "cut", "a database", false, &["form"]),
            (Harm::Cut, "cut", "without a digest", false, &["form"]),
            (Harm::Flipped, "a bit flipped", "with a digest", true, &["digest"]),
        ] {
            for folder in [world.latest(), world.root().join(".backstay").join(world.phone.udid())] {
                drop(fs::remove_dir_all(folder));
            }
            let mut command = world.command("idevicebackup2");
            let output = command.args(["-u", world.phone.udid(), "backup"]).arg(world.root()).output().await.unwrap();
            assert!(output.status.success(), "{}", text(&output));
            let (path, _) = match file {
                "a database" => payload(&world, |file| file.file_id == database.file_id),
                "with a digest" => payload(&world, |file| Kind::Digest.fits(file)),
                _ => payload(&world, |file| Kind::NoDigest.fits(file) && !is_database(file)),
            };
            let found = harmed(&world, &path, harm, deep).await;
            assert!(rules.contains(&&*found.0), "{fault}, {file}: {found:?}");
            let found = format!("{}: {}", found.0, found.1);
            rows.push(Told { phone: label(encrypts), fault, file, found });
            // Whole again, and seen for the first time as such, it is called whole, and what nothing proves is counted.
            fs::remove_dir_all(world.root().join(".backstay").join(world.phone.udid())).unwrap();
            let (code, object) = verify(&world, true).await;
            assert_eq!((code, &object["damaged"], &object["made_elsewhere"]), (0, &0.into(), &true.into()), "{object}");
            let unproved = data.files().filter(|file| !file.has_digest()).count();
            assert_eq!(object["without_proof"], unproved, "{object}");
        }
    }
    print(&rows);
}

/// The phone's own list has another digest than what it sent: the run is made once more, and then the files are kept as
/// they came, with a warning.
#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_is_wrong_twice_leaves_nobody_without_a_backup() {
    for encrypts in [false, true] {
        let world = phone(431, encrypts).await;
        let index = world.phone.data().files().position(|file| Kind::Digest.fits(file)).unwrap();
        world.phone.set_fault(Some(Fault::WrongDigest { index }));
        let (code, object) = back_up(&world).await;
        assert_eq!((code, &object["failure"]["id"]), (1, &"backup-verify-failed".into()), "{object}");
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        let warning = &object["receipt"]["warning"];
        assert_eq!(warning["id"], "backup-digest-mismatch", "{object}");
        assert_eq!(warning["evidence"]["files"], 1, "{object}");
        let path = world.phone.data().file(index).unwrap().relative_path.clone();
        assert!(warning["evidence"]["text"].as_str().unwrap().contains(&*path), "{object}");
        // It is kept as such, and told as long as it is so; it is no damage.
        world.phone.mutate(Mutation::Add { count: 2, size: 100 });
        let (code, object) = back_up(&world).await;
        assert_eq!((code, &object["receipt"]["warning"]["id"]), (0, &"backup-digest-mismatch".into()), "{object}");
        let (code, object) = verify(&world, true).await;
        assert_eq!((code, &object["damaged"]), (0, &0.into()), "{object}");
        assert!(object["doubts"].to_string().contains("a phone may refuse to restore it"), "{object}");
        // A phone that lists it right again gets its backup proved.
        world.phone.set_fault(None);
        let (code, object) = super::run(&world, &["backup", "--once", "--full"]).await;
        assert_eq!((code, &object["receipt"]["warning"]), (0, &Value::Null), "{object}");
        judged(&world, &world.latest()).unwrap();
    }
}

/// A file that the phone can't read, and lists all the same: what is kept of it is doubted, as long as nothing newer came,
/// and never called damaged or proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_phone_can_not_read_is_a_doubt_until_it_comes() {
    for (encrypts, is_new) in [(false, false), (true, false), (false, true)] {
        let world = phone(451, encrypts).await;
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        let index = match is_new {
            true => {
                world.phone.mutate(Mutation::Add { count: 1, size: 700 });
                world.phone.data().file_count() - 1
            }
            false => changed(&world, Kind::NoDigest),
        };
        let path = world.phone.data().file(index).unwrap().relative_path.clone();
        world.phone.set_fault(Some(Fault::FileUnreadable { index, manner: Unreadable::ONLY_LISTED }));
        let (code, object) = back_up(&world).await;
        assert_eq!((code, &object["receipt"]["warning"]["id"]), (0, &"device-files-unreadable".into()), "{object}");
        let is_doubted = |doubts: &Value| doubts.to_string().contains(&*path);
        assert!(is_doubted(&object["receipt"]["doubtful"]), "{object}");
        world.phone.set_fault(None);
        for round in 0..2 {
            for deep in [false, true] {
                let (code, object) = verify(&world, deep).await;
                assert_eq!((code, &object["damaged"]), (0, &0.into()), "round {round}: {object}");
                assert!(is_doubted(&object["doubts"]), "round {round}: {object}");
            }
            if is_new {
                // The phone itself would miss it at the end of the next backup.
                continue;
            }
            // Its row is as it was: nothing comes, and nothing is known of it yet.
            let (code, object) = back_up(&world).await;
            assert_eq!(code, 0, "round {round}: {object}");
            assert!(is_doubted(&object["receipt"]["doubtful"]), "round {round}: {object}");
        }
        world.phone.mutate(Mutation::Change { count: 100 });
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        assert!(!is_doubted(&object["receipt"]["doubtful"]), "{object}");
        judged(&world, &world.latest()).unwrap();
    }
}

/// The kept backup lost a file: the run that finds it fails, and the next one brings everything again, with nobody asking
/// for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_backup_that_lost_a_file_is_healed_by_the_next_run_but_one() {
    for harm in [Harm::Lost, Harm::Cut] {
        let world = phone(461, false).await;
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        let (path, _) = payload(&world, |file| Kind::NoDigest.fits(file));
        let length = fs::metadata(&path).unwrap().len();
        match harm {
            Harm::Lost => fs::remove_file(&path).unwrap(),
            _ => OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap(),
        }
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 1, "{object}");
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        assert!(object["receipt"]["files_received"].as_u64() >= Some(60), "it came in full: {object}");
        judged(&world, &world.latest()).unwrap();
    }
}

/// Files that differ from run to run are no habit of the phone's: memory or a disk that garbles them is not called one.
#[tokio::test(flavor = "multi_thread")]
async fn another_file_with_a_wrong_digest_is_not_the_same_again() {
    let world = phone(471, false).await;
    let data = world.phone.data();
    let mut places = data.files().enumerate().filter(|(_, file)| Kind::Digest.fits(file)).map(|(place, _)| place);
    let (one, other) = (places.next().unwrap(), places.next().unwrap());
    for (index, code) in [(one, 1), (other, 1), (one, 0)] {
        world.phone.set_fault(Some(Fault::WrongDigest { index }));
        let (ended, object) = super::run(&world, &["backup", "--once", "--full"]).await;
        assert_eq!(ended, code, "{object}");
    }
}

/// A row that has another date or size though nothing came: whether the file is the old one nobody can tell, unless its
/// digest does.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changed_alone_is_a_doubt_and_no_damage() {
    for (kind, doubts) in [(Kind::Digest, 0), (Kind::NoDigest, 1)] {
        let world = phone(441, false).await;
        let (_, first) = back_up(&world).await;
        let before = first["receipt"]["doubts"].as_u64().unwrap_or_default();
        let index = world.phone.data().files().position(|file| kind.fits(file)).unwrap();
        world.phone.set_fault(Some(Fault::RowTouched { index }));
        let (code, object) = back_up(&world).await;
        assert_eq!(code, 0, "{object}");
        assert_eq!(object["receipt"]["doubts"].as_u64().unwrap_or_default(), before + doubts, "{object}");
        let told = object["receipt"]["doubtful"].to_string();
        let path = world.phone.data().file(index).unwrap().relative_path.clone();
        assert_eq!(told.contains(&*path), doubts > 0, "{object}");
        assert!(object["receipt"]["warning"].is_null(), "a doubt changes no health: {object}");
    }
}

fn print(rows: &[Told]) {
    for Told { phone, fault, file, found } in rows {
        println!("| {phone:9} | {fault:30} | {file:16} | {found}");
    }
}
