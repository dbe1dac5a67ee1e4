//! Our archives against those of a real manifest.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{Archived, decode, encode};

/// A manifest of a real phone, kept beside the workspace where there is one.
const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/real/mvt-ios14/Manifest.db");

/// Every blob of a real manifest comes out byte by byte when what it says is archived again.
#[test]
fn real_archives_are_written_again_byte_by_byte() {
    if !Path::new(REAL).exists() {
        println!("NOT RUN: there is no {REAL}");
        return;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let manifest = Connection::open_with_flags(format!("file:{REAL}?immutable=1"), flags).unwrap();
    let mut statement = manifest.prepare("SELECT relativePath, file FROM Files").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    let (mut count, mut ours, mut differ) = (0, Vec::new(), Vec::new());
    for (path, blob) in rows.map(Result::unwrap) {
        let archived = decode(&blob).unwrap();
        assert_eq!(archived.path, path);
        encode(&archived, &mut ours);
        assert_eq!(decode(&ours).as_ref(), Some(&archived));
        if ours != blob {
            differ.push(path);
        }
        count += 1;
    }
    assert!(
        count > 3000 && differ.is_empty(),
        "{} of {count} differ: {:?}",
        differ.len(),
        &differ[..5.min(differ.len())]
    );
}

#[test]
fn archives_of_every_kind_are_read_back() {
    let mut file = Archived {
        path: "Library/Grüße 🎉".into(),
        mode: 0o100_600,
        inode: 1 << 40,
        user: -2,
        group: 501,
        protection_class: 3,
        flags: 128,
        modified: 1_700_000_000_000_000,
        changed: -5,
        birth: 315_532_800,
        ..Archived::default()
    };
    let mut blob = Vec::new();
    for size in [None, Some(0), Some(255), Some(256), Some(65_536), Some(1 << 32)] {
        for attributes in [None, Some(vec![7; 20]), Some(vec![7; 70_000])] {
            for key in [None, Some(vec![3; 44])] {
                for (digest, digest_in_data) in [(None, false), (Some(vec![1; 20]), false), (Some(vec![1; 20]), true)] {
                    file = Archived { size, attributes: attributes.clone(), key: key.clone(), ..file };
                    file = Archived { digest, digest_in_data, ..file };
                    encode(&file, &mut blob);
                    assert_eq!(decode(&blob).as_ref(), Some(&file));
                }
            }
        }
    }
    let link = Archived { target: Some("/var/a+b:c d".into()), size: Some(0), ..Archived::default() };
    encode(&link, &mut blob);
    assert_eq!(decode(&blob), Some(link));
}
