//! Photo libraries larger than a few pictures.

use super::{Media, contents};

/// Pictures in one folder of `/DCIM`, as a camera counts them.
const PICTURES_PER_FOLDER: usize = 1000;
/// A thumbnail that stays on the phone when its original is in iCloud only.
const DERIVATIVE_BYTES: usize = 2000;

impl Media {
    /// Makes the library one with "Optimize iPhone Storage": of `library` pictures all have a small derivative below
    /// `/PhotoData/Thumbnails/V2`, and only the last `originals` are in `/DCIM`. Pictures that were there are gone.
    pub fn optimise_storage(&self, library: usize, originals: usize) {
        for picture in self.paths_below("DCIM") {
            self.take_away(&picture);
        }
        self.put("PhotoData/Photos.sqlite", b"SQLite format 3\0".to_vec());
        for number in 1..=library {
            let name = name_of(number);
            let derivative = contents::picture_of(number, DERIVATIVE_BYTES);
            self.put(&format!("PhotoData/Thumbnails/V2/{name}/5005.JPG"), derivative);
            if number > library.saturating_sub(originals) {
                self.put(&name, contents::picture_of(number, 40_000));
            }
        }
    }

    /// Removes a file, as the phone's owner does; false if it was not there.
    pub fn take_away(&self, path: &str) -> bool {
        self.remove(path.trim_matches('/'), true).is_ok()
    }
}

fn name_of(number: usize) -> String {
    let (folder, picture) = (100 + (number - 1) / PICTURES_PER_FOLDER, (number - 1) % PICTURES_PER_FOLDER + 1);
    format!("DCIM/{folder}APPLE/IMG_{picture:04}.JPG")
}
