//! Rows without a payload: on a real phone most are directories of apps that keep nothing.

use super::{FLAG_BARE, FileId, builder::Builder};

/// What every app and extension has.
const DIRECTORIES: [&str; 7] =
    ["Documents", "Library", "Library/Caches", "Library/Preferences", "Library/SplashBoard", "SystemData", "tmp"];
/// Domains of the system that may be empty.
const SYSTEM: [&str; 8] = [
    "DatabaseDomain",
    "HealthDomain",
    "HomeKitDomain",
    "KeychainDomain",
    "RootDomain",
    "SysContainerDomain-com.example.system",
    "SysSharedContainerDomain-systemgroup.com.example",
    "WirelessDomain",
];
/// Where links lead; what a link's own name allows is no limit for it.
const TARGETS: [&str; 3] = [
    "/var/mobile/Containers/Data/Application/2D4D1445-FCB4-47F6-A789-941C77FBE73B/Library/WebKit/IndexedDB",
    "/var/mobile/Library/Mail/Name+tag@example.org:993/Sent Messages",
    "/private/var/containers/Shared/SystemGroup/with spaces and + and :",
];

/// Adds directories, links and one bare row to a phone that has so many files.
pub(super) fn add(builder: &mut Builder, files: usize) {
    for domain in SYSTEM {
        builder.directory(domain, "Library");
    }
    for app in 0..files / 8 {
        let kind = ["AppDomain-", "AppDomainPlugin-", "AppDomainGroup-group."][app % 3];
        let domain = format!("{kind}com.example.app-{app}");
        for path in DIRECTORIES {
            builder.directory(&domain, path);
        }
    }
    for number in 0..files.div_ceil(100).max(TARGETS.len()) {
        let path = format!("Library/WebKit/WebsiteData/IndexedDB/v{number}");
        builder.link("AppDomain-com.example.notes", &path, TARGETS[number % TARGETS.len()]);
    }
    builder.bare(FileId::of("", "bare"), FLAG_BARE);
}
