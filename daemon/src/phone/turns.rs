//! Whose turn it is: phones share a disk, so the bytes of one come at a time.
//!
//! Who was asked for by a person comes first, in the order in which they came; then whoever has waited longest since its last
//! good backup. A turn that was taken is never taken away, but a run that waits for a person or for its phone steps aside.

use std::{convert::Infallible, time::Duration};

use backstay_shared::overview::{Phase, Progress};
use chrono::{DateTime, Utc};
use tokio::sync::watch;

/// A phone that looks for what changed for longer than this may as well wait for its passcode without having told.
const SCAN_PATIENCE: Duration = Duration::from_secs(180);

/// The queue of one disk. Clones are the same queue.
#[derive(Debug, Clone, Default)]
pub struct Turns(watch::Sender<Queue>);

#[derive(Debug, Default)]
struct Queue {
    /// Runs that have their turn, those that stepped aside included.
    under_way: u32,
    /// Those of them that use the disk.
    at_the_disk: u32,
    /// What comes by itself gets no turn.
    held: bool,
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

    fn is_at_rest(&self) -> bool {
        self.under_way == 0 && self.waiting.iter().all(|ticket| ticket.by_itself)
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
        Waiting { turns: self.clone(), changes: self.0.subscribe(), number, told: None }
    }

    /// Whether what comes by itself gets no turn from now on. Who was asked for by a person still gets one.
    pub fn hold(&self, held: bool) {
        self.0.send_if_modified(|queue| std::mem::replace(&mut queue.held, held) != held);
    }

    /// No run is under way, and no person waits for one.
    pub fn is_at_rest(&self) -> bool {
        self.0.borrow().is_at_rest()
    }

    /// Waits until it is so.
    pub async fn at_rest(&self) {
        // The queue lives as long as this does.
        drop(self.0.subscribe().wait_for(Queue::is_at_rest).await);
    }

    /// A person wants it now.
    fn ask(&self, number: u64) {
        self.0.send_if_modified(|queue| {
            let mut others = queue.waiting.iter_mut();
            let Some(waiting) = others.find(|ticket| ticket.number == number && ticket.by_itself) else { return false };
            *waiting = ticket(true, None, number);
            queue.waiting.sort_unstable();
            true
        });
    }

