//! What web services are told, and how they want to hear it. Pure.

use backstay_shared::{
    health::{FailureId, Severity, readable_bytes},
    overview::Problem,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue};

use super::events::{Event, What};

/// healthchecks.io keeps 100 kB at most and much less in small plans; this is plenty for a person.
const PING_BYTES_MAX: usize = 10_000;

/// ntfy makes a file of a longer message.
const NTFY_BYTES_MAX: usize = 4000;

/// One POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Where to.
    pub(super) address: String,
    /// With these.
    pub(super) headers: HeaderMap,
    /// The text.
    pub(super) body: String,
}

/// For a check in the manner of healthchecks.io: `/start`, nothing for success, `/fail`. That a backup is overdue is
/// what such a service finds out by itself.
pub(super) fn healthchecks(address: &str, event: &Event) -> Option<Message> {
    let (ending, body) = match &event.what {
        What::Started => ("/start", String::new()),
        What::Succeeded => ("", good(event)),
        What::Failed(problem) => ("/fail", text(&format!("{}: {}", event.phone.name, problem.title), problem)),
        What::Overdue(_) | What::PasscodeNeeded(_) | What::Cured => return None,
    };
    let address = address.replace("{udid}", &event.phone.udid.as_str().to_lowercase());
    let (path, query) = address.split_once('?').map_or((address.as_str(), None), |(path, query)| (path, Some(query)));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let address = format!("{}{ending}{query}", path.trim_end_matches('/'));
    Some(Message { address, headers: HeaderMap::new(), body: cut(body, PING_BYTES_MAX) })
}

/// For an ntfy topic: only what a person should know.
pub(super) fn ntfy(address: &str, event: &Event) -> Option<Message> {
    let problem = event.what.problem()?;
    // Whoever cancelled a backup knows it.
    if problem.id == FailureId::CancelledByUser {
        return None;
    }
    let tags = match (&event.what, problem.severity) {
        (What::PasscodeNeeded(_), _) => "key",
        (_, Severity::Error) => "rotating_light",
        _ => "warning",
    };
    let urgent = problem.severity == Severity::Error || matches!(event.what, What::PasscodeNeeded(_));
    let mut headers = HeaderMap::new();
    headers.insert("Title", header(&format!("{}: {}", event.phone.name, problem.title)));
    headers.insert("Priority", HeaderValue::from_static(if urgent { "high" } else { "default" }));
    headers.insert("Tags", HeaderValue::from_static(tags));
    let body = cut(format!("{}\n\n{}", problem.why, super::steps(problem)), NTFY_BYTES_MAX);
    Some(Message { address: address.to_owned(), headers, body })
}

fn text(first: &str, problem: &Problem) -> String {
    format!("{first}\n\n{}\n\n{}\n\n{}", problem.why, super::steps(problem), problem.id.slug())
}

fn good(event: &Event) -> String {
    let name = &event.phone.name;
    match &event.phone.last_good {
        Some(good) => format!("{name}: {} files, {}", good.files, readable_bytes(good.bytes)),
        None => name.clone(),
    }
}

