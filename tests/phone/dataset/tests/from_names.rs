//! Data sets from lists of names.

use std::process::Command;

use super::super::*;
use crate::real::real;

#[test]
fn a_listing_becomes_domains_and_paths() {
    let listing = "path,date_modified,date_accessed,date_created\n\
        filesystem1/usr/lib/a,1,,\n\
        \"filesystem2/mobile/Library/a, \"\"b\"\".db\",1,,\n\
        filesystem2/mobile/Media/DCIM/100APPLE/IMG_0001.HEIC,1,,\n\
        filesystem2/mobile/Containers/Data/Application/ABC/Documents/x,1,,\n\
        filesystem2/mobile/Containers/Data/Application/ABC/Documents,1,,\n\
        filesystem1/usr/lib/a,1,,\n";
    let data = DataSet::generate(&DataSetSpec::from_paths(1, paths_of_listing(listing)));
    let files: Vec<(&str, &str)> = data.files().map(|file| (&*file.domain, &*file.relative_path)).collect();
    let expected = [
        ("RootDomain", "usr/lib/a"),
        ("HomeDomain", "Library/a, \"b\".db"),
        ("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.HEIC"),
        ("AppDomain-ABC", "Documents/x"),
    ];
    assert_eq!(files, expected);
    assert!(data.entries().iter().any(|entry| entry.flags == FLAG_DIRECTORY && &*entry.relative_path == "Documents"));
}

#[test]
fn the_names_of_a_real_phone_make_a_data_set() {
    let Some(archive) = real("paths-ios15/paths.csv.zip") else { return };
    let script = "import sys, zipfile; archive = zipfile.ZipFile(sys.argv[1]); \
        sys.stdout.buffer.write(archive.read(archive.namelist()[0]))";
    let output = Command::new("python3").args(["-c", script]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).unwrap();
    let data = DataSet::generate(&DataSetSpec::from_paths(1, paths_of_listing(&listing)));
    assert!(data.file_count() > 400_000, "{}", data.file_count());
    let mut ids: Vec<FileId> = data.entries().iter().map(|entry| entry.file_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), data.entries().len(), "each name once");
}
