//! Where a phone announces itself.

use std::{collections::BTreeSet, net::SocketAddr};

use backstay_shared::ids::Udid;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{LISTEN_SECONDS_MAX, is_another};
use crate::{
    host::network::Networks,
    phone::link::Muxer,
    presence::{
        announcement::{Announcement, Whose},
        bonjour,
        ear::{Ear, Heard},
    },
};

/// So many that do not say who they are get asked.
const UNSAID_MAX: usize = 8;

/// What was found, with the addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The phone, by what it announces or by a session.
    Itself(Vec<SocketAddr>),
    /// Somebody who does not say who it is and could not be asked so soon, and who is it most likely: it has the name
    /// that the phone had last, or is the only one.
    Likely(Vec<SocketAddr>),
    /// Nobody who could be it.
    Nothing,
}

/// Listens until it is found, for some seconds at most.
pub(super) async fn listen(muxer: &Muxer, udid: &Udid, last_name: Option<&str>, networks: &Networks) -> Found {
    let Ok(ear) = Ear::open() else { return Found::Nothing };
    let mut unsaid: Vec<Announcement> = Vec::new();
    let listening = async {
        let mut asked = FuturesUnordered::new();
        let mut asked_count = 0;
        loop {
            tokio::select! {
                heard = ear.next() => match heard? {
                    Heard::Here(announcement) if !announcement.addresses.is_empty() => {
                        match bonjour::candidates(muxer, &announcement, &BTreeSet::new()) {
                            (Whose::Of(of), _) if of == *udid => return Some(announcement.addresses),
                            (_, candidates) if candidates.contains(udid) && asked_count < UNSAID_MAX => {
                                // As the daemon asks: nobody across a router.
                                let mut announcement = announcement;
                                announcement.addresses.retain(|address| networks.hold(address));
                                asked_count += 1;
                                unsaid.push(announcement.clone());
                                asked.push(async move {
                                    // Only the right record opens a session.
                                    let reached = bonjour::reach(muxer, udid, &announcement.addresses).await;
                                    (announcement, reached)
                                });
                            }
                            _ => {}
                        }
                    }
                    Heard::Gone(name) => unsaid.retain(|announcement| announcement.name != name),
                    Heard::Here(_) => {}
                },
                Some((announcement, reached)) = asked.next() => match reached {
                    Ok(_) => return Some(announcement.addresses),
                    Err(failure) if is_another(failure.id) => unsaid.retain(|other| other.name != announcement.name),
                    Err(_) => {}
                },
            }
        }
    };
    match tokio::time::timeout(LISTEN_SECONDS_MAX, listening).await {
        Ok(Some(addresses)) => Found::Itself(addresses),
        _ => likeliest(unsaid, last_name),
    }
}

fn likeliest(mut unsaid: Vec<Announcement>, last_name: Option<&str>) -> Found {
    unsaid.retain(|announcement| !announcement.addresses.is_empty());
    let by_name = unsaid.iter().position(|announcement| Some(announcement.name.as_str()) == last_name);
    match by_name.or((unsaid.len() == 1).then_some(0)) {
        Some(index) => Found::Likely(unsaid.swap_remove(index).addresses),
        None => Found::Nothing,
    }
}
