//! The texts of autostart entries: quoted as the Desktop Entry Specification wants it, and read back.

use super::{own_file::MARK, program::Program};

/// The companion's entry, also of packages.
pub const TRAY: &str = include_str!("../../../../packaging/linux/backstay-tray.desktop");

/// The daemon's, for desktops without systemd; no menu shows it.
pub const DAEMON: &str = "[Desktop Entry]
Type=Application
Name=Backstay daemon
Comment=Backs up iPhones in the background
Exec=backstay daemon
Icon=backstay
Terminal=false
NoDisplay=true
";

/// The entry that starts this at login.
pub fn text(template: &str, program: &Program) -> String {
    let mut text = format!("# {MARK}\n");
    let ours = ["Exec=", "TryExec=", "X-GNOME-Autostart-enabled="];
    for line in template.lines() {
        match line.starts_with("Exec=") {
            true => {
                // Moved or removed without us: the desktop then passes over the entry.
                text.push_str(&format!("TryExec={}\n", escaped(&program.executable)));
                text.push_str(&format!("Exec={}\n", command_line(program)));
                text.push_str("X-GNOME-Autostart-enabled=true");
            }
            false if ours.iter().any(|key| line.starts_with(key)) => continue,
            false => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn command_line(program: &Program) -> String {
    let words = std::iter::once(&program.executable).chain(&program.arguments);
    let quoted: Vec<String> = words.map(|word| quoted(word)).collect();
    escaped(&quoted.join(" "))
}

/// The rule of `Exec`.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._-+=:,@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    let mut quoted = String::from('"');
    for character in word.chars() {
        if "\"`$\\".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted + "\""
}

/// The rule of every value, on top of that.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\")
}

/// What an entry says of starting at login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Somebody switched it off, here or in the desktop's settings.
    pub off: bool,
    /// What it starts.
    pub program: Program,
}

/// Reads one; none when it starts nothing.
pub fn read(text: &str) -> Option<Entry> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != "[Desktop Entry]").skip(1);
    let entries: Vec<(&str, &str)> = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim_end(), value.trim_start()))
        .collect();
    let value = |key: &str| entries.iter().find(|entry| entry.0 == key).map(|entry| entry.1);
    let off = value("Hidden") == Some("true") || value("X-GNOME-Autostart-enabled") == Some("false");
    let mut words = words(&unescaped(value("Exec")?)).into_iter();
    let executable = words.next().filter(|word| !word.is_empty())?;
    Some(Entry { off, program: Program { executable, arguments: words.collect() } })
}

fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|next| if next == 's' { ' ' } else { next })),
            character => text.push(character),
        }
    }
    text
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut in_quotes) = (Vec::new(), None::<String>, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                in_quotes = !in_quotes;
                word.get_or_insert_default();
            }
            '\\' if in_quotes => word.get_or_insert_default().extend(characters.next()),
            ' ' if !in_quotes => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words.iter().map(|word| word.replace("%%", "%")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted_and_come_back() {
        for (path, line) in [
            ("/usr/bin/backstay-tray", "/usr/bin/backstay-tray"),
            ("/a b/tray", r#""/a b/tray""#),
            ("/100%/tray", "/100%%/tray"),
            ("/$x/tray", r#""/\\$x/tray""#),
            (r#"/a"b/tray"#, r#""/a\\"b/tray""#),
            (r"/a\b/tray", r#""/a\\\\b/tray""#),
            ("/`x`;&/tray", r#""/\\`x\\`;&/tray""#),
        ] {
            let program = Program { executable: path.into(), arguments: Vec::new() };
            let text = text(TRAY, &program);
            assert!(text.contains(&format!("\nExec={line}\n")), "{text}");
            assert_eq!(read(&text), Some(Entry { off: false, program }));
        }
    }

    #[test]
    fn arguments_are_quoted_too() {
        let arguments = ["--root", "/My Backups", "daemon"].map(str::to_owned).to_vec();
        let program = Program { executable: "/usr/bin/backstay".into(), arguments };
        let text = text(DAEMON, &program);
        assert!(text.contains("\nExec=/usr/bin/backstay --root \"/My Backups\" daemon\n"), "{text}");
        assert!(text.starts_with(&format!("# {MARK}\n[Desktop Entry]\n")), "{text}");
        assert_eq!(read(&text), Some(Entry { off: false, program }));
    }

    #[test]
    fn what_a_person_switched_off_is_off() {
        let program = Program { executable: "x".into(), arguments: vec!["y".into()] };
        let off =
            |line: &str| read(&format!("[Desktop Entry]\nExec=x y\n{line}\n[Desktop Action a]\nExec=z\n")).unwrap();
        for (line, expected) in [
            ("Hidden=true", true),
            ("X-GNOME-Autostart-enabled=false", true),
            ("Hidden=false", false),
            ("Comment=Hidden=true", false),
        ] {
            assert_eq!(off(line), Entry { off: expected, program: program.clone() }, "{line}");
        }
        assert_eq!(read("Exec=x"), None);
    }
}
