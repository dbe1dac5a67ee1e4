//! What is on a disk after a fault, read without Backstay: which trees are whole, and what the receipts say of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{oracle, phone::dataset::DataSet};

/// One phone's backups below a root, and everything that the phone has ever held, in order.
#[derive(Debug, Clone)]
pub struct Judge {
    root: PathBuf,
    udid: String,
    held: Vec<Arc<DataSet>>,
}

/// What was found; numbers are places in the order of what the phone has held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the latest backup holds, when there is one.
    pub latest: Option<usize>,
    /// What the newest receipt is about, when there is one whose tree is there.
    pub sealed: Option<usize>,
    /// What the older snapshots hold.
    pub history: Vec<usize>,
}

/// A tree with the name that receipts give it.
struct Tree {
    path: PathBuf,
    identity: Option<String>,
}

impl Tree {
    fn of(path: &Path) -> Self {
        let info = fs::read(path.join("Info.plist")).ok();
        Self { path: path.to_owned(), identity: info.map(|content| blake3::hash(&content).to_hex().to_string()) }
    }
}

impl Judge {
    pub fn new(root: &Path, udid: &str) -> Self {
        Self { root: root.to_owned(), udid: udid.to_owned(), held: Vec::new() }
    }

    /// The phone holds this from now on.
    pub fn holds(&mut self, data: Arc<DataSet>) {
        self.held.push(data);
    }

    /// The number of what the phone holds now.
    pub fn newest(&self) -> usize {
        self.held.len() - 1
    }

    /// The same phone below another root.
    #[must_use]
    pub fn below(&self, root: &Path) -> Self {
        Self { root: root.to_owned(), ..self.clone() }
    }

    fn own(&self) -> PathBuf {
        self.root.join(".backstay").join(&self.udid)
    }

    /// Which of what the phone has held this tree is, byte by byte.
    fn whole(&self, tree: &Path) -> Result<usize, String> {
        let mut why = "the phone has held nothing".to_owned();
        // The newest first; the error is about the one it comes closest to by time.
        for (index, data) in self.held.iter().enumerate().rev() {
            match oracle::check_backup(tree, data) {
                Ok(()) => return Ok(index),
                Err(error) => why = format!("{error} (compared with what it held as number {index})"),
            }
        }
        Err(why)
    }

    /// Whole trees are whole, and whatever has a receipt is whole.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn check(&self) -> Result<Found, String> {
        self.look(&self.history().map_err(|error| error.to_string())?)
    }

    fn look(&self, history: &[PathBuf]) -> Result<Found, String> {
        let latest = self.root.join(&self.udid);
        let latest_holds = if latest.exists() { Some(self.whole(&latest)?) } else { None };
        let next = [self.own().join("next").join(&self.udid), self.own().join("next/old")];
        // A clone that is being made has the old tree's name from early on; only its own receipt speaks of it.
        let trees = |under_way: bool| -> Vec<Tree> {
            let next = next.iter().filter(|_| under_way);
            [&latest]
                .into_iter()
                .chain(next)
                .chain(history)
                .filter(|path| path.exists())
                .map(|path| Tree::of(path))
                .collect()
        };
        let mut sealed = None;
        for (receipt, under_way) in self.receipts().map_err(|error| error.to_string())? {
            let text = fs::read_to_string(&receipt).map_err(|error| format!("{}: {error}", receipt.display()))?;
            let parsed: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}: {text:?}", receipt.display()))?;
            let named = parsed["tree"].as_str().map(str::to_owned);
            for tree in trees(under_way).iter().filter(|tree| tree.identity.is_some() && tree.identity == named) {
                let holds = self
                    .whole(&tree.path)
                    .map_err(|error| format!("{} seals a tree that is not whole: {error}", receipt.display()))?;
                sealed = Some(holds);
            }
        }
        let history = history.iter().map(|tree| self.whole(tree)).collect::<Result<_, _>>()?;
        Ok(Found { latest: latest_holds, sealed, history })
    }

    /// All receipts, oldest first; true for that of a commit under way, which is the newest.
    fn receipts(&self) -> io::Result<Vec<(PathBuf, bool)>> {
        let mut found: Vec<(PathBuf, bool)> = listed(&self.own().join("receipts"))?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .map(|path| (path, false))
            .collect();
        let under_way = self.own().join("next/receipt.json");
        if under_way.exists() {
            found.push((under_way, true));
        }
        Ok(found)
    }

    fn history(&self) -> io::Result<Vec<PathBuf>> {
        let snapshots = listed(&self.own().join("history"))?.into_iter();
        Ok(snapshots.map(|snapshot| snapshot.join(&self.udid)).filter(|tree| tree.exists()).collect())
    }
}

fn listed(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    found.sort();
    Ok(found)
}
