//! com.apple.afc: the phone's media folder, with the lock that keeps other programs out of a sync.
//!
//! Facts from libimobiledevice `src/afc.c`, idevice `services/afc` and pymobiledevice3 `services/afc.py`.

use std::io;

use tokio::io::AsyncWriteExt;

use super::{Event, Phone, Stream};

mod contents;
mod faults;
mod library;
mod locks;
mod media;
mod open_files;
mod packet;

pub use faults::FileFault;
pub use media::{Media, SyncLock};

use open_files::OpenFiles;
use packet::{Fields, Operation, Reply, Request, Status};

/// Where programs meet before they sync or back up.
pub const SYNC_LOCK: &str = "/com.apple.itunes.lock_sync";

const BLOCK_SIZE: u64 = 4096;

/// Answers packets until the client closes; its locks go with it.
pub(crate) async fn serve<S: Stream>(phone: &Phone, mut stream: S) -> io::Result<()> {
    let mut open_files = OpenFiles::new(phone.media());
    while let Some(request) = Request::read(&mut stream).await? {
        let reply = match Operation::from_number(request.operation) {
            Some(operation) => answer(phone, &mut open_files, operation, &request.body),
            None => Err(Status::OperationNotSupported),
        };
        let reply = reply.unwrap_or_else(Reply::Status);
        if let Reply::Data(bytes) = &reply
            && request.operation == packet::FILE_READ
            && !phone.media().may_hand_out(bytes.len() as u64)
        {
            phone.tell(Event::MediaDisconnected);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        stream.write_all(&reply.to_packet(request.number)).await?;
        stream.flush().await?;
    }
    Ok(())
}

fn answer(phone: &Phone, open_files: &mut OpenFiles<'_>, operation: Operation, body: &[u8]) -> Result<Reply, Status> {
    let media = phone.media();
    let mut fields = Fields(body);
    let success = |()| Reply::Status(Status::Success);
    match operation {
        Operation::ReadDirectory => media.list(&fields.path()?).map(|names| Reply::strings(&names)),
        Operation::GetFileInfo => media.information(&fields.path()?).map(|facts| Reply::strings(&facts)),
        Operation::GetDeviceInfo => Ok(Reply::strings(&device_information(phone))),
        Operation::Truncate => {
            let length = fields.number()?;
            media.set_length_of(&fields.path()?, length).map(success)
        }
        Operation::RemovePath => media.remove(&fields.path()?, false).map(success),
        Operation::RemovePathAndContents => media.remove(&fields.path()?, true).map(success),
        Operation::MakeDirectory => media.make_directory(&fields.path()?).map(success),
        Operation::RenamePath => {
            let from = fields.path()?;
            media.rename(&from, &fields.path()?).map(success)
        }
        Operation::SetFileTime => {
            let nanoseconds = fields.number()?;
            media.set_modified(&fields.path()?, nanoseconds).map(success)
        }
        Operation::FileOpen => {
            let mode = fields.number()?;
            open_files.open(mode, &fields.path()?).map(Reply::FileOpened)
        }
        Operation::FileRead => open_files.read(fields.number()?, fields.number()?).map(Reply::Data),
        Operation::FileWrite => open_files.write(fields.number()?, fields.0).map(success),
        Operation::FileSeek => open_files.seek(fields.number()?, fields.number()?, fields.signed()?).map(success),
        Operation::FileTell => open_files.tell(fields.number()?).map(Reply::Position),
        Operation::FileClose => open_files.close(fields.number()?).map(success),
        Operation::FileSetSize => open_files.set_length(fields.number()?, fields.number()?).map(success),
        Operation::FileLock => open_files.lock(fields.number()?, fields.number()?).map(success),
        Operation::SetBlockSize => Ok(Reply::Status(Status::Success)),
    }
}

fn device_information(phone: &Phone) -> Vec<String> {
    let capacity = phone.spec().total_data_capacity;
    let free = phone.lockdown_value("com.apple.disk_usage", "AmountDataAvailable");
    let free = free.and_then(|free| free.as_unsigned_integer()).unwrap_or_default();
    let facts = [
        ("Model", phone.spec().product_type.clone()),
        ("FSTotalBytes", capacity.to_string()),
        ("FSFreeBytes", free.to_string()),
        ("FSBlockSize", BLOCK_SIZE.to_string()),
    ];
    facts.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect()
}
