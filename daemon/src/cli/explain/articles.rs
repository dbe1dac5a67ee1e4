//! The headings of the articles that people bring along, and where each is answered.

use std::sync::LazyLock;

use backstay_shared::health::FailureId;
use serde::Deserialize;

use crate::cli::doctor::finding::Check;

/// One heading.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heading {
    /// Its place in the articles: `A1`, `B Step 2`.
    pub item: String,
    /// Its words.
    pub text: String,
    /// Failures that are about it, best first.
    pub failures: Vec<FailureId>,
    /// Checks of `backstay doctor` that look for it.
    pub checks: Vec<Check>,
    /// Actions that are its remedy, by the name before a colon.
    pub actions: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    heading: Vec<Heading>,
}

static HEADINGS: LazyLock<Vec<Heading>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is embedded; the test below reads the very same bytes")]
    let file: File = toml::from_str(include_str!("articles.toml")).expect("the embedded table is valid");
    file.heading
});

/// Every heading.
pub fn headings() -> &'static [Heading] {
    &HEADINGS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::explain::find;

    #[test]
    fn no_heading_of_the_articles_is_missing() {
        let items: Vec<&str> = headings().iter().map(|heading| heading.item.as_str()).collect();
        let first_article = ["A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9"];
        let second_article = ["B1", "B2", "B3", "B4", "B5", "B6"];
        let steps = ["B Step 1", "B Step 2", "B Step 3", "B Step 4", "B Step 5"];
        let rest = ["B Solution 1", "B Solution 2", "B Conclusion"];
        for item in first_article.iter().chain(&second_article).chain(&steps).chain(&rest) {
            assert_eq!(items.iter().filter(|known| *known == item).count(), 1, "{item}");
        }
        assert_eq!(items.iter().filter(|item| **item == "B FAQ").count(), 6);
        assert_eq!(headings().len(), 29);
        assert_eq!(headings().iter().map(|heading| &heading.text).collect::<BTreeSet<_>>().len(), 29);
    }

    /// A remedy counts only when a failure of that very heading offers it.
    #[test]
    fn every_heading_is_answered_by_what_a_person_can_reach() {
        for heading in headings() {
            let text = &heading.text;
            assert!(!heading.failures.is_empty(), "{text}: no failure");
            assert!(!heading.checks.is_empty() || !heading.actions.is_empty(), "{text}: neither check nor action");
            let offered: BTreeSet<String> = heading
                .failures
                .iter()
                .flat_map(|id| &id.entry().actions)
                .map(|action| action.to_string().split(':').next().unwrap_or_default().to_owned())
                .collect();
            for action in &heading.actions {
                assert!(offered.contains(action), "{text}: none of its failures offers {action}, only {offered:?}");
            }
        }
    }

    #[test]
    fn every_heading_is_found_by_its_own_words() {
        for heading in headings() {
            let found = find::by_words(&heading.text);
            assert!(found.first().is_some_and(|id| heading.failures.contains(id)), "{}: {found:?}", heading.text);
        }
    }
}
