//! Where each file really goes: under its own name where the disk takes it, else under a near one in the same folder.
//! The disk is asked rather than guessed at.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    sync::{Mutex, PoisonError},
};

use super::{
    names::{self, candidates},
    spelling,
    twins::Twins,
};
use crate::transfer::{folders::Folders, place::Place};

/// Folders whose places one thread remembers.
const FOLDERS_KEPT_MAX: usize = 1000;

/// A folder or file that got another name than the phone's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// As the phone calls it: its domain, and its path in it; empty for the domain itself.
    pub name: (String, String),
    /// Below the destination.
    pub place: Place,
}

/// The near names that any thread uses so far, and the names whose change was told.
#[derive(Debug, Default)]
pub struct NamesInUse(Mutex<(HashMap<String, String>, HashSet<String>)>);

impl NamesInUse {
    /// False when another has this name, or one that a disk could take for it.
    fn claim(&self, place: &Place, path: &str) -> bool {
        let (in_use, _) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = spelling::folded(place.as_str()).into_owned();
        in_use.entry(key).or_insert_with(|| path.to_owned()) == path
    }

    /// True when this one was not told yet.
    fn is_first(&self, path: &str) -> bool {
        let (_, told) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(path.to_owned())
    }
}

/// What became of a name.
#[derive(Debug)]
pub enum Made {
    /// A new file.
    File(File),
    /// Something was there.
    Existing,
}

/// Why there is no place.
#[derive(Debug)]
pub struct Refused {
    /// What has none, as the phone calls it.
    pub path: String,
    /// Why not.
    pub source: io::Error,
}

/// Finds places in one destination.
#[derive(Debug)]
pub struct Placer<'a> {
    /// The destination.
    pub folders: Folders,
    overwrite: bool,
    twins: &'a Twins,
    in_use: &'a NamesInUse,
    /// Where folders are, by the phone's path.
    made: HashMap<String, String>,
    /// Where twins are, by the phone's path.
    twins_made: HashMap<String, String>,
    /// The same by their folder here and what they could be taken for.
    siblings: HashMap<(String, String), Vec<Place>>,
    /// Folders here, and the ends of names that they are known to keep.
    ends_kept: HashSet<(String, char)>,
}

impl<'a> Placer<'a> {
    /// For an open destination.
    pub fn new(folders: Folders, overwrite: bool, twins: &'a Twins, in_use: &'a NamesInUse) -> Self {
        let (made, twins_made, siblings, ends_kept) = Default::default();
        Self { folders, overwrite, twins, in_use, made, twins_made, siblings, ends_kept }
    }

    /// Makes the file and the folders above it, and says where. `place` is that of its real name. What gets another name
    /// is told, once each.
    ///
    /// # Errors
    /// When the disk takes none of the names.
    pub fn make(&mut self, place: &Place, told: &mut Vec<Renamed>) -> Result<(Place, Made), Refused> {
        let folder = place.split().0;
        let folder_here = self.folder(folder, told)?;
        self.find(&folder_here, place.as_str(), told, |placer, here| placer.make_file(here))
    }

