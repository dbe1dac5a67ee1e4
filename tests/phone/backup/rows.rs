//! What the phone writes into the column `file` of each row.

use std::{collections::HashSet, sync::Arc};

use super::{
    encryption::Encryption,
    mbfile::{self, Archived},
    script::Script,
};
use crate::phone::{
    Phone,
    dataset::{DataFile, FLAG_BARE, FileId, OddRow},
};

/// Makes rows for one backup.
#[derive(Clone)]
pub(super) struct RowMaker {
    phone: Phone,
    encryption: Option<Arc<Encryption>>,
    wrong_digest: Option<FileId>,
    touched: Option<FileId>,
    undigested: HashSet<FileId>,
}

impl RowMaker {
    pub(super) fn new(phone: Phone, encryption: Option<Arc<Encryption>>, script: &Script) -> Self {
        Self {
            phone,
            encryption,
            wrong_digest: script.wrong_digest,
            touched: script.touched,
            undigested: HashSet::new(),
        }
    }

    /// Leaves `Digest` out of these rows: a digest of what can't be read is nowhere.
    pub(super) fn without_digests_of(self, undigested: HashSet<FileId>) -> Self {
        Self { undigested, ..self }
    }

    /// The file whose row changes on top of a backup that the host has.
    pub(super) fn touched(&self) -> Option<FileId> {
        self.touched
    }

    /// Replaces `out` by the blob of this row; false when its column is NULL. A row is touched only where it stands for one
    /// that was there before.
    pub(super) fn encode(&self, file: &DataFile, replaces: bool, out: &mut Vec<u8>) -> bool {
        out.clear();
        match file.odd {
            _ if file.flags == FLAG_BARE => return false,
            Some(OddRow::BlobMissing) => return false,
            Some(OddRow::BlobNoPlist) => {
                out.extend_from_slice(format!("no plist, but of {}", file.mtime).as_bytes());
                return true;
            }
            _ => {}
        }
        let mut archived = self.archived(file);
        if replaces && self.touched == Some(file.file_id) {
            archived.modified += 1;
            archived.size = archived.size.map(|size| size + 1);
        }
        mbfile::encode(&archived, out);
        true
    }

    fn archived(&self, file: &DataFile) -> Archived {
        let encryption = self.encryption.as_deref();
        let wrong = self.wrong_digest == Some(file.file_id);
        let known = file.has_digest() && !self.undigested.contains(&file.file_id);
        let digest = (known || wrong).then(|| {
            let mut digest = self.phone.digests().of(file, encryption);
            digest[0] ^= if wrong { 0xFF } else { 0 };
            digest.to_vec()
        });
        Archived {
            path: file.relative_path.to_string(),
            size: (file.odd != Some(OddRow::NoSize)).then_some(file.recorded_size),
            mode: file.mode,
            inode: file.stat.inode,
            user: file.stat.user,
            group: file.stat.group,
            protection_class: file.stat.protection_class,
            flags: file.stat.flags,
            modified: file.mtime,
            changed: file.stat.changed,
            birth: file.stat.birth,
            digest_in_data: digest.is_some() && file.odd == Some(OddRow::DigestInData),
            digest,
            key: encryption.filter(|_| file.is_file()).map(|encryption| encryption.wrapped_file_key(file)),
            attributes: file.extended_attributes(),
            target: file.target.as_deref().map(str::to_owned),
        }
    }
}
