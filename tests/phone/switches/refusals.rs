//! Refusals of lockdownd by script.

use std::sync::Mutex;

use plist::{Dictionary, Value};

use super::value_of;
use crate::phone::{Event, Phone};

/// What a request may be about.
const SUBJECTS: [&str; 3] = ["Service", "Key", "Domain"];

#[derive(Default)]
pub(super) struct Refusals(Mutex<Vec<Refusal>>);

struct Refusal {
    request: String,
    about: Option<String>,
    error: String,
    once: bool,
}

impl Refusal {
    fn fits(&self, name: &str, request: &Dictionary) -> bool {
        let names = |about: &str| SUBJECTS.iter().any(|key| request.get(key).and_then(Value::as_string) == Some(about));
        self.request == name && self.about.as_deref().is_none_or(names)
    }
}

impl Phone {
    /// Answers a request of lockdownd (`Pair`, `StartSession`, `StartService`, `GetValue`, ...) with this `Error` until
    /// [`Self::refuse_nothing`]; with `about`, only if that is its service, key or domain. The latest fitting word counts.
    pub fn refuse(&self, request: &str, about: Option<&str>, error: &str) {
        self.add_refusal(request, about, error, false);
    }

    /// As [`Self::refuse`], for the next fitting request alone.
    pub fn refuse_once(&self, request: &str, about: Option<&str>, error: &str) {
        self.add_refusal(request, about, error, true);
    }

    /// Takes back every scripted refusal.
    pub fn refuse_nothing(&self) {
        value_of(&self.switches().refusals.0).clear();
    }

    fn add_refusal(&self, request: &str, about: Option<&str>, error: &str, once: bool) {
        let refusal = Refusal { request: request.into(), about: about.map(str::to_owned), error: error.into(), once };
        value_of(&self.switches().refusals.0).push(refusal);
    }

    /// The `Error` that a script has for this request.
    pub(crate) fn scripted_refusal(&self, name: &str, request: &Dictionary) -> Option<String> {
        let mut refusals = value_of(&self.switches().refusals.0);
        let index = refusals.iter().rposition(|refusal| refusal.fits(name, request))?;
        let error = refusals[index].error.clone();
        if refusals[index].once {
            refusals.remove(index);
        }
        self.tell(Event::Refused { request: name.to_owned(), error: error.clone() });
        Some(error)
    }
}
