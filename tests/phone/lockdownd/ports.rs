//! The ports that StartService hands out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::Pairing;

/// Where the phone's ephemeral ports begin.
const FIRST: u16 = 49152;
const LAST: u16 = 61999;

/// A service waiting for the computer that asked for it.
#[derive(Clone)]
pub struct OpenPort {
    /// For example `com.apple.afc`.
    pub service: String,
    /// Whose certificates its TLS uses.
    pub pairing: Arc<Pairing>,
    link: u64,
}

/// The open ports of one phone; each takes one connection.
#[derive(Default)]
pub struct Ports {
    table: Mutex<Table>,
    opener: Mutex<Option<Opener>>,
}

/// Makes a port of a number reachable over the network.
pub(crate) type Opener = Arc<dyn Fn(u16) + Send + Sync>;

#[derive(Default)]
struct Table {
    open: HashMap<u16, OpenPort>,
    count: u16,
}

impl Ports {
    pub(super) fn open(&self, service: &str, pairing: Arc<Pairing>, link: u64) -> u16 {
        let Ok(mut table) = self.table.lock() else { return FIRST };
        let number = FIRST + table.count % (LAST - FIRST);
        table.count = table.count.wrapping_add(1);
        table.open.retain(|_, port| port.link == link);
        table.open.insert(number, OpenPort { service: service.to_owned(), pairing, link });
        drop(table);
        let opener = self.opener.lock().ok().and_then(|opener| opener.clone());
        if let Some(opener) = opener {
            opener(number);
        }
        number
    }

    /// Ports that are opened from now on can be reached over the network, too.
    pub(crate) fn set_opener(&self, opener: Option<Opener>) {
        if let Ok(mut own) = self.opener.lock() {
            *own = opener;
        }
    }

    /// Takes the one connection to a port, whatever became of the cable.
    pub(crate) fn take_from_the_network(&self, number: u16) -> Option<OpenPort> {
        self.table.lock().ok()?.open.remove(&number)
    }

    /// Takes the one connection to a port that was opened since the cable went in.
    pub(crate) fn take(&self, number: u16, link: u64) -> Option<OpenPort> {
        self.table.lock().ok()?.open.remove(&number).filter(|port| port.link == link)
    }
}
