//! Paths without what they say: the same for every phone, or a length.

/// Parts of paths that are the same on every phone.
const KNOWN: &[&str] = &[
    ".b",
    ".ba",
    "AppGroup",
    "Application",
    "Application Support",
    "Applications",
    "Bundle",
    "Caches",
    "Containers",
    "DCIM",
    "Data",
    "Documents",
    "FileProvider",
    "Info.plist",
    "InternalDaemon",
    "Library",
    "Manifest.db",
    "Manifest.mbdb",
    "Manifest.plist",
    "Media",
    "MobileBackup",
    "PluginKitPlugin",
    "Preferences",
    "Shared",
    "Snapshot",
    "Status.plist",
    "System",
    "SystemData",
    "backup",
    "mobile",
    "private",
    "root",
    "tmp",
    "var",
];

/// What iOS calls the parts of a backup; behind a dash may stand an app.
const DOMAINS: &[&str] = &[
    "AppDomain",
    "AppDomainGroup",
    "AppDomainPlugin",
    "BooksDomain",
    "CameraRollDomain",
    "DatabaseDomain",
    "HealthDomain",
    "HomeDomain",
    "HomeKitDomain",
    "InstallDomain",
    "KeyboardDomain",
    "KeychainDomain",
    "ManagedPreferencesDomain",
    "MediaDomain",
    "MobileDeviceDomain",
    "NetworkDomain",
    "ProtectedDomain",
    "RootDomain",
    "SysContainerDomain",
    "SysSharedContainerDomain",
    "SystemPreferencesDomain",
    "TonesDomain",
    "WatchDomain",
    "WirelessDomain",
];

/// Endings that say what kind of file it is, and no more.
const ENDINGS: &[&str] = &[
    "aae",
    "dat",
    "db",
    "db-shm",
    "db-wal",
    "heic",
    "jpg",
    "json",
    "log",
    "mov",
    "mp4",
    "plist",
    "png",
    "sqlite",
    "sqlite-shm",
    "sqlite-wal",
    "sqlitedb",
    "txt",
];

/// The one file that is named: every iPhone has it, and most can't read it (pymobiledevice3 755).
const NAMED: &str = "FileProvider/backup/backup_manifest.db";

/// More parts are only counted.
const PARTS_MAX: usize = 12;

/// Of a longer path only its length is kept.
const PATH_BYTES_MAX: usize = 1024;

/// A path of the phone or of the backup, for example `U/Snapshot/xx/<file>`, `/.b/6/Containers/<10>/<4>.sqlite`. `U` is
/// the phone's own identifier, `<4>` a part of so many characters. A slash in front stays.
pub(super) fn shape(path: &str, udid: &str) -> String {
    if path.len() > PATH_BYTES_MAX {
        return format!("<{}-long>", path.len());
    }
    if let Some(before) = path.strip_suffix(NAMED).filter(|before| before.is_empty() || before.ends_with('/')) {
        return format!("{}{NAMED}", shape(before, udid));
    }
    let mut parts: Vec<String> = path.split('/').take(PARTS_MAX).map(|part| part_shape(part, udid)).collect();
    let more = path.split('/').count() - parts.len();
    if more > 0 {
        parts.push(format!("<{more}-more>"));
    }
    parts.join("/")
}

/// One part of a path.
pub(super) fn part_shape(part: &str, udid: &str) -> String {
    match part.split_once('-') {
        // A domain has one name behind it, whatever that looks like.
        Some((domain, rest)) if DOMAINS.contains(&domain) => format!("{domain}-{}", plain_part_shape(rest, udid)),
        _ => plain_part_shape(part, udid),
    }
}

