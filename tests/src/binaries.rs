//! The executables of the workspace, for tests that run them.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The executable of this name, beside the tests: cargo tells tests the path of their own package's executables only,
/// and builds no others for them.
///
/// # Panics
/// When it was not built, or not since its sources changed: an old one would prove nothing.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/it-0123 and target/debug/examples/demo are one folder below the executables.
    let beside = test.parent().unwrap();
    let folder =
        if ["deps", "examples"].iter().any(|name| beside.ends_with(name)) { beside.parent().unwrap() } else { beside };
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: run cargo build --workspace first", path.display());
    let built = modified(&path).unwrap();
    for source in sources(&folder.join(format!("{name}.d"))) {
        // A source that is gone was renamed, and its parent changed with it.
        let changed = modified(&source).is_some_and(|changed| changed > built);
        assert!(!changed, "{name} is older than {}: run cargo build --workspace first", source.display());
    }
    path
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// The sources that cargo lists beside an executable: `target: source source ...`, spaces in names escaped.
fn sources(list: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let Some((_, sources)) = text.trim().split_once(": ") else { return Vec::new() };
    let sources = sources.replace("\\ ", "\0");
    sources.split(' ').filter(|source| !source.is_empty()).map(|source| source.replace('\0', " ").into()).collect()
}
