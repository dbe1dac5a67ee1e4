//! A front end's connection to the daemon.

use std::{io, path::Path, time::Duration};

use futures_util::{SinkExt, StreamExt};
use interprocess::local_socket::{
    GenericFilePath, ToFsName,
    tokio::{Stream, prelude::*},
};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use crate::{
    overview::Overview,
    protocol::{ClientMessage, LINE_BYTES_MAX, PROTOCOL, Reply, Request, ServerMessage},
};

/// A daemon that is well answers in milliseconds.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(10);

/// A connection on which the daemon has said hello.
#[derive(Debug)]
pub struct Client {
    lines: Framed<Stream, LinesCodec>,
    next_id: u64,
}

/// Why a front end has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the Backstay daemon is not running")]
    NotRunning(#[source] io::Error),
    /// The connection broke or ended.
    #[error("the connection to the Backstay daemon was lost")]
    Lost(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The daemon speaks another protocol.
    #[error("the Backstay daemon (version {version}) is of another version; restart it")]
    OtherProtocol {
        /// The daemon's version.
        version: String,
    },
}

impl From<LinesCodecError> for ClientError {
    fn from(error: LinesCodecError) -> Self {
        Self::Lost(Some(Box::new(error)))
    }
}

/// The process id of the daemon, also of one of another version; none when none answers.
pub async fn process_of_the_daemon(socket: &Path) -> Option<u32> {
    match Client::greeted(socket).await {
        Ok((_, ServerMessage::Hello { pid, .. })) => Some(pid),
        _ => None,
    }
}

impl Client {
    /// Connects and reads the hello.
    ///
    /// # Errors
    /// When nobody listens or somebody else answers.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        match Self::greeted(socket).await? {
            (client, ServerMessage::Hello { protocol: PROTOCOL, .. }) => Ok(client),
            (_, ServerMessage::Hello { version, .. }) => Err(ClientError::OtherProtocol { version }),
            _ => Err(ClientError::Lost(None)),
        }
    }

    /// Connects and reads the first message, whatever it says.
    async fn greeted(socket: &Path) -> Result<(Self, ServerMessage), ClientError> {
        let name = socket.to_fs_name::<GenericFilePath>().map_err(ClientError::NotRunning)?;
        let stream = Stream::connect(name).await.map_err(ClientError::NotRunning)?;
        let lines = Framed::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
        let mut client = Self { lines, next_id: 1 };
        let hello = timeout(ANSWER_SECONDS_MAX, client.message()).await.map_err(|_| ClientError::Lost(None))?;
        Ok((client, hello?))
    }

    /// Asks and waits for the answer; overviews that arrive in between are dropped, a newer one follows.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn request(&mut self, request: Request) -> Result<Reply, ClientError> {
        let sent = self.send(request).await?;
        let answer = async {
            loop {
                match self.message().await? {
                    ServerMessage::Reply { id, reply } if id == sent => return Ok(reply),
                    ServerMessage::Goodbye => return Err(ClientError::Lost(None)),
                    _ => {}
                }
            }
        };
        timeout(ANSWER_SECONDS_MAX, answer).await.map_err(|_| ClientError::Lost(None))?
    }

    /// Asks without waiting; the answer comes among the messages.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn send(&mut self, request: Request) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let line = serde_json::to_string(&ClientMessage { id, request })
            .map_err(|error| ClientError::Lost(Some(Box::new(error))))?;
        self.lines.send(line).await?;
        Ok(id)
    }

    /// The next message; safe to cancel.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn message(&mut self) -> Result<ServerMessage, ClientError> {
        let line = self.lines.next().await.ok_or(ClientError::Lost(None))??;
        serde_json::from_str(&line).map_err(|error| ClientError::Lost(Some(Box::new(error))))
    }

    /// After [`Request::Subscribe`]: the next overview.
    ///
    /// # Errors
    /// When the connection is lost or the daemon ends.
    pub async fn overview(&mut self) -> Result<Overview, ClientError> {
        loop {
            match self.message().await? {
                ServerMessage::Overview { overview, .. } => return Ok(overview),
                ServerMessage::Goodbye => return Err(ClientError::Lost(None)),
                ServerMessage::Reply { reply: Reply::Overview { overview, .. }, .. } => return Ok(*overview),
                _ => {}
            }
        }
    }
}
