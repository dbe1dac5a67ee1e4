//! Real data of others, which lies beside the checkout where it lies at all.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use backstay::vault::manifest::Manifest;
use backstay_tests::{phone::dataset::DataSetSpec, world::World};
use plist::{Dictionary, Value};
use serde_json::Value as Json;

use super::verify;

/// The folder with real data; none, and said so, where there is none.
fn real(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/real").join(name);
    if folder.exists() {
        return Some(folder);
    }
    println!("NOT RUN: {} is not there", folder.display());
    None
}

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
