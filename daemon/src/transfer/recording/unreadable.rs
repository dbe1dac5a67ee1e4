//! Files that the phone could not read, followed to where they end: moved or not, in its list or not.

use std::collections::HashMap;

use super::log::{Line, Log};
use crate::vault::{ledger::NotRead, name::Name};

/// More are only counted.
const KEPT_MAX: usize = 1000;

/// The first of them by their names in the backup.
#[derive(Debug, Default, Clone)]
pub struct Unreadables {
    /// How many there were.
    pub count: u64,
    known: HashMap<[u8; 20], Fate>,
}

#[derive(Debug, Clone, Copy)]
struct Fate {
    number: u64,
    moved: bool,
}

impl Unreadables {
    /// One more, which would be at this place; its number if it has a line of its own.
    pub fn add(&mut self, name: &Name) -> Option<u64> {
        self.count += 1;
        if let Name::Staged(id) | Name::Payload(id) = name
            && self.known.len() < KEPT_MAX
        {
            let fate = Fate { number: self.count, moved: false };
            return Some(self.known.entry(*id).or_insert(fate).number);
        }
        (self.count <= KEPT_MAX as u64).then_some(self.count)
    }

    /// The phone moved what it had sent to this place.
    pub fn moved(&mut self, from: &Name) -> bool {
        let (Name::Staged(id) | Name::Payload(id)) = from else { return false };
        self.known.get_mut(id).map(|fate| fate.moved = true).is_some()
    }

    fn in_order(&self) -> Vec<([u8; 20], Fate)> {
        let mut all: Vec<_> = self.known.iter().map(|(id, fate)| (*id, *fate)).collect();
        all.sort_by_key(|(_, fate)| fate.number);
        all
    }

    /// Which of them were moved.
    pub fn tell_moves(&self, log: &Log) {
        for (_, Fate { number, moved }) in self.in_order() {
            log.last_line(Line::new('*', "moved").with("unreadable", number).with("moved", yes(moved)));
        }
    }

    /// Which of them are in the phone's list, and what it says of their size.
    pub fn tell_rows(&self, log: &Log, listed: &[NotRead]) {
        let sizes: HashMap<&Name, Option<u64>> = listed.iter().map(|file| (&file.name, file.size)).collect();
        for (id, Fate { number, .. }) in self.in_order() {
            let row = sizes.get(&Name::Payload(id));
            let line = Line::new('*', "row").with("unreadable", number).with("listed", yes(row.is_some()));
            log.last_line(line.with_some("size", row.copied().flatten()));
        }
    }
}

fn yes(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}
