//! `backstay-documents DIR`: man pages, shell completions and licences, for the packages.
//!
//! All of it is made from the program itself, so that it can't go stale; and by an executable of its own, so that what
//! people install carries none of it.

mod notices;
// The tray is an executable and no library; this file of it needs nothing but clap.
#[path = "../../../tray/src/arguments.rs"]
mod tray;

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory, Parser};
use clap_complete::Shell;

/// Writes man pages, shell completions and licences into a folder.
#[derive(Debug, Parser)]
#[command(name = "backstay-documents", version)]
struct Arguments {
    /// The folder, made when it is not there
    folder: PathBuf,
}

fn main() -> ExitCode {
    match write(&Arguments::parse().folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What clap does not know, for the end of the first page.
const BEYOND_CLAP: &str = r#".SH EXIT STATUS
0 done, 1 failed, 2 wrong usage, 3 the daemon is not running.
.SH FILES
.TP
\fI~/.config/backstay/config.toml\fR
the settings
.TP
\fI~/.local/state/backstay/\fR
the daemon's log, a file a day
"#;

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    for command in [backstay::cli::command(), tray::Arguments::command()] {
        manual(command.clone(), &folder.join("man"))?;
        completions(&command, &folder.join("completions"))?;
    }
    let mut first_page = OpenOptions::new().append(true).open(folder.join("man/backstay.1"))?;
    first_page.write_all(BEYOND_CLAP.as_bytes())?;
    notices::write(&folder.join("third-party-licences"))?;
    Ok(())
}

/// A page for the command and for each below it.
fn manual(command: Command, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
}

fn completions(command: &Command, folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
        // Each asks for a command of its own, which it completes in place.
        clap_complete::generate_to(shell, &mut command.clone(), command.get_name().to_owned(), folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command as Process;

    use super::*;

    /// `backstay encryption on` is `["encryption", "on"]`; hidden ones are not told to anybody.
    fn paths(command: &Command, above: &[String]) -> Vec<Vec<String>> {
        let below = command.get_subcommands().filter(|command| !command.is_hide_set());
        below
            .flat_map(|command| {
                let path = [above, &[command.get_name().to_owned()]].concat();
                [vec![path.clone()], paths(command, &path)].concat()
            })
            .collect()
    }

    /// What a real bash offers after `backstay WORDS` and a space.
    fn offered_by_bash(script: &Path, words: &[String]) -> Vec<String> {
        let typed = [&["backstay".to_owned()], words, &[String::new()]].concat();
        let ask = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _backstay backstay '' \"${COMP_WORDS[-2]}\"
            printf '%s\n' \"${COMPREPLY[@]}\"";
        let output = Process::new("bash").args(["-c", ask, "bash"]).arg(script).args(&typed).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_command_and_option_is_in_the_manual_and_the_completions() {
        let folder = tempfile::tempdir().unwrap();
        let command = backstay::cli::command();
        manual(command.clone(), folder.path()).unwrap();
        completions(&command, folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let (bash, zsh, fish) = (read("backstay.bash"), read("_backstay"), read("backstay.fish"));
        let all = paths(&command, &[]);
        assert!(all.len() > 20, "{} commands", all.len());
        for path in all {
            let page = format!("backstay-{}.1", path.join("-"));
            let text = read(&page).replace('\\', "");
            let found = path.iter().fold(&command, |command, name| command.find_subcommand(name).unwrap());
            let about = found.get_about().unwrap().to_string();
            assert!(text.contains(&about), "{page} does not say: {about}");
            for option in found.get_arguments().filter(|option| !option.is_hide_set()).filter_map(|o| o.get_long()) {
                assert!(text.contains(&format!("--{option}")), "{page} lacks --{option}");
                assert!(bash.contains(&format!("--{option}")), "bash does not complete --{option}");
                assert!(zsh.contains(&format!("--{option}")), "zsh does not complete --{option}");
                assert!(fish.contains(&format!("-l {option}")), "fish does not complete --{option}");
            }
            let name = path.last().unwrap();
            let offered = offered_by_bash(&folder.path().join("backstay.bash"), &path[..path.len() - 1]);
            assert!(offered.contains(name), "bash: {path:?} is not among {offered:?}");
            assert!(zsh.contains(&format!("({name})")), "zsh: {path:?}");
            assert!(fish.contains(&format!("-a \"{name}\"")), "fish: {path:?}");
        }
        let above = read("backstay.1").replace('\\', "");
        for command in command.get_subcommands() {
            assert!(
                above.contains(&format!("backstay-{}(1)", command.get_name())),
                "{} is not listed",
                command.get_name()
            );
        }
    }

    #[test]
    fn the_tray_has_its_page_too() {
        let folder = tempfile::tempdir().unwrap();
        manual(tray::Arguments::command(), folder.path()).unwrap();
        completions(&tray::Arguments::command(), folder.path()).unwrap();
        for name in ["backstay-tray.1", "backstay-tray.bash", "_backstay-tray", "backstay-tray.fish"] {
            let text = fs::read_to_string(folder.path().join(name)).unwrap().replace('\\', "");
            assert!(text.contains("socket"), "{name} lacks --socket");
        }
    }
}
