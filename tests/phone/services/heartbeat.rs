//! com.apple.mobile.heartbeat: by which the phone learns that the computer is still there.

use std::{io, time::Duration};

use plist::{Dictionary, Value};
use tokio::io::AsyncReadExt;

use super::plist_stream;
use crate::phone::{Event, Heartbeat, Phone, Stream};

/// How long the phone waits for an answer before it sleeps.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says Marco at once and then at each interval; without a Polo it says SleepyTime and closes.
pub(super) async fn serve<S: Stream>(phone: &Phone, mut stream: S) -> io::Result<()> {
    let mut switch = phone.heartbeat();
    loop {
        let heartbeat = *switch.borrow_and_update();
        let pause = match heartbeat {
            Heartbeat::Sleeps => {
                say_sleepy_time(&mut stream).await?;
                phone.tell(Event::SaidGoodNight);
                return Ok(());
            }
            Heartbeat::Stops => Duration::MAX,
            Heartbeat::Beats { interval } => {
                if !beat(&mut stream, interval).await? {
                    return Ok(());
                }
                phone.tell(Event::HeartbeatAnswered);
                interval
            }
        };
        tokio::select! {
            changed = switch.changed() => changed.map_err(io::Error::other)?,
            () = tokio::time::sleep(pause) => {}
            // Nothing is to come between two Marcos.
            _ = stream.read_u8() => return Ok(()),
        }
    }
}

/// Says Marco and waits for the answer; false when there was none that lets the phone go on.
async fn beat<S: Stream>(stream: &mut S, interval: Duration) -> io::Result<bool> {
    let marco = Dictionary::from_iter([
        ("Command", Value::from("Marco")),
        ("Interval", Value::from(interval.as_secs())),
        ("SupportsSleepy", Value::from(true)),
    ]);
    plist_stream::write(stream, &Value::Dictionary(marco)).await?;
    match tokio::time::timeout(PATIENCE, plist_stream::read_dictionary(stream)).await {
        Ok(answer) => {
            Ok(answer?.is_some_and(|answer| answer.get("Command").and_then(Value::as_string) == Some("Polo")))
        }
        Err(_) => {
            say_sleepy_time(stream).await?;
            Ok(false)
        }
    }
}

async fn say_sleepy_time<S: Stream>(stream: &mut S) -> io::Result<()> {
    let sleepy = Dictionary::from_iter([("Command", "SleepyTime")]);
    plist_stream::write(stream, &Value::Dictionary(sleepy)).await
}
