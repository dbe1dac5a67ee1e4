//! How passwords are asked for: from standard input for scripts, else at the terminal without showing them. Never as
//! an argument, which every user of the computer can read.

use std::io::{self, Read};

use zeroize::Zeroizing;

use super::CliError;
use crate::vault::encryption::Password;

/// Longer input is no password.
const INPUT_BYTES_MAX: u64 = 4096;

/// One password a line.
///
/// # Errors
/// When there are fewer lines, or one is empty.
pub fn from_stdin<const COUNT: usize>() -> Result<[Password; COUNT], CliError> {
    let mut input = Zeroizing::new(String::with_capacity(INPUT_BYTES_MAX as usize));
    io::stdin()
        .lock()
        .take(INPUT_BYTES_MAX)
        .read_to_string(&mut input)
        .map_err(|error| CliError::Usage(format!("standard input: {error}")))?;
    lines(&input).ok_or_else(|| match COUNT {
        1 => CliError::Usage("--password-stdin wants the password in one line on standard input".into()),
        _ => {
            CliError::Usage("--password-stdin wants two lines on standard input: the old password, the new one".into())
        }
    })
}

fn lines<const COUNT: usize>(input: &str) -> Option<[Password; COUNT]> {
    let passwords: Vec<Password> = input.lines().take(COUNT).map(|line| Password::new(line.to_owned())).collect();
    passwords.try_into().ok().filter(|all: &[Password; COUNT]| !all.iter().any(Password::is_empty))
}

/// Asks at the terminal; the stored one is taken when nothing is typed.
///
/// # Errors
/// When there is no terminal, or nothing was typed and nothing is stored.
pub fn known(question: &str, stored: Option<&Password>) -> Result<Password, CliError> {
    let hint = if stored.is_some() { " (Enter for the stored one)" } else { "" };
    let typed = ask(&format!("{question}{hint}: "))?;
    match stored {
        Some(stored) if typed.is_empty() => Ok(stored.clone()),
        None if typed.is_empty() => Err(CliError::Usage("no password was typed".into())),
        _ => Ok(typed),
    }
}

/// Asks at the terminal for a new password, twice.
///
/// # Errors
/// When there is no terminal, nothing was typed, or the two differ.
pub fn new() -> Result<Password, CliError> {
    let password = known("New backup password", None)?;
    if ask("The same again: ")? != password {
        return Err(CliError::Usage("the two passwords differ; nothing was changed".into()));
    }
    Ok(password)
}

fn ask(question: &str) -> Result<Password, CliError> {
    rpassword::prompt_password(question)
        .map(Password::new)
        .map_err(|error| CliError::Usage(format!("no terminal to ask at ({error}); use --password-stdin")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_password_a_line_with_all_its_spaces() {
        let [old, new] = lines("  old one \r\nnew\n").unwrap();
        assert_eq!((old.reveal(), new.reveal()), ("  old one ", "new"));
        assert!(lines::<2>("only one\n").is_none());
        assert!(lines::<1>("\n").is_none());
        assert!(lines::<1>("").is_none());
    }
}
