//! The daemon's socket: one JSON object a line, only for this user.

use std::{io, path::Path, time::Duration};

use backstay_shared::{
    overview::Overview,
    protocol::{ClientMessage, LINE_BYTES_MAX, PROTOCOL, Reply, Request, ServerMessage},
};
use futures_util::{SinkExt, StreamExt};
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use tokio::sync::watch;
use tokio_util::{
    codec::{Framed, LinesCodec, LinesCodecError},
    sync::CancellationToken,
    task::TaskTracker,
};

use super::{
    board::{Board, Shown},
    takers::{Taker, Takers},
};
use crate::{phone::phones::Phones, settings::Source};

/// Longer requests are none.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// A front end that takes no bytes for this long is cut off; it will come back and subscribe anew.
const SEND_SECONDS_MAX: Duration = Duration::from_secs(5);

/// What the server answers from.
#[derive(Debug, Clone)]
pub struct Server {
    /// The overview.
    pub board: Board,
    /// Where requests go.
    pub phones: Phones,
    /// The connections that show notifications.
    pub takers: Takers,
    /// The settings, to which a person may agree.
    pub source: Source,
    /// Ends it.
    pub shutdown: CancellationToken,
}

/// Takes the socket. The caller holds the daemon's lock, so one that is there is left over from a crash.
///
/// # Errors
/// When it can't be taken.
pub fn bind(socket: &Path) -> io::Result<Listener> {
    if cfg!(unix) {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    ListenerOptions::new().name(socket.to_fs_name::<GenericFilePath>()?).create_tokio()
}

impl Server {
    /// Serves until the shutdown; then every front end is told.
    pub async fn serve(self, listener: Listener) {
        let connections = TaskTracker::new();
        loop {
            let stream = tokio::select! {
                stream = listener.accept() => stream,
                () = self.shutdown.cancelled() => break,
            };
            match stream {
                Ok(stream) if is_this_user(&stream) => {
                    let server = self.clone();
                    connections.spawn(async move {
                        if let Err(error) = server.converse(stream).await {
                            tracing::debug!(%error, "a front end's connection ended");
                        }
                    });
                }
                Ok(_) => tracing::warn!("another user tried to reach the daemon"),
                Err(error) => {
                    tracing::warn!(%error, "a front end could not connect");
                    // Out of file descriptors, most likely: do not spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // It takes its name with it, which the next one wants: not later than this.
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    async fn converse(self, stream: Stream) -> Result<(), LinesCodecError> {
        let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(REQUEST_BYTES_MAX));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        send(&mut lines, &ServerMessage::Hello { protocol: PROTOCOL, version, pid: std::process::id() }).await?;
        let mut subscription: Option<watch::Receiver<Shown>> = None;
        let mut taker: Option<Taker> = None;
        loop {
            let changed = async {
                match &mut subscription {
                    Some(shown) => shown.changed().await.map(|()| shown.borrow_and_update().clone()),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                line = lines.next() => {
                    let Some(line) = line.transpose()? else { return Ok(()) };
                    let Ok(ClientMessage { id, request }) = serde_json::from_str(&line) else {
                        // What is no message has no id to answer to.
                        return Ok(());
                    };
                    if request == Request::Subscribe {
                        let mut shown = self.board.subscribe();
                        let reply = overview_reply(&shown.borrow_and_update());
                        subscription = Some(shown);
                        send(&mut lines, &ServerMessage::Reply { id, reply }).await?;
                    } else {
                        if request == Request::TakeNotifications && taker.is_none() {
                            taker = Some(self.takers.one_more());
                        }
                        let reply = self.answer(request).await.unwrap_or_else(Reply::Refused);
                        send(&mut lines, &ServerMessage::Reply { id, reply }).await?;
                    }
                }
                shown = changed => {
                    let Ok(Shown { sequence, overview }) = shown else { return Ok(()) };
                    let overview = Overview::clone(&overview);
                    send(&mut lines, &ServerMessage::Overview { sequence, overview }).await?;
                }
                () = self.shutdown.cancelled() => return send(&mut lines, &ServerMessage::Goodbye).await,
            }
        }
    }
}

pub(super) fn overview_reply(shown: &Shown) -> Reply {
    Reply::Overview { sequence: shown.sequence, overview: Box::new(Overview::clone(&shown.overview)) }
}

async fn send(lines: &mut Framed<Stream, LinesCodec>, message: &ServerMessage) -> Result<(), LinesCodecError> {
    let line = serde_json::to_string(message).map_err(io::Error::other)?;
    debug_assert!(line.len() < LINE_BYTES_MAX, "a front end would refuse this line");
    match tokio::time::timeout(SEND_SECONDS_MAX, lines.send(line)).await {
        Ok(sent) => sent,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// The folder is closed to others already; this holds where somebody opened it.
fn is_this_user(stream: &Stream) -> bool {
    #[cfg(unix)]
    {
        use interprocess::local_socket::traits::StreamCommon;
        match stream.peer_creds().map(|credentials| credentials.euid()) {
            Ok(Some(user)) => user == rustix::process::geteuid().as_raw(),
            _ => false,
        }
    }
    #[cfg(not(unix))]
    {
        // The pipe's own access list keeps others out.
        let _named: &Stream = stream;
        true
    }
}
