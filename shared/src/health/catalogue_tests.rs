//! What the texts and rules of the catalogue have to keep to.

use std::collections::BTreeSet;

use super::*;
use crate::health::{Evidence, Failure};

#[test]
fn every_id_has_one_entry_with_all_texts() {
    let file = File::read().unwrap();
    let listed: Vec<FailureId> = file.failure.iter().map(|entry| entry.id).collect();
    assert_eq!(listed, FailureId::ALL, "failures.toml and id.rs list the same ids in the same order");
    let mut titles = BTreeSet::new();
    for id in FailureId::ALL {
        let entry = id.entry();
        assert!(!entry.title.is_empty() && entry.title.len() <= 60, "{id}: a title fits a notification");
        assert!(titles.insert(&entry.title), "{id}: its title is another's, too");
        assert!(entry.why.ends_with('.'), "{id}: why is a sentence");
        assert!(!entry.steps.is_empty() && entry.steps.iter().all(|step| step.len() > 5), "{id}: remedy");
        assert!(entry.steps.iter().all(|step| !step.starts_with('@')), "{id}: a phrase is missing");
        assert!(entry.grace_seconds <= 60, "{id}: told within a minute");
    }
}

#[test]
fn every_id_is_a_plain_name() {
    for id in FailureId::ALL {
        let plain = id.slug().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(plain && !id.slug().starts_with('-') && !id.slug().ends_with('-'), "{id}");
        assert_eq!(FailureId::of_slug(id.slug()), Some(*id), "two failures are called {id}");
        assert_eq!(serde_json::to_string(id).unwrap(), format!("\"{id}\""));
    }
}

/// Nobody is comforted with a backup that there is not.
#[test]
fn a_backup_that_is_not_there_is_not_called_untouched() {
    let told = |failure: &Failure| failure.explanation().to_lowercase().contains("good backup is untouched");
    let mut comforting = 0;
    for id in FailureId::ALL {
        let mut failure = Failure::from(*id);
        comforting += usize::from(told(&failure));
        failure.evidence.no_backup_yet = true;
        assert!(!told(&failure), "{id}: {}", failure.explanation());
        assert!(failure.explanation().ends_with('.'), "{id}: {}", failure.explanation());
    }
    assert!(comforting > 5, "{comforting}");
}

#[test]
fn every_phrase_is_used() {
    let text = include_str!("failures.toml");
    for name in File::read().unwrap().phrase.keys() {
        assert!(text.contains(&format!("\"@{name}\"")), "{name}");
    }
}

#[test]
fn every_quote_can_be_filled() {
    for id in FailureId::ALL {
        for quote in &id.entry().quotes {
            let filled = Evidence::sample().fill(quote).unwrap_or_else(|| panic!("{id}: {quote:?} quotes no evidence"));
            assert!(filled != *quote && !filled.contains(['{', '}']), "{id}: {quote:?}");
        }
    }
}

/// The richest sentence comes first: a later one needs less.
#[test]
fn no_quote_hides_behind_a_poorer_one() {
    let values = |quote: &str| -> BTreeSet<String> {
        quote.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
    };
    for id in FailureId::ALL {
        let quotes = &id.entry().quotes;
        for (index, quote) in quotes.iter().enumerate() {
            for earlier in &quotes[..index] {
                assert!(!values(earlier).is_subset(&values(quote)), "{id}: {quote:?} is never told");
            }
        }
    }
}

#[test]
fn every_action_is_known() {
    for id in FailureId::ALL {
        let actions = &id.entry().actions;
        assert!(!actions.is_empty(), "{id}: nothing to do");
        for action in actions {
            assert!(!matches!(action, Action::Unknown(_)), "{id}: {action}");
            assert_eq!(actions.iter().filter(|other| *other == action).count(), 1, "{id}: {action} twice");
            if let Action::ShowPath(path) = action {
                assert!(path.starts_with("Settings > "), "{id}: {path}");
            }
        }
    }
}

/// Of what waits for a person there is something that the person can do, and of what heals by itself it is said.
#[test]
fn texts_promise_what_the_rules_keep() {
    for id in FailureId::ALL {
        let entry = id.entry();
        let promises = entry.steps.iter().any(|step| step.contains("by itself"));
        if entry.retry == Retry::Never {
            assert!(!promises, "{id}: nothing happens by itself");
            let does =
                entry.actions.iter().any(|action| !matches!(action, Action::Snooze | Action::CollectDiagnostics));
            assert!(does, "{id}: nothing to do but wait");
        }
    }
}

/// A failure never waits for itself, neither directly nor around a corner.
#[test]
fn what_explains_what_has_no_circle() {
    fn visit(id: FailureId, path: &mut Vec<FailureId>, done: &mut BTreeSet<FailureId>) {
        assert!(!path.contains(&id), "{id} explains itself: {path:?}");
        if done.contains(&id) {
            return;
        }
        path.push(id);
        for root in &id.entry().depends_on {
            visit(*root, path, done);
        }
        path.pop();
        done.insert(id);
    }
    let mut done = BTreeSet::new();
    for id in FailureId::ALL {
        let roots = &id.entry().depends_on;
        assert_eq!(roots.iter().collect::<BTreeSet<_>>().len(), roots.len(), "{id}: a root twice");
        visit(*id, &mut Vec::new(), &mut done);
    }
}

/// Whatever ends backups until somebody acts explains why there is none.
#[test]
fn an_overdue_backup_stands_behind_what_stops_it() {
    let explained = &FailureId::BackupOverdue.entry().depends_on;
    for id in FailureId::ALL {
        let entry = id.entry();
        let stops = entry.severity == Severity::Error
            && !matches!(entry.group, Group::Restore | Group::Photos)
            && *id != FailureId::FindMyBlocksRestore;
        assert!(!stops || explained.contains(id), "{id}");
        assert!(!(explained.contains(id) && entry.group == Group::Icloud), "{id}: iCloud stops no backup of ours");
    }
}

/// A failed backup is told at once; only what passes by itself in seconds may wait.
#[test]
fn only_what_passes_has_a_grace() {
    let with_grace: Vec<&str> =
        FailureId::ALL.iter().filter(|id| id.entry().grace_seconds > 0).map(|id| id.slug()).collect();
    assert_eq!(
        with_grace,
        [
            "device-recovery-mode",
            "usb-accessory-blocked",
            "usbmuxd-not-running",
            "usbmuxd-permission-denied",
            "usb-driver-missing",
            "wifi-device-not-found",
            "wifi-weak",
            "host-offline",
            "backup-slow",
        ]
    );
}
