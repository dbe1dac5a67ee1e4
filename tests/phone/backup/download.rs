//! `DLMessageDownloadFiles`: files from the host to the phone.
//!
//! The host answers with the path and blocks of each file, a zero length, and a status that lists what failed by path
//! (libimobiledevice `idevicebackup2.c`, `mb2_handle_send_files`).

use std::io;

use plist::{Dictionary, Value};

use super::{
    devicelink::{HostStatus, Link},
    status::check_present,
    stop::{Stop, broken},
};
use crate::phone::Stream;

const CODE_DATA: u8 = 0x0C;
const CODE_DONE: u8 = 0x00;
const PATH_LENGTH_MAX: usize = 4096;
/// Hosts send 32 KiB; some once sent 128 MiB.
const BLOCK_LENGTH_MAX: usize = 256 << 20;

/// Where downloaded files go.
pub(super) trait Sink {
    /// The next file begins.
    fn begin(&mut self, path: &str) -> io::Result<()>;
    /// Its next bytes.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// It is complete.
    fn done(&mut self) -> io::Result<()>;
    /// The host could not read it.
    fn failed(&mut self, text: &str) -> io::Result<()>;
}

/// A sink for one file.
pub(super) struct Single<W> {
    pub(super) to: W,
    pub(super) complete: bool,
}

impl<W: io::Write> Sink for Single<W> {
    fn begin(&mut self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)
    }

    fn done(&mut self) -> io::Result<()> {
        self.complete = true;
        Ok(())
    }

    fn failed(&mut self, _text: &str) -> io::Result<()> {
        Ok(())
    }
}

impl<S: Stream> Link<'_, S> {
    /// Asks for files and takes what comes.
    pub(super) async fn download(
        &mut self,
        paths: &[String],
        progress: f64,
        sink: &mut (impl Sink + Send),
    ) -> Result<HostStatus, Stop> {
        let wanted = Value::Array(paths.iter().map(|path| path.as_str().into()).collect());
        let options = Value::Dictionary(Dictionary::new());
        self.send("DLMessageDownloadFiles", vec![wanted, options, progress.into()]).await?;
        loop {
            let length = self.read_u32().await? as usize;
            if length == 0 {
                break;
            }
            let path = self.read_text(length, PATH_LENGTH_MAX).await?;
            sink.begin(&path)?;
            self.blocks(sink).await?;
        }
        self.status().await
    }

    async fn blocks(&mut self, sink: &mut (impl Sink + Send)) -> Result<(), Stop> {
        loop {
            let length = self.read_u32().await? as usize;
            if length == 0 || length > BLOCK_LENGTH_MAX {
                return Err(broken(format!("a block of {length} bytes")).into());
            }
            match self.read_u8().await? {
                CODE_DATA => self.read_through(length - 1, |bytes| sink.data(bytes)).await?,
                CODE_DONE => {
                    self.read_through(length - 1, |_| Ok(())).await?;
                    return Ok(sink.done()?);
                }
                _ => {
                    let text = self.read_text(length - 1, BLOCK_LENGTH_MAX.min(64 * 1024)).await?;
                    return Ok(sink.failed(&text)?);
                }
            }
        }
    }

    /// One small file; `None` when it did not come, for whatever reason.
    pub(super) async fn download_bytes(&mut self, path: &str, progress: f64) -> Result<Option<Vec<u8>>, Stop> {
        let (bytes, status, complete) = self.download_one(path, progress, Vec::new()).await?;
        Ok((complete && status.code == 0).then_some(bytes))
    }

    /// One large file, into a temporary one; `None` when it did not come, for whatever reason.
    pub(super) async fn download_database(&mut self, path: &str) -> Result<Option<tempfile::NamedTempFile>, Stop> {
        let (file, status, complete) = self.download_large(path).await?;
        Ok((complete && status.code == 0).then_some(file))
    }

    /// One small file of the backup before; `None` when the host says that it does not have it, as it must say it.
    pub(super) async fn fetch(&mut self, path: &str) -> Result<Option<Vec<u8>>, Stop> {
        let (bytes, status, complete) = self.download_one(path, 0.0, Vec::new()).await?;
        Ok(check_present(path, &status, complete)?.then_some(bytes))
    }

    /// The same of a large file.
    pub(super) async fn fetch_database(&mut self, path: &str) -> Result<Option<tempfile::NamedTempFile>, Stop> {
        let (file, status, complete) = self.download_large(path).await?;
        Ok(check_present(path, &status, complete)?.then_some(file))
    }

    async fn download_large(&mut self, path: &str) -> Result<(tempfile::NamedTempFile, HostStatus, bool), Stop> {
        let to = io::BufWriter::with_capacity(1 << 20, tempfile::NamedTempFile::new()?);
        let (to, status, complete) = self.download_one(path, 0.0, to).await?;
        Ok((to.into_inner().map_err(io::IntoInnerError::into_error)?, status, complete))
    }

    /// What came of one file, what the host said of it, and whether that was the whole.
    async fn download_one<W: io::Write + Send>(
        &mut self,
        path: &str,
        progress: f64,
        to: W,
    ) -> Result<(W, HostStatus, bool), Stop> {
        let mut sink = Single { to, complete: false };
        let status = self.download(&[path.to_owned()], progress, &mut sink).await?;
        Ok((sink.to, status, sink.complete))
    }
}
