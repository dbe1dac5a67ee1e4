//! The time zone in which the local times of the settings are meant.

use std::{cmp::Ordering, fmt, str::FromStr};

use chrono::{FixedOffset, Local, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::Deserialize;

/// No known name is so long; what is told of a wrong one stays readable.
const NAME_LENGTH_MAX: usize = 64;

/// Less alike, a name is none that was meant.
const LIKENESS_MIN: f64 = 0.85;

/// That of the computer, or one by its IANA name, with the rules that are built in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Zone {
    /// The computer's own, followed where it changes.
    #[default]
    Computer,
    /// One by name.
    Named(Tz),
}

impl Zone {
    /// Its IANA name; none for the computer's own.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Computer => None,
            Self::Named(zone) => Some(zone.name()),
        }
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.chars().count() > NAME_LENGTH_MAX {
            return Err("the time_zone is too long for a name, as \"Europe/Berlin\"".into());
        }
        Tz::from_str(&text).map(Self::Named).map_err(|_| match closest(&text) {
            Some(known) => format!("the time_zone {text:?} is not known: did you mean {known:?}?"),
            None => format!("the time_zone {text:?} is not known: expected a name as \"Europe/Berlin\""),
        })
    }
}

/// The known name that is most like this one, as a whole or in its last part.
fn closest(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        let city = name.rsplit('/').next().unwrap_or_default();
        strsim::jaro_winkler(&text, &name).max(strsim::jaro_winkler(&text, city))
    };
    let all = TZ_VARIANTS.iter().map(|zone| (likeness(zone.name()), zone.name()));
    // Of several that are alike the first by the alphabet.
    let best = all.max_by(|one, other| one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then(other.1.cmp(one.1)));
    best.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).map(|(_, name)| name)
}

/// By how much clocks differ from UTC at a moment in a [`Zone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    zone: Zone,
    fixed: FixedOffset,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fixed, formatter)
    }
}

impl Zone {
    fn offset(self, fixed: FixedOffset) -> ZoneOffset {
        ZoneOffset { zone: self, fixed }
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        match self {
            Self::Computer => Local.offset_from_local_date(local).map(|offset| self.offset(offset)),
            Self::Named(zone) => zone.offset_from_local_date(local).map(|offset| self.offset(offset.fix())),
        }
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        match self {
            Self::Computer => Local.offset_from_local_datetime(local).map(|offset| self.offset(offset)),
            Self::Named(zone) => zone.offset_from_local_datetime(local).map(|offset| self.offset(offset.fix())),
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        match self {
            Self::Computer => self.offset(Local.offset_from_utc_date(utc)),
            Self::Named(zone) => self.offset(zone.offset_from_utc_date(utc).fix()),
        }
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        match self {
            Self::Computer => self.offset(Local.offset_from_utc_datetime(utc)),
            Self::Named(zone) => self.offset(zone.offset_from_utc_datetime(utc).fix()),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn zone(name: &str) -> Result<Zone, String> {
        Zone::try_from(name.to_owned())
    }

    #[test]
    fn a_wrong_name_is_told_with_the_closest_known() {
        for (name, told) in [
            ("Europe/Berln", "did you mean \"Europe/Berlin\"?"),
            ("europe/berlin", "did you mean \"Europe/Berlin\"?"),
            ("berlin", "did you mean \"Europe/Berlin\"?"),
            ("America/New York", "did you mean \"America/New_York\"?"),
            ("", "expected a name"),
            ("+02:00", "expected a name"),
            (&"x".repeat(10_000), "too long"),
        ] {
            let message = zone(name).unwrap_err();
            assert!(message.contains("time_zone") && message.contains(told), "{name:.80}: {message}");
            assert!(message.len() < 200, "{message}");
        }
    }

    #[test]
    fn a_named_zone_has_its_own_clock_and_the_other_the_computers() {
        let (berlin, at) = (zone("Europe/Berlin").unwrap(), "2026-07-01T10:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(at.with_timezone(&berlin).format("%H:%M %z").to_string(), "12:00 +0200");
        let (spring, autumn) = ("2026-03-29T02:30:00", "2026-10-25T02:30:00");
        let found = |local: &str| berlin.from_local_datetime(&local.parse().unwrap());
        assert_eq!(found(spring).earliest(), None);
        assert_eq!(found(autumn).earliest().unwrap().to_rfc3339(), "2026-10-25T02:30:00+02:00");
        let here = Zone::Computer;
        assert_eq!(at.with_timezone(&here).naive_local(), at.with_timezone(&Local).naive_local());
        assert_eq!((berlin.name(), here.name(), Zone::default()), (Some("Europe/Berlin"), None, here));
    }
}
