//! The least that a client can do: take the mobilebackup2 stream over the same TLS link and write its files with plain
//! blocking writes. No checks, no verification, no sync, no `Info.plist`; what is dear in any client is dear here too.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use backstay::{
    host::disk,
    phone::link::{Muxer, Session},
};
use idevice::ReadWrite;
use plist::{Dictionary, Value};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::Result;

const BUFFER_BYTES: usize = 256 * 1024;
/// A piece of a file follows; any other code ends the file.
const CODE_DATA: u8 = 0x0C;
/// The file is complete.
const CODE_DONE: u8 = 0x00;
/// Of a file that goes to the phone, as Backstay sends it.
const BLOCK_BYTES: usize = 32 * 1024;
/// DeviceLink: some files failed, and the payload tells why.
const MULTI_STATUS: i64 = -13;
/// DeviceLink's ENOENT; a new folder has none of what a phone asks for first.
const NOT_THERE: i64 = -6;

#[derive(clap::Args)]
pub struct Arguments {
    #[arg(long)]
    udid: String,
    #[arg(long)]
    target: PathBuf,
}

/// `benchmark plain-copy`: one full backup into an empty folder.
pub fn carry_out(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let muxer = Muxer::from_environment(&arguments.target)?;
        let found = muxer.devices().await?.into_iter().find(|phone| phone.udid.as_str() == arguments.udid);
        let mut session = Session::open(&muxer, &found.ok_or("the phone is not there")?).await?;
        let socket = session.service("com.apple.mobilebackup2").await?.get_socket().ok_or("no socket")?;
        fs::create_dir(arguments.target.join(&arguments.udid))?;
        let stream = BufReader::with_capacity(BUFFER_BYTES, socket);
        Copy { stream, target: arguments.target.clone() }.back_up(&arguments.udid).await?;
        session.close().await;
        Ok(())
    })
}

/// The names of the files in a folder; a missing one has none.
fn names_in(folder: &Path) -> Result<Value> {
    let mut names = Dictionary::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names.into()),
        entries => entries?,
    };
    for entry in entries {
        let regular = Dictionary::from_iter([("DLFileType", Value::from("DLFileTypeRegular"))]);
        names.insert(entry?.file_name().to_string_lossy().into_owned(), regular.into());
    }
    Ok(names.into())
}

struct Copy {
    stream: BufReader<Box<dyn ReadWrite>>,
    target: PathBuf,
}

