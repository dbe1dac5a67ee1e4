//! The phones that have proved themselves, and what says that they are still there.

use std::{net::SocketAddr, time::Duration};

use backstay_shared::{
    health::{Failure, FailureId},
    ids::Udid,
};
use tokio::time::Instant;

use super::{Watcher, asking::ASK_SECONDS_MAX};
use crate::{
    phone::{
        link::{Attached, Way},
        wifi,
    },
    presence::usbmuxd::Sighting,
};

/// Between two proofs of a phone that is there and is not heard.
const PROOF_PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];

/// A phone that has proved itself.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) address: SocketAddr,
    pub(super) sign: Sign,
}

/// What says that it is still there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// It announces itself under this name.
    Announced(String),
    /// Nothing, so that it has to prove it: then, or it is about to.
    Silent { next_proof: Option<Instant>, proofs: usize },
}

impl Sign {
    fn silent() -> Self {
        Self::Silent { next_proof: Some(Instant::now()), proofs: 0 }
    }
}

impl Watcher {
    pub(super) fn phone_called(&self, name: &str) -> Option<Udid> {
        let is_called = |here: &Here| matches!(&here.sign, Sign::Announced(of) if of == name);
        self.here.iter().find(|(_, here)| is_called(here)).map(|(udid, _)| udid.clone())
    }

    pub(super) fn prove_who_is_due(&mut self) {
        let now = Instant::now();
        for (udid, here) in &mut self.here {
            let Sign::Silent { next_proof, .. } = &mut here.sign else { continue };
            if next_proof.is_none_or(|at| at > now) {
                continue;
            }
            *next_proof = None;
            let (muxer, udid, address) = (self.muxer.clone(), udid.clone(), here.address);
            self.proving.spawn(async move {
                let attached = Attached::on_the_network(udid, address);
                let proving = tokio::time::timeout(ASK_SECONDS_MAX, wifi::prove(&muxer, &attached)).await;
                let late = || Err(FailureId::SessionLost.into());
                (attached.udid, address, proving.unwrap_or_else(|_| late()).map(drop))
            });
        }
    }

    /// It has proved itself.
    pub(super) async fn found(&mut self, name: String, attached: Attached, tagged: bool) {
        let (udid, Way::Direct(address)) = (attached.udid.clone(), attached.way) else { return };
        // Meanwhile it may have been forbidden.
        if !self.muxer.records().on_the_network().contains(&udid) {
            return;
        }
        self.muxer.records().note(&udid, |seen| {
            (seen.address, seen.name, seen.tagged) = (Some(address), Some(name.clone()), tagged);
        });
        self.untroubled(&udid).await;
        // Whoever had its address is there no more, as the roster will see, too.
        self.here.retain(|other, here| *other == udid || here.address != address);
        if self.phone_called(&name).is_some_and(|other| other != udid) {
            self.silence(&name);
        }
        let before = self.here.insert(udid.clone(), Here { address, sign: Sign::Announced(name) });
        if before.as_ref().is_some_and(|before| before.address == address) {
            return;
        }
        tracing::info!(%udid, %address, "found on Wi-Fi");
        self.tell(Sighting::Attached(attached)).await;
        // In this order, so that it was never away.
        if let Some(before) = before {
            self.tell(Sighting::Detached(Way::Direct(before.address))).await;
        }
    }

    /// The phone that was known by this name is not the one that has it now. It may have left, or come under another name,
    /// or just not be heard; so it is looked for where it was.
    pub(super) fn silence(&mut self, name: &str) {
        let Some(here) = self.phone_called(name).and_then(|udid| self.here.get_mut(&udid)) else { return };
        here.sign = Sign::silent();
        self.ask_again(|service| !service.says_so);
    }

    pub(super) async fn proved(&mut self, udid: &Udid, at: SocketAddr, proved: Result<(), Failure>) {
        let Some(Here { address, sign: Sign::Silent { next_proof, proofs } }) = self.here.get_mut(udid) else { return };
        if *address != at {
            return;
        }
        self.forgetful |= *proofs == 0;
        match proved {
            Ok(()) => {
                let pause = PROOF_PAUSES.get(*proofs).or(PROOF_PAUSES.last()).copied().unwrap_or_default();
                *next_proof = Some(Instant::now() + pause);
                *proofs += 1;
                tracing::debug!(%udid, address = %at, "is there, and announces itself no more");
            }
            Err(failure) => {
                tracing::debug!(%udid, %failure, "is not where it was");
                self.detach(udid).await;
            }
        }
    }

    pub(super) async fn detach(&mut self, udid: &Udid) {
        if let Some(here) = self.here.remove(udid) {
            tracing::info!(%udid, "gone from Wi-Fi");
            self.tell(Sighting::Detached(Way::Direct(here.address))).await;
        }
    }
}
