//! What is on a simulated phone: files that are described in memory and made up byte by byte when somebody reads them.

mod attributes;
mod builder;
mod content;
mod extras;
mod file_id;
mod mutation;
mod names;
mod odd;
mod paths;
mod spec;
mod sqlite;
mod stale;
mod stat;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::{attributes::Attributes, stale::Stale};
pub use self::{
    file_id::FileId,
    mutation::Mutation,
    odd::OddRow,
    paths::paths_of_listing,
    spec::{DataSetSpec, FILE_PROVIDER, FileGroup, SizeRule},
    stat::Stat,
};

/// `flags` of a row that has a payload.
pub const FLAG_FILE: u8 = 1;
/// `flags` of a directory's row.
pub const FLAG_DIRECTORY: u8 = 2;
/// `flags` of a symbolic link's row, which has no payload.
pub const FLAG_LINK: u8 = 4;
/// `flags` of a row that has an id and nothing else, as some real manifests have a few.
pub const FLAG_BARE: u8 = 16;

/// Domains whose files have a `Digest` in their rows: all of them, as two real manifests show; files of apps and pictures
/// have none.
const DIGEST_DOMAINS: [&str; 11] = [
    "HomeDomain",
    "RootDomain",
    "HealthDomain",
    "WirelessDomain",
    "SystemPreferencesDomain",
    "DatabaseDomain",
    "HomeKitDomain",
    "InstallDomain",
    "KeychainDomain",
    "KeyboardDomain",
    "ManagedPreferencesDomain",
];

/// One row of the manifest: a file, a directory or a link of the phone.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// For example `HomeDomain`.
    pub domain: Arc<str>,
    /// Path inside the domain; empty for the domain's own directory.
    pub relative_path: Arc<str>,
    /// Its name in a backup.
    pub file_id: FileId,
    /// Bytes of content as it is sent, 0 for what has no payload.
    pub size: u64,
    /// `Size` in the manifest. It is that of the live file, while a consistent copy is sent: for databases they often
    /// differ, both ways.
    pub recorded_size: u64,
    /// Counts up with every change of the content.
    pub version: u32,
    /// Seconds since 1970; differs between any two versions.
    pub mtime: i64,
    /// As in `stat`.
    pub mode: u16,
    /// [`FLAG_FILE`], [`FLAG_DIRECTORY`], [`FLAG_LINK`] or [`FLAG_BARE`].
    pub flags: u8,
    /// What else the manifest tells of it.
    pub stat: Stat,
    /// Where a link leads: an absolute path.
    pub target: Option<Arc<str>>,
    /// How its row is out of the ordinary.
    pub odd: Option<OddRow>,
    attributes: Attributes,
    stale: Stale,
    seed: u64,
}

impl DataFile {
    /// True when the row has a payload.
    pub fn is_file(&self) -> bool {
        self.flags == FLAG_FILE
    }

    /// True when the row holds the SHA-1 of what is stored.
    pub fn has_digest(&self) -> bool {
        self.is_file() && (self.odd == Some(OddRow::DigestInData) || DIGEST_DOMAINS.contains(&&*self.domain))
    }

    /// `ExtendedAttributes` of its row: a binary plist.
    pub fn extended_attributes(&self) -> Option<Vec<u8>> {
        self.attributes.plist(self)
    }

    /// What a cache of its content goes by: the phone it is of, and which version it is.
    pub(crate) fn content_key(&self) -> (u64, FileId, u32) {
        (self.seed, self.file_id, self.version)
    }

    /// `domain-relative_path`, as messages for people name it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.domain, self.relative_path)
    }
}

/// Everything on a phone at one moment.
#[derive(Debug, Clone)]
pub struct DataSet {
    seed: u64,
    generation: u32,
    entries: Vec<DataFile>,
}

impl DataSet {
    /// Every row, directories and links too, in the order of the upload.
    pub fn entries(&self) -> &[DataFile] {
        &self.entries
    }

    /// The rows that have a payload; places in [`super::Fault`]s count these.
    pub fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.entries.iter().filter(|entry| entry.is_file())
    }

    /// The file at this place among the files.
    pub fn file(&self, index: usize) -> Option<&DataFile> {
        self.files().nth(index)
    }

    /// The place of a file among the files.
    pub fn place_of(&self, domain: &str, relative_path: &str) -> Option<usize> {
        self.files().position(|file| &*file.domain == domain && &*file.relative_path == relative_path)
    }

    /// How many files there are; what has no payload is not counted.
    pub fn file_count(&self) -> usize {
        self.files().count()
    }

    /// Bytes of all files as they are sent, which the manifest's `Size` does not always tell.
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    /// How many mutations led here.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}