impl Copy {
    async fn back_up(&mut self, udid: &str) -> Result<()> {
        let mut greeted = false;
        loop {
            let length = self.stream.read_u32().await?;
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body).await?;
            let Value::Array(message) = plist::from_bytes(&body)? else { return Err("no list".into()) };
            let name = message.first().and_then(Value::as_string).unwrap_or_default();
            let argument = message.get(1).unwrap_or(&Value::Boolean(false));
            match name {
                "DLMessageVersionExchange" => {
                    self.send(vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), 400.into()]).await?;
                }
                "DLMessageDeviceReady" => {
                    let versions = Value::Array(vec![2.0.into(), 2.1.into()]);
                    self.request("Hello", [("SupportedProtocolVersions", versions)]).await?;
                }
                "DLMessageProcessMessage" => {
                    let answer = argument.as_dictionary().ok_or("no answer")?;
                    if answer.get("ErrorCode").and_then(Value::as_signed_integer) != Some(0) {
                        return Err(format!("the phone answered {answer:?}").into());
                    }
                    if greeted {
                        return Ok(());
                    }
                    greeted = true;
                    let ids = ["TargetIdentifier", "SourceIdentifier"].map(|key| (key, udid.into()));
                    self.request("Backup", ids).await?;
                }
                _ => self.answer(name, argument).await?,
            }
        }
    }

    async fn answer(&mut self, name: &str, argument: &Value) -> Result<()> {
        let path = |value: &Value| self.target.join(value.as_string().unwrap_or_default());
        let nothing = || Value::Dictionary(Dictionary::new());
        let (code, content) = match name {
            "DLMessageUploadFiles" => {
                self.take_files().await?;
                (0, nothing())
            }
            "DLMessageDownloadFiles" => {
                let missing = self.give_files(argument).await?;
                (if missing.is_empty() { 0 } else { MULTI_STATUS }, missing.into())
            }
            "DLMessageGetFreeDiskSpace" => (0, disk::free_bytes(&self.target)?.into()),
            "DLContentsOfDirectory" => (0, names_in(&path(argument))?),
            "DLMessageCreateDirectory" => {
                fs::create_dir_all(path(argument))?;
                (0, nothing())
            }
            "DLMessageMoveItems" => {
                for (from, to) in argument.as_dictionary().ok_or("nothing to move")? {
                    fs::rename(self.target.join(from), path(to))?;
                }
                (0, nothing())
            }
            "DLMessageRemoveItems" => {
                for item in argument.as_array().ok_or("nothing to remove")? {
                    fs::remove_dir_all(path(item))?;
                }
                (0, nothing())
            }
            name => return Err(format!("{name} is not known").into()),
        };
        self.send(vec!["DLMessageStatusResponse".into(), code.into(), "".into(), content]).await
    }

    /// A device path, a path and blocks for each file, until a length of zero.
    async fn take_files(&mut self) -> Result<()> {
        loop {
            let length = self.stream.read_u32().await?;
            if length == 0 {
                return Ok(());
            }
            self.text(length).await?;
            let length = self.stream.read_u32().await?;
            let path = self.text(length).await?;
            let mut file = File::create(self.target.join(path))?;
            loop {
                let mut left = self.stream.read_u32().await? as usize - 1;
                if self.stream.read_u8().await? != CODE_DATA {
                    break;
                }
                while left > 0 {
                    let bytes = self.stream.fill_buf().await?;
                    if bytes.is_empty() {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    let count = bytes.len().min(left);
                    file.write_all(&bytes[..count])?;
                    self.stream.consume(count);
                    left -= count;
                }
            }
        }
    }

    /// The files that the phone asks for, as far as they are there: their paths, blocks and a code, and a length of zero.
    /// Returns what is to be said of the others.
    async fn give_files(&mut self, wanted: &Value) -> Result<Dictionary> {
        let mut missing = Dictionary::new();
        for path in wanted.as_array().ok_or("nothing to send")?.iter().filter_map(Value::as_string) {
            let Ok(mut file) = File::open(self.target.join(path)) else {
                let error = Dictionary::from_iter([("DLFileErrorCode", Value::from(NOT_THERE))]);
                missing.insert(path.into(), error.into());
                continue;
            };
            self.stream.write_u32(u32::try_from(path.len())?).await?;
            self.stream.write_all(path.as_bytes()).await?;
            let mut block = vec![0; BLOCK_BYTES];
            loop {
                let length = file.read(&mut block)?;
                self.stream.write_u32(u32::try_from(length)? + 1).await?;
                self.stream.write_u8(if length == 0 { CODE_DONE } else { CODE_DATA }).await?;
                self.stream.write_all(&block[..length]).await?;
                if length == 0 {
                    break;
                }
            }
        }
        self.stream.write_u32(0).await?;
        Ok(missing)
    }

    async fn text(&mut self, length: u32) -> Result<String> {
        let mut text = vec![0; length as usize];
        self.stream.read_exact(&mut text).await?;
        Ok(String::from_utf8(text)?)
    }

    async fn request<const N: usize>(&mut self, name: &str, arguments: [(&str, Value); N]) -> Result<()> {
        let mut request: Dictionary = arguments.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        request.insert("MessageName".into(), name.into());
        self.send(vec!["DLMessageProcessMessage".into(), request.into()]).await
    }

    async fn send(&mut self, message: Vec<Value>) -> Result<()> {
        let mut body = Vec::new();
        Value::Array(message).to_writer_binary(&mut body)?;
        self.stream.write_u32(u32::try_from(body.len())?).await?;
        self.stream.write_all(&body).await?;
        Ok(self.stream.flush().await?)
    }
}
