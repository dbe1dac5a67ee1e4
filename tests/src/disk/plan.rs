//! What is to go wrong, and when: operations are counted as they arrive.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Lookup,
    GetAttributes,
    Open,
    Read,
    OpenFolder,
    ReadFolder,
    FreeSpace,
    Create,
    MakeFolder,
    Link,
    Write,
    SetAttributes,
    Rename,
    /// Two names exchanged in one step.
    Exchange,
    Unlink,
    RemoveFolder,
    Close,
    Sync,
    SyncFolder,
}

impl Kind {
    /// True when the operation only looks.
    pub const fn reads(self) -> bool {
        use Kind::{FreeSpace, GetAttributes, Lookup, Open, OpenFolder, Read, ReadFolder};
        matches!(self, Lookup | GetAttributes | Open | Read | OpenFolder | ReadFolder | FreeSpace)
    }

    /// True when a real file system can give this answer to such an operation.
    pub fn can_fail_with(self, errno: Errno) -> bool {
        use Kind::{
            Close, Create, Exchange, Link, Lookup, MakeFolder, Open, OpenFolder, RemoveFolder, Rename, SetAttributes,
            Sync, SyncFolder, Unlink, Write,
        };
        match errno {
            Errno::IO => true,
            // A close and a sync tell what an earlier write could not do.
            Errno::NOSPC | Errno::DQUOT => {
                matches!(self, Create | MakeFolder | Link | Write | Rename | Exchange | Close | Sync | SyncFolder)
            }
            // A share whose server is another one now.
            Errno::STALE => true,
            // Beyond 4 GB on FAT.
            Errno::FBIG => matches!(self, Write),
            Errno::ACCESS => matches!(
                self,
                Lookup
                    | Open
                    | OpenFolder
                    | Create
                    | MakeFolder
                    | Link
                    | SetAttributes
                    | Rename
                    | Exchange
                    | Unlink
                    | RemoveFolder
            ),
            Errno::ROFS => !self.reads() && !matches!(self, Close | Sync | SyncFolder),
            _ => false,
        }
    }
}

/// One operation that reached the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Counted from 1 since the plan was set.
    pub number: u64,
    /// What it does.
    pub kind: Kind,
    /// Where, below the disk's top folder; the new name for a rename.
    pub path: String,
}

/// Tells the operation at which it is time; asked about each, in order, since what a run does before it varies.
pub struct Trigger(Box<dyn FnMut(&Operation) -> bool + Send>);

impl Trigger {
    /// The first operation that `is_it` says yes to.
    pub fn when(is_it: impl FnMut(&Operation) -> bool + Send + 'static) -> Self {
        Self(Box::new(is_it))
    }
}

impl fmt::Debug for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Trigger")
    }
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub enum Plan {
    /// Nothing.
    #[default]
    Well,
    /// One operation fails and is not carried out: this one, counted from 1 among those that can fail with one of these
    /// errors, with the first of them that it can fail with.
    Fail { at: u64, errors: &'static [Errno] },
    /// From that operation on every one fails so that can, until the next plan.
    FailFrom { at: u64, errors: &'static [Errno] },
    /// The process is killed (SIGKILL) at this operation, which is not carried out, and neither is any other until the
    /// next plan.
    Kill { at: Trigger, process: Pid },
}

/// Decides about each operation and remembers it.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    halted: bool,
    fired: Option<(Operation, Errno)>,
    log: Vec<Operation>,
    /// Operations so far that could have failed as planned.
    candidates: u64,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new plan; counting begins anew and a disk that stood still goes on.
    pub(super) fn set(&self, plan: Plan) {
        *self.state() = State { plan, ..State::default() };
    }

    /// The operation at which the plan came true, and what it was answered.
    pub(super) fn fired(&self) -> Option<(Operation, Errno)> {
        self.state().fired.clone()
    }

    /// Everything since the plan was set.
    pub(super) fn log(&self) -> Vec<Operation> {
        self.state().log.clone()
    }

    /// Counts the operation; an error is its answer, and it is not carried out.
    pub(super) fn pass(&self, kind: Kind, path: String) -> Result<(), Errno> {
        let state = &mut *self.state();
        if state.halted {
            return Err(Errno::IO);
        }
        let operation = Operation { number: state.log.len() as u64 + 1, kind, path };
        state.log.push(operation.clone());
        let possible = |errors: &[Errno]| errors.iter().find(|errno| kind.can_fail_with(**errno)).copied();
        let errno = match &mut state.plan {
            Plan::Fail { at, errors } | Plan::FailFrom { at, errors } => {
                let (at, errors) = (*at, *errors);
                let Some(errno) = possible(errors) else { return Ok(()) };
                state.candidates += 1;
                let lasting = matches!(state.plan, Plan::FailFrom { .. });
                if state.candidates != at && !(lasting && state.candidates > at) {
                    return Ok(());
                }
                errno
            }
            Plan::Kill { at, process } => {
                if !(at.0)(&operation) {
                    return Ok(());
                }
                // It may have ended by itself a moment ago.
                kill_process(*process, Signal::KILL).ok();
                state.halted = true;
                Errno::IO
            }
            Plan::Well => return Ok(()),
        };
        state.fired.get_or_insert((operation, errno));
        Err(errno)
    }
}
