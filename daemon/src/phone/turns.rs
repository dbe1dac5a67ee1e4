//! Whose turn it is: phones share a disk, so one is backed up at a time.
//!
//! Who was asked for by a person comes first, in the order in which they came; then whoever has waited longest since its last
//! good backup. A turn that was taken is never taken away.

use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// The queue of one disk. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Turns(watch::Sender<Queue>);

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    last_number: u64,
    /// First come those who are next.
    waiting: Vec<Ticket>,
}

/// Compared from the first field on; no backup at all is longest ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    by_itself: bool,
    last_good: Option<DateTime<Utc>>,
    number: u64,
}

impl Queue {
    fn place(&self, number: u64) -> Option<usize> {
        self.waiting.iter().position(|ticket| ticket.number == number)
    }
}

impl Turns {
    /// Takes a place in the queue.
    pub fn wait(&self, asked: bool, last_good: Option<DateTime<Utc>>) -> Waiting {
        let mut number = 0;
        self.0.send_modify(|queue| {
            queue.last_number += 1;
            number = queue.last_number;
            queue.waiting.push(ticket(asked, last_good, number));
            queue.waiting.sort_unstable();
        });
        Waiting { turns: self.clone(), changes: self.0.subscribe(), number }
    }

    /// A person wants it now.
    pub fn ask(&self, number: u64) {
        self.0.send_if_modified(|queue| {
            let mut others = queue.waiting.iter_mut();
            let Some(waiting) = others.find(|ticket| ticket.number == number && ticket.by_itself) else { return false };
            *waiting = Ticket { by_itself: false, last_good: None, number };
            queue.waiting.sort_unstable();
            true
        });
    }

    /// Takes the turn if it is free and this one is next; whether a person asked for it.
    fn take(&self, number: u64) -> Option<bool> {
        let mut asked = None;
        self.0.send_if_modified(|queue| {
            if queue.taken || queue.place(number) != Some(0) {
                return false;
            }
            asked = Some(!queue.waiting.remove(0).by_itself);
            queue.taken = true;
            true
        });
        asked
    }
}

fn ticket(asked: bool, last_good: Option<DateTime<Utc>>, number: u64) -> Ticket {
    // Among those that a person asked for, the first come is the first served.
    Ticket { by_itself: !asked, last_good: last_good.filter(|_| !asked), number }
}

/// A place in the queue; given up when dropped.
#[derive(Debug)]
pub struct Waiting {
    turns: Turns,
    changes: watch::Receiver<Queue>,
    number: u64,
}

impl Waiting {
    /// By which the queue knows it.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// From 1.
    pub fn place(&self) -> u32 {
        let place = self.turns.0.borrow().place(self.number).unwrap_or_default();
        u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Waits until it is its turn, and tells its place meanwhile.
    pub async fn turn(mut self, place: &watch::Sender<Option<u32>>) -> Turn {
        loop {
            self.changes.mark_unchanged();
            if let Some(asked) = self.turns.take(self.number) {
                return Turn { turns: self.turns.clone(), asked };
            }
            let now = Some(self.place());
            place.send_if_modified(|told| std::mem::replace(told, now) != now);
            if self.changes.changed().await.is_err() {
                // The queue lives as long as this does.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let number = self.number;
        self.turns.0.send_if_modified(|queue| match queue.place(number) {
            Some(place) => {
                queue.waiting.remove(place);
                true
            }
            None => false,
        });
    }
}

/// The turn; the next one's when dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    /// A person asked for it, at first or while it waited.
    pub asked: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.send_modify(|queue| queue.taken = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours_ago(hours: i64) -> Option<DateTime<Utc>> {
        Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1000 - hours))
    }

    async fn turn(waiting: Waiting) -> (u64, Turn) {
        let number = waiting.number();
        (number, waiting.turn(&watch::Sender::new(None)).await)
    }

    #[tokio::test]
    async fn who_waits_longest_is_next_and_a_person_comes_first() {
        let turns = Turns::default();
        let (_, first) = turn(turns.wait(false, hours_ago(1))).await;
        let waiting = [
            turns.wait(false, hours_ago(20)),
            turns.wait(false, hours_ago(50)),
            turns.wait(false, None),
            turns.wait(true, hours_ago(1)),
            turns.wait(false, hours_ago(30)),
            turns.wait(true, None),
        ];
        let numbers: Vec<u64> = waiting.iter().map(Waiting::number).collect();
        assert_eq!(waiting.each_ref().map(Waiting::place), [6, 4, 3, 1, 5, 2]);
        // Asked for while it waits: before all that come by themselves.
        turns.ask(numbers[0]);
        turns.ask(999);
        assert_eq!(waiting.each_ref().map(Waiting::place), [1, 5, 4, 2, 6, 3]);

        let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
        for waiting in waiting {
            let sender = sender.clone();
            tokio::spawn(async move {
                let (number, turn) = turn(waiting).await;
                sender.send((number, turn.asked)).unwrap();
            });
        }
        drop((first, sender));
        let mut order = Vec::new();
        while let Some(next) = came.recv().await {
            order.push(next);
        }
        let expected = [(0, true), (3, true), (5, true), (2, false), (1, false), (4, false)];
        assert_eq!(order, expected.map(|(index, asked)| (numbers[index], asked)));
    }

    #[tokio::test]
    async fn who_gives_up_holds_up_nobody() {
        let turns = Turns::default();
        let (_, first) = turn(turns.wait(false, None)).await;
        let gives_up = turns.wait(true, None);
        let stays = turns.wait(false, None);
        let number = stays.number();
        let (place, mut places) = watch::channel(None);
        let waits = tokio::spawn(async move { stays.turn(&place).await });
        places.wait_for(|place| *place == Some(2)).await.unwrap();
        drop(gives_up);
        places.wait_for(|place| *place == Some(1)).await.unwrap();
        drop(first);
        let turn = waits.await.unwrap();
        assert!(!turn.asked && turns.0.borrow().place(number).is_none());
    }
}
