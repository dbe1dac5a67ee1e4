//! How many files go together, where that is known from another phone.

use std::sync::Mutex;

use super::value_of;
use crate::phone::Phone;

#[derive(Default)]
pub(super) struct BatchSwitches {
    files: Mutex<Vec<usize>>,
}

impl Phone {
    /// The batch of each number has so many files, whatever they weigh; those behind the last are as usual.
    pub fn set_batch_files(&self, files: Vec<usize>) {
        *value_of(&self.switches().batches.files) = files;
    }

    pub(crate) fn batch_files(&self, number: usize) -> Option<usize> {
        value_of(&self.switches().batches.files).get(number).copied().filter(|files| *files > 0)
    }
}
