//! Is a file of a backup what it should be? The one rule, for what came in a run, what was carried over and what another
//! program made: the run itself, `verify`, the restore and the weekly check all ask here.
//!
//! A row's `Size` proves nothing: real phones record other sizes for about 1 % of their files, in both directions
//! (avibrazil/iOSbackup #26, novkostya/ios-backup-crypt). What proves a file is its `Digest` where it has one, that it
//! came with the phone's word that it is complete, and that the disk still has what came.

use std::io;

use serde::Serialize;

use super::{
    ledger::{Digest, Held},
    manifest::{ManifestFile, Record},
    sqlite_file,
    tree::Found,
};
use crate::transfer::unreadable;

/// SHA-1 of the stored bytes, as rows have it.
pub type Sha1 = [u8; 20];

/// How a file was proved. The numbers are those of the ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Proof {
    /// Nothing proves it: another program received it, or the ledger was lost.
    #[default]
    Missing = 0,
    /// It came whole, and the disk has what came.
    Received = 1,
    /// Its row has the SHA-1 of what is stored.
    Digest = 2,
    /// The disk has what came, and the row has another SHA-1: a phone would refuse to restore it.
    Contradicted = 3,
}

impl Proof {
    /// That of a number in the ledger; one that a later version wrote proves nothing here.
    pub const fn of_number(number: i64) -> Self {
        match number {
            1 => Self::Received,
            2 => Self::Digest,
            3 => Self::Contradicted,
            _ => Self::Missing,
        }
    }
}

/// What a finding rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Each listed file is there (M1).
    There,
    /// A row's digest is that of the stored bytes (M2).
    Digest,
    /// A file that came has its end (R1).
    Complete,
    /// The disk has what came (M3).
    Received,
    /// A row that changed brings its file (M4).
    CarriedOver,
    /// What nothing proves is at least whole by its own form (M5).
    Form,
    /// The disk has what the checksum of earlier tells.
    Checksum,
    /// The list itself can be read.
    Row,
}

/// What is known of a file beside the disk and its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The phone said that it could not read the file.
    Unreadable,
    /// It came in this run.
    Came {
        /// Bytes.
        size: u64,
        /// Taken while it came, or read now.
        sha1: Option<Sha1>,
        /// The phone said that it is complete.
        whole: bool,
        /// It came in an earlier try, which began then, in seconds since 1970.
        since: Option<i64>,
    },
    /// The ledger has it.
    Kept {
        /// What it held.
        held: Held,
        /// How its row differs from the one that it was kept with.
        row: RowChange,
    },
    /// Nothing.
    Nothing,
}

/// How the row of a file that did not come differs from that in the backup before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    /// Not at all, or it is the same backup.
    Nothing,
    /// In size or date.
    Facts,
    /// In size or date, and new bytes came that were thrown away rather than put in its place.
    FactsAndLost,
    /// In what only new bytes change: its digest or its key; or the row is new.
    Content,
    /// The backup before can't be read.
    Unknown,
}

/// What a file without a proof is like by its own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As long as its row tells.
    Fits,
    /// Of another length, which is usual for it.
    Usual,
    /// Longer than its row tells.
    Longer,
    /// Shorter than its row tells.
    Shorter,
    /// Not whole.
    Broken(&'static str),
}

/// What the rule says of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is what it should be.
    Whole(Proof),
    /// It is what it should be, and the list has another size for it, which is usual.
    Noted(Proof),
    /// It may be incomplete; nothing proves that it is.
    Doubt(&'static str, Proof),
    /// It came so, and its row has another digest. Only the same again, in another run, is the phone's own mistake.
    Contradicted,
    /// It is not what it should be.
    Damage(&'static str),
}

/// One file and all that is known of it.
pub struct Case<'a> {
    /// Its row.
    pub file: &'a ManifestFile<'a>,
    /// What is on the disk.
    pub here: Option<&'a Found>,
    /// What is known of it.
    pub known: Known,
    /// Looks into the file; only asked when nothing else tells.
    pub form: &'a dyn Fn(u64) -> io::Result<Form>,
}

