//! com.apple.mobile.notification_proxy: the phone's notification centre for computers.

use std::{collections::HashSet, io};

use plist::{Dictionary, Value};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use super::plist_stream;
use crate::phone::{Phone, Stream};

/// Relays what was asked for and posts what the client posts, until it shuts down.
pub(super) async fn serve<S: Stream>(phone: &Phone, stream: S) -> io::Result<()> {
    let (mut requests, mut replies) = tokio::io::split(stream);
    let (sender, mut receiver) = mpsc::channel(1);
    // Reading is a future of its own, so that a notification in between never loses a request that is half read.
    let reading = async move {
        while let Some(request) = plist_stream::read_dictionary(&mut requests).await? {
            if sender.send(request).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let answering = async {
        let mut notifications = phone.notifications().subscribe();
        let mut observed = HashSet::new();
        loop {
            tokio::select! {
                notification = notifications.recv() => match notification {
                    Ok(name) if observed.contains(&name) => {
                        plist_stream::write(&mut replies, &command("RelayNotification", Some(&name))).await?;
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                request = receiver.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    if !obey(phone, &request, &mut observed)? {
                        return plist_stream::write(&mut replies, &command("ProxyDeath", None)).await;
                    }
                }
            }
        }
    };
    tokio::select! {
        answered = answering => answered,
        Err(error) = reading => Err(error),
    }
}

/// Does what the client says; false if it wants to end.
fn obey(phone: &Phone, request: &Dictionary, observed: &mut HashSet<String>) -> io::Result<bool> {
    let name = request.get("Name").and_then(Value::as_string);
    match (request.get("Command").and_then(Value::as_string), name) {
        (Some("ObserveNotification"), Some(name)) => {
            observed.insert(name.to_owned());
        }
        (Some("PostNotification"), Some(name)) => phone.post_notification(name),
        (Some("Shutdown"), _) => return Ok(false),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    }
    Ok(true)
}

fn command(command: &str, name: Option<&str>) -> Value {
    let mut message = Dictionary::from_iter([("Command", Value::from(command))]);
    if let Some(name) = name {
        message.insert("Name".into(), Value::from(name));
    }
    Value::Dictionary(message)
}
