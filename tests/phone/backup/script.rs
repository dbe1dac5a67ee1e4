//! Which files a scripted fault hits in one backup.

use std::collections::HashSet;

use crate::phone::{
    CutEnding, Fault, Phone,
    dataset::{DataFile, DataSet, FileId},
};

/// The faults of single files.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    /// Rows left out of the manifest since their file could not be read.
    pub(super) unreadable: HashSet<FileId>,
    /// Its file could not be read, and its row stays.
    pub(super) listed: Option<FileId>,
    forgotten: Option<FileId>,
    lost: Option<FileId>,
    cut: Option<(FileId, CutEnding)>,
    /// The `Digest` of its row is wrong.
    pub(super) wrong_digest: Option<FileId>,
    /// Its row differs from the one in the host's manifest, though nothing is sent.
    pub(super) touched: Option<FileId>,
}

impl Script {
    pub(super) fn of(phone: &Phone, data: &DataSet) -> Self {
        let id = |index| data.file(index).map(|file: &DataFile| file.file_id);
        let mut script = Self::default();
        match phone.fault() {
            Some(Fault::FileUnreadable { index }) => script.unreadable = id(index).into_iter().collect(),
            Some(Fault::FileUnreadableListed { index }) => script.listed = id(index),
            Some(Fault::FileForgotten { index }) => script.forgotten = id(index),
            Some(Fault::MoveLost { index }) => script.lost = id(index),
            Some(Fault::CutFile { index, ending }) => script.cut = id(index).map(|id| (id, ending)),
            Some(Fault::WrongDigest { index }) => script.wrong_digest = id(index),
            Some(Fault::RowTouched { index }) => script.touched = id(index),
            _ => {}
        }
        script
    }

    /// True for a file that is never sent.
    pub(super) fn forgets(&self, id: FileId) -> bool {
        self.forgotten == Some(id)
    }

    /// True for a file that the phone can read.
    pub(super) fn reads(&self, id: FileId) -> bool {
        !self.unreadable.contains(&id) && self.listed != Some(id)
    }

    /// True for a file that came and is put into place.
    pub(super) fn moves(&self, id: FileId) -> bool {
        self.reads(id) && !self.forgets(id) && self.lost != Some(id)
    }

    /// How the upload of this file ends in its middle, if it does.
    pub(super) fn cut(&self, id: FileId) -> Option<CutEnding> {
        self.cut.filter(|(cut, _)| *cut == id).map(|(_, ending)| ending)
    }

    /// True for a file that the phone does not look for at the end.
    pub(super) fn trusts_blindly(&self, id: FileId) -> bool {
        !self.moves(id)
    }
}
