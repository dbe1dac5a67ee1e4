//! Which package may use which: the edges of the design, held by a test.

use std::process::Command;

use serde_json::Value;

#[test]
fn packages_depend_only_where_they_may() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--manifest-path", manifest];
    let output = Command::new(cargo).args(arguments).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (package, never, why) in [
        ("backstay-shared", "idevice", "front ends need not know the device"),
        ("backstay-shared", "tray-icon", "the daemon needs no desktop"),
        ("backstay-shared", "backstay", "shared is below the daemon"),
        ("backstay-tray", "backstay", "the tray knows the daemon by its socket alone"),
        ("backstay-tray", "idevice", "the tray never talks to a phone"),
        ("backstay", "tray-icon", "the daemon runs without a desktop"),
        ("backstay", "clap_mangen", "what people install carries no generators"),
        ("backstay-tray", "clap_mangen", "what people install carries no generators"),
        ("backstay", "backstay-tests", "nothing that is shipped needs the tests"),
        ("backstay-tray", "backstay-tests", "nothing that is shipped needs the tests"),
    ] {
        let packages = metadata["packages"].as_array().unwrap();
        let found = packages.iter().find(|found| found["name"] == package).unwrap();
        let uses = found["dependencies"].as_array().unwrap().iter().any(|used| used["name"] == never);
        assert!(!uses, "{package} must not use {never}: {why}");
    }
}
