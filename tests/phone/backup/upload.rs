//! `DLMessageUploadFiles`: files from the phone to the host.
//!
//! A file is a device path and a path below the backup root, each with its length, then blocks: a length that counts the
//! code byte too, the code, the data. A zero length ends the list, and the host answers the whole with one status
//! (libimobiledevice `idevicebackup2.c`, `mb2_handle_receive_files`).

use plist::{Dictionary, Value};

use super::{
    cipher::{CIPHER_BLOCK, Encryptor, pad},
    devicelink::Link,
    digests::Hasher,
    encryption::Encryption,
    names,
    status::check_written,
    stop::Stop,
};
use crate::phone::{Event, Fault, Stream, Unreadable, dataset::DataFile};

const CODE_DATA: u8 = 0x0C;
const CODE_DONE: u8 = 0x00;
const CODE_ERROR: u8 = 0x0B;
/// Length of a block with its code.
const BLOCK: usize = 128 * 1024;
/// Content in a block of an encrypted file: whole cipher blocks.
const ENCRYPTED_BLOCK: usize = (BLOCK - 1) / CIPHER_BLOCK * CIPHER_BLOCK;
/// What a lying length is followed by: more than any host buffers before it notices.
const FILLER: usize = 64 * 1024;

impl<S: Stream> Link<'_, S> {
    /// Announces `total` bytes in files that follow.
    pub(super) async fn begin_upload(&mut self, progress: f64, total: u64) -> Result<(), Stop> {
        let arguments = vec![Value::Dictionary(Dictionary::new()), progress.into(), total.into()];
        Ok(self.send("DLMessageUploadFiles", arguments).await?)
    }

    /// Ends the list of files; the host must have kept all of them.
    pub(super) async fn end_upload(&mut self) -> Result<(), Stop> {
        self.room(4).await?.extend_from_slice(&[0; 4]);
        let status = self.status().await?;
        if std::mem::take(&mut self.hostile_upload) {
            self.phone().tell(Event::HostileAnswered { status: status.code, bytes: 0 });
            if self.phone().shrugs_at_refusals() {
                return Ok(());
            }
        }
        check_written("upload files", &status)
    }

    /// Sends files that belong to no backup, as scripted, beside those of the batch that was begun.
    pub(super) async fn upload_oddities(&mut self) -> Result<(), Stop> {
        let phone = self.phone();
        let mut odd: Vec<(String, String)> =
            (0..phone.odd_paths()).map(names::odd_path).map(|path| ("/.b/6/odd".into(), path)).collect();
        if let Some(Fault::HostilePath { device, file }) = phone.fault()
            && self.first_upload
            && phone.shrugs_at_refusals()
        {
            odd.push((if device.is_empty() { "/.b/6/odd".into() } else { device }, file));
        }
        // The fault of the first upload is for the first of the batch's own.
        let first = std::mem::take(&mut self.first_upload);
        for (device, path) in &odd {
            self.hostile_upload = true;
            self.upload_name(device, path).await?;
            let out = self.room(5 + path.len() + 5).await?;
            push_block(out, CODE_DATA, path.len());
            out.extend_from_slice(path.as_bytes());
            push_block(out, CODE_DONE, 0);
        }
        self.first_upload = first;
        Ok(())
    }

    /// Sends one small file that exists in memory only.
    pub(super) async fn upload_bytes(
        &mut self,
        device: &str,
        path: &str,
        progress: f64,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        self.begin_upload(progress, bytes.len() as u64).await?;
        self.upload_name(device, path).await?;
        for block in bytes.chunks(BLOCK - 1) {
            let out = self.room(5 + block.len()).await?;
            push_block(out, CODE_DATA, block.len());
            out.extend_from_slice(block);
        }
        push_block(self.room(5).await?, CODE_DONE, 0);
        self.end_upload().await
    }

    /// Sends one file of the data set, and remembers the digest of what went if its row wants one.
    pub(super) async fn upload_file(&mut self, device: &str, path: &str, file: &DataFile) -> Result<(), Stop> {
        self.upload_name(device, path).await?;
        let mut hasher = file.has_digest().then(Hasher::new);
        for (offset, length) in file.chunks(BLOCK - 1) {
            let out = self.room(5 + length).await?;
            push_block(out, CODE_DATA, length);
            let start = out.len();
            file.append_to(offset, length, out);
            if let Some(hasher) = &mut hasher {
                hasher.update(&out[start..]);
            }
        }
        push_block(self.room(5).await?, CODE_DONE, 0);
        if let Some(hasher) = hasher {
            self.phone().digests().remember(file, None, hasher.finish());
        }
        Ok(())
    }

    /// Sends one file of the data set encrypted.
    pub(super) async fn upload_encrypted_file(
        &mut self,
        device: &str,
        path: &str,
        file: &DataFile,
        encryption: &Encryption,
    ) -> Result<(), Stop> {
        self.upload_name(device, path).await?;
        let mut encryptor = Encryptor::new(&encryption.file_key(file));
        let mut hasher = file.has_digest().then(Hasher::new);
        // An empty file has one piece too: padding alone.
        let empty = (file.size == 0).then_some((0, 0));
        for (offset, length) in file.chunks(ENCRYPTED_BLOCK).chain(empty) {
            let is_last = offset + length as u64 == file.size;
            let sent = if is_last { (length / CIPHER_BLOCK + 1) * CIPHER_BLOCK } else { length };
            let out = self.room(5 + sent).await?;
            push_block(out, CODE_DATA, sent);
            let start = out.len();
            file.append_to(offset, length, out);
            if is_last {
                pad(out, length);
            }
            encryptor.encrypt(&mut out[start..]);
            if let Some(hasher) = &mut hasher {
                hasher.update(&out[start..]);
            }
        }
        push_block(self.room(5).await?, CODE_DONE, 0);
        if let Some(hasher) = hasher {
            self.phone().digests().remember(file, Some(encryption), hasher.finish());
        }
        Ok(())
    }

    /// Sends the first half of a file, plain or encrypted, and no code behind it.
    pub(super) async fn upload_half(
        &mut self,
        device: &str,
        path: &str,
        file: &DataFile,
        encryption: Option<&Encryption>,
    ) -> Result<(), Stop> {
        self.upload_name(device, path).await?;
        self.upload_start(file, file.size / 2, encryption).await
    }

    /// Sends the first `bytes` of a file, or a little less: whole cipher blocks.
    async fn upload_start(&mut self, file: &DataFile, bytes: u64, encryption: Option<&Encryption>) -> Result<(), Stop> {
        let mut encryptor = encryption.map(|encryption| Encryptor::new(&encryption.file_key(file)));
        let end = bytes.min(file.size) as usize / CIPHER_BLOCK * CIPHER_BLOCK;
        for offset in (0..end).step_by(ENCRYPTED_BLOCK) {
            let length = (end - offset).min(ENCRYPTED_BLOCK);
            let out = self.room(5 + length).await?;
            push_block(out, CODE_DATA, length);
            let start = out.len();
            file.append_to(offset as u64, length, out);
            if let Some(encryptor) = &mut encryptor {
                encryptor.encrypt(&mut out[start..]);
            }
        }
        Ok(())
    }

    /// Names a file and says that it can't be read, or not further.
    pub(super) async fn upload_unreadable(
        &mut self,
        device: &str,
        path: &str,
        file: &DataFile,
        manner: Unreadable,
        encryption: Option<&Encryption>,
    ) -> Result<(), Stop> {
        self.upload_name(device, path).await?;
        self.upload_start(file, manner.bytes_before, encryption).await?;
        let text = if manner.code == CODE_ERROR { "Input/output error (5)" } else { "No such file or directory" };
        let out = self.room(5 + text.len()).await?;
        push_block(out, manner.code, text.len());
        out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    async fn upload_name(&mut self, device: &str, path: &str) -> Result<(), Stop> {
        let fault = if std::mem::take(&mut self.first_upload) { self.phone().fault() } else { None };
        let (mut device, mut path) = (device, path);
        match &fault {
            Some(Fault::HostilePath { device: hostile_device, file }) if !self.phone().shrugs_at_refusals() => {
                // An empty device path would end the list.
                device = if hostile_device.is_empty() { device } else { hostile_device };
                path = file;
                self.hostile_upload = true;
            }
            Some(Fault::NameLength { bytes }) => return Err(self.lie(*bytes, b"").await),
            _ => {}
        }
        let out = self.room(8 + device.len() + path.len()).await?;
        push_text(out, device);
        push_text(out, path);
        if let Some(Fault::BlockLength { bytes }) = fault {
            return Err(self.lie(bytes, &[CODE_DATA]).await);
        }
        Ok(())
    }

    /// Announces `length` bytes, sends fewer, and waits.
    async fn lie(&mut self, length: u32, code: &[u8]) -> Stop {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(code);
        bytes.resize(FILLER, b'x');
        self.send_broken(&bytes).await
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_block(out: &mut Vec<u8>, code: u8, length: usize) {
    out.extend_from_slice(&(length as u32 + 1).to_be_bytes());
    out.push(code);
}
