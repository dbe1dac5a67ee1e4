//! What the phone makes of the host's status codes.

use super::{devicelink::HostStatus, stop::Stop};

/// The `MBErrorDomain` code for a DeviceLink code (`failures.toml`, `dl_file_error`).
fn underlying(code: i64) -> i64 {
    match code {
        -6 => 4,
        -7 => 3,
        -8 => 5,
        -9 => 6,
        -10 => 7,
        -11 => 100,
        -13 => 2,
        -15 => 105,
        _ => 1,
    }
}

/// Ends the backup with 104 unless the host could do what it was asked to.
pub(super) fn check_written(action: &str, status: &HostStatus) -> Result<(), Stop> {
    refuse(104, action, status)
}

/// Ends the request with 103 unless the host could read what it was asked for.
pub(super) fn check_read(action: &str, status: &HostStatus) -> Result<(), Stop> {
    refuse(103, action, status)
}

fn refuse(code: i64, action: &str, status: &HostStatus) -> Result<(), Stop> {
    if status.code == 0 {
        return Ok(());
    }
    let nested = underlying(status.code);
    let text = format!(
        "Failed to {action}: the computer answered {} {} (MBErrorDomain/{nested}) (MBErrorDomain/{code})",
        status.code, status.text
    );
    Err(Stop::refused(code, text))
}
