//! What <https://www.apple.com/support/systemstatus/> shows, read from the file behind it.
//!
//! Apple documents neither the file nor its values; what is known was seen in it: `services[]` with `serviceName` and
//! `events[]`, times in milliseconds since 1970, plain JSON or wrapped in `jsonCallback(...)`.

use backstay_shared::health::{Failure, FailureId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Unreadable;

/// What an iCloud backup needs, the most telling first.
const SERVICES: [&str; 3] = ["iCloud Backup", "Apple Account", "iCloud Storage Upgrades"];

/// The longest sentence that is quoted.
const MESSAGE_LENGTH_MAX: usize = 300;

/// More than that is no list of current events.
const EVENTS_MAX: usize = 100;

/// One entry of the page for one of the services that matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `serviceName`
    pub service: String,
    /// `statusType`: Outage, Issue, Maintenance, ...
    pub kind: String,
    /// `message`
    pub message: String,
    /// `eventStatus`: ongoing, resolved, upcoming, completed, ...; not every feed has it.
    pub state: Option<String>,
    /// `epochStartDate`
    pub begins: Option<DateTime<Utc>>,
    /// `epochEndDate`
    pub ends: Option<DateTime<Utc>>,
}

impl Event {
    /// True while it lasts. A resolved event stays on the page for days, a planned one is there before it begins.
    pub fn lasts(&self, now: DateTime<Utc>) -> bool {
        let by_time = self.begins.is_none_or(|begins| begins <= now) && self.ends.is_none_or(|ends| ends > now);
        match self.state.as_deref() {
            Some("resolved" | "completed" | "upcoming" | "scheduled") => false,
            // A word says more than a time, which may be an estimate; but not for ever.
            Some("ongoing") => self.ends.is_none_or(|ends| now - ends < chrono::TimeDelta::days(1)),
            _ => by_time,
        }
    }
}

#[derive(Deserialize)]
struct Feed {
    services: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "serviceName")]
    name: Option<String>,
    #[serde(default)]
    events: Vec<Value>,
}

/// The events of the services that matter.
///
/// # Errors
/// When it is not the status file, or no longer lists iCloud Backup.
pub fn parse(reply: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let text = std::str::from_utf8(reply).map_err(|_| Unreadable("the status page is not text".into()))?;
    let inner = match (text.find('{'), text.rfind('}')) {
        (Some(begin), Some(end)) if begin < end => &text[begin..=end],
        _ => return Err(Unreadable("the status page holds no list of services".into())),
    };
    let feed: Feed = serde_json::from_str(inner)
        .map_err(|error| Unreadable(format!("the status page holds no list of services: {error}")))?;
    let mut events = Vec::new();
    for wanted in SERVICES {
        let found = feed.services.iter().find(|service| service.name.as_deref() == Some(wanted));
        match found {
            Some(service) => events.extend(service.events.iter().take(EVENTS_MAX).map(|raw| event(wanted, raw))),
            None if wanted == SERVICES[0] => {
                return Err(Unreadable(format!("the status page no longer lists {wanted}")));
            }
            None => {}
        }
    }
    Ok(events)
}

fn event(service: &str, raw: &Value) -> Event {
    let text = |key: &str| raw[key].as_str().map(shown);
    let time = |key: &str| {
        let milliseconds = raw[key].as_i64().or_else(|| raw[key].as_str()?.parse().ok())?;
        DateTime::from_timestamp_millis(milliseconds)
    };
    Event {
        service: service.to_owned(),
        kind: text("statusType").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        state: text("eventStatus").map(|state| state.to_lowercase()),
        begins: time("epochStartDate"),
        ends: time("epochEndDate"),
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MESSAGE_LENGTH_MAX)
        .collect()
}

