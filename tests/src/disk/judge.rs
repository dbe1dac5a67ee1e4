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

impl Judge {
    pub fn new(root: &Path, udid: &str) -> Self {
        Self { root: root.to_owned(), udid: udid.to_owned(), held: Vec::new() }
    }

    /// The phone holds this from now on.
    pub fn holds(&mut self, data: Arc<DataSet>) {
        self.held.push(data);
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
        let latest = self.root.join(&self.udid);
        let latest_holds = if latest.exists() { Some(self.whole(&latest)?) } else { None };
        let mut history = Vec::new();
        for snapshot in self.history().map_err(|error| error.to_string())? {
            // A snapshot on its way out is no backup any more once its name is gone from the receipts.
            history.push(snapshot);
        }
        let trees: Vec<Tree> = [latest, self.own().join("next").join(&self.udid), self.own().join("next/old")]
            .into_iter()
            .chain(history.iter().cloned())
            .filter(|path| path.exists())
            .map(|path| Tree { identity: identity(&path), path })
            .collect();
        let mut sealed = None;
        for receipt in self.receipts().map_err(|error| error.to_string())? {
            let text = fs::read_to_string(&receipt).map_err(|error| format!("{}: {error}", receipt.display()))?;
            let parsed: serde_json::Value =
                serde_json::from_str(&text).map_err(|error| format!("{}: {error}: {text:?}", receipt.display()))?;
            let named = parsed["tree"].as_str().map(str::to_owned);
            for tree in trees.iter().filter(|tree| tree.identity.is_some() && tree.identity == named) {
                let holds = self
                    .whole(&tree.path)
                    .map_err(|error| format!("{} seals a tree that is not whole: {error}", receipt.display()))?;
                sealed = Some(holds);
            }
        }
        let history = history.iter().map(|tree| self.whole(tree)).collect::<Result<_, _>>()?;
        Ok(Found { latest: latest_holds, sealed, history })
    }

    /// All receipts, oldest first; the one of a commit under way is the newest.
    fn receipts(&self) -> io::Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> = listed(&self.own().join("receipts"))?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        let under_way = self.own().join("next/receipt.json");
        if under_way.exists() {
            found.push(under_way);
        }
        Ok(found)
    }

    fn history(&self) -> io::Result<Vec<PathBuf>> {
        let snapshots = listed(&self.own().join("history"))?.into_iter();
        // What is on its way out has a name of its own, and its tree goes first.
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

/// How receipts name a tree.
fn identity(tree: &Path) -> Option<String> {
    Some(blake3::hash(&fs::read(tree.join("Info.plist")).ok()?).to_hex().to_string())
}
