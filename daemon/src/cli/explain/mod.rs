//! `backstay explain`: what a failure means and what to do about it. Needs no daemon and no settings.

pub mod articles;
pub mod codes;
pub mod find;

use backstay_shared::health::{Action, Condition, FailureId, Group, Retry};
use serde_json::{Value, json};

use super::{CliError, output};

/// Arguments of `backstay explain`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A failure as backstay status names it, a code (104, ENOSPC, PasswordProtected), a heading of an article, or words;
    /// all failures when left out
    #[arg(value_name = "ID-OR-WORDS")]
    wanted: Vec<String>,
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// When nothing fits.
pub fn run(arguments: &Arguments) -> Result<(), CliError> {
    let wanted = arguments.wanted.join(" ");
    if wanted.trim().is_empty() {
        return if arguments.json { output::json_line(&json!({ "failures": all() })) } else { list() };
    }
    let found = find::find(&wanted);
    match (&found[..], arguments.json) {
        ([], _) => Err(CliError::Usage(format!("nothing is known about {wanted:?}; see all with: backstay explain"))),
        (found, true) => {
            let found: Vec<Value> = found.iter().map(|id| object(*id)).collect();
            output::json_line(&json!({ "failures": found }))
        }
        ([only], false) => output::line(&text(*only)),
        (several, false) => {
            output::line("It may be one of these, best first:")?;
            for id in several {
                output::line(&row(*id))?;
            }
            output::line(&format!("\nMore about one of them: backstay explain {}", several[0]))
        }
    }
}

fn row(id: FailureId) -> String {
    format!("  {:<34} {}", id.slug(), id.entry().title)
}

fn list() -> Result<(), CliError> {
    let mut groups: Vec<Group> = FailureId::ALL.iter().map(|id| id.entry().group).collect();
    groups.dedup();
    for group in groups {
        output::line(group.heading())?;
        for id in FailureId::ALL.iter().filter(|id| id.entry().group == group) {
            output::line(&row(*id))?;
        }
        output::line("")?;
    }
    output::line("More about one of them: backstay explain ID. By a code or by words: backstay explain iCloud full")
}

fn all() -> Vec<Value> {
    FailureId::ALL.iter().map(|id| object(*id)).collect()
}

fn object(id: FailureId) -> Value {
    let entry = id.entry();
    let action =
        |action: &Action| json!({ "action": action, "label": action.label(), "command": action.command(None) });
    let (rule, condition): (_, Option<Condition>) = match entry.retry {
        Retry::AutomaticWhen(condition) => ("automatic-when", Some(condition)),
        Retry::Backoff => ("backoff", None),
        Retry::Never => ("never-automatic", None),
    };
    json!({
        "id": id,
        "group": entry.group,
        "title": entry.title,
        "why": entry.why,
        "severity": entry.severity,
        "steps": entry.steps,
        "actions": entry.actions.iter().map(action).collect::<Vec<_>>(),
        "retry": { "rule": rule, "condition": condition, "words": entry.retry.words() },
        "depends_on": entry.depends_on,
    })
}

fn text(id: FailureId) -> String {
    let entry = id.entry();
    let mut lines = vec![entry.title.clone(), id.to_string(), String::new(), entry.why.clone(), String::new()];
    lines.push("What to do, the cheapest first:".into());
    for (number, step) in entry.steps.iter().enumerate() {
        lines.push(format!("  {}. {step}", number + 1));
    }
    lines.push(String::new());
    lines.push(entry.retry.words());
    let commands: Vec<String> = entry
        .actions
        .iter()
        .filter_map(|action| Some(format!("  {:<34} {}", action.command(None)?, action.label())))
        .collect();
    if !commands.is_empty() {
        lines.extend([String::new(), "Commands:".into()]);
        lines.extend(commands);
    }
    if !entry.depends_on.is_empty() {
        lines.extend([String::new(), "First cured, when they are there, too:".into()]);
        lines.extend(entry.depends_on.iter().map(|root| row(*root)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_has_all_of_it() {
        let told = text(FailureId::HostDiskFull);
        let entry = FailureId::HostDiskFull.entry();
        assert!(told.contains(&entry.title) && told.contains(&entry.why), "{told}");
        assert!(entry.steps.iter().all(|step| told.contains(step.as_str())), "{told}");
        for part in [
            "It is tried again by itself as soon as the backup disk has room.",
            "backstay prune --free SIZE",
            "backup-drive-missing",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    /// The groups stand together in the catalogue, so that the list has each heading once.
    #[test]
    fn every_group_is_one_block() {
        let mut groups: Vec<Group> = FailureId::ALL.iter().map(|id| id.entry().group).collect();
        groups.dedup();
        let blocks = groups.len();
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), blocks);
    }
}