    /// Takes the turn if the disk is free and this one is next.
    fn take(&self, number: u64) -> Option<Turn> {
        let taken = self.0.send_if_modified(|queue| {
            let is_next = queue.waiting.first().is_some_and(|first| {
                let may = !queue.held || !first.by_itself;
                first.number == number && may
            });
            if queue.at_the_disk > 0 || !is_next {
                return false;
            }
            queue.waiting.remove(0);
            queue.under_way += 1;
            queue.at_the_disk += 1;
            true
        });
        taken.then(|| Turn { turns: self.clone(), at_the_disk: true })
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
    told: Option<u32>,
}

/// What there is to tell of a place in the queue.
#[derive(Debug)]
pub enum News {
    /// It is another one.
    Place,
    /// It is its turn.
    Turn(Turn),
}

impl Waiting {
    /// From 1.
    pub fn place(&self) -> u32 {
        let place = self.turns.0.borrow().place(self.number).unwrap_or_default();
        u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// A person wants it now.
    pub fn ask(&self) {
        self.turns.ask(self.number);
    }

    /// Waits until it is its turn or has another place. May be dropped and called anew: nothing is lost by that. After its
    /// turn has come there is no more news.
    pub async fn news(&mut self) -> News {
        loop {
            self.changes.mark_unchanged();
            if let Some(turn) = self.turns.take(self.number) {
                return News::Turn(turn);
            }
            let now = Some(self.place());
            if self.told.replace(self.place()) != now {
                return News::Place;
            }
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
    at_the_disk: bool,
}

impl Turn {
    /// Follows a run for as long as this is polled: while it waits for the passcode, or its phone does not say what it does,
    /// others have the disk.
    ///
    /// When it goes on it does so at once, also beside another. What the turn is for is speed, and a backup beside another
    /// is only slower. To answer the phone's first message late would be the other way: nobody knows how long an iPhone
    /// waits for an answer, another backup may take hours, and the passcode that was just typed would be lost.
    pub async fn follow(&mut self, mut progress: watch::Receiver<Progress>) -> Infallible {
        loop {
            let phase = progress.borrow().phase;
            let patience = patience(phase);
            if patience.is_none() {
                self.use_the_disk(true);
            }
            let patience = patience.unwrap_or(Duration::MAX);
            if tokio::time::timeout(patience, is_over(&mut progress, phase)).await.is_err() {
                self.use_the_disk(false);
                is_over(&mut progress, phase).await;
            }
        }
    }

    fn use_the_disk(&mut self, uses: bool) {
        if std::mem::replace(&mut self.at_the_disk, uses) != uses {
            self.turns.0.send_modify(|queue| match uses {
                true => queue.at_the_disk += 1,
                false => queue.at_the_disk -= 1,
            });
        }
    }
}

/// After how long in a phase the disk is left to others; none where it is needed.
const fn patience(phase: Phase) -> Option<Duration> {
    match phase {
        Phase::WaitingForPasscode => Some(Duration::ZERO),
        Phase::Scanning => Some(SCAN_PATIENCE),
        Phase::Preparing | Phase::SendingList | Phase::Transferring | Phase::Verifying | Phase::Committing => None,
    }
}

/// Never when the run is over: whoever has the turn gives it back.
async fn is_over(progress: &mut watch::Receiver<Progress>, phase: Phase) {
    if progress.wait_for(|progress| progress.phase != phase).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.use_the_disk(false);
        self.turns.0.send_modify(|queue| queue.under_way -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours_ago(hours: i64) -> Option<DateTime<Utc>> {
        Some(DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1000 - hours))
    }

    async fn turn(mut waiting: Waiting) -> (u64, Turn) {
        loop {
            if let News::Turn(turn) = waiting.news().await {
                return (waiting.number, turn);
            }
        }
    }

    /// The turn, if it is to be had now.
    fn turn_now(waiting: &Waiting) -> Option<Turn> {
        waiting.turns.take(waiting.number)
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
        let numbers: Vec<u64> = waiting.iter().map(|waiting| waiting.number).collect();
        assert_eq!(waiting.each_ref().map(Waiting::place), [6, 4, 3, 1, 5, 2]);
        // Asked for while it waits: before all that come by themselves.
        waiting[0].ask();
        turns.ask(999);
        assert_eq!(waiting.each_ref().map(Waiting::place), [1, 5, 4, 2, 6, 3]);

        let (sender, mut came) = tokio::sync::mpsc::unbounded_channel();
        for waiting in waiting {
            let sender = sender.clone();
            tokio::spawn(async move {
                let (number, _turn) = turn(waiting).await;
                sender.send(number).unwrap();
            });
        }
        drop((first, sender));
        let mut order = Vec::new();
        while let Some(next) = came.recv().await {
            order.push(next);
        }
        assert_eq!(order, [0, 3, 5, 2, 1, 4].map(|index| numbers[index]));
    }

    #[tokio::test]
    async fn who_gives_up_holds_up_nobody() {
        let turns = Turns::default();
        let (_, first) = turn(turns.wait(false, None)).await;
        let gives_up = turns.wait(true, None);
        let mut stays = turns.wait(false, None);
        assert!(matches!(stays.news().await, News::Place));
        assert_eq!(stays.place(), 2);
        drop(gives_up);
        assert!(matches!(stays.news().await, News::Place));
        assert_eq!(stays.place(), 1);
        drop(first);
        assert!(matches!(stays.news().await, News::Turn(_)));
        assert!(turns.0.borrow().waiting.is_empty());
    }

    /// Four phones in the evening do not wait for one another's passcodes, and the one whose passcode is typed goes on.
    #[tokio::test]
    async fn who_waits_for_a_passcode_holds_up_nobody() {
        let turns = Turns::default();
        let (_, mut turn) = turn(turns.wait(false, None)).await;
        let next = turns.wait(false, None);
        let (progress, watched) = watch::channel(Progress::start());
        let following = tokio::spawn(async move { turn.follow(watched).await });
        let shows = |phase| progress.send_modify(|progress| progress.phase = phase);
        let mut changes = turns.0.subscribe();

        shows(Phase::Scanning);
        tokio::task::yield_now().await;
        assert!(turn_now(&next).is_none(), "the first has the disk");
        shows(Phase::WaitingForPasscode);
        changes.wait_for(|queue| queue.at_the_disk == 0).await.unwrap();
        assert!(!turns.is_at_rest(), "it is still under way");
        let second = turn_now(&next).unwrap();
        // The sheet is gone; it is not yet known what comes.
        shows(Phase::Scanning);
        tokio::task::yield_now().await;
        assert_eq!(turns.0.borrow().at_the_disk, 1);
        shows(Phase::Transferring);
        changes.wait_for(|queue| queue.at_the_disk == 2).await.unwrap();
        drop(second);
        let third = turns.wait(false, None);
        assert!(turn_now(&third).is_none(), "the first has the disk again");
        following.abort();
        assert!(following.await.unwrap_err().is_cancelled());
        assert!(turn_now(&third).is_some() && turns.is_at_rest());
    }

    /// Not every phone tells of its passcode sheet, and it stays up for half an hour.
    #[test]
    fn a_phone_that_says_nothing_for_long_leaves_the_disk_to_others() {
        let by_phase = [Phase::WaitingForPasscode, Phase::Scanning, Phase::Transferring].map(patience);
        assert_eq!(by_phase, [Some(Duration::ZERO), Some(Duration::from_secs(180)), None]);
    }

    #[tokio::test]
    async fn what_is_held_is_what_comes_by_itself() {
        let turns = Turns::default();
        let (_, first) = turn(turns.wait(false, None)).await;
        let by_itself = turns.wait(false, None);
        turns.hold(true);
        drop(first);
        assert!(turn_now(&by_itself).is_none() && turns.is_at_rest());
        let asked = turns.wait(true, None);
        assert!(!turns.is_at_rest(), "a person waits");
        drop(turn_now(&asked).unwrap());
        assert!(turns.is_at_rest());
        turns.hold(false);
        assert!(turn_now(&by_itself).is_some());
    }
}
