//! A host that keeps the metadata in memory and throws payloads away: fast, and sees every message.

use std::{collections::HashMap, io};

use plist::{Dictionary, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::serve;
use crate::phone::Phone;

#[derive(Default)]
pub(super) struct MemoryHost {
    pub(super) files: HashMap<String, Vec<u8>>,
    pub(super) messages: Vec<String>,
    pub(super) uploaded: usize,
    pub(super) unreadable: usize,
    pub(super) moved: usize,
    pub(super) free: u64,
    pub(super) purge: Option<u64>,
    /// Answers `DLMessageMoveItems` with this.
    pub(super) move_status: i64,
}

type Wire = BufReader<DuplexStream>;

async fn text(wire: &mut Wire, length: u32) -> io::Result<String> {
    let mut bytes = vec![0; length as usize];
    wire.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

async fn receive(wire: &mut Wire) -> io::Result<Vec<Value>> {
    let mut body = vec![0; wire.read_u32().await? as usize];
    wire.read_exact(&mut body).await?;
    let message: Value = plist::from_bytes(&body).map_err(io::Error::other)?;
    message.into_array().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

async fn send(wire: &mut Wire, message: Vec<Value>) -> io::Result<()> {
    let mut body = Vec::new();
    Value::Array(message).to_writer_binary(&mut body).unwrap();
    wire.write_u32(body.len() as u32).await?;
    wire.write_all(&body).await
}

async fn status(wire: &mut Wire, code: i64, payload: Value) -> io::Result<()> {
    // As the C clients do: an unsigned number.
    let code = Value::from(code.cast_unsigned());
    send(wire, vec!["DLMessageStatusResponse".into(), code, "text".into(), payload]).await
}

impl MemoryHost {
    pub(super) fn new() -> Self {
        Self { free: 1 << 50, ..Self::default() }
    }

    /// Runs one backup; the final status, or what came in its place.
    pub(super) async fn backup(&mut self, phone: &Phone) -> io::Result<Dictionary> {
        self.ask(phone, "Backup", Dictionary::new()).await
    }

    /// As [`Self::backup`], for any request.
    pub(super) async fn ask(&mut self, phone: &Phone, name: &str, options: Dictionary) -> io::Result<Dictionary> {
        let (here, there) = tokio::io::duplex(1 << 20);
        let served = phone.clone();
        tokio::spawn(async move { serve(&served, there).await });
        let mut wire = BufReader::with_capacity(1 << 20, here);
        receive(&mut wire).await?;
        send(&mut wire, vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), 400.into()]).await?;
        let ready = receive(&mut wire).await?;
        if ready[0].as_string() != Some("DLMessageDeviceReady") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut request = Dictionary::new();
        request.insert("MessageName".into(), name.into());
        request.insert("Options".into(), options.into());
        send(&mut wire, vec!["DLMessageProcessMessage".into(), Value::Dictionary(request)]).await?;
        loop {
            let message = receive(&mut wire).await?;
            let name = message[0].as_string().unwrap().to_owned();
            self.messages.push(name.clone());
            let empty = Value::Dictionary(Dictionary::new());
            match name.as_str() {
                "DLMessageProcessMessage" => return Ok(message[1].as_dictionary().unwrap().clone()),
                "DLMessageDisconnect" => return Err(io::ErrorKind::ConnectionAborted.into()),
                "DLMessageDownloadFiles" => self.download(&mut wire, &message).await?,
                "DLMessageUploadFiles" => self.upload(&mut wire).await?,
                "DLMessageGetFreeDiskSpace" => status(&mut wire, 0, self.free.into()).await?,
                "DLMessagePurgeDiskSpace" => {
                    self.purge = message[1].as_unsigned_integer();
                    status(&mut wire, -1, empty).await?;
                }
                "DLMessageMoveItems" => {
                    self.moves(&message);
                    status(&mut wire, self.move_status, empty).await?;
                }
                "DLContentsOfDirectory" => {
                    let listing = self.listing(message[1].as_string().unwrap());
                    status(&mut wire, 0, Value::Dictionary(listing)).await?;
                }
                "DLMessageRemoveItems" => {
                    for path in message[1].as_array().unwrap() {
                        let path = path.as_string().unwrap();
                        let below = format!("{path}/");
                        self.files.retain(|name, _| name != path && !name.starts_with(&below));
                    }
                    status(&mut wire, 0, empty).await?;
                }
                "DLMessageSimulatedUnknown" => status(&mut wire, -1, empty).await?,
                _ => status(&mut wire, 0, empty).await?,
            }
        }
    }

    /// What is in a folder, each with nothing about it.
    fn listing(&self, folder: &str) -> Dictionary {
        let below = format!("{folder}/");
        let names = self.files.keys().filter_map(|path| path.strip_prefix(&below)?.split('/').next());
        names.map(|name| (name.to_owned(), Value::Dictionary(Dictionary::new()))).collect()
    }

    fn moves(&mut self, message: &[Value]) {
        for (from, to) in message[1].as_dictionary().unwrap() {
            self.moved += 1;
            if let Some(bytes) = self.files.remove(from) {
                self.files.insert(to.as_string().unwrap().into(), bytes);
            }
        }
    }

    async fn download(&mut self, wire: &mut Wire, message: &[Value]) -> io::Result<()> {
        let mut errors = Dictionary::new();
        for path in message[1].as_array().unwrap() {
            let path = path.as_string().unwrap();
            wire.write_u32(path.len() as u32).await?;
            wire.write_all(path.as_bytes()).await?;
            if let Some(bytes) = self.files.get(path) {
                for block in bytes.chunks(32_767) {
                    wire.write_u32(block.len() as u32 + 1).await?;
                    wire.write_u8(0x0C).await?;
                    wire.write_all(block).await?;
                }
                wire.write_all(&[0, 0, 0, 1, 0]).await?;
            } else {
                wire.write_all(&[0, 0, 0, 3, 6, b'n', b'o']).await?;
                errors.insert(path.to_owned(), Value::Dictionary(Dictionary::new()));
            }
        }
        wire.write_u32(0).await?;
        let code = if errors.is_empty() { 0 } else { -13 };
        status(wire, code, Value::Dictionary(errors)).await
    }

    async fn upload(&mut self, wire: &mut Wire) -> io::Result<()> {
        loop {
            let length = wire.read_u32().await?;
            if length == 0 {
                return status(wire, 0, Value::Dictionary(Dictionary::new())).await;
            }
            text(wire, length).await?;
            let length = wire.read_u32().await?;
            let path = text(wire, length).await?;
            let kept = path.contains(".plist") || path.contains(".db");
            let mut bytes = Vec::new();
            loop {
                let mut left = wire.read_u32().await? as usize - 1;
                let code = wire.read_u8().await?;
                while left > 0 {
                    let buffer = wire.fill_buf().await?;
                    if buffer.is_empty() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let count = buffer.len().min(left);
                    if kept {
                        bytes.extend_from_slice(&buffer[..count]);
                    }
                    wire.consume(count);
                    left -= count;
                }
                self.unreadable += usize::from(code == 0x0B);
                if code != 0x0C {
                    break;
                }
            }
            self.uploaded += usize::from(!kept);
            // Of a payload the name alone.
            self.files.insert(path, bytes);
        }
    }
}
