//! Which files a scripted fault hits in one backup.

use std::collections::{HashMap, HashSet};

use crate::phone::{
    CutEnding, Fault, Phone, Unreadable,
    dataset::{DataFile, DataSet, FileId},
};

/// The faults of single files.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    unreadable: HashMap<FileId, Unreadable>,
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
        let files: Vec<&DataFile> = data.files().collect();
        let id = |index: usize| files.get(index).map(|file| file.file_id);
        let mut script = Self::default();
        let mut unreadable = phone.unreadable();
        match phone.fault() {
            Some(Fault::FileUnreadable { index, manner }) => unreadable.push((index, manner)),
            Some(Fault::FileForgotten { index }) => script.forgotten = id(index),
            Some(Fault::MoveLost { index }) => script.lost = id(index),
            Some(Fault::CutFile { index, ending }) => script.cut = id(index).map(|id| (id, ending)),
            Some(Fault::WrongDigest { index }) => script.wrong_digest = id(index),
            Some(Fault::RowTouched { index }) => script.touched = id(index),
            _ => {}
        }
        script.unreadable = unreadable.into_iter().filter_map(|(index, manner)| Some((id(index)?, manner))).collect();
        script
    }

    /// Forgets faults of files that are not sent: what the host has of them is whole.
    pub(super) fn keep_only(&mut self, sent: &HashSet<FileId>) {
        self.unreadable.retain(|id, _| sent.contains(id));
    }

    /// How the phone fails to read this file, if it does.
    pub(super) fn unreadable(&self, id: FileId) -> Option<Unreadable> {
        self.unreadable.get(&id).copied()
    }

    /// Files whose rows are left out of the manifest.
    pub(super) fn omitted(&self) -> HashSet<FileId> {
        self.unreadable.iter().filter(|(_, manner)| !manner.listed).map(|(id, _)| *id).collect()
    }

    /// Files of which the host must keep nothing.
    pub(super) fn left_out(&self) -> impl Iterator<Item = &FileId> {
        self.unreadable.iter().filter(|(_, manner)| !manner.listed && !manner.moved).map(|(id, _)| id)
    }

    /// Files whose rows tell no `Digest`, since the file could not be read for one.
    pub(super) fn undigested(&self) -> HashSet<FileId> {
        self.unreadable.keys().copied().collect()
    }

    /// True if the backup can't end well for what could not be read.
    pub(super) fn is_fatal(&self) -> bool {
        self.unreadable.values().any(|manner| manner.fatal)
    }

    /// True for a file that is never sent.
    pub(super) fn forgets(&self, id: FileId) -> bool {
        self.forgotten == Some(id)
    }

    /// True for a file that is put into place.
    pub(super) fn moves(&self, id: FileId) -> bool {
        self.unreadable.get(&id).is_none_or(|manner| manner.moved) && !self.forgets(id) && self.lost != Some(id)
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
