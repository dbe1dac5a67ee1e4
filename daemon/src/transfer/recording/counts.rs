//! Counts by kind, bounded.

use std::{collections::BTreeMap, fmt};

/// Kinds that have names of their own; a phone that makes up more has them under one name.
const KINDS_MAX: usize = 16;

const OTHER: &str = "other-kinds";

/// How many there are of each kind.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// One more.
    pub(super) fn add(&mut self, kind: &str) {
        if let Some(count) = self.0.get_mut(kind) {
            *count += 1;
        } else {
            let kind = if self.0.len() < KINDS_MAX { kind } else { OTHER };
            *self.0.entry(kind.to_owned()).or_default() += 1;
        }
    }

    /// None yet.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: AsRef<str>> FromIterator<T> for Counts {
    fn from_iter<I: IntoIterator<Item = T>>(kinds: I) -> Self {
        let mut counts = Self::default();
        kinds.into_iter().for_each(|kind| counts.add(kind.as_ref()));
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.0.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
        write!(formatter, "{{{}}}", told.join(","))
    }
}
