//! Scripted faults that are messages of their own.

use super::{
    devicelink::Link,
    download::Single,
    status::{check_read, check_written},
    stop::Stop,
};
use crate::phone::{Event, Fault, Mishap, Moment, Stream, switches::SheetOutcome};

/// The phone is locked, or asks for its passcode (iOS 16.1 and later).
pub(super) async fn unlock<S: Stream>(link: &mut Link<'_, S>) -> Result<(), Stop> {
    let phone = link.phone();
    let locked = |text: &str| Err(Stop::refused(208, format!("{text} (MBErrorDomain/208)")));
    if matches!(phone.fault(), Some(Fault::Locked)) {
        return locked("Device locked");
    }
    if !phone.was_unlocked_since_restart() {
        return Err(Stop::refused(13, "Device has not yet been unlocked (MBErrorDomain/13)"));
    }
    let outcome = tokio::select! {
        outcome = phone.passcode_sheet() => outcome,
        () = link.swallow() => return Err(host_left()),
    };
    match outcome {
        SheetOutcome::Entered => Ok(()),
        SheetOutcome::Cancelled => locked("Device locked"),
        SheetOutcome::TimedOut => locked("Device locked - timeout waiting for passcode entry"),
    }
}

fn host_left() -> Stop {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

/// What a script lets happen at this moment of every backup.
pub(super) async fn mishaps<S: Stream>(link: &mut Link<'_, S>, moment: Moment) -> Result<(), Stop> {
    for mishap in link.phone().mishaps_at(moment) {
        link.flush().await?;
        match mishap {
            Mishap::Error { code, text } => return Err(Stop::refused(code, text)),
            Mishap::Closed => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()),
            Mishap::Disconnect => return Err(Stop::Disconnect),
            Mishap::Silence { for_time } => {
                link.phone().tell(Event::WentSilent);
                tokio::select! {
                    () = tokio::time::sleep(for_time) => {}
                    () = link.swallow() => return Err(host_left()),
                }
            }
        }
    }
    Ok(())
}

/// Faults of single messages, before anything else is asked.
pub(super) async fn before_backup<S: Stream>(link: &mut Link<'_, S>) -> Result<(), Stop> {
    match link.phone().fault() {
        Some(Fault::MessageLength { bytes }) => {
            let mut message = bytes.to_be_bytes().to_vec();
            message.extend_from_slice(b"bplist00");
            Err(link.send_broken(&message).await)
        }
        Some(Fault::MessageBroken) => {
            let mut message = 64_u32.to_be_bytes().to_vec();
            message.resize(68, b'?');
            Err(link.send_broken(&message).await)
        }
        Some(Fault::UnknownMessage) => {
            let status = link.ask("DLMessageSimulatedUnknown", vec!["?".into(), 0.0.into()]).await?;
            if status.code == 0 {
                return Err(Stop::refused(1, "The computer knew an unknown message (MBErrorDomain/1)"));
            }
            Ok(())
        }
        Some(Fault::HostileDownload { path }) => {
            let mut sink = Single { to: Vec::new(), complete: false };
            let status = link.download(&[path], 0.0, &mut sink).await?;
            link.phone().tell(Event::HostileAnswered { status: status.code, bytes: sink.to.len() as u64 });
            if link.phone().shrugs_at_refusals() { Ok(()) } else { check_read("read a file", &status) }
        }
        _ => Ok(()),
    }
}

/// Faults of single messages, when the files are there and about to be moved.
pub(super) async fn after_upload<S: Stream>(link: &mut Link<'_, S>) -> Result<(), Stop> {
    let (action, status) = match link.phone().fault() {
        Some(Fault::FinalError { code, text }) => return Err(Stop::refused(code, text)),
        Some(Fault::HostileMove { from, to }) => ("move files", link.move_items(&[(from, to)], 90.0).await?),
        Some(Fault::HostileRemove { path }) => ("remove files", link.remove_items(&[path], 90.0).await?),
        _ => return Ok(()),
    };
    link.phone().tell(Event::HostileAnswered { status: status.code, bytes: 0 });
    if link.phone().shrugs_at_refusals() { Ok(()) } else { check_written(action, &status) }
}
