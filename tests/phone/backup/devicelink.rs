//! DeviceLink seen from the phone: plist messages with a length in front, raw bytes between them, one buffer each way.
//!
//! Every byte leaves through [`Link::flush`], so this is where the cable comes out, the link falls silent or slows down.

use std::io;

use plist::{Dictionary, Value};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    time::{Duration, Instant},
};

use super::stop::{Stop, broken};
use crate::phone::{Event, Fault, Phone, Stream};

/// Replies are small: the largest is a listing of one folder.
const MESSAGE_LENGTH_MAX: usize = 16 << 20;
const OUT_CAPACITY: usize = 512 * 1024;
const IN_CAPACITY: usize = 256 * 1024;
/// What both sides send for "no text" (libimobiledevice `mobilebackup2_send_status_response`).
pub(super) const EMPTY: &str = "___EmptyParameterString___";

/// A message's type and everything after it.
pub(super) struct Message {
    pub(super) name: String,
    pub(super) arguments: Vec<Value>,
}

impl Message {
    /// The dictionary of a `DLMessageProcessMessage`.
    pub(super) fn into_dictionary(self) -> io::Result<Dictionary> {
        match self.arguments.into_iter().next() {
            Some(Value::Dictionary(dictionary)) => Ok(dictionary),
            _ => Err(broken(format!("{} without a dictionary", self.name))),
        }
    }
}

/// The host's answer to a message: `DLMessageStatusResponse`.
#[derive(Debug)]
pub(super) struct HostStatus {
    /// 0 or a negative DeviceLink code.
    pub(super) code: i64,
    pub(super) text: String,
    pub(super) payload: Value,
}

/// One mobilebackup2 connection.
pub(super) struct Link<'a, S> {
    phone: &'a Phone,
    stream: BufReader<S>,
    out: Vec<u8>,
    /// The next file frame is the first after the snapshot folders were made: scripted faults hit it.
    pub(super) first_upload: bool,
    /// A hostile path is in the upload under way.
    pub(super) hostile_upload: bool,
    /// When the bytes sent so far are through, if the link is slow.
    sent_until: Option<Instant>,
    /// The same of those received.
    received_until: Option<Instant>,
}

impl<'a, S: Stream> Link<'a, S> {
    pub(super) fn new(phone: &'a Phone, stream: S) -> Self {
        let stream = BufReader::with_capacity(IN_CAPACITY, stream);
        Self {
            phone,
            stream,
            out: Vec::with_capacity(OUT_CAPACITY),
            first_upload: false,
            hostile_upload: false,
            sent_until: None,
            received_until: None,
        }
    }

