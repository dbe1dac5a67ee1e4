//! Room on the backup disk.

use backstay_shared::health::{Failure, FailureId};

use super::{Finding, Situation};

/// The phone goes on only if more than the upload and this is free. Source: disassembly quoted in pymobiledevice3 #1879.
pub(crate) const SLACK_BYTES: u64 = 128 << 20;

/// Less than this beside the forecast is told before it is too late; what the phone asks a computer to free in addition.
pub(crate) const COMFORT_BYTES: u64 = 2 << 30;

pub(super) fn check(situation: &Situation<'_>) -> Finding {
    let told = |id, bytes_needed| {
        let mut failure = Failure::from(id);
        failure.evidence.bytes_needed = Some(bytes_needed);
        failure.evidence.bytes_free = Some(situation.bytes_free);
        failure.evidence.volume = Some(situation.volume.to_owned());
        failure
    };
    if situation.bytes_free <= SLACK_BYTES {
        // What a first backup brings at most is no need: the next look would wait for more room than it takes.
        let expected = situation.forecast.bytes.filter(|_| !situation.forecast.first).unwrap_or(0).max(1);
        return Finding::Hindrance(told(FailureId::HostDiskFull, SLACK_BYTES.saturating_add(expected)));
    }
    // For a first backup the used room of the phone is the most it can be; apps themselves stay out of it. The phone
    // knows exactly and says so, without a passcode wasted on a later try: what is missing is told with its numbers.
    match situation.forecast.bytes.map(|bytes| bytes.saturating_add(SLACK_BYTES)) {
        Some(needed) if situation.bytes_free < needed.saturating_add(COMFORT_BYTES) => {
            Finding::Notice(told(FailureId::HostDiskLow, needed.saturating_add(COMFORT_BYTES)))
        }
        _ => Finding::Fine,
    }
}
