//! One restore, as a phone runs it: read the manifests, then every file that they name.

use std::io;

use plist::{Dictionary, Value};

use super::{
    cipher::{Decryptor, Key},
    devicelink::Link,
    digests,
    download::{Single, Sink},
    manifest::{self, Kind, Row},
    misbehave, plists,
    restored::{Restored, RestoredFile},
    status::check_read,
    stop::{Stop, broken},
    stored::{self, damaged, missing},
};
use crate::phone::{Fault, Stream};

const FILES_PER_DOWNLOAD: usize = 256;
/// Progress when all files came.
const FILES_PERCENT: f64 = 97.0;

/// Takes a batch of payloads in the order in which they were asked for.
struct Payloads<'a> {
    rows: &'a [Row],
    paths: &'a [String],
    /// One for each row, if the backup is encrypted.
    keys: &'a [Option<Key>],
    /// For the file that comes now.
    decryptor: Option<Decryptor>,
    restored: &'a mut Restored,
    next: usize,
    hasher: blake3::Hasher,
    /// Of the bytes as they are stored, if the row has a digest to hold it against.
    stored: Option<digests::Hasher>,
    failure: Option<String>,
}

impl Sink for Payloads<'_> {
    fn begin(&mut self, path: &str) -> io::Result<()> {
        if self.paths.get(self.next).is_none_or(|expected| expected != path) {
            return Err(broken(format!("{path} was not asked for now")));
        }
        self.hasher.reset();
        self.decryptor = self.keys[self.next].as_ref().map(Decryptor::new);
        self.stored = self.rows[self.next].digest.is_some().then(digests::Hasher::new);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(stored) = &mut self.stored {
            stored.update(bytes);
        }
        let hasher = &mut self.hasher;
        match &mut self.decryptor {
            Some(decryptor) => decryptor.decrypt(bytes, |content| {
                hasher.update(content);
            }),
            None => {
                hasher.update(bytes);
            }
        }
        Ok(())
    }

    fn done(&mut self) -> io::Result<()> {
        let row = &self.rows[self.next];
        if let Some(decryptor) = self.decryptor.take() {
            let end = decryptor.finish(|content| {
                self.hasher.update(content);
            });
            if end.is_none() {
                self.failure.get_or_insert(format!("{}-{} can't be decrypted", row.domain, row.relative_path));
            }
        }
        // `Size` is looked at by no phone: what is stored is a copy of its own, of whatever length.
        let digest = self.stored.take().map(digests::Hasher::finish);
        if digest.as_ref().map(|digest| &digest[..]) != row.digest.as_deref() {
            self.failure.get_or_insert("Digest didn't match for some files".into());
        }
        let file = RestoredFile { size: self.hasher.count(), digest: self.hasher.finalize() };
        self.restored.files.insert((row.domain.clone(), row.relative_path.clone()), file);
        self.next += 1;
        Ok(())
    }

    fn failed(&mut self, text: &str) -> io::Result<()> {
        let row = &self.rows[self.next];
        self.failure.get_or_insert(format!("{}-{}: {text}", row.domain, row.relative_path));
        self.next += 1;
        Ok(())
    }
}

/// Restores what the host's folder `source` holds.
pub(super) async fn run<S: Stream>(link: &mut Link<'_, S>, source: &str, options: Dictionary) -> Result<(), Stop> {
    misbehave::unlock(link).await?;
    let mut restored = Restored { options, ..Restored::default() };
    let outcome = receive(link, source, &mut restored).await;
    link.phone().set_restored(restored);
    match link.phone().fault() {
        Some(Fault::FinalError { code, text }) => Err(Stop::refused(code, text)),
        _ => outcome,
    }
}

async fn receive<S: Stream>(link: &mut Link<'_, S>, source: &str, restored: &mut Restored) -> Result<(), Stop> {
    let status =
        link.download_bytes(&format!("{source}/Status.plist"), 0.0).await?.ok_or_else(|| missing("Status.plist"))?;
    if !plists::is_finished(&status) {
        return Err(Stop::refused(204, "The backup was never finished (MBErrorDomain/204)"));
    }
    let password = restored.options.get("Password").and_then(Value::as_string).map(str::to_owned);
    let keys = stored::keys(link, source, password.as_deref()).await?;
    let info = link.download_bytes(&format!("{source}/Info.plist"), 0.0).await?.ok_or_else(|| missing("Info.plist"))?;
    restored.info = plists::dictionary(&info);
    let database = stored::database(link, source, keys.as_ref()).await?;
    let rows = tokio::task::spawn_blocking(move || manifest::rows(database.path())).await.map_err(io::Error::other)?;
    let rows = rows.map_err(|error| damaged(format!("Manifest.db can't be read: {error}")))?;
    let (files, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.kind == Kind::File);
    for row in others {
        let place = (row.domain, row.relative_path);
        match row.kind {
            Kind::Link => drop(restored.links.insert(place, row.target.unwrap_or_default())),
            _ => restored.directories.push(place),
        }
    }
    let key_of = |row: &Row| {
        let Some(keys) = &keys else { return Ok(None) };
        let key = row.key.as_deref().and_then(|wrapped| keys.keybag.unwrap(wrapped));
        key.map(Some).ok_or_else(|| Stop::refused(209, format!("{} has no key (MBErrorDomain/209)", row.id.hex())))
    };
    for (number, batch) in files.chunks(FILES_PER_DOWNLOAD).enumerate() {
        let paths: Vec<String> = batch.iter().map(|row| format!("{source}/{}", row.id.path())).collect();
        let progress = FILES_PERCENT * (number * FILES_PER_DOWNLOAD) as f64 / files.len() as f64;
        let file_keys = batch.iter().map(key_of).collect::<Result<Vec<_>, Stop>>()?;
        let mut sink = Payloads {
            rows: batch,
            paths: &paths,
            keys: &file_keys,
            decryptor: None,
            restored,
            next: 0,
            hasher: blake3::Hasher::new(),
            stored: None,
            failure: None,
        };
        let status = link.download(&paths, progress, &mut sink).await?;
        if let Some(failure) = sink.failure {
            return Err(damaged(failure));
        }
        let count = sink.next;
        check_read("read files", &status)?;
        if count != batch.len() {
            return Err(damaged(format!("{count} of {} files came", batch.len())));
        }
    }
    // Phones end with a list of no files, and wait for its end and a status all the same (libimobiledevice 112).
    let status = link.download(&[], FILES_PERCENT, &mut Single { to: io::sink(), complete: false }).await?;
    check_read("read no files", &status)
}
