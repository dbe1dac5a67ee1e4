//! The licences of the crates that are linked into the executables. Most ask that their text goes with every copy.

use std::{
    collections::BTreeMap,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What a file with a licence is called, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];

/// Writes them into one file, each text once with the names of all crates that come under it.
pub(crate) fn write(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for linked in linked()? {
        let found = found(&linked.folder)?;
        let name = format!("{} {} ({})", linked.name, linked.version, linked.licence);
        // A crate without a file of its own is still told with the licence that it declares.
        let found = if found.is_empty() { vec!["(the crate comes without the text)\n".into()] } else { found };
        for text in found {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut all: Vec<_> = texts.into_iter().map(|(text, names)| (names, text)).collect();
    all.sort();
    let text: String =
        all.iter().map(|(names, text)| format!("{}\n\n{text}\n{:-<100}\n\n", names.join("\n"), "")).collect();
    Ok(fs::write(file, text)?)
}

struct Linked {
    name: String,
    version: String,
    licence: String,
    folder: PathBuf,
}

/// The crates of others that the executables are linked with on this platform. What only runs while building (build
/// scripts, macros) is told as well: cargo does not keep the two apart, and too much harms nobody.
fn linked() -> Result<Vec<Linked>, Box<dyn Error>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let run = |arguments: &[&str]| -> Result<String, Box<dyn Error>> {
        let output = Command::new(&cargo).args(arguments).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    };
    let tree = ["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}"];
    let tree = run(&[tree.as_slice(), &["--package=backstay", "--package=backstay-tray"]].concat())?;
    // Of this platform alone: the others' crates need not be on this computer.
    let host = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    let host = format!("--filter-platform={}", String::from_utf8(host.stdout)?.trim());
    let metadata: Value = serde_json::from_str(&run(&["metadata", "--locked", "--format-version=1", &host])?)?;
    let mut linked = Vec::new();
    for package in metadata["packages"].as_array().ok_or("cargo metadata lists no packages")? {
        let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
        let (name, version) = (text("name"), text("version"));
        let line = format!("{name} v{version}");
        let ours = package["source"].is_null();
        if !ours && tree.lines().any(|found| found == line || found.starts_with(&format!("{line} "))) {
            let folder = PathBuf::from(text("manifest_path")).parent().map(Path::to_path_buf).unwrap_or_default();
            linked.push(Linked { name, version, licence: text("license"), folder });
        }
    }
    Ok(linked)
}

/// The licence files of one crate.
fn found(folder: &Path) -> io::Result<Vec<String>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let is_licence = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && NAMES.iter().any(|start| name.starts_with(start))
    };
    files
        .iter()
        .filter(|path| is_licence(path))
        .map(|path| Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_told_and_what_is_not_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("licences");
        write(&file).unwrap();
        let text = fs::read_to_string(file).unwrap();
        for name in ["idevice ", "tokio ", "tray-icon ", "rusqlite "] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{name} is not told");
        }
        // The tests use it, the product does not.
        assert!(!text.lines().any(|line| line.starts_with("fuser ")));
        assert!(text.contains("THE SOFTWARE IS PROVIDED \"AS IS\""));
    }
}
