//! Names of files: plain ones, and those that real phones have and programs stumble over.

/// Cameras begin a new folder after so many pictures; here every directory does.
const FILES_PER_DIRECTORY: usize = 1000;
/// The directory that has the unusual names of a lifelike data set.
pub(super) const NOTES: &str = "Documents/My Notes";

/// Where the file at this place of a directory lies.
pub(super) fn relative_path(directory: &str, index: usize) -> String {
    let folder = index / FILES_PER_DIRECTORY;
    if directory.ends_with("DCIM") {
        return format!("{directory}/{}APPLE/IMG_{:04}.HEIC", 100 + folder, index % 10_000 + 1);
    }
    let name = match index % 5 {
        0 => format!("note {index}.txt"),
        1 => format!("com.example.settings-{index}.plist"),
        2 => format!("Grüße aus Köln {index}.pdf"),
        3 => format!("🎉 party {index}.m4a"),
        _ => format!("store-{index}.sqlite"),
    };
    if folder == 0 { format!("{directory}/{name}") } else { format!("{directory}/part {folder}/{name}") }
}

/// What the file at this place is called instead if the data set is lifelike.
pub(super) fn unusual(directory: &str, index: usize) -> Option<String> {
    if directory != NOTES {
        return None;
    }
    let name = match index {
        // Decomposed, as older systems wrote names.
        1 => "U\u{308}bersicht.txt".to_owned(),
        // A composed parent with a decomposed child.
        2 => "B\u{fc}cher/A\u{308}nderungen.pdf".to_owned(),
        3 => r"what\is: this*?.m4a".to_owned(),
        5 => ".hidden note".to_owned(),
        6 => "readme.txt".to_owned(),
        7 => "README.txt".to_owned(),
        8 => "store-4.sqlite-wal".to_owned(),
        10 => "store-4.sqlite-shm".to_owned(),
        11 => "no database.db-wal".to_owned(),
        12 => "1/2/3/4/5/6/7/ten deep.txt".to_owned(),
        13 => "  two  spaces .txt".to_owned(),
        // 266 bytes, which the phone's file system allows and others do not.
        15 => format!("{}.txt", "日記\u{3099}".repeat(29) + "!"),
        _ => return None,
    };
    Some(format!("{directory}/{name}"))
}

/// Bytes of an unusual file that can't have just any size.
pub(super) fn fixed_size(path: &str) -> Option<u64> {
    (path.strip_suffix("-wal")?.ends_with(".sqlite")).then_some(0)
}
