//! The texts of values in Windows' Run key: written as its programs split them, and read back.

use super::program::Program;

/// The daemon is a program of the console, which shows a window unless its host is told not to.
const WITHOUT_WINDOW: &str = "conhost.exe --headless ";

/// The daemon's value.
pub fn of_daemon(program: &Program) -> String {
    format!("{WITHOUT_WINDOW}{}", of_tray(program))
}

/// The companion's, which has no console. No path and no name of ours holds a quotation mark: Windows forbids it.
pub fn of_tray(program: &Program) -> String {
    let words = std::iter::once(&program.executable).chain(&program.arguments);
    let quoted = words.map(|word| {
        // Backslashes at the end would quote the quotation mark.
        let backslashes = &word[word.trim_end_matches('\\').len()..];
        format!("\"{word}{backslashes}\"")
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// What a value starts; none when it is not as we write them.
pub fn read(value: &str) -> Option<Program> {
    let rest = value.strip_prefix(WITHOUT_WINDOW).unwrap_or(value);
    let inner = rest.strip_prefix('"')?.strip_suffix('"')?;
    let mut words = inner.split("\" \"").map(|word| {
        let doubled = word.len() - word.trim_end_matches('\\').len();
        word[..word.len() - doubled / 2].to_owned()
    });
    let executable = words.next().filter(|word| !word.is_empty())?;
    let arguments: Vec<String> = words.collect();
    let is_ours = !std::iter::once(&executable).chain(&arguments).any(|word| word.contains('"'));
    is_ours.then_some(Program { executable, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_come_back() {
        for (root, quoted) in [
            (r"D:\", r#""D:\\""#),
            (r"\\server\share\\", r#""\\server\share\\\\""#),
            (r"C:\Users\Anna B\100% & more", r#""C:\Users\Anna B\100% & more""#),
        ] {
            let arguments = ["--root", root, "daemon"].map(str::to_owned).to_vec();
            let program = Program { executable: r"C:\Program Files\backstay.exe".into(), arguments };
            let value = of_daemon(&program);
            let expected =
                format!(r#"conhost.exe --headless "C:\Program Files\backstay.exe" "--root" {quoted} "daemon""#);
            assert_eq!(value, expected);
            assert_eq!(read(&value), Some(program.clone()));
            assert_eq!(read(&of_tray(&program)), Some(program));
        }
    }

    #[test]
    fn what_a_person_wrote_is_not_guessed() {
        for value in ["", "backstay.exe daemon", r#""a.exe" daemon"#, r#""a.exe""b" "c""#, r#""" "daemon""#] {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
