//! The phone's side: one AFC connection, with every request under a deadline and its trouble told apart.

use std::{sync::Arc, time::Duration};

use backstay_shared::health::{Failure, FailureId};
use idevice::{
    IdeviceError,
    afc::{AfcClient, errors::AfcError, opcode::AfcFopenMode},
};

use crate::{
    health::diagnose,
    phone::{
        afc::{self, Handle, READ_BYTES},
        guard::Framing,
        heartbeat::Heart,
        link::{Session, guard},
    },
};

/// Storage that is failing answers late, and these are the photos that matter.
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(30);

/// Why a request came to nothing.
#[derive(Debug)]
pub enum Trouble {
    /// It is about this file or folder; the others may go.
    File(String),
    /// The connection is of no more use.
    Link(Failure),
}

/// What the phone has under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// When it was changed last, nanoseconds since 1970.
        modified: i64,
    },
    /// A folder.
    Folder,
    /// A link, or something else that is no photo.
    Other,
}

/// One connection; its requests are answered one after the other.
#[derive(Debug)]
pub struct Source {
    client: AfcClient,
    /// Over Wi-Fi the phone hangs up on who does not answer its heartbeat.
    _heart: Option<Arc<Heart>>,
}

impl Source {
    /// Connects.
    ///
    /// # Errors
    /// The phone's.
    pub async fn connect(session: &mut Session) -> Result<Self, Failure> {
        let client = AfcClient::new(guard(session.service("com.apple.afc").await?, Framing::Afc)?);
        Ok(Self { client, _heart: session.heart() })
    }

    /// The names in a folder, without `.` and `..`; as the phone tells them, which is to say not to be trusted.
    ///
    /// # Errors
    /// The phone's.
    pub async fn list(&mut self, folder: &str) -> Result<Vec<String>, Trouble> {
        let mut names = answered(self.client.list_dir(folder)).await?;
        names.retain(|name| !matches!(&**name, "." | ".."));
        Ok(names)
    }

    /// What is under this path.
    ///
    /// # Errors
    /// The phone's; what lacks a fact is trouble with that file.
    pub async fn look_at(&mut self, path: &str) -> Result<Kind, Trouble> {
        let facts = answered(self.client.get_file_info_raw(path)).await?;
        let fact = |key: &str| facts.get(key).map(String::as_str);
        match fact("st_ifmt") {
            Some("S_IFDIR") => Ok(Kind::Folder),
            Some("S_IFREG") => {
                let size = fact("st_size").and_then(|size| size.parse().ok());
                let modified = fact("st_mtime").and_then(|modified| modified.parse().ok());
                let untold = || Trouble::File("the iPhone does not tell its size and time".into());
                let (size, modified) = size.zip(modified).ok_or_else(untold)?;
                Ok(Kind::File { size, modified })
            }
            _ => Ok(Kind::Other),
        }
    }

    /// Opens a file to read on from this byte.
    ///
    /// # Errors
    /// The phone's.
    pub async fn open(&mut self, path: &str, from: u64) -> Result<Handle, Trouble> {
        let file = answered(afc::open(&mut self.client, path, AfcFopenMode::RdOnly)).await?;
        if from > 0
            && let Err(trouble) = answered(afc::seek(&mut self.client, file, from)).await
        {
            self.close(file).await?;
            return Err(trouble);
        }
        Ok(file)
    }

    /// The next piece of a file; at most what is still expected of it.
    ///
    /// # Errors
    /// The phone's; an end before its time is trouble with that file.
    pub async fn read(&mut self, file: Handle, expected: u64) -> Result<Vec<u8>, Trouble> {
        let piece = answered(afc::read(&mut self.client, file, READ_BYTES.min(expected))).await?;
        match piece.len() as u64 {
            0 => Err(Trouble::File("is shorter than the iPhone said".into())),
            length if length > expected => Err(Trouble::File("is longer than the iPhone said".into())),
            _ => Ok(piece),
        }
    }

    /// Closes a file.
    ///
    /// # Errors
    /// When the connection is of no more use; what else the phone says of it changes nothing.
    pub async fn close(&mut self, file: Handle) -> Result<(), Trouble> {
        match answered(afc::close(&mut self.client, file)).await {
            Err(Trouble::Link(failure)) => Err(Trouble::Link(failure)),
            _ => Ok(()),
        }
    }
}

/// After a late answer the connection is out of step, so that a file on which the phone hangs is trouble with the link.
async fn answered<T>(request: impl Future<Output = Result<T, IdeviceError>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ANSWER_SECONDS_MAX, request).await {
        Ok(Ok(answer)) => Ok(answer),
        // What `idevice` itself says of an answer that is none.
        Ok(Err(error @ IdeviceError::Afc(AfcError::InvalidMagic | AfcError::UnknownOpcode))) => {
            Err(Trouble::Link(Failure::from(FailureId::DeviceDataRefused).text(error)))
        }
        Ok(Err(IdeviceError::Afc(status))) => Err(Trouble::File(status.to_string())),
        Ok(Err(error)) => Err(Trouble::Link(diagnose::device(&error))),
        Err(_) => {
            let seconds = ANSWER_SECONDS_MAX.as_secs();
            Err(Trouble::Link(Failure::from(FailureId::SessionLost).text(format!("no answer for {seconds} s"))))
        }
    }
}
