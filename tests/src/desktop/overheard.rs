//! Listening to what goes over the bus to a real notification service.

use futures_util::StreamExt;
use tokio::time::timeout;
use zbus::{Connection, MatchRule, MessageStream, fdo::MonitoringProxy, message::Type};

use super::{PrivateBus, WAIT};

/// Somebody who listens to what the notification service is asked.
pub struct Overheard {
    messages: MessageStream,
}

impl Overheard {
    /// Listens from now on.
    pub async fn on(bus: &PrivateBus) -> Self {
        let connection: Connection = bus.builder().build().await.unwrap();
        let rule = MatchRule::builder().msg_type(Type::MethodCall).interface("org.freedesktop.Notifications").unwrap();
        let rule = rule.member("Notify").unwrap().build();
        let messages = MessageStream::from(&connection);
        MonitoringProxy::new(&connection).await.unwrap().become_monitor(&[rule], 0).await.unwrap();
        Self { messages }
    }

    /// What is on the buttons of the next notification.
    ///
    /// # Panics
    /// When none comes within ten seconds.
    pub async fn buttons(&mut self) -> Vec<String> {
        type Notify = (String, u32, String, String, String, Vec<String>);
        let next = async {
            loop {
                let message = self.messages.next().await.unwrap().unwrap();
                if message.header().member().is_some_and(|member| member.as_str() == "Notify") {
                    return message;
                }
            }
        };
        let message = timeout(WAIT, next).await.expect("a notification within ten seconds");
        // The hints and the time, which come after these, are left.
        let body = message.body();
        let (.., actions) = body.deserialize_unchecked::<Notify>().unwrap();
        let labels = actions.chunks_exact(2).map(|action| action[1].clone());
        labels.take_while(|label| !label.is_empty()).collect()
    }
}