type Judge = fn(&Case<'_>) -> io::Result<Option<Verdict>>;

/// The rules; the first that says something decides.
pub const RULES: &[(Rule, Judge)] = &[
    (Rule::There, there),
    (Rule::Digest, digest),
    (Rule::Complete, complete),
    (Rule::Received, received),
    (Rule::CarriedOver, carried_over),
    (Rule::Form, form),
];

impl Case<'_> {
    /// What the rules say, and which of them.
    ///
    /// # Errors
    /// When the disk can't be read.
    pub fn judge(&self) -> io::Result<(Rule, Verdict)> {
        self.judge_by(RULES)
    }

    fn judge_by(&self, rules: &[(Rule, Judge)]) -> io::Result<(Rule, Verdict)> {
        for (rule, judge) in rules {
            if let Some(verdict) = judge(self)? {
                return Ok((*rule, verdict));
            }
        }
        Ok((Rule::Form, Verdict::Whole(Proof::Missing)))
    }

    const fn stored(&self) -> Option<u64> {
        match self.here {
            Some(here) => here.size,
            None => None,
        }
    }

    /// The SHA-1 of what is stored, as far as it is known without reading.
    fn sha1(&self) -> Option<Sha1> {
        let (size, sha1) = match self.known {
            Known::Came { size, sha1: Some(sha1), .. } => (size, sha1),
            Known::Kept { held: Held { size, sha1: Some(sha1), .. }, .. } => (size, sha1),
            _ => return None,
        };
        (self.stored() == Some(size)).then_some(sha1)
    }
}

fn there(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let is_harmless = || unreadable::is_harmless(case.file.relative_path);
    Ok(match (case.here, case.known) {
        (_, Known::Unreadable) if is_harmless() => Some(Verdict::Noted(Proof::Missing)),
        (None | Some(Found { size: None, .. }), Known::Unreadable) => {
            Some(Verdict::Doubt("could not be read by the iPhone, and is missing", Proof::Missing))
        }
        // Nothing is said of its row: what is kept may be of any earlier time.
        (Some(_), Known::Unreadable) => {
            let what =
                "could not be read by the iPhone: what is kept is from an earlier backup, a part of it, or empty";
            Some(Verdict::Doubt(what, Proof::Missing))
        }
        (None, _) => Some(Verdict::Damage("is missing")),
        (Some(Found { size: None, .. }), _) => Some(Verdict::Damage("is no file")),
        _ => None,
    })
}

fn digest(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let digest = case.file.record.digest.and_then(|digest| Sha1::try_from(digest).ok());
    let (Some(digest), Some(sha1)) = (digest, case.sha1()) else { return Ok(None) };
    Ok(Some(match case.known {
        _ if digest == sha1 => Verdict::Whole(Proof::Digest),
        Known::Came { whole: true, .. } => Verdict::Contradicted,
        Known::Kept { held: Held { proof: Proof::Contradicted, .. }, row: RowChange::Nothing | RowChange::Facts } => {
            Verdict::Doubt(CONTRADICTED, Proof::Contradicted)
        }
        _ => Verdict::Damage(NOT_LISTED),
    }))
}

/// What is said of a file whose row has another digest.
const NOT_LISTED: &str = "is not what the list says it is";

/// What is said of a file that came so, twice.
pub const CONTRADICTED: &str = "has another digest in the list, so that a phone may refuse to restore it";

fn complete(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let cut = matches!(case.known, Known::Came { whole: false, .. });
    Ok(cut.then_some(Verdict::Damage("came without its end")))
}

fn received(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let Known::Came { size, since, .. } = case.known else { return Ok(None) };
    Ok(Some(match (difference(case.stored(), size), since) {
        (Some(what), _) => Verdict::Damage(what),
        (None, Some(since)) => return came_earlier(case, size, since).map(Some),
        (None, None) => whole(case, size, Proof::Received),
    }))
}

/// The clocks of phone and computer differ by less.
const CLOCKS_SECONDS_MAX: i64 = 60;

/// What came in an earlier try is what the phone had when that began: what the list dates later is another one, unless the
/// phone changed it back.
fn came_earlier(case: &Case<'_>, size: u64, since: i64) -> io::Result<Verdict> {
    if let Some(stored) = case.stored()
        && let Form::Broken(what) = (case.form)(stored)?
    {
        return Ok(Verdict::Damage(what));
    }
    Ok(match case.file.record.modified {
        Some(modified) if modified > since.saturating_add(CLOCKS_SECONDS_MAX) => Verdict::Doubt(
            "has a later date in the list than the try in which it came: it may be an older one",
            Proof::Missing,
        ),
        _ => whole(case, size, Proof::Received),
    })
}

