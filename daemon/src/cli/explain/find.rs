//! Which failures some words are about.

use std::sync::LazyLock;

use backstay_shared::health::FailureId;

use super::{articles, codes};

/// More would not be read.
const FOUND_MAX: usize = 8;

/// Words that say nothing.
const STOP_WORDS: [&str; 41] = [
    "a", "an", "and", "are", "at", "be", "by", "can", "cannot", "could", "did", "do", "does", "during", "for", "how",
    "i", "if", "in", "into", "is", "it", "might", "my", "not", "of", "on", "or", "s", "should", "step", "t", "the",
    "to", "too", "was", "what", "why", "with", "won", "your",
];

/// One failure, as words to search in.
struct Page {
    id: FailureId,
    /// Places by weight: a word of the id says more than one of a step.
    places: [(f64, Vec<String>); 5],
}

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| FailureId::ALL.iter().map(|id| page(*id)).collect());

fn page(id: FailureId) -> Page {
    let entry = id.entry();
    let headings = articles::headings().iter().filter(|heading| heading.failures.contains(&id));
    let headings: Vec<&str> = headings.map(|heading| heading.text.as_str()).collect();
    Page {
        id,
        places: [
            (5.0, words(id.slug())),
            (4.0, words(&entry.title)),
            (2.0, words(&headings.join(" "))),
            (1.5, words(&entry.why)),
            (1.0, words(&entry.steps.join(" "))),
        ],
    }
}

/// What somebody typed: an id, a code, a heading of an article, or just words. Best first.
pub fn find(typed: &str) -> Vec<FailureId> {
    if let Some(id) = FailureId::of_slug(&typed.trim().to_lowercase()) {
        return vec![id];
    }
    let meant = codes::meanings(typed);
    if meant.is_empty() { by_words(typed) } else { meant }
}

/// The failures that most of the words are about.
pub fn by_words(typed: &str) -> Vec<FailureId> {
    let wanted = words(typed);
    if wanted.is_empty() {
        return Vec::new();
    }
    let rarity: Vec<f64> = wanted.iter().map(|word| rarity(word)).collect();
    let phrase = wanted.join(" ");
    let mut scored: Vec<(usize, f64, FailureId)> = PAGES
        .iter()
        .map(|page| {
            let weights = wanted.iter().map(|word| weight(page, word));
            let fits = weights.clone().filter(|weight| *weight > 0.0).count();
            let score = weights.zip(&rarity).map(|(weight, rarity)| weight * rarity).sum::<f64>();
            // The whole of a short id says more than a part of a long one.
            let whole = wanted.iter().filter(|word| page.places[0].1.iter().any(|known| alike(known, word))).count();
            let whole = whole as f64 / page.places[0].1.len() as f64;
            (fits, score + whole + in_heading(page.id, &phrase, wanted.len()), page.id)
        })
        .filter(|(fits, ..)| *fits > 0)
        .collect();
    let most = scored.iter().map(|(fits, ..)| *fits).max().unwrap_or_default();
    scored.retain(|(fits, ..)| *fits == most);
    // Of equal ones the earlier of the catalogue: the sort is stable.
    scored.sort_by(|one, other| other.1.total_cmp(&one.1));
    let enough = scored.first().map_or(0.0, |(_, best, _)| best * 0.4);
    scored.into_iter().filter(|(_, score, _)| *score >= enough).map(|(.., id)| id).take(FOUND_MAX).collect()
}

/// Two words or more that stand in a heading together mean that heading, whose best answers are listed first.
fn in_heading(id: FailureId, phrase: &str, words_wanted: usize) -> f64 {
    if words_wanted < 2 {
        return 0.0;
    }
    let places = articles::headings().iter().filter_map(|heading| {
        let place = heading.failures.iter().position(|known| *known == id)?;
        let text = words(&heading.text).join(" ");
        (text == phrase || text.contains(phrase)).then(|| 30.0 / (1.0 + place as f64))
    });
    places.fold(0.0, f64::max)
}

fn weight(page: &Page, word: &str) -> f64 {
    let places = page.places.iter().filter(|(_, words)| words.iter().any(|known| alike(known, word)));
    places.map(|(weight, _)| *weight).fold(0.0, f64::max)
}

/// A word that every failure has tells none apart.
fn rarity(word: &str) -> f64 {
    let having = PAGES.iter().filter(|page| weight(page, word) > 0.0).count();
    (1.0 + PAGES.len() as f64 / (1.0 + having as f64)).ln()
}

/// `encrypt` finds `encrypted`, and `passwords` finds `password`.
fn alike(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short == long || (short.len() >= 4 && long.len() - short.len() <= 4 && long.starts_with(short))
}

fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !STOP_WORDS.contains(&word.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_to_what_they_are_about() {
        for (typed, id) in [
            ("host-disk-full", FailureId::HostDiskFull),
            ("taking too long", FailureId::BackupSlow),
            ("iCloud full", FailureId::IcloudStorageFull),
            ("iphone full", FailureId::DeviceStorageFull),
            ("disk full", FailureId::HostDiskFull),
            ("forgotten password", FailureId::BackupPasswordForgotten),
            ("wrong password", FailureId::BackupPasswordWrong),
            ("dont trust", FailureId::TrustPending),
            ("cable", FailureId::CableFaulty),
            ("recovery", FailureId::DeviceRecoveryMode),
            ("screen time", FailureId::ScreenTimeRestrictions),
            ("outage", FailureId::AppleServiceOutage),
            ("unplugged", FailureId::UsbDisconnected),
            ("usbmuxd", FailureId::UsbmuxdNotRunning),
            ("104", FailureId::DeviceIoError),
        ] {
            assert_eq!(find(typed).first(), Some(&id), "{typed:?}: {:?}", find(typed));
        }
    }

    #[test]
    fn nothing_is_found_for_what_says_nothing() {
        for typed in ["", "   ", "the", "zebra", "..."] {
            assert_eq!(find(typed), [], "{typed:?}");
        }
    }
}
