//! com.apple.mobile.heartbeat: by which the phone learns that the computer is still there.

use std::{io, time::Duration};

use plist::{Dictionary, Value};

use super::plist_stream;
use crate::phone::Stream;

/// `Interval` of a phone on Wi-Fi.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long the phone waits for an answer before it sleeps.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says Marco at once and then at each interval; without a Polo it says SleepyTime and closes.
pub(super) async fn serve<S: Stream>(mut stream: S) -> io::Result<()> {
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let marco = Dictionary::from_iter([
            ("Command", Value::from("Marco")),
            ("Interval", Value::from(INTERVAL.as_secs())),
            ("SupportsSleepy", Value::from(true)),
        ]);
        plist_stream::write(&mut stream, &Value::Dictionary(marco)).await?;
        match tokio::time::timeout(PATIENCE, plist_stream::read_dictionary(&mut stream)).await {
            Ok(answer) => match answer? {
                Some(answer) if answer.get("Command").and_then(Value::as_string) == Some("Polo") => {}
                _ => return Ok(()),
            },
            Err(_) => {
                let sleepy = Dictionary::from_iter([("Command", "SleepyTime")]);
                return plist_stream::write(&mut stream, &Value::Dictionary(sleepy)).await;
            }
        }
    }
}
