//! A phone that has just come: its name, its trust, and how it is.

use std::path::PathBuf;

use backstay_shared::health::{Failure, FailureId};
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::Actor;
use crate::{
    phone::{
        facts::{self, Facts, Introduction},
        link::{Attached, Muxer, Session},
        pairing,
        phones::Message,
        vitals::Vitals,
    },
    vault::phones,
};

impl Actor {
    /// Greets it beside everything else; a phone that goes ends its greeting.
    pub(super) fn greet(&mut self, attached: Attached) {
        let cancel = self.around.shutdown.child_token();
        if let Some(earlier) = self.trust.replace(cancel.clone()) {
            earlier.cancel();
        }
        let greeting = greet(Greeting {
            muxer: self.around.muxer.clone(),
            root: self.around.root.clone(),
            known_since: self.known_since,
            // Its owner is asked for nothing that is not wanted.
            is_wanted: !self.is_out_of_use(),
            attached,
            actor: self.own.clone(),
        });
        self.around.tasks.spawn(async move { cancel.run_until_cancelled(greeting).await });
    }
}

/// What a greeting needs to know.
struct Greeting {
    muxer: Muxer,
    root: PathBuf,
    known_since: DateTime<Utc>,
    is_wanted: bool,
    attached: Attached,
    actor: mpsc::Sender<Message>,
}

/// Learns the phone's name and sees to it that it trusts this computer.
async fn greet(greeting: Greeting) {
    let Greeting { muxer, root, known_since, is_wanted, attached, actor } = greeting;
    let tell = async |message| drop(actor.send(message).await);
    let introduced = async |introduction: Introduction| {
        let (udid, name) = (attached.udid.clone(), introduction.name.clone().unwrap_or_default());
        // Receipts are read for it, maybe from a disk that has to wake up.
        let looking = tokio::task::spawn_blocking(move || phones::earlier(&root, &udid, &name, known_since));
        let earlier = looking.await.ok().flatten();
        tell(Message::Introduced { introduction, earlier }).await;
    };
    if !attached.is_muxed() {
        // It is here because a session has just proved its trust; one more tells the rest.
        match on_the_network(&muxer, &attached).await {
            Ok((facts, vitals)) => {
                introduced(Introduction::from(&facts)).await;
                tell(Message::Vitals(vitals)).await;
            }
            Err(failure) => tracing::debug!(udid = %attached.udid, %failure, "a phone does not tell how it is"),
        }
        return;
    }
    match facts::introduce(&muxer, &attached).await {
        Ok(introduction) => introduced(introduction).await,
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
        Ok(false) if !is_wanted => return,
        Ok(false) => tell(Message::Trust(Err(FailureId::TrustPending.into()))).await,
    }
    let paired = pairing::pair(&muxer, &attached, |failure| tracing::info!(%failure, "waiting for trust")).await;
    tell(Message::Trust(paired)).await;
}

async fn on_the_network(muxer: &Muxer, attached: &Attached) -> Result<(Facts, Vitals), Failure> {
    let mut session = Session::open_plainly(muxer, attached).await?;
    let facts = Facts::read(&mut session, &attached.udid).await?;
    let vitals = Vitals::read(&mut session, &facts).await?;
    Ok((facts, vitals))
}

async fn vitals(muxer: &Muxer, attached: &Attached) -> Result<Vitals, Failure> {
    let mut session = Session::open(muxer, attached).await?;
    let facts = Facts::read(&mut session, &attached.udid).await?;
    let vitals = Vitals::read(&mut session, &facts).await?;
    session.close().await;
    Ok(vitals)
}