    fn make_file(&mut self, here: &Place) -> io::Result<Made> {
        // Looked at first, too: what is replaced must be of this name.
        if self.is_cut(here)? {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let created = if self.overwrite { self.folders.create(here) } else { self.folders.create_new(here) };
        let file = match created {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Made::Existing),
            Err(error) => return Err(error),
        };
        if self.is_cut(here)? {
            self.folders.remove_file(here)?;
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        Ok(Made::File(file))
    }

    /// FAT leaves dots and spaces at the end of a name away and says nothing. A folder that was seen to keep one name with
    /// such an end keeps them all: listing it for each of them would take hours where there are many.
    fn is_cut(&mut self, here: &Place) -> io::Result<bool> {
        let Some(end) = here.as_str().chars().next_back().filter(|end| matches!(end, '.' | ' ')) else {
            return Ok(false);
        };
        let key = (here.split().0.to_owned(), end);
        if self.ends_kept.contains(&key) {
            return Ok(false);
        }
        let (folder, name) = here.split();
        let cut = below(folder, name.trim_end_matches(['.', ' ']));
        match self.folders.has_another_name(here, cut.as_ref())? {
            Some(false) => {
                if self.ends_kept.len() >= FOLDERS_KEPT_MAX {
                    self.ends_kept.clear();
                }
                self.ends_kept.insert(key);
                Ok(false)
            }
            another => Ok(another == Some(true)),
        }
    }

    /// Makes a folder and those above it.
    fn folder(&mut self, path: &str, told: &mut Vec<Renamed>) -> Result<String, Refused> {
        if path.is_empty() {
            return Ok(String::new());
        }
        if let Some(here) = self.made.get(path) {
            return Ok(here.clone());
        }
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let above_here = self.folder(above, told)?;
        let (here, ()) = self.find(&above_here, path, told, |placer, here| {
            placer.folders.create_folder(here).map_err(|error| match error.kind() {
                // Something that is no folder, or a link, is in the way.
                io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
                _ => error,
            })?;
            if placer.is_cut(here)? { Err(io::ErrorKind::InvalidFilename.into()) } else { Ok(()) }
        })?;
        if self.made.len() >= FOLDERS_KEPT_MAX {
            self.made.clear();
        }
        self.made.insert(path.to_owned(), here.as_str().to_owned());
        Ok(here.as_str().to_owned())
    }

    /// The first name that the disk takes, and what `attempt` made there.
    fn find<T>(
        &mut self,
        folder: &str,
        path: &str,
        told: &mut Vec<Renamed>,
        mut attempt: impl FnMut(&mut Self, &Place) -> io::Result<T>,
    ) -> Result<(Place, T), Refused> {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let nameless = || io::Error::from(io::ErrorKind::InvalidFilename);
        let refused = |source| Refused { path: path.to_owned(), source };
        // The caller has a place of this name already, so this is always one.
        let Some(own) = below(folder, name) else { return Err(refused(nameless())) };
        let is_twin = self.twins.has(path);
        let is_taken =
            is_twin && names::may_be_tried(name) && self.is_taken(folder, name, path, &own).map_err(refused)?;
        let mut first_error = None;
        for candidate in candidates(name, is_taken) {
            let Some(here) = below(folder, &candidate) else { continue };
            let is_near = *candidate != *name;
            if is_near && !self.in_use.claim(&here, path) {
                continue;
            }
            match attempt(self, &here) {
                Ok(made) => {
                    if is_near && self.in_use.is_first(path) {
                        let (domain, rest) = path.split_once('/').unwrap_or((path, ""));
                        told.push(Renamed { name: (domain.to_owned(), rest.to_owned()), place: here.clone() });
                    }
                    if is_twin {
                        self.twins_made.insert(path.to_owned(), candidate.into_owned());
                        let siblings = self.siblings.entry(sibling_key(folder, name)).or_default();
                        if !siblings.contains(&here) {
                            siblings.push(here.clone());
                        }
                    }
                    return Ok((here, made));
                }
                Err(error) if names::is_refusal(&error) => first_error = first_error.or(Some(error)),
                Err(error) => return Err(refused(error)),
            }
        }
        Err(refused(first_error.unwrap_or_else(nameless)))
    }

    /// True when the disk takes this name for that of something else which is there: of a twin that this run placed, or of
    /// what an earlier run left under another spelling.
    fn is_taken(&mut self, folder: &str, name: &str, path: &str, own: &Place) -> io::Result<bool> {
        if let Some(made) = self.twins_made.get(path) {
            return Ok(made != name);
        }
        // An earlier run found it so; what it was taken for may be gone.
        let near = candidates(name, true).next();
        let near = near.and_then(|near| Place::of_components(own.split().0.split('/').chain([&*near])));
        // A folder can't be read as a file, and is there all the same.
        if near.is_some_and(|near| self.folders.read(&near).map_or_else(|error| !names::is_refusal(&error), |_| true)) {
            return Ok(true);
        }
        let siblings = self.siblings.get(&sibling_key(folder, name)).cloned().unwrap_or_default();
        for sibling in siblings.iter().map(Some).chain([None]) {
            if self.folders.has_another_name(own, sibling)? == Some(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A name in a folder of the destination, which itself is the empty one.
fn below(folder: &str, name: &str) -> Option<Place> {
    Place::of_components(folder.split('/').filter(|part| !part.is_empty()).chain([name]))
}

fn sibling_key(folder: &str, name: &str) -> (String, String) {
    (folder.to_owned(), spelling::folded(name.trim_end_matches(['.', ' '])).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::{super::twins::Seen, *};

    fn twins_of(paths: &[&str]) -> Twins {
        let mut seen = Seen::default();
        paths.iter().for_each(|path| seen.add("Home", path));
        seen.twins()
    }

    /// Where each goes in a run of its own, and how many got another name; one that is there already has a `!`.
    fn run(folder: &std::path::Path, overwrite: bool, paths: &[&str]) -> (Vec<String>, usize) {
        let (twins, in_use) = (twins_of(paths), NamesInUse::default());
        let mut placer = Placer::new(Folders::open(folder, None).unwrap(), overwrite, &twins, &in_use);
        let mut renamed = Vec::new();
        let places = paths.iter().map(|path| {
            let place = names::place_of("Home", path).unwrap();
            match placer.make(&place, &mut renamed).unwrap() {
                (here, Made::File(mut file)) => {
                    file.write_all(path.as_bytes()).unwrap();
                    here.as_str().to_owned()
                }
                (here, Made::Existing) => format!("{}!", here.as_str()),
            }
        });
        (places.collect(), renamed.len())
    }

    #[test]
    fn names_that_the_disk_takes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["note 12:30?.txt", "back\\slash", "Case", "case", "\u{fc}", "u\u{308}", "dot.", "space ", "NUL"];
        let (places, renamed) = run(folder.path(), false, &paths);
        let own: Vec<_> = paths.iter().map(|path| format!("Home/{path}")).collect();
        if cfg!(target_os = "linux") {
            assert_eq!((places, renamed), (own.clone(), 0));
            let there: Vec<_> = own.iter().map(|path| format!("{path}!")).collect();
            assert_eq!(run(folder.path(), false, &paths), (there, 0));
            assert_eq!(run(folder.path(), true, &paths), (own, 0));
        }
        for path in paths {
            let held = |entry: io::Result<fs::DirEntry>| fs::read(entry.unwrap().path()).unwrap() == path.as_bytes();
            assert!(fs::read_dir(folder.path().join("Home")).unwrap().any(held), "{path}");
        }
    }

    #[test]
    fn a_folder_is_not_listed_for_each_name() {
        if !cfg!(unix) {
            return;
        }
        let took = |end: &str, overwrite: bool, folder: &std::path::Path| {
            let paths: Vec<String> = (0..4000).map(|number| format!("{number}{end}")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let began = std::time::Instant::now();
            assert_eq!(run(folder, overwrite, &paths).1, 0);
            began.elapsed()
        };
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (plain, dotted) = (folders[0].path(), folders[1].path());
        for overwrite in [false, false, true] {
            let (plain, dotted) = (took("x", overwrite, plain), took(".", overwrite, dotted));
            assert!(dotted < plain * 5 + std::time::Duration::from_secs(1), "{dotted:?}, and {plain:?} without dots");
        }
    }

    #[test]
    fn a_twin_stays_where_an_earlier_run_put_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Home")).unwrap();
        let near = candidates("case", true).next().unwrap().into_owned();
        fs::write(folder.path().join("Home").join(&near), "").unwrap();
        assert_eq!(run(folder.path(), false, &["Case", "case"]).0, ["Home/Case".to_owned(), format!("Home/{near}!")]);
    }

    #[test]
    fn names_that_are_too_long_are_cut_and_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let long = |end: &str| format!("{}{end}", "\u{1f309}".repeat(80));
        let paths = [long("1.txt"), long("2.txt"), format!("{}/{}", long(""), long(".md")), format!("{}/x", long(""))];
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let (places, renamed) = run(folder.path(), false, &paths);
        assert_eq!(renamed, 4, "a folder is told once: {places:?}");
        assert!(places[0] != places[1] && places[0].ends_with(").txt") && places[2].ends_with(").md"), "{places:?}");
        for (place, path) in places.iter().zip(&paths) {
            assert_eq!(fs::read_to_string(folder.path().join(place)).unwrap(), *path);
        }
        let there: Vec<_> = places.iter().map(|place| format!("{place}!")).collect();
        assert_eq!(run(folder.path(), false, &paths).0, there);
        assert_eq!(run(folder.path(), true, &paths).0, places);
        assert_eq!(run(folder.path(), true, &paths[1..2]).0, places[1..2], "alone, too");
    }

    #[test]
    fn a_folder_that_is_none_and_a_link_are_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let (twins, in_use) = (Twins::default(), NamesInUse::default());
        fs::create_dir(folder.path().join("Home")).unwrap();
        fs::write(folder.path().join("Home/file"), "").unwrap();
        let mut ways = vec!["file"];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path(), folder.path().join("Home/link")).unwrap();
            ways.push("link");
        }
        let mut placer = Placer::new(Folders::open(folder.path(), None).unwrap(), true, &twins, &in_use);
        for way in ways {
            let place = names::place_of("Home", &format!("{way}/x")).unwrap();
            let refused = placer.make(&place, &mut Vec::new()).unwrap_err();
            assert_eq!(refused.source.kind(), io::ErrorKind::NotADirectory, "{way}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_near_name_is_no_others() {
        let in_use = NamesInUse::default();
        let place = |name: &str| Place::of_components(["Home", name]).unwrap();
        assert!(in_use.claim(&place("x (1)"), "Home/x"));
        assert!(in_use.claim(&place("x (1)"), "Home/x"), "its own");
        assert!(!in_use.claim(&place("X (1)"), "Home/X"));
    }
}
