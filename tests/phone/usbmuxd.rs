//! usbmuxd: the socket on which a computer finds its phones, keeps its pair records and opens a phone's ports.
//!
//! Facts from usbmuxd `src/client.c` and `src/conf.c`.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tokio::net::{UnixListener, UnixStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use super::Phone;

mod client;
mod devices;
mod manners;
mod message;
mod pair_records;
#[cfg(test)]
mod tests;

pub use manners::Manner;
pub use pair_records::PairRecords;

use devices::Devices;
use manners::Manners;

/// A running usbmuxd; it ends when dropped.
pub struct Usbmuxd {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
    /// Ends the tasks that watch the phones' cables.
    ended: CancellationToken,
}

/// What every connection needs.
struct Shared {
    socket: PathBuf,
    records: PairRecords,
    devices: Devices,
    manners: Manners,
}

/// The server between start and stop.
struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Usbmuxd {
    /// Starts a server on `dir/usbmuxd.sock` that keeps its pair records in `dir/pair-records`.
    pub async fn start(dir: &Path) -> io::Result<Self> {
        let usbmuxd = Self {
            shared: Arc::new(Shared {
                socket: dir.join("usbmuxd.sock"),
                records: PairRecords::open(&dir.join("pair-records"))?,
                devices: Devices::default(),
                manners: Manners::default(),
            }),
            running: Mutex::new(None),
            ended: CancellationToken::new(),
        };
        usbmuxd.start_again().await?;
        Ok(usbmuxd)
    }

    /// The Unix socket.
    pub fn socket_path(&self) -> &Path {
        &self.shared.socket
    }

    /// What `USBMUXD_SOCKET_ADDRESS` has to say (pymobiledevice3 wants the bare [`Self::socket_path`] there).
    pub fn address(&self) -> String {
        format!("UNIX:{}", self.shared.socket.display())
    }

    /// `SystemBUID`, by which this computer is known to phones.
    pub fn buid(&self) -> &str {
        self.shared.records.buid()
    }

    /// The pair records that this server hands out.
    pub fn pair_records(&self) -> &PairRecords {
        &self.shared.records
    }

    /// Makes a phone's cable end here; it is attached whenever the phone is plugged in.
    pub fn add(&self, phone: &Phone) {
        self.shared.devices.add(phone);
        let (shared, ended, mut link) = (self.shared.clone(), self.ended.clone(), phone.link());
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            while link.changed().await.is_ok() {
                shared.devices.refresh();
            }
        }));
    }

    /// The server vanishes: its socket is gone and every connection drops.
    pub async fn stop(&self) {
        let running = self.running.lock().ok().and_then(|mut running| running.take());
        if let Some(Running { stop, tasks }) = running {
            stop.cancel();
            remove_socket(&self.shared.socket);
            tasks.close();
            tasks.wait().await;
            self.shared.devices.forget_ids();
        }
    }

    /// The server comes back with the same phones and records; like usbmuxd it then counts devices from 1 again.
    pub async fn start_again(&self) -> io::Result<()> {
        self.stop().await;
        remove_socket(&self.shared.socket);
        let listener = UnixListener::bind(&self.shared.socket)?;
        self.shared.devices.refresh();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let accepting = accept(listener, self.shared.clone(), stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        if let Ok(mut running) = self.running.lock() {
            *running = Some(Running { stop, tasks });
        }
        Ok(())
    }
}

impl Drop for Usbmuxd {
    fn drop(&mut self) {
        self.ended.cancel();
        if let Some(running) = self.running.lock().ok().and_then(|mut running| running.take()) {
            running.stop.cancel();
            remove_socket(&self.shared.socket);
        }
    }
}

/// A socket that is already gone is as good as removed.
fn remove_socket(path: &Path) {
    drop(std::fs::remove_file(path));
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tasks.spawn(stop.clone().run_until_cancelled_owned(serve(shared.clone(), stream)));
            }
            Err(error) => debug!(%error, "usbmuxd could not accept"),
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    if let Err(error) = client::serve(&shared, stream).await {
        debug!(%error, "a usbmuxd connection ended");
    }
}
