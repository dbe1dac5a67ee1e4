//! Is the service there that reaches iPhones?

use backstay_shared::health::{Failure, FailureId};

use super::{
    finding::{CHECK_SECONDS_MAX, Check, Finding, State},
    system,
};
use crate::{host::usb_bus::UsbDevice, phone::link::Muxer};

/// Connects to it.
pub async fn look(muxer: &Result<Muxer, Failure>, on_usb: &[UsbDevice]) -> Vec<Finding> {
    let muxer = match muxer {
        Ok(muxer) => muxer,
        Err(failure) => {
            let finding = Finding::of_failure(Check::Usbmuxd, State::Lack, failure, None);
            return vec![finding.mend("unset USBMUXD_SOCKET_ADDRESS")];
        }
    };
    let place = muxer.place();
    let place = place.display();
    let failure = match tokio::time::timeout(CHECK_SECONDS_MAX, muxer.connect()).await {
        Ok(Ok(_)) => return vec![Finding::ok(Check::Usbmuxd, format!("answers at {place}"))],
        Ok(Err(failure)) => failure,
        Err(_) => Failure::from(FailureId::UsbmuxdNotRunning).text("no answer"),
    };
    vec![match failure.id {
        FailureId::UsbmuxdPermissionDenied => denied(muxer),
        _ if !cfg!(target_os = "linux") => Finding::of_failure(Check::Usbmuxd, State::Lack, &failure, None)
            .mend(failure.id.entry().steps.get(2).cloned().unwrap_or_default()),
        _ if !system::has_program("usbmuxd") => {
            Finding::lack(Check::Usbmuxd, format!("is not installed (nobody answers at {place})"))
                .mend(system::install("usbmuxd"))
                .failure(failure.id)
        }
        _ if std::env::var_os("USBMUXD_SOCKET_ADDRESS").is_some() => {
            Finding::lack(Check::Usbmuxd, format!("nobody answers at {place}, which USBMUXD_SOCKET_ADDRESS names"))
                .mend("start what should listen there, or unset USBMUXD_SOCKET_ADDRESS and start usbmuxd")
                .failure(failure.id)
        }
        // udev starts it with the first phone, and it ends with the last one.
        _ if on_usb.is_empty() && system::has_systemd() => {
            Finding::note(Check::Usbmuxd, "is installed and does not run; it starts when an iPhone is plugged in")
                .mend("sudo systemctl start usbmuxd")
                .failure(failure.id)
        }
        _ => {
            let start = if system::has_systemd() { "sudo systemctl start usbmuxd" } else { "sudo usbmuxd" };
            Finding::lack(Check::Usbmuxd, format!("is installed and does not run (nobody answers at {place})"))
                .mend(start)
                .failure(failure.id)
        }
    }]
}

fn denied(muxer: &Muxer) -> Finding {
    let place = muxer.place();
    let says = format!("you may not use {}", place.display());
    let finding = Finding::lack(Check::Usbmuxd, says).failure(FailureId::UsbmuxdPermissionDenied);
    #[cfg(unix)]
    if let Ok(facts) = std::fs::metadata(&place) {
        let group = std::os::unix::fs::MetadataExt::gid(&facts);
        return finding
            .mend(format!("sudo usermod -aG \"$(getent group {group} | cut -d: -f1)\" \"$USER\", then log in again"));
    }
    finding.mend("sudo systemctl restart usbmuxd")
}
