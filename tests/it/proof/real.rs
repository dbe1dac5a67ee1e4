//! Real data of others, which lies beside the checkout where it lies at all.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    process::Command,
};

use backstay::vault::manifest::Manifest;
use backstay_tests::{
    phone::dataset::{DataSetSpec, paths_of_listing},
    real::real,
    world::{World, text},
};
use plist::{Dictionary, Value};
use serde_json::Value as Json;

use super::{judged, verify};
use crate::restore::find_my;

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Dictionary>())
}

/// A real manifest of 3,721 rows, with the payloads of every so many files and no others.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_manifest_is_read_and_what_is_missing_is_named() {
    let Some(folder) = real("mvt-ios14") else { return };
    let world = World::new(DataSetSpec::empty(0)).await;
    let tree = world.latest();
    fs::create_dir_all(&tree).unwrap();
    for name in ["Manifest.db", "Info.plist"] {
        fs::copy(folder.join(name), tree.join(name)).unwrap();
    }
    let date = Value::Date(plist::Date::from_xml_format("2021-12-01T20:00:00Z").unwrap());
    let status = dictionary([("SnapshotState", "finished".into()), ("Date", date), ("IsFullBackup", false.into())]);
    status.to_file_binary(tree.join("Status.plist")).unwrap();
    dictionary([("IsEncrypted", false.into())]).to_file_binary(tree.join("Manifest.plist")).unwrap();

    let (mut domains, mut there) = (HashMap::<String, u64>::new(), 0);
    let mut place = 0;
    let rows = Manifest::plain(&tree)
        .for_each_file(|file| {
            *domains.entry(file.domain.to_owned()).or_default() += 1;
            assert_eq!(file.record.key.map(<[u8]>::len), Some(44), "{}", file.relative_path);
            assert!(file.record.size.is_some() && file.record.modified.is_some() && file.record.is_plain_file());
            assert!(file.record.digest.is_none_or(|digest| digest.len() == 20));
            place += 1;
            if place % 100 == 0 {
                let path = file.path(&tree);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, vec![b'x'; usize::try_from(file.record.size.unwrap()).unwrap()]).unwrap();
                there += 1;
            }
        })
        .unwrap();
    assert_eq!((rows.files, rows.folders, rows.links, rows.unreadable.count), (1089, 2618, 14, 0));
    assert_eq!((domains["HomeDomain"], there), (domains["HomeDomain"].max(406), 10));

    let (code, object) = verify(&world, false).await;
    assert_eq!((code, &object["files"], &object["doubtful"]), (1, &1089.into(), &0.into()), "{object}");
    assert_eq!(object["damaged"], 1089 - there, "{object}");
    assert!(object["snapshot"].as_str().unwrap().starts_with("2021-12-01T2000"), "{object}");
    for damage in object["damages"].as_array().unwrap() {
        assert_eq!((&damage["what"], &damage["rule"]), (&"is missing".into(), &"there".into()), "{damage}");
    }
    // Each domain is listed with all of its files.
    for (domain, count) in domains {
        let output = world.backstay(&["extract", world.phone.udid(), &domain, "--list", "--json"]).await;
        let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
        let last: Json = serde_json::from_str(&last).unwrap_or_else(|_| panic!("{domain}: {last}"));
        assert_eq!((&last["event"], &last["files"]), (&"done".into(), &count.into()), "{domain}: {last}");
    }
}

/// Of so many names one is taken; `BACKSTAY_NAMES=1` takes all 474,145, which needs some ten minutes.
fn one_in() -> usize {
    std::env::var("BACKSTAY_NAMES").map_or(16, |names| names.parse().expect("BACKSTAY_NAMES is a number"))
}

/// A program without a time limit: half a million files take their time.
async fn patiently(world: &World, program: &str, arguments: &[&str]) {
    let began = std::time::Instant::now();
    let mut command = world.command(program);
    let output = command.args(arguments).output().await.unwrap();
    println!("{arguments:?} took {:.1} s", began.elapsed().as_secs_f64());
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
}

/// Names below a folder.
fn names_below(folder: &Path) -> BTreeSet<String> {
    let (mut open, mut found) = (vec![folder.to_owned()], BTreeSet::new());
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The names of a real phone: backed up, taken out under the same names, and restored.
#[tokio::test(flavor = "multi_thread")]
async fn the_names_of_a_real_phone_are_backed_up_taken_out_and_restored() {
    let Some(folder) = real("paths-ios15") else { return };
    let unpack = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); sys.stdout.buffer.write(z.read(z.namelist()[0]))";
    let listing = Command::new("python3").args(["-c", unpack]).arg(folder.join("paths.csv.zip")).output().unwrap();
    assert!(listing.status.success(), "{}", text(&listing));
    let listing = String::from_utf8(listing.stdout).unwrap();
    let data = DataSetSpec::from_paths(471, paths_of_listing(&listing).step_by(one_in()));
    let world = World::new(data).await;
    let data = world.phone.data();
    println!("{} files, {} rows", data.file_count(), data.entries().len());
    let backstay = backstay_tests::binaries::binary("backstay");
    let (program, root) = (backstay.to_str().unwrap(), world.root());
    let root = root.to_str().unwrap();
    patiently(&world, program, &["--root", root, "backup", "--once"]).await;
    judged(&world, &world.latest()).unwrap();
    patiently(&world, program, &["--root", root, "verify"]).await;

    let out = world.folder.path().join("taken out");
    patiently(&world, program, &["--root", root, "extract", world.phone.udid(), "/", out.to_str().unwrap()]).await;
    let expected: BTreeSet<String> =
        data.files().map(|file| format!("{}/{}", file.domain, file.relative_path)).collect();
    let found = names_below(&out);
    let missing: Vec<_> = expected.difference(&found).take(5).collect();
    let more: Vec<_> = found.difference(&expected).take(5).collect();
    assert!(missing.is_empty() && more.is_empty(), "missing {missing:?}, not asked for {more:?}");

    find_my(&world.phone, false);
    patiently(&world, program, &["--root", root, "restore", world.phone.udid(), "--yes"]).await;
    world.phone.restored().unwrap().compare(&data).unwrap();
}
