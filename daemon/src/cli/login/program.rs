//! What login starts: an executable and its arguments, by the name under which it stays.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::cli::{CliError, Given};

/// An executable and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// A whole path.
    pub executable: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Program {
    /// The daemon, as this command line would run it.
    ///
    /// # Errors
    /// When a path can't be written into a text.
    pub fn daemon(given: &Given) -> Result<Self, CliError> {
        let mut arguments = Vec::new();
        let named = [("--config", &given.config_named), ("--root", &given.root_named)];
        for (option, path) in named {
            if let Some(path) = path {
                let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                arguments.extend([option.to_owned(), text(&whole)?]);
            }
        }
        arguments.push("daemon".to_owned());
        Ok(Self { executable: text(&this_executable()?)?, arguments })
    }

    /// The companion, beside this executable or else on the path; none where it is not installed.
    ///
    /// # Errors
    /// When its path can't be written into a text.
    pub fn tray() -> Result<Option<Self>, CliError> {
        let name = format!("backstay-tray{}", env::consts::EXE_SUFFIX);
        let named = this_executable()?;
        let real = named.canonicalize().ok();
        let beside = [Some(named), real].into_iter().flatten().filter_map(|it| Some(it.parent()?.join(&name)));
        let found = beside.chain(on_path(&name)).find(|file| file.is_file());
        let program = |file: PathBuf| Ok(Self { executable: text(&file)?, arguments: Vec::new() });
        found.map(program).transpose()
    }
}

/// Where this executable is found. A name on the path wins over the file that it leads to: updates keep the name.
fn this_executable() -> Result<PathBuf, CliError> {
    let this = env::current_exe().map_err(|error| CliError::Failed(format!("where is this executable? {error}")))?;
    let real = this.canonicalize().unwrap_or_else(|_| this.clone());
    let name = this.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let same = |file: &PathBuf| file.canonicalize().is_ok_and(|file| file == real);
    Ok(on_path(&name).find(same).unwrap_or(this))
}

/// Every file of this name in the folders of `PATH`.
pub fn on_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let files: Vec<PathBuf> = env::split_paths(&folders).map(|folder| folder.join(name)).collect();
    files.into_iter().filter(|file| file.is_absolute() && file.is_file())
}

fn text(path: &Path) -> Result<String, CliError> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let refused = || CliError::Usage(format!("{} can't be written into what login reads", path.display()));
    text.map(str::to_owned).ok_or_else(refused)
}
