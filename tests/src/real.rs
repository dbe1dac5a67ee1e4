//! Data of real phones, which is kept beside the workspace where it is kept at all: nothing of it is ours to give away.

use std::path::{Path, PathBuf};

/// Where this file of a real phone is; says so when it isn't there.
pub fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/real").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("NOT RUN: there is no {}", path.display());
    None
}
