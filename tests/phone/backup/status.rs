//! What the phone makes of the host's status codes.

use plist::Value;

use super::{devicelink::HostStatus, stop::Stop};

/// DeviceLink's "Multi status": the payload tells what became of each path.
const MULTI_STATUS: i64 = -13;
/// DeviceLink's ENOENT.
const NOT_THERE: i64 = -6;

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

/// False for a file that the host says it does not have, in the one way that phones understand: "Multi status", and -6 for
/// its path (libimobiledevice 1412). Every other error ends the backup: with 103 (libimobiledevice 168), with 205 where it
/// is "Multi status" over something else (idevice 108).
pub(super) fn check_present(path: &str, status: &HostStatus, complete: bool) -> Result<bool, Stop> {
    match status.code {
        0 if complete => return Ok(true),
        0 => return Err(Stop::refused(103, format!("{path} did not come (MBErrorDomain/103)"))),
        MULTI_STATUS => {}
        _ => check_read("read a file", status)?,
    }
    let of_path = status.payload.as_dictionary().and_then(|errors| errors.get(path)?.as_dictionary());
    let code = of_path.and_then(|error| error.get("DLFileErrorCode"));
    // Clients send -6 as 2^64 - 6.
    let signed = |code: &Value| code.as_signed_integer().or_else(|| code.as_unsigned_integer().map(u64::cast_signed));
    if code.and_then(signed) == Some(NOT_THERE) {
        return Ok(false);
    }
    let text = format!(
        "Error reading backup properties (MBErrorDomain/205). \
        Underlying error: {path} can't be read (MBErrorDomain/2)."
    );
    Err(Stop::refused(205, text))
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