    pub(super) fn phone(&self) -> &'a Phone {
        self.phone
    }

    /// Room for `length` more bytes, sending what waits if need be. What is appended afterwards goes out later.
    pub(super) async fn room(&mut self, length: usize) -> io::Result<&mut Vec<u8>> {
        if self.out.len() + length > OUT_CAPACITY {
            self.flush().await?;
        }
        Ok(&mut self.out)
    }

    /// Sends a message, at the latest when an answer is read.
    pub(super) async fn send(&mut self, name: &str, arguments: Vec<Value>) -> io::Result<()> {
        let mut array = vec![Value::from(name)];
        array.extend(arguments);
        let mut body = Vec::new();
        Value::Array(array).to_writer_binary(&mut body).map_err(io::Error::other)?;
        let out = self.room(4 + body.len()).await?;
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Sends a `DLMessageProcessMessage` at once.
    pub(super) async fn process_message(&mut self, dictionary: Dictionary) -> io::Result<()> {
        self.send("DLMessageProcessMessage", vec![Value::Dictionary(dictionary)]).await?;
        self.flush().await
    }

    /// The next message; `None` when the host closed the connection between two messages.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Message>> {
        self.flush().await?;
        if self.stream.fill_buf().await?.is_empty() {
            return Ok(None);
        }
        let length = self.stream.read_u32().await? as usize;
        if length > MESSAGE_LENGTH_MAX {
            return Err(broken(format!("a message of {length} bytes")));
        }
        let mut body = Vec::with_capacity(length);
        self.read_through(length, |bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        })
        .await?;
        // pymobiledevice3 sends XML, the others binary plists.
        let value: Value = plist::from_bytes(&body).map_err(|error| broken(error.to_string()))?;
        let Value::Array(array) = value else { return Err(broken("a message that is no array")) };
        let mut array = array.into_iter();
        match array.next() {
            Some(Value::String(name)) => Ok(Some(Message { name, arguments: array.collect() })),
            _ => Err(broken("a message without a name")),
        }
    }

    /// The answer to what was sent.
    pub(super) async fn status(&mut self) -> Result<HostStatus, Stop> {
        let Some(message) = self.receive().await? else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        if message.name == "DLMessageDisconnect" {
            return Err(io::Error::from(io::ErrorKind::ConnectionAborted).into());
        }
        if message.name != "DLMessageStatusResponse" {
            return Err(Stop::protocol(format!("{} in place of a status", message.name)));
        }
        let mut arguments = message.arguments.into_iter();
        let Some(Value::Integer(code)) = arguments.next() else {
            return Err(Stop::protocol("a status without a code"));
        };
        // Clients send -6 as 2^64 - 6.
        let code = code.as_signed().or_else(|| code.as_unsigned().map(u64::cast_signed)).unwrap_or(-1);
        let text = match arguments.next() {
            Some(Value::String(text)) if text != EMPTY => text,
            _ => String::new(),
        };
        let payload = arguments.next().unwrap_or(Value::Boolean(false));
        Ok(HostStatus { code, text, payload })
    }

    /// Sends a message and waits for its status.
    pub(super) async fn ask(&mut self, name: &str, arguments: Vec<Value>) -> Result<HostStatus, Stop> {
        self.send(name, arguments).await?;
        self.status().await
    }

    pub(super) async fn read_u32(&mut self) -> io::Result<u32> {
        self.flush().await?;
        self.stream.read_u32().await
    }

    pub(super) async fn read_u8(&mut self) -> io::Result<u8> {
        self.stream.read_u8().await
    }

    /// A text of at most `longest` bytes.
    pub(super) async fn read_text(&mut self, length: usize, longest: usize) -> io::Result<String> {
        if length > longest {
            return Err(broken(format!("a text of {length} bytes")));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Hands over `length` raw bytes as they come.
    pub(super) async fn read_through(
        &mut self,
        length: usize,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let mut count = self.stream.fill_buf().await?.len().min(left);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(bytes_per_second) = self.speed() {
                count = pace(&mut self.received_until, count, bytes_per_second).await;
            }
            take(&self.stream.buffer()[..count])?;
            self.stream.consume(count);
            left -= count;
        }
        Ok(())
    }

    /// Sends what waits, as far as the fault in force lets it.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        while done < self.out.len() {
            let left = self.out.len() - done;
            let sent = *self.phone.bytes_sent().borrow();
            let fault = self.phone.fault();
            let mut allowed = usize::MAX;
            match &fault {
                Some(
                    Fault::UnplugAt { bytes }
                    | Fault::SilentAt { bytes }
                    | Fault::PauseAt { bytes }
                    | Fault::FreezeAt { bytes },
                ) => allowed = usize::try_from(bytes.saturating_sub(sent)).unwrap_or(usize::MAX),
                _ => {}
            }
            let mut count = left.min(allowed);
            if let Some(bytes_per_second) = self.speed() {
                count = pace(&mut self.sent_until, count, bytes_per_second).await;
            }
            let ends = count == allowed;
            self.stream.get_mut().write_all(&self.out[done..done + count]).await?;
            done += count;
            self.phone.bytes_sent().send_modify(|sent| *sent += count as u64);
            if ends {
                self.stream.get_mut().flush().await?;
                match fault {
                    Some(Fault::PauseAt { .. }) => {
                        let mut gone_on = self.phone.gone_on();
                        self.phone.fault_happened();
                        self.phone.tell(Event::Paused);
                        gone_on.wait_for(|gone_on| *gone_on).await.map_err(io::Error::other)?;
                    }
                    Some(Fault::FreezeAt { .. }) => {
                        self.phone.fault_happened();
                        self.phone.freeze();
                        self.phone.thawed().await;
                    }
                    _ => return Err(self.go_away(fault).await),
                }
            }
        }
        self.out.clear();
        self.stream.get_mut().flush().await
    }

    /// Bytes a second that the link carries each way, if it is slow.
    fn speed(&self) -> Option<u64> {
        match self.phone.fault() {
            Some(Fault::SlowLink { bytes_per_second }) => Some(bytes_per_second),
            _ => self.phone.link_speed(),
        }
    }

    /// The scripted end of the link: pulled out, or silent until the host or the cable ends it.
    async fn go_away(&mut self, fault: Option<Fault>) -> io::Error {
        self.phone.fault_happened();
        if matches!(fault, Some(Fault::UnplugAt { .. })) {
            self.phone.unplug();
            self.phone.tell(Event::Unplugged);
            return io::Error::new(io::ErrorKind::ConnectionReset, "unplugged by script");
        }
        self.phone.tell(Event::WentSilent);
        self.swallow().await;
        io::Error::new(io::ErrorKind::ConnectionAborted, "silent by script")
    }

    /// Reads until the host closes or the cable comes out.
    pub(super) async fn swallow(&mut self) {
        let mut link = self.phone.link();
        let here = *link.borrow_and_update();
        loop {
            let count = tokio::select! {
                () = async { drop(link.wait_for(|now| *now != here).await) } => return,
                bytes = self.stream.fill_buf() => match bytes {
                    Ok(bytes) if !bytes.is_empty() => bytes.len(),
                    _ => return,
                },
            };
            self.stream.consume(count);
        }
    }

    /// Sends bytes that break the protocol and waits for what the host makes of them.
    pub(super) async fn send_broken(&mut self, bytes: &[u8]) -> Stop {
        let sent = match self.room(bytes.len()).await {
            Ok(out) => {
                out.extend_from_slice(bytes);
                self.status().await
            }
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(status) => {
                Stop::refused(1, format!("The host answered {} to a broken frame (MBErrorDomain/1)", status.code))
            }
            Err(stop) => stop,
        }
    }
}

/// How many bytes may pass now on a slow link; waits for its turn.
async fn pace(until: &mut Option<Instant>, left: usize, bytes_per_second: u64) -> usize {
    let bytes_per_second = bytes_per_second.max(1);
    let count = left.min((bytes_per_second / 20).max(1) as usize);
    let now = Instant::now();
    let start = until.map_or(now, |until| until.max(now));
    tokio::time::sleep_until(start).await;
    *until = Some(start + Duration::from_secs_f64(count as f64 / bytes_per_second as f64));
    count
}
