//! What the manifest tells of a row apart from its content, in about the shares of a real one (iPhone9,3, iOS 14.3:
//! 1,089 files, 2,618 folders, 14 links).

use super::{FileId, content::mix};

/// 1 January 1980: what has no date of its own was born then.
const BORN_1980: i64 = 315_532_800;
const DAY: i64 = 86_400;

/// Owner, protection and times of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// `UserID`; -2 is "nobody".
    pub user: i32,
    /// `GroupID`.
    pub group: i32,
    /// `ProtectionClass`, which a file's key is wrapped for.
    pub protection_class: u8,
    /// `Flags`, not those of the row's column.
    pub flags: u8,
    /// `InodeNumber`.
    pub inode: u64,
    /// `Birth`.
    pub birth: i64,
    /// `LastStatusChange`.
    pub changed: i64,
}

fn owner(turn: u64) -> (i32, i32) {
    match turn % 100 {
        7 => (25, 25),
        13 => (-2, -2),
        19 => (501, -2),
        23 => (33, 0),
        29 => (64, 0),
        31..35 => (0, 0),
        40..50 => (501, 0),
        _ => (501, 501),
    }
}

/// The mode and the rest of a file; `turn` goes up by one from row to row.
pub(super) fn of_file(turn: u64, id: &FileId, mtime: i64) -> (u16, Stat) {
    let mode = match turn % 200 {
        0 => 0o100_000,
        1 => 0o100_664,
        2 => 0o100_400,
        3 | 4 => 0o100_666,
        rest if rest % 8 < 3 => 0o100_644,
        _ => 0o100_600,
    };
    let (user, group) = owner(turn);
    let protection_class = match turn % 150 {
        11 => 1,
        17 => 2,
        rest if rest % 2 == 0 => 4,
        _ => 3,
    };
    let birth = match turn % 500 {
        2 => mtime + 3600,
        rest if rest % 50 == 1 => BORN_1980,
        rest if rest % 2 == 0 => mtime,
        rest => mtime - DAY * (1 + rest.cast_signed() % 300),
    };
    let changed = match turn % 24 {
        0 => mtime - 100,
        rest if rest % 3 == 1 => mtime + 60,
        _ => mtime,
    };
    let flags = if turn % 90 == 5 { 128 } else { 0 };
    (mode, Stat { user, group, protection_class, flags, inode: inode(turn, &id.0), birth, changed })
}

/// The same of a directory. Its inode follows from its path alone, so that directories of several domains share one.
pub(super) fn of_directory(turn: u64, path: &str, mtime: i64) -> (u16, Stat) {
    let mode = match turn % 30 {
        4 => 0o040_000,
        5 => 0o040_700,
        _ => 0o040_755,
    };
    let (user, group) = owner(turn);
    let protection_class = match turn % 40 {
        1 => 1,
        2 => 3,
        3 | 4 => 4,
        _ => 0,
    };
    let flags = if turn % 300 == 6 { 128 } else { 0 };
    let id = FileId::of("", path);
    (mode, Stat { user, group, protection_class, flags, inode: inode(0, &id.0), birth: mtime, changed: mtime })
}

/// The same of a link.
pub(super) fn of_link(id: &FileId, mtime: i64) -> (u16, Stat) {
    let inode = inode(0, &id.0);
    let stat = Stat { user: 501, group: 501, protection_class: 0, flags: 0, inode, birth: mtime, changed: mtime };
    (0o120_755, stat)
}

/// Numbers of one to three bytes mostly; now and then one that takes more than four.
fn inode(turn: u64, id: &[u8; 20]) -> u64 {
    let random = mix(u64::from_le_bytes([id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7]]));
    match turn % 40 {
        3 => 0x0F_0000_0000 | random >> 40,
        9 => random % 200 + 2,
        _ => random % 900_000 + 2,
    }
}
