//! How the phone is attached, how fast the link is, and a link that is dead though it looks alive.

use std::sync::Mutex;

use tokio::sync::watch;

use super::value_of;
use crate::phone::{Event, Phone};

/// `ConnectionType` as usbmuxd tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connection {
    /// On its cable.
    #[default]
    Usb,
    /// On Wi-Fi, found by usbmuxd itself.
    Network,
}

#[derive(Default)]
pub(super) struct LinkSwitches {
    frozen: watch::Sender<bool>,
    bytes_per_second: Mutex<Option<u64>>,
    connection: Mutex<Connection>,
}

impl Phone {
    /// Kills the link without a word: nothing comes through any connection of this phone any more, either way, and new
    /// ones hang, but usbmuxd still lists it. Ended by [`Self::thaw`], [`Self::unplug`] or a new plugging in.
    pub fn freeze(&self) {
        self.switches().link.frozen.send_replace(true);
        self.tell(Event::Frozen);
    }

    /// The link lives again, and what was on its way arrives.
    pub fn thaw(&self) {
        self.switches().link.frozen.send_replace(false);
    }

    /// True while the link is dead.
    pub(crate) fn frozen(&self) -> watch::Receiver<bool> {
        self.switches().link.frozen.subscribe()
    }

    /// Waits until the link is alive.
    pub(crate) async fn thawed(&self) {
        // The sender lives in the phone.
        drop(self.frozen().wait_for(|frozen| !*frozen).await);
    }

    /// Bounds what a backup or a restore sends and receives to this many bytes a second each, from now on and also in a backup under way; with none
    /// the link is as fast as it can be. Unlike [`Fault::SlowLink`](crate::phone::Fault::SlowLink) it goes with every fault.
    pub fn set_link_speed(&self, bytes_per_second: Option<u64>) {
        *value_of(&self.switches().link.bytes_per_second) = bytes_per_second;
    }

    pub(crate) fn link_speed(&self) -> Option<u64> {
        *value_of(&self.switches().link.bytes_per_second)
    }

    /// The phone is attached over Wi-Fi, in place of the cable if it was plugged in; [`Self::unplug`] takes it away.
    /// No computer can be paired this way.
    pub fn appear_on_wifi(&self) {
        self.attach(Connection::Network);
    }

    /// How it was last attached.
    pub fn connection(&self) -> Connection {
        *value_of(&self.switches().link.connection)
    }

    pub(crate) fn set_connection(&self, connection: Connection) {
        *value_of(&self.switches().link.connection) = connection;
    }
}
