//! Scripted faults that are messages of their own.

use super::{
    devicelink::Link,
    download::Single,
    status::{check_read, check_written},
    stop::Stop,
};
use crate::phone::{Event, Fault, PasscodeAnswer, Stream};

const PRESENTED: &str = "com.apple.LocalAuthentication.ui.presented";
const DISMISSED: &str = "com.apple.LocalAuthentication.ui.dismissed";

/// The phone is locked, or asks for its passcode (iOS 16.1 and later).
pub(super) async fn unlock<S: Stream>(link: &mut Link<'_, S>) -> Result<(), Stop> {
    let phone = link.phone();
    let locked = || Stop::refused(208, "Device locked (MBErrorDomain/208)");
    let answer = match phone.fault() {
        Some(Fault::Locked) => return Err(locked()),
        Some(Fault::PasscodeSheet { answer }) => answer,
        _ => return Ok(()),
    };
    // Nobody may listen to notifications.
    drop(phone.notifications().send(PRESENTED.into()));
    phone.tell(Event::PasscodeSheetPresented);
    let entered = tokio::select! {
        entered = phone.passcode_answer(answer) => entered,
        () = link.swallow() => return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
    };
    drop(phone.notifications().send(DISMISSED.into()));
    phone.tell(Event::PasscodeSheetDismissed);
    if entered && answer == PasscodeAnswer::EnteredWhenTold { Ok(()) } else { Err(locked()) }
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
            check_read("read a file", &status)
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
    check_written(action, &status)
}
