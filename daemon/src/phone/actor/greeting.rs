//! A phone that has just come: its name, its trust, and how it is.

use backstay_shared::health::FailureId;
use tokio::sync::mpsc;

use super::Actor;
use crate::phone::{
    facts::{self, Facts},
    link::{Attached, Muxer, Session},
    pairing,
    phones::Message,
    vitals::Vitals,
};

impl Actor {
    /// Greets it beside everything else; a phone that goes ends its greeting.
    pub(super) fn greet(&mut self, attached: Attached) {
        let cancel = self.around.shutdown.child_token();
        if let Some(earlier) = self.trust.replace(cancel.clone()) {
            earlier.cancel();
        }
        let greeting = greet(self.around.muxer.clone(), attached, self.own.clone());
        self.around.tasks.spawn(async move { cancel.run_until_cancelled(greeting).await });
    }
}

/// Learns the phone's name and sees to it that it trusts this computer.
async fn greet(muxer: Muxer, attached: Attached, actor: mpsc::Sender<Message>) {
    let tell = async |message| drop(actor.send(message).await);
    match facts::introduce(&muxer, &attached).await {
        Ok(introduction) => tell(Message::Introduced(introduction)).await,
        Err(failure) => tracing::warn!(udid = %attached.udid, %failure, "a phone does not tell its name"),
    }
    match pairing::is_trusted(&muxer, &attached).await {
        Ok(true) => match vitals(&muxer, &attached).await {
            Ok(vitals) => {
                // Whether it may be looked for on the network has been told, too.
                if attached.usb {
                    muxer.records().look_again();
                }
                return tell(Message::Vitals(vitals)).await;
            }
            Err(failure) => return tracing::debug!(udid = %attached.udid, %failure, "a phone does not tell how it is"),
        },
        Err(_) => return,
        Ok(false) => tell(Message::Trust(Err(FailureId::TrustPending.into()))).await,
    }
    let paired = pairing::pair(&muxer, &attached, |failure| tracing::info!(%failure, "waiting for trust")).await;
    tell(Message::Trust(paired)).await;
}

async fn vitals(muxer: &Muxer, attached: &Attached) -> Result<Vitals, backstay_shared::health::Failure> {
    let mut session = Session::open(muxer, attached).await?;
    let facts = Facts::read(&mut session, &attached.udid).await?;
    let vitals = Vitals::read(&mut session, &facts).await?;
    session.close().await;
    Ok(vitals)
}