/// The first event that lasts, as a failure.
pub fn outage(events: &[Event], now: DateTime<Utc>) -> Option<Failure> {
    let event = events.iter().find(|event| event.lasts(now))?;
    let parts = [event.service.as_str(), event.kind.as_str(), event.message.as_str()];
    let told: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Failure::from(FailureId::AppleServiceOutage).text(told.join(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_000_000_000;

    fn feed(events: &str) -> String {
        format!(
            r#"{{"drPost": false, "services": [
                {{"serviceName": "App Store", "redirectUrl": null, "events": [{{"eventStatus": "ongoing", "statusType": "Outage"}}]}},
                {{"serviceName": "iCloud Backup", "redirectUrl": null, "events": [{events}]}},
                {{"serviceName": "Apple Account", "events": []}}]}}"#
        )
    }

    #[test]
    fn an_event_that_lasts_is_an_outage() {
        let now = DateTime::from_timestamp_millis(NOW).unwrap();
        let (past, future) = (NOW - 3_600_000, NOW + 3_600_000);
        for (events, told) in [
            (String::new(), None),
            (
                format!(
                    r#"{{"usersAffected": "Some users were affected", "epochStartDate": {past}, "epochEndDate": null, "messageId": "1000",
                    "statusType": "Outage", "datePosted": "11/24/2025 16:10 PST", "message": "Users may be unable to\nback up.", "eventStatus": "ongoing"}}"#
                ),
                Some("iCloud Backup: Outage: Users may be unable to back up."),
            ),
            // Without the word the times decide.
            (
                format!(r#"{{"statusType": "Issue", "epochStartDate": {past}, "epochEndDate": null}}"#),
                Some("iCloud Backup: Issue"),
            ),
            (format!(r#"{{"statusType": "Issue", "epochStartDate": {past}}}"#), Some("iCloud Backup: Issue")),
            (format!(r#"{{"statusType": "Issue", "epochStartDate": {past}, "epochEndDate": {past}}}"#), None),
            (
                format!(r#"{{"statusType": "Maintenance", "epochStartDate": {past}, "epochEndDate": "{future}"}}"#),
                Some("iCloud Backup: Maintenance"),
            ),
            (format!(r#"{{"statusType": "Maintenance", "epochStartDate": {future}, "epochEndDate": null}}"#), None),
            (format!(r#"{{"eventStatus": "upcoming", "epochStartDate": {past}}}"#), None),
            (r#"{"eventStatus": "Resolved", "statusType": "Outage"}"#.into(), None),
            (r#"{"eventStatus": "completed", "statusType": "Maintenance"}"#.into(), None),
            // An estimate that was missed does not end it, a forgotten one does.
            (format!(r#"{{"eventStatus": "ongoing", "epochEndDate": {past}}}"#), Some("iCloud Backup")),
            (r#"{"eventStatus": "ongoing", "epochEndDate": 1000}"#.into(), None),
            // A word nobody knows, values of other kinds.
            (
                r#"{"eventStatus": "degraded", "statusType": 7, "message": ["?"], "epochStartDate": {}}"#.into(),
                Some("iCloud Backup"),
            ),
        ] {
            for text in [feed(&events), format!("jsonCallback({});\n", feed(&events))] {
                let events = parse(text.as_bytes()).expect(&text);
                let failure = outage(&events, now);
                assert_eq!(failure.and_then(|failure| failure.evidence.text).as_deref(), told, "{text}");
            }
        }
    }

    #[test]
    fn what_is_not_the_status_file_is_no_good_news() {
        let whole = feed("");
        for text in [
            "",
            "<html>captive portal</html>",
            "}{",
            "{}",
            r#"{"services": []}"#,
            r#"{"services": "none"}"#,
            r#"{"services": [{"serviceName": "App Store", "events": []}]}"#,
            &whole[..whole.len() - 60],
        ] {
            parse(text.as_bytes()).expect_err(text);
        }
        parse(&[0xff, b'{', b'}']).expect_err("not text");
    }

    #[test]
    fn a_long_message_is_cut() {
        let events = parse(feed(&format!(r#"{{"message": "{}"}}"#, "ä".repeat(5000))).as_bytes()).unwrap();
        assert_eq!(events[0].message.chars().count(), MESSAGE_LENGTH_MAX);
    }
}
