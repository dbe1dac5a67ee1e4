//! The first settings, as a person chose them.

use std::path::{Path, PathBuf};

use super::Config;

/// What is asked before anything is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The folder that holds the backups.
    pub root: PathBuf,
    /// Backups start by themselves only in these hours, as `18:00-08:00`.
    pub hours: Option<String>,
    /// A phone that does not encrypt its backups is not backed up.
    pub require_encryption: bool,
    /// Phones are looked for on the network, too.
    pub wifi: bool,
}

impl Chosen {
    /// What a click agrees to, in which nobody was asked anything: this folder, and the defaults.
    pub fn usual(root: &Path) -> Self {
        Self { root: root.to_owned(), hours: None, require_encryption: false, wifi: true }
    }

    /// All settings there are, with these in force.
    ///
    /// # Errors
    /// When they can't be written in a settings file.
    pub fn file(&self) -> Result<String, String> {
        let root = self.root.to_str().ok_or_else(|| format!("{} can't be written in a file", self.root.display()))?;
        // A string of JSON is one of TOML.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut values = vec![("root", quoted(root))];
        values.extend(self.hours.as_deref().map(|hours| ("hours", quoted(hours))));
        values.extend(self.require_encryption.then(|| ("require_encryption", "true".to_owned())));
        values.extend((!self.wifi).then(|| ("wifi", "false".to_owned())));
        let mut text = String::new();
        for line in Config::TEMPLATE.lines() {
            let of_this_line = |(key, _): &(&str, String)| line.starts_with(&format!("#{key} = "));
            match values.iter().position(of_this_line) {
                // Each is set once: another section may have a setting of that name.
                Some(place) => {
                    let (key, value) = values.remove(place);
                    text.push_str(&format!("{key} = {value}"));
                }
                None => text.push_str(line),
            }
            text.push('\n');
        }
        // Read again: what is written is what will be understood.
        let read: Config = toml::from_str(&text).map_err(|error| error.message().to_owned())?;
        match read.backup.root.as_ref() == Some(&self.root) && read.network.wifi == self.wifi {
            true => Ok(text),
            false => Err(format!("{} can't be written in a file", self.root.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_what_the_file_says() {
        for root in ["/home/anna/iPhone Backups", r#"/media/"quoted" \ and more"#] {
            let hours = Some("18:00-08:00".into());
            let chosen = Chosen { root: root.into(), hours, require_encryption: true, wifi: false };
            let text = chosen.file().unwrap();
            let read: Config = toml::from_str(&text).unwrap();
            let backup = &read.backup;
            assert_eq!((backup.root.as_deref(), backup.require_encryption), (Some(root.as_ref()), true));
            assert!(backup.hours.is_some() && !read.network.wifi);
            assert_eq!(text.lines().count(), Config::TEMPLATE.lines().count(), "the rest stays to be read");
        }
        let plain = Chosen::usual("/backups".as_ref());
        let read: Config = toml::from_str(&plain.file().unwrap()).unwrap();
        let usual = Config::default();
        assert_eq!(Config { backup: crate::config::Backup { root: None, ..read.backup }, ..read }, usual);
    }

    #[test]
    fn hours_that_are_none_are_refused() {
        let chosen = Chosen { hours: Some("at night".into()), ..Chosen::usual("/backups".as_ref()) };
        assert!(chosen.file().unwrap_err().contains("are no hours"));
    }
}
