//! A host that keeps the metadata in memory and throws payloads away: fast, and sees every message.

use std::{collections::HashMap, io};

use plist::{Dictionary, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::serve;
use crate::phone::Phone;

#[derive(Default)]
pub(super) struct MemoryHost {
    pub(super) files: HashMap<String, Vec<u8>>,
    /// Bytes of each payload that is there.
    pub(super) lengths: HashMap<String, u64>,
    pub(super) messages: Vec<String>,
    /// Each message and what it is about, `U` for the phone's folder.
    pub(super) log: Vec<String>,
    /// Progress of each message that tells it, by its name.
    pub(super) percents: Vec<(String, f64)>,
    /// Names of files on the phone, in the order in which they came.
    pub(super) devices: Vec<String>,
    /// How many files each message moves.
    pub(super) move_counts: Vec<usize>,
    /// What is answered to DeviceLink's greeting.
    pub(super) device_link: u64,
    /// The old and the new backup password that a request names.
    pub(super) password: (Option<String>, Option<String>),
    /// What is answered for a file that is not there: the status, and the code for its path.
    pub(super) not_there: (i64, Option<i64>),
    /// The connection breaks at the so manieth message of this name, once.
    pub(super) breaks_at: Option<(&'static str, usize)>,
    /// What that message asks for is done.
    pub(super) carries_out: bool,
    /// Answers `DLMessageUploadFiles` with this where an odd path is among the files.
    pub(super) odd_status: i64,
    /// Bytes of files given away.
    pub(super) served: u64,
    /// What is free once room was made; none where the host makes no room.
    pub(super) free_after_purge: Option<u64>,
    pub(super) uploaded: usize,
    pub(super) unreadable: usize,
    /// Files that the end of a list came behind.
    pub(super) cut: usize,
    pub(super) moved: usize,
    pub(super) free: u64,
    pub(super) purge: Option<u64>,
    /// A payload of this name is not moved into place.
    pub(super) loses: Option<String>,
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
        Self { free: 1 << 50, device_link: 400, not_there: (-13, Some(-6)), ..Self::default() }
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
        send(&mut wire, vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), self.device_link.into()])
            .await?;
        let ready = receive(&mut wire).await?;
        if ready[0].as_string() != Some("DLMessageDeviceReady") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut request = Dictionary::new();
        request.insert("MessageName".into(), name.into());
        request.insert("Options".into(), options.into());
        let (old, new) = &self.password;
        for (key, word) in [("OldPassword", old), ("NewPassword", new)] {
            if let Some(word) = word {
                request.insert(key.into(), word.as_str().into());
            }
        }
        send(&mut wire, vec!["DLMessageProcessMessage".into(), Value::Dictionary(request)]).await?;
        loop {
            let message = receive(&mut wire).await?;
            let name = message[0].as_string().unwrap().to_owned();
            self.messages.push(name.clone());
            self.take_down(&name, &message, phone.udid());
            if let Some((_, left)) = self.breaks_at.as_mut().filter(|(at, _)| *at == name) {
                *left -= 1;
                if *left == 0 {
                    self.breaks_at = None;
                    if self.carries_out && name == "DLMessageMoveItems" {
                        self.moves(&message);
                    }
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
            }
            let empty = Value::Dictionary(Dictionary::new());
            match name.as_str() {
                "DLMessageProcessMessage" => return Ok(message[1].as_dictionary().unwrap().clone()),
                "DLMessageDisconnect" => return Err(io::ErrorKind::ConnectionAborted.into()),
                "DLMessageDownloadFiles" => self.download(&mut wire, &message).await?,
                "DLMessageUploadFiles" => self.upload(&mut wire).await?,
                "DLMessageGetFreeDiskSpace" => status(&mut wire, 0, self.free.into()).await?,
                "DLMessagePurgeDiskSpace" => {
                    self.purge = message[1].as_unsigned_integer();
                    match self.free_after_purge {
                        Some(free) => {
                            self.free = free;
                            status(&mut wire, 0, self.purge.unwrap_or_default().into()).await?;
                        }
                        None => status(&mut wire, -1, empty).await?,
                    }
                }
                "DLMessageMoveItems" => {
                    self.moves(&message);
                    let odd = message[1].as_dictionary().unwrap().keys().any(|path| path.starts_with('.'));
                    let code = if odd { self.odd_status } else { self.move_status };
                    status(&mut wire, code, empty).await?;
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
                        self.lengths.retain(|name, _| name != path && !name.starts_with(&below));
                    }
                    status(&mut wire, 0, empty).await?;
                }
                "DLMessageSimulatedUnknown" => status(&mut wire, -1, empty).await?,
                _ => status(&mut wire, 0, empty).await?,
            }
        }
    }

    /// Bytes of a payload that is there.
    pub(super) fn length(&self, path: &str) -> Option<u64> {
        self.lengths.get(path).copied()
    }

    /// Takes a byte from a payload.
    pub(super) fn shorten(&mut self, path: &str) {
        *self.lengths.get_mut(path).unwrap() -= 1;
    }

    /// Requires every file of the phone in its place and length, and no other.
    pub(super) fn check(&self, phone: &Phone) {
        let in_place = |path: &&String| path.split('/').nth(1).is_some_and(|folder| folder.len() == 2);
        assert_eq!(self.files.keys().filter(in_place).count(), phone.data().file_count());
        for file in phone.data().files() {
            let path = format!("{}/{}", phone.udid(), file.file_id.path());
            assert_eq!(self.length(&path), Some(file.size), "{}", file.name());
        }
    }

    /// Keeps what a message is about.
    fn take_down(&mut self, name: &str, message: &[Value], udid: &str) {
        let short = |path: &str| path.replace(udid, "U");
        let about = match message.get(1) {
            Some(Value::String(path)) if name != "DLMessageGetFreeDiskSpace" => short(path),
            Some(Value::Array(paths)) => {
                let paths: Vec<String> = paths.iter().filter_map(Value::as_string).map(short).collect();
                paths.join(" ")
            }
            _ => String::new(),
        };
        self.log.push(format!("{name} {about}").trim_end().to_owned());
        let percent = match name {
            "DLMessageUploadFiles" => message.get(2),
            _ => message.get(3),
        };
        if let Some(percent) = percent.and_then(Value::as_real) {
            self.percents.push((name.to_owned(), percent));
        }
    }

    /// What is in a folder.
    fn listing(&self, folder: &str) -> Dictionary {
        let below = format!("{folder}/");
        let names = self.files.keys().filter_map(|path| Some((path, path.strip_prefix(&below)?.split('/').next()?)));
        names
            .map(|(path, name)| {
                let length = self.lengths.get(path).copied().unwrap_or_default();
                (name.to_owned(), Value::Dictionary(Dictionary::from_iter([("DLFileSize", Value::from(length))])))
            })
            .collect()
    }

    fn moves(&mut self, message: &[Value]) {
        self.move_counts.push(message[1].as_dictionary().unwrap().len());
        for (from, to) in message[1].as_dictionary().unwrap() {
            self.moved += 1;
            if self.loses.as_ref().is_some_and(|name| from.ends_with(name)) {
                continue;
            }
            if let Some(bytes) = self.files.remove(from) {
                self.files.insert(to.as_string().unwrap().into(), bytes);
                let length = self.lengths.remove(from).unwrap_or_default();
                self.lengths.insert(to.as_string().unwrap().into(), length);
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
                self.served += bytes.len() as u64;
                for block in bytes.chunks(32_767) {
                    wire.write_u32(block.len() as u32 + 1).await?;
                    wire.write_u8(0x0C).await?;
                    wire.write_all(block).await?;
                }
                wire.write_all(&[0, 0, 0, 1, 0]).await?;
            } else {
                wire.write_all(&[0, 0, 0, 3, 6, b'n', b'o']).await?;
                let code = self.not_there.1.map(i64::cast_unsigned);
                let error = code.map(|code| ("DLFileErrorCode", Value::from(code)));
                errors.insert(path.to_owned(), Value::Dictionary(Dictionary::from_iter(error)));
            }
        }
        wire.write_u32(0).await?;
        let code = if errors.is_empty() { 0 } else { self.not_there.0 };
        status(wire, code, Value::Dictionary(errors)).await
    }

    async fn upload(&mut self, wire: &mut Wire) -> io::Result<()> {
        let mut odd = false;
        loop {
            let length = wire.read_u32().await?;
            if length == 0 {
                let code = if odd { self.odd_status } else { 0 };
                return status(wire, code, Value::Dictionary(Dictionary::new())).await;
            }
            let device = text(wire, length).await?;
            let length = wire.read_u32().await?;
            let path = text(wire, length).await?;
            odd |= path.starts_with(['.', '/']);
            self.devices.push(device);
            let mut received = 0;
            let kept = path.contains(".plist") || path.contains(".db");
            let mut bytes = Vec::new();
            loop {
                let length = wire.read_u32().await? as usize;
                if length == 0 {
                    // The end of the list, straight behind data.
                    self.cut += 1;
                    return status(wire, 0, Value::Dictionary(Dictionary::new())).await;
                }
                let (mut left, code) = (length - 1, wire.read_u8().await?);
                received += if code == 0x0C { left as u64 } else { 0 };
                if code > b' ' {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a name behind data"));
                }
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
                self.unreadable += usize::from(code == 0x0B || code == 0x06);
                if code != 0x0C {
                    break;
                }
            }
            self.uploaded += usize::from(!kept);
            // Of a payload the name alone, and its length.
            self.lengths.insert(path.clone(), received);
            self.files.insert(path, bytes);
        }
    }
}