fn plain_part_shape(part: &str, udid: &str) -> String {
    if part == udid {
        return "U".into();
    }
    if KNOWN.contains(&part) || DOMAINS.contains(&part) || matches!(part, "" | "." | "..") || is_shaped(part) {
        return part.to_owned();
    }
    let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match part.len() {
        1 if part.bytes().all(|byte| byte.is_ascii_digit()) => return part.to_owned(),
        2 if hexadecimal => return "xx".into(),
        40 if hexadecimal => return "<file>".into(),
        _ => {}
    }
    let ending = part.rsplit_once('.').filter(|(_, ending)| ENDINGS.contains(&ending.to_lowercase().as_str()));
    match ending {
        Some((name, ending)) => format!("<{}>.{}", name.chars().count(), ending.to_lowercase()),
        None => format!("<{}>", part.chars().count()),
    }
}

/// What this has made already.
fn is_shaped(part: &str) -> bool {
    let name = part.rsplit_once('.').filter(|(_, ending)| ENDINGS.contains(ending)).map_or(part, |(name, _)| name);
    let Some(inside) = name.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) else {
        return matches!(name, "U" | "xx");
    };
    let number = inside.strip_suffix("-more").unwrap_or(inside);
    let is_number = !number.is_empty() && number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number || inside == "file"
}

/// Where on the phone a file is, in one of a few words.
pub(super) fn device_kind(path: &str) -> &'static str {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    for folder in ["/.ba/mobile", "/.ba", "/.b", "/var/mobile", "/var/tmp", "/var/.backup.i", "/private/var", "/var"] {
        if below(folder) {
            return folder;
        }
    }
    match path.split(['/', '-']).next() {
        Some(domain) if DOMAINS.contains(&domain) => "Domain-",
        Some("") if path.starts_with('/') => "/other",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDID: &str = "00008120-001A2D3E0C40201E";

    #[test]
    fn no_path_is_too_long_to_be_shaped() {
        for part in ["AppDomain-", "FileProvider/backup/backup_manifest.db/", "a/", "x"] {
            let long = part.repeat((16 << 20) / part.len());
            assert!(shape(&long, UDID).len() < 30);
            let short = &long[..1000];
            assert!(shape(short, UDID).len() < 1000, "{part}");
            assert!(part_shape(&long, UDID).len() < 100, "{part}");
        }
    }

    #[test]
    fn paths_keep_their_shape_alone() {
        for (path, told) in [
            (UDID.to_owned(), "U"),
            (format!("{UDID}/Status.plist"), "U/Status.plist"),
            (format!("{UDID}/Snapshot/3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28"), "U/Snapshot/xx/<file>"),
            (format!("{UDID}/Anna/x"), "U/<4>/<1>"),
            ("/.b/6/Containers/letters.x/eve.SQLITE".into(), "/.b/6/Containers/<9>/<3>.sqlite"),
            ("HomeDomain-Library/Anna.txt".into(), "HomeDomain-Library/<4>.txt"),
            ("AppDomain-com.example.notes/x".into(), "AppDomain-<17>/<1>"),
            ("../../.ssh/authorized_keys".into(), "../../<4>/<15>"),
            (format!("/var/mobile/Library/Application Support/{NAMED}"), ""),
            ("Eve-FileProvider/backup/backup_manifest.db".into(), "<16>/backup/<15>.db"),
        ] {
            let told = if told.is_empty() { path.as_str() } else { told };
            let shaped = shape(&path, UDID);
            assert_eq!(shaped, told);
            assert_eq!(shape(&shaped, UDID), shaped, "a shape is its own shape");
        }
        assert_eq!(shape(&"a/".repeat(20), UDID).matches("<1>").count(), PARTS_MAX);
    }

    #[test]
    fn a_device_path_has_a_kind() {
        for (path, kind) in [
            ("/.ba/mobile/Media/x", "/.ba/mobile"),
            ("/.b/6/Containers/x", "/.b"),
            ("/var/mobile/x", "/var/mobile"),
            ("/var/tmp/tmp.2.5YnM5D", "/var/tmp"),
            ("HomeDomain-Library/x", "Domain-"),
            ("/somewhere/else", "/other"),
            ("elsewhere", "other"),
        ] {
            assert_eq!(device_kind(path), kind);
        }
    }
}
