//! The texts of launchd agents.

use plist::{Dictionary, Value};

use super::{own_file::MARK, program::Program};
use crate::cli::CliError;

/// An agent: the label, and the property list that packages have, too.
#[derive(Debug, Clone, Copy)]
pub struct Agent {
    /// What launchd calls it.
    pub label: &'static str,
    template: &'static str,
}

/// The daemon's.
pub const DAEMON: Agent = Agent {
    label: "org.backstay.daemon",
    template: include_str!("../../../../packaging/launchd/org.backstay.daemon.plist"),
};

/// The companion's.
pub const TRAY: Agent = Agent {
    label: "org.backstay.tray",
    template: include_str!("../../../../packaging/launchd/org.backstay.tray.plist"),
};

impl Agent {
    /// The property list that starts this at login.
    ///
    /// # Errors
    /// When it can't be written as one.
    pub fn text(&self, program: &Program) -> Result<String, CliError> {
        let failed = |error: plist::Error| CliError::Failed(format!("{}: {error}", self.label));
        let mut agent: Dictionary = plist::from_bytes(self.template.as_bytes()).map_err(failed)?;
        let words = std::iter::once(&program.executable).chain(&program.arguments);
        let words = words.map(|word| Value::String(word.clone())).collect();
        agent.insert("ProgramArguments".into(), Value::Array(words));
        let mut text = Vec::new();
        Value::Dictionary(agent).to_writer_xml(&mut text).map_err(failed)?;
        let text = String::from_utf8_lossy(&text);
        // After the first line, which has to be the first.
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        Ok(format!("{first}\n<!-- {MARK} -->\n{rest}\n"))
    }
}

/// The executable that an agent starts.
pub fn executable(text: &str) -> Option<String> {
    let agent: Dictionary = plist::from_bytes(text.as_bytes()).ok()?;
    let words = agent.get("ProgramArguments").and_then(Value::as_array);
    let first = words.and_then(|words| words.first()).or_else(|| agent.get("Program"));
    first.and_then(Value::as_string).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_come_back() {
        for agent in [DAEMON, TRAY] {
            let path = "/Users/Tom & <Anna>/100% \"$x\"/backstay";
            let arguments = vec!["daemon".to_owned()];
            let text = agent.text(&Program { executable: path.into(), arguments }).unwrap();
            assert!(text.starts_with("<?xml") && text.contains(MARK), "{text}");
            assert_eq!(executable(&text).as_deref(), Some(path));
            let dictionary: Dictionary = plist::from_bytes(text.as_bytes()).unwrap();
            assert_eq!(dictionary.get("Label").and_then(Value::as_string), Some(agent.label));
        }
    }
}
