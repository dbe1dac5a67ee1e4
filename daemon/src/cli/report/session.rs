//! `backstay report --session`: how a phone and this computer last talked to each other.

use std::fs;

use crate::{
    cli::{CliError, Given},
    ipc::names,
    transfer::recording,
    vault::phones,
};

/// A larger record is not ours.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// The newest record, or that of the phone that is named; and when and of what it is.
///
/// # Errors
/// When no record exists, or the name fits no phone or several.
pub fn newest(given: &Given, wanted: Option<&str>) -> Result<(String, String), CliError> {
    let mut records = recording::newest(&given.paths.log_dir);
    let index = match wanted {
        None => records.len().checked_sub(1),
        Some(wanted) => {
            let backed_up = phones::backed_up(&given.root).unwrap_or_default();
            let config = given.in_force();
            let known = records.iter().map(|(udid, _)| {
                let chosen = config.and_then(|config| config.name_of(udid));
                let kept = || Some(&*backed_up.iter().find(|phone| phone.layout.udid() == udid)?.name);
                (chosen.or_else(kept).unwrap_or(udid.as_str()).to_owned(), udid.to_string())
            });
            let known: Vec<(String, String)> = known.collect();
            if known.is_empty() { None } else { Some(names::choose(&known, wanted)?) }
        }
    };
    let Some(index) = index else {
        return Err(CliError::Failed(
            "No conversation with an iPhone is recorded yet: each backup, restore and change of the backup password \
             records its own. Back up first, with: backstay backup"
                .into(),
        ));
    };
    let (_, file) = records.swap_remove(index);
    let unreadable = |error: String| CliError::Failed(format!("{}: {error}", file.display()));
    match fs::metadata(&file) {
        Ok(facts) if facts.len() > RECORD_BYTES_MAX => Err(unreadable("is too large to be a record".into())),
        _ => {
            let record = fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
            Ok((record, file.file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        }
    }
}