/// A header with a phone's name in it, which may be anything: as it is when it is plain ASCII, otherwise as RFC 2047
/// has it, which ntfy understands.
fn header(text: &str) -> HeaderValue {
    let plain: String = text.chars().filter(|character| !character.is_control()).collect();
    let ascii = plain.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !plain.contains("=?");
    let value = if ascii { plain } else { format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(&plain)) };
    // Nothing is left that a header can't hold; if there were, the title is the one thing to do without.
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("Backstay"))
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use backstay_shared::{
        health::Failure,
        overview::{Activity, LastGood, PhoneOverview},
    };
    use chrono::DateTime;

    use super::*;

    fn event(name: &str, what: What) -> Event {
        let last_good = LastGood { at: DateTime::UNIX_EPOCH, files: 12, bytes: 41_200_000_000 };
        let phone = PhoneOverview {
            udid: "00008120-001A2D3E0C40201E".parse().unwrap(),
            name: name.into(),
            model: None,
            ios: None,
            link: None,
            wifi_allowed: None,
            activity: Activity::Idle,
            last_good: Some(last_good),
            next_due: None,
            next_due_reason: None,
            last_run: None,
            problems: Vec::new(),
            turned_off: false,
            earlier: None,
        };
        Event { what, phone }
    }

    fn problem(id: FailureId) -> Box<Problem> {
        Box::new(Problem::new(&Failure::from(id), DateTime::UNIX_EPOCH))
    }

    #[test]
    fn a_check_is_pinged_where_it_wants_to_be() {
        let failed = || What::Failed(problem(FailureId::HostDiskFull));
        for (address, what, pinged) in [
            ("https://hc-ping.com/uuid", What::Started, Some("https://hc-ping.com/uuid/start")),
            ("https://hc-ping.com/uuid/", What::Succeeded, Some("https://hc-ping.com/uuid")),
            ("https://hc-ping.com/uuid", failed(), Some("https://hc-ping.com/uuid/fail")),
            (
                "https://hc-ping.com/key/{udid}?create=1",
                failed(),
                Some("https://hc-ping.com/key/00008120-001a2d3e0c40201e/fail?create=1"),
            ),
            ("https://hc-ping.com/uuid", What::Overdue(problem(FailureId::BackupOverdue)), None),
            ("https://hc-ping.com/uuid", What::Cured, None),
        ] {
            let message = healthchecks(address, &event("Anna", what));
            assert_eq!(message.as_ref().map(|message| message.address.as_str()), pinged, "{address}");
        }
        let body = healthchecks("https://x/y", &event("Anna", What::Succeeded)).unwrap().body;
        assert_eq!(body, "Anna: 12 files, 41.2 GB");
        let body = healthchecks("https://x/y", &event("Anna", failed())).unwrap().body;
        let entry = FailureId::HostDiskFull.entry();
        for part in
            ["Anna", entry.title.as_str(), entry.why.as_str(), "\n1. ", entry.steps[0].as_str(), "host-disk-full"]
        {
            assert!(body.contains(part), "{part:?} is not in {body}");
        }
        let mut long = problem(FailureId::HostDiskFull);
        long.why = "ä".repeat(20_000);
        assert!(healthchecks("https://x/y", &event("A", What::Failed(long))).unwrap().body.len() <= PING_BYTES_MAX);
    }

    #[test]
    fn a_phones_name_never_becomes_a_header_of_its_own() {
        for (name, title) in [
            ("Anna", "Anna: "),
            ("Anna\r\nX-Evil: 1\r\n\r\nbody", "AnnaX-Evil: 1body: "),
            ("Zoë", "=?UTF-8?B?Wm/Dqzog"),
            ("=?UTF-8?B?ZXZpbA==?=", "=?UTF-8?B?PT9V"),
            ("\u{7f}\0\u{85}a", "a: "),
        ] {
            let message =
                ntfy("https://ntfy.sh/t", &event(name, What::Failed(problem(FailureId::HostDiskFull)))).unwrap();
            let value = message.headers["Title"].to_str().unwrap();
            assert!(value.starts_with(title), "{name:?} gave {value:?}");
            assert_eq!(message.headers.len(), 3);
        }
    }

    #[test]
    fn only_what_a_person_should_know_is_sent() {
        let urgent = [("Priority", "high"), ("Tags", "rotating_light")];
        for (what, headers) in [
            (What::Started, None),
            (What::Succeeded, None),
            (What::Cured, None),
            (What::Failed(problem(FailureId::CancelledByUser)), None),
            (What::Failed(problem(FailureId::HostDiskFull)), Some(urgent)),
            (What::Overdue(problem(FailureId::BackupOverdue)), Some([("Priority", "default"), ("Tags", "warning")])),
            (What::PasscodeNeeded(problem(FailureId::PasscodeNeeded)), Some([("Priority", "high"), ("Tags", "key")])),
        ] {
            let message = ntfy("https://ntfy.sh/t", &event("Anna", what.clone()));
            assert_eq!(message.is_some(), headers.is_some(), "{what:?}");
            for (name, value) in headers.into_iter().flatten() {
                assert_eq!(message.as_ref().unwrap().headers[name], value, "{what:?}");
            }
            assert!(message.is_none_or(|message| message.body.contains("\n1. ")));
        }
    }
}
