//! The text of the systemd unit: quoted as systemd.service(5) wants it, and read back.

use super::{own_file::MARK, program::Program};

/// The unit, also of packages.
const TEMPLATE: &str = include_str!("../../../../packaging/systemd/backstay.service");

/// The unit that starts this.
pub fn text(program: &Program) -> String {
    let mut text = format!("# {MARK}\n# Changes of your own go into: systemctl --user edit backstay\n");
    for line in TEMPLATE.lines() {
        match line.split_once('=') {
            Some(("ExecStart", _)) => text.push_str(&format!("ExecStart={}", command_line(program))),
            // Taken to the end of the line: nothing is quoted there.
            Some((key @ "ConditionFileIsExecutable", _)) => {
                text.push_str(&format!("{key}={}", program.executable.replace('%', "%%")));
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn command_line(program: &Program) -> String {
    let arguments = program.arguments.iter().map(|argument| format!(" {}", quoted(&variables_off(argument))));
    // Variables are not looked for in the executable's own path.
    quoted(&program.executable) + &arguments.collect::<String>()
}

/// An argument in which a dollar sign is one.
pub fn variables_off(argument: &str) -> String {
    argument.replace('$', "$$")
}

fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+=:,@%$".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', r"\\").replace('"', "\\\""))
}

/// The command line of a unit, as far as it is fixed: none when a part of it is known to systemd only.
pub fn words(unit: &str) -> Option<Vec<String>> {
    let line = unit.lines().find_map(|line| line.trim().strip_prefix("ExecStart="))?;
    let mut characters = line.trim_start_matches(['@', '-', ':', '+', '!']).chars();
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut word) = (None, None::<String>);
    while let Some(character) = characters.next() {
        match character {
            '%' if characters.next() == Some('%') => word.get_or_insert_default().push('%'),
            '%' => return None,
            '\\' => word.get_or_insert_default().push(characters.next()?),
            '"' | '\'' if quote == Some(character) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            ' ' | '\t' if quote.is_none() => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    let rest = words.split_off(1.min(words.len()));
    words.extend(rest.iter().map(|word| word.replace("$$", "$")));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(executable: &str, arguments: &[&str]) -> Program {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Program { executable: executable.into(), arguments }
    }

    #[test]
    fn odd_paths_are_quoted_and_come_back() {
        for (executable, argument, line) in [
            ("/usr/bin/backstay", "/home/anna/b", "/usr/bin/backstay --root /home/anna/b daemon"),
            ("/x y/backstay", "/a 100%", r#""/x y/backstay" --root "/a 100%%" daemon"#),
            ("/$HOME/backstay", "/${HOME}", r#"/$HOME/backstay --root "/$${HOME}" daemon"#),
            (r#"/a"b\c/backstay"#, "/it's;x", r#""/a\"b\\c/backstay" --root "/it's;x" daemon"#),
            ("/ü/backstay", "-x", r#""/ü/backstay" --root -x daemon"#),
        ] {
            let program = program(executable, &["--root", argument, "daemon"]);
            assert_eq!(command_line(&program), line);
            let condition = format!("\nConditionFileIsExecutable={}\n", executable.replace('%', "%%"));
            assert!(text(&program).contains(&condition), "{condition}");
            let words = words(&text(&program)).unwrap();
            assert_eq!(words, [executable, "--root", argument, "daemon"]);
        }
    }

    #[test]
    fn the_rest_is_the_packages_own() {
        let text = text(&program("/usr/bin/backstay", &["daemon"]));
        assert!(text.starts_with(&format!("# {MARK}\n")));
        assert!(text.ends_with(TEMPLATE), "only the command line differs");
    }

    #[test]
    fn what_only_systemd_knows_is_not_guessed() {
        assert_eq!(words("[Service]\nExecStart=%h/bin/backstay daemon\n"), None);
        assert_eq!(words("[Service]\nType=oneshot\n"), None);
        let people = "[Service]\n  ExecStart=-@/usr/bin/backstay 'b c' daemon\n";
        assert_eq!(words(people).unwrap(), ["/usr/bin/backstay", "b c", "daemon"]);
    }
}
