//! The sheet on which the phone asks for its passcode, and the person before it.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::value_of;
use crate::phone::{Event, Fault, PasscodeAnswer, Phone};

/// iOS 16.1 and later post these around the sheet (libimobiledevice `tools/idevicebackup2.c`).
const PRESENTED: &str = "com.apple.LocalAuthentication.ui.presented";
const DISMISSED: &str = "com.apple.LocalAuthentication.ui.dismissed";

#[derive(Default)]
pub(super) struct SheetSwitches {
    answer: Mutex<Option<PasscodeAnswer>>,
    entered: watch::Sender<bool>,
    present: watch::Sender<bool>,
    shown: AtomicU64,
}

/// How a sheet went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SheetOutcome {
    Entered,
    Cancelled,
    TimedOut,
}

impl Phone {
    /// The passcode sheet comes up before every backup, restore and change of the backup password, and this is the
    /// person's answer; with none no sheet comes up. [`Fault::PasscodeSheet`] goes before it.
    pub fn set_passcode_sheet(&self, answer: Option<PasscodeAnswer>) {
        self.forget_passcode();
        *value_of(&self.switches().sheet.answer) = answer;
    }

    /// The person types the passcode ([`PasscodeAnswer::EnteredWhenTold`]).
    pub fn enter_passcode(&self) {
        self.switches().sheet.entered.send_replace(true);
    }

    /// Whether the person is there to see a sheet ([`PasscodeAnswer::EnteredWhenPresent`]); nobody is at first.
    pub fn set_person_present(&self, present: bool) {
        self.switches().sheet.present.send_replace(present);
    }

    /// How many passcode sheets came up so far.
    pub fn sheets_shown(&self) -> u64 {
        self.switches().sheet.shown.load(Ordering::SeqCst)
    }

    /// What was typed for another sheet is no answer to the next.
    pub(crate) fn forget_passcode(&self) {
        self.switches().sheet.entered.send_replace(false);
    }

    /// Shows the sheet, if one is to be shown, and waits for its end.
    pub(crate) async fn passcode_sheet(&self) -> SheetOutcome {
        let answer = match self.fault() {
            Some(Fault::PasscodeSheet { answer }) => Some(answer),
            _ => *value_of(&self.switches().sheet.answer),
        };
        let Some(answer) = answer else { return SheetOutcome::Entered };
        self.switches().sheet.shown.fetch_add(1, Ordering::SeqCst);
        // Nobody may listen to notifications.
        drop(self.notifications().send(PRESENTED.into()));
        self.tell(Event::PasscodeSheetPresented);
        let outcome = self.answer_of_the_person(answer).await;
        drop(self.notifications().send(DISMISSED.into()));
        self.tell(Event::PasscodeSheetDismissed);
        outcome
    }

    async fn answer_of_the_person(&self, answer: PasscodeAnswer) -> SheetOutcome {
        let sheet = &self.switches().sheet;
        let until = async |told: &watch::Sender<bool>| drop(told.subscribe().wait_for(|told| *told).await);
        match answer {
            PasscodeAnswer::Cancelled => SheetOutcome::Cancelled,
            PasscodeAnswer::EnteredWhenTold => {
                until(&sheet.entered).await;
                // The next sheet wants its own answer.
                self.forget_passcode();
                SheetOutcome::Entered
            }
            PasscodeAnswer::EnteredWhenPresent { patience } => match timeout(patience, until(&sheet.present)).await {
                Ok(()) => SheetOutcome::Entered,
                Err(_) => SheetOutcome::TimedOut,
            },
            PasscodeAnswer::TimedOut { after } => {
                sleep(after).await;
                SheetOutcome::TimedOut
            }
        }
    }
}
