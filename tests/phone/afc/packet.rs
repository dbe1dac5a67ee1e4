//! AFC packets: five numbers of eight bytes, then what the operation needs.

use std::io;

use tokio::io::AsyncReadExt;

use crate::phone::Stream;

const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_LENGTH: u64 = 40;
/// Clients write in pieces far smaller than this.
const LENGTH_LIMIT: u64 = 64 << 20;

/// The operation whose answers are content.
pub(super) const FILE_READ: u64 = 0x0f;

/// What a client may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ReadDirectory,
    Truncate,
    RemovePath,
    MakeDirectory,
    GetFileInfo,
    GetDeviceInfo,
    FileOpen,
    FileRead,
    FileWrite,
    FileSeek,
    FileTell,
    FileClose,
    FileSetSize,
    RenamePath,
    SetBlockSize,
    FileLock,
    SetFileTime,
    RemovePathAndContents,
}

impl Operation {
    pub(super) fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0x03 => Self::ReadDirectory,
            0x07 => Self::Truncate,
            0x08 => Self::RemovePath,
            0x09 => Self::MakeDirectory,
            0x0a => Self::GetFileInfo,
            0x0b => Self::GetDeviceInfo,
            0x0d => Self::FileOpen,
            FILE_READ => Self::FileRead,
            0x10 => Self::FileWrite,
            0x11 => Self::FileSeek,
            0x12 => Self::FileTell,
            0x14 => Self::FileClose,
            0x15 => Self::FileSetSize,
            0x18 => Self::RenamePath,
            0x19 | 0x1a => Self::SetBlockSize,
            0x1b => Self::FileLock,
            0x1e => Self::SetFileTime,
            0x22 => Self::RemovePathAndContents,
            _ => return None,
        })
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Success = 0,
    InvalidArgument = 7,
    ObjectNotFound = 8,
    ObjectIsDirectory = 9,
    PermissionDenied = 10,
    OperationNotSupported = 15,
    ObjectExists = 16,
    NoSpaceLeft = 18,
    OperationWouldBlock = 19,
    IoError = 20,
    DirectoryNotEmpty = 33,
}

/// One packet of a client.
pub(super) struct Request {
    pub(super) number: u64,
    pub(super) operation: u64,
    /// What follows the header; how much of it a client calls header does not matter here.
    pub(super) body: Vec<u8>,
}

impl Request {
    /// None once the client has closed.
    pub(super) async fn read<S: Stream>(stream: &mut S) -> io::Result<Option<Self>> {
        let mut magic = [0; 8];
        match stream.read_exact(&mut magic).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let broken = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        if &magic != MAGIC {
            return broken("no AFC packet".into());
        }
        let length = stream.read_u64_le().await?;
        let header_length = stream.read_u64_le().await?;
        let number = stream.read_u64_le().await?;
        let operation = stream.read_u64_le().await?;
        if !(HEADER_LENGTH..=LENGTH_LIMIT).contains(&length) || !(HEADER_LENGTH..=length).contains(&header_length) {
            return broken(format!("AFC packet of {length} bytes with {header_length} before its data"));
        }
        let mut body = vec![0; (length - HEADER_LENGTH) as usize];
        stream.read_exact(&mut body).await?;
        Ok(Some(Self { number, operation, body }))
    }
}

/// What the phone answers.
pub(super) enum Reply {
    Status(Status),
    Data(Vec<u8>),
    FileOpened(u64),
    Position(u64),
}

impl Reply {
    /// Texts with a NUL after each.
    pub(super) fn strings(texts: &[String]) -> Self {
        Self::Data(texts.iter().flat_map(|text| text.bytes().chain([0])).collect())
    }

    /// Numbers belong to the header, data does not.
    pub(super) fn to_packet(&self, number: u64) -> Vec<u8> {
        let (operation, argument, data): (u64, Option<u64>, &[u8]) = match self {
            Self::Status(status) => (0x01, Some(*status as u64), &[]),
            Self::Data(data) => (0x02, None, data),
            Self::FileOpened(handle) => (0x0e, Some(*handle), &[]),
            Self::Position(position) => (0x13, Some(*position), &[]),
        };
        let header_length = HEADER_LENGTH + if argument.is_some() { 8 } else { 0 };
        let mut packet = Vec::with_capacity(header_length as usize + data.len());
        packet.extend_from_slice(MAGIC);
        for field in [header_length + data.len() as u64, header_length, number, operation].into_iter().chain(argument) {
            packet.extend_from_slice(&field.to_le_bytes());
        }
        packet.extend_from_slice(data);
        packet
    }
}

/// What is left of a packet's body.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn number(&mut self) -> Result<u64, Status> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Status::InvalidArgument)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Status> {
        self.number().map(u64::cast_signed)
    }

    /// A path without its slashes at either end; the root is empty. It ends at a NUL or with the packet.
    pub(super) fn path(&mut self) -> Result<String, Status> {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = str::from_utf8(&self.0[..end]).map_err(|_| Status::InvalidArgument)?;
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return Err(Status::PermissionDenied);
        }
        Ok(parts.join("/"))
    }
}