fn carried_over(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let Known::Kept { held, row } = case.known else { return Ok(None) };
    if let Some(what) = difference(case.stored(), held.size) {
        return Ok(Some(Verdict::Damage(what)));
    }
    Ok(match row {
        RowChange::Content => Some(Verdict::Damage("is an older one than the list names")),
        RowChange::FactsAndLost => Some(Verdict::Damage("is an older one: the new one came and was lost")),
        RowChange::Facts => {
            let what = "has another size or date in the list than before, and nothing came: it may be incomplete";
            Some(Verdict::Doubt(what, held.proof))
        }
        RowChange::Nothing if held.proof != Proof::Missing => Some(whole(case, held.size, held.proof)),
        RowChange::Nothing | RowChange::Unknown => None,
    })
}

fn form(case: &Case<'_>) -> io::Result<Option<Verdict>> {
    let Some(stored) = case.stored() else { return Ok(None) };
    // What proved it once still does, though nothing tells whether the list means it.
    let proof = match case.known {
        Known::Kept { held, .. } => held.proof,
        _ => Proof::Missing,
    };
    Ok(Some(match (case.form)(stored)? {
        Form::Fits => Verdict::Whole(proof),
        Form::Usual | Form::Longer => Verdict::Noted(proof),
        Form::Shorter => Verdict::Doubt("is shorter than its size in the list: it may be incomplete", proof),
        Form::Broken(what) => Verdict::Damage(what),
    }))
}

/// Encrypted bytes are one to sixteen more than the plain ones, whose size the row tells.
fn whole(case: &Case<'_>, stored: u64, proof: Proof) -> Verdict {
    let Record { size, key, .. } = case.file.record;
    let as_listed = size.is_none_or(|size| {
        stored == size || key.is_some() && super::encryption::content::stored_size_fits(size, stored)
    });
    if as_listed { Verdict::Whole(proof) } else { Verdict::Noted(proof) }
}

/// What is wrong with a file of which the stored length is known.
pub fn difference(there: Option<u64>, size: u64) -> Option<&'static str> {
    match there {
        None => Some("is missing"),
        Some(there) if there < size => Some("is shorter than it was when it came"),
        Some(there) if there > size => Some("is longer than it was when it came"),
        Some(_) => None,
    }
}

/// What the stored bytes of a kept file must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The BLAKE3 of the ledger.
    Held(Digest),
    /// The SHA-1 of the row.
    Listed(Sha1),
}

impl Expected {
    /// What is wrong with a file of another checksum, and the rule that says so.
    pub const fn damage(&self) -> (&'static str, Rule) {
        match self {
            Self::Held(_) => ("is not what it was when it came", Rule::Checksum),
            Self::Listed(_) => (NOT_LISTED, Rule::Digest),
        }
    }
}

/// The checksum by which a kept file is proved when it is read, which is that of the ledger where the ledger has one;
/// `None` when nothing tells. A file that came with another digest than its row has is kept as it came.
///
/// # Errors
/// What is wrong with the file, when the ledger alone shows it.
pub fn expected(held: Option<&Held>, listed: Option<Sha1>) -> Result<Option<Expected>, (&'static str, Rule)> {
    let listed = listed.filter(|_| held.is_none_or(|held| held.proof != Proof::Contradicted)).map(Expected::Listed);
    let Some(Held { digest: Some(digest), sha1, .. }) = held else { return Ok(listed) };
    match (listed, sha1.map(Expected::Listed)) {
        (Some(listed), Some(sha1)) if listed != sha1 => Err(listed.damage()),
        _ => Ok(Some(Expected::Held(*digest))),
    }
}

/// The form of plain content of which the length and the beginning are known.
///
/// # Errors
/// When the beginning can't be read.
pub fn form_of(
    listed: Option<u64>,
    length: u64,
    beginning: impl FnOnce(&mut [u8; sqlite_file::HEADER_BYTES]) -> io::Result<()>,
) -> io::Result<Form> {
    let as_listed = listed.is_none_or(|listed| listed == length);
    // A database is a whole number of pages; of other lengths only those are looked at that the list does not explain.
    if as_listed && !length.is_multiple_of(512) {
        return Ok(Form::Fits);
    }
    let mut header = [0; sqlite_file::HEADER_BYTES];
    if length >= header.len() as u64 {
        beginning(&mut header)?;
    }
    Ok(match sqlite_file::page_bytes(&header) {
        Some(_) if sqlite_file::bytes_min(&header).is_some_and(|least| length < least) => {
            Form::Broken("is a database that is cut off")
        }
        _ if as_listed => Form::Fits,
        Some(_) => Form::Usual,
        None if listed < Some(length) => Form::Longer,
        None => Form::Shorter,
    })
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
