//! How much the next backup will bring and how long it will take, as the ones before it let expect.

use super::receipt::Receipt;

/// Older backups say little of how a phone is used now.
const PAST_MAX: usize = 10;

/// One in ten may bring more: to be short of room costs more than to have kept some free.
const QUANTILE_PERCENT: usize = 90;

/// What is expected of the next backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes that will come; none when there is no past to tell from.
    pub bytes: Option<u64>,
    /// Seconds that it will take from its begin to its receipt; none when there is no past to tell from.
    pub seconds: Option<u64>,
    /// Everything comes, since there is no backup yet.
    pub first: bool,
}

/// Receipts tell each run's begin, its end and what came, and stay when their snapshots are pruned.
///
/// Expects of the next backup what the last ones that brought only what had changed were like. `has_backup` is true
/// when there is a backup that it builds on, whoever made it; without one everything comes: `bytes_used`, the used
/// space of the phone (`TotalDataCapacity` less `TotalDataAvailable`), is then the upper bound that there is.
pub fn from_past(receipts: &[Receipt], has_backup: bool, bytes_used: Option<u64>) -> Forecast {
    if !has_backup {
        return Forecast { bytes: bytes_used, seconds: None, first: true };
    }
    let past: Vec<&Receipt> = receipts.iter().rev().filter(|receipt| !receipt.full).take(PAST_MAX).collect();
    let seconds = |receipt: &&Receipt| {
        let taken = receipt.verified_at.signed_duration_since(receipt.started_at).num_seconds();
        // The clock was set back in mid-run.
        u64::try_from(taken).ok()
    };
    Forecast {
        bytes: high(past.iter().map(|receipt| receipt.bytes_received).collect()),
        seconds: high(past.iter().filter_map(seconds).collect()),
        first: false,
    }
}

/// The value that [`QUANTILE_PERCENT`] of them do not exceed.
fn high(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    let rank = (values.len() * QUANTILE_PERCENT).div_ceil(100);
    values.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use backstay_shared::ids::RunId;
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn receipt(bytes_received: u64, seconds: i64, full: bool) -> Receipt {
        let started_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        Receipt {
            id: String::new(),
            run: RunId(1),
            started_at,
            verified_at: started_at + TimeDelta::seconds(seconds),
            phone_name: String::new(),
            model: String::new(),
            ios: String::new(),
            files: 1,
            bytes: 100_000,
            files_received: 1,
            bytes_received,
            full,
            warning: None,
            unproved: 0,
            notes: 0,
            doubts: 0,
            doubtful: Vec::new(),
            device_key: None,
            after_erasing: false,
            made_room: 0,
            tree: String::new(),
            made_by: String::new(),
        }
    }

    #[test]
    fn the_past_tells_what_comes() {
        let of = |receipts: &[Receipt]| {
            let forecast = from_past(receipts, true, Some(99));
            assert!(!forecast.first);
            (forecast.bytes, forecast.seconds)
        };
        assert_eq!(of(&[]), (None, None), "another program's backup tells nothing");
        assert_eq!(of(&[receipt(100_000, 900, true)]), (None, None), "nor does one that brought everything");
        assert_eq!(of(&[receipt(100_000, 900, true), receipt(7, 30, false)]), (Some(7), Some(30)));
        assert_eq!(of(&[receipt(7, 30, false), receipt(5, 60, false)]), (Some(7), Some(60)));
        let mut many: Vec<Receipt> = (1..=10).map(|number| receipt(number, 10, false)).collect();
        assert_eq!(of(&many), (Some(9), Some(10)), "one in ten brings more");
        // One huge day of long ago is forgotten; one of late is not expected every day.
        many.insert(0, receipt(1_000_000, 5000, false));
        assert_eq!(of(&many).0, Some(9));
        many.push(receipt(1_000_000, 5000, false));
        assert_eq!(of(&many), (Some(10), Some(10)));
        assert_eq!(of(&[receipt(7, -3600, false)]), (Some(7), None), "the clock was set back");
    }

    #[test]
    fn the_first_brings_everything() {
        let all = Forecast { bytes: Some(99), seconds: None, first: true };
        assert_eq!(from_past(&[], false, Some(99)), all);
        // The backup was removed by hand; its receipts are still there.
        assert_eq!(from_past(&[receipt(7, 30, false)], false, Some(99)), all);
        assert_eq!(from_past(&[], false, None).bytes, None);
    }
}
