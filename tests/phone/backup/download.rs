//! `DLMessageDownloadFiles`: files from the host to the phone.
//!
//! The host answers with the path and blocks of each file, a zero length, and a status that lists what failed by path
//! (libimobiledevice `idevicebackup2.c`, `mb2_handle_send_files`).

use std::io;

use plist::{Dictionary, Value};

use super::{
    devicelink::{HostStatus, Link},
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

    /// One small file; `None` when the host doesn't have it.
    pub(super) async fn download_bytes(&mut self, path: &str) -> Result<Option<Vec<u8>>, Stop> {
        let mut sink = Single { to: Vec::new(), complete: false };
        let status = self.download(&[path.to_owned()], 0.0, &mut sink).await?;
        Ok((sink.complete && status.code == 0).then_some(sink.to))
    }

    /// One large file, into a temporary one; `None` when the host doesn't have it.
    pub(super) async fn download_database(&mut self, path: &str) -> Result<Option<tempfile::NamedTempFile>, Stop> {
        let file = tempfile::NamedTempFile::new()?;
        let mut sink = Single { to: io::BufWriter::with_capacity(1 << 20, file), complete: false };
        let status = self.download(&[path.to_owned()], 0.0, &mut sink).await?;
        let file = sink.to.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((sink.complete && status.code == 0).then_some(file))
    }
}
