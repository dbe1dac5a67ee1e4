//! The names that uploads have: where a file is on the phone, in every form that was seen, and where it goes.

use crate::phone::dataset::{DataFile, FILE_PROVIDER};

/// Replaces `device` and `path` by the names of a file in the folder `folder`.
pub(super) fn write(file: &DataFile, folder: &str, device: &mut String, path: &mut String) {
    device.clear();
    let (domain, relative_path) = (&*file.domain, &*file.relative_path);
    let is_at_home = domain == "HomeDomain";
    // By its id, so that a file has the same form each time.
    let (root, domain, separator) = match file.file_id.0[0] % 5 {
        _ if (domain, relative_path) == FILE_PROVIDER => ("/var/mobile", "", "/"),
        0 => ("/.ba/mobile/", domain, "/"),
        1 => ("/.b/6/", domain, "/"),
        2 if is_at_home => ("/var/mobile", "", "/"),
        2 => ("/var/mobile/Containers/", domain, "/"),
        3 => ("/var/tmp", "", "/"),
        _ => ("", domain, "-"),
    };
    for part in [root, domain, separator, relative_path] {
        device.push_str(part);
    }
    path.clear();
    path.push_str(folder);
    path.push_str("/Snapshot/");
    file.file_id.push_path(path);
}

/// A place for a file that no backup has; each number has another.
pub(super) fn odd_path(number: usize) -> String {
    if number % 2 == 0 { format!("/.b/6/Containers/odd-{number}") } else { format!("../../{number}") }
}
