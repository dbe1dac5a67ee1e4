//! GetValue, SetValue and RemoveValue.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use plist::{Dictionary, Value};

use super::Refusal;
use crate::phone::Phone;

mod facts;

/// What was set over the phone's own values, by domain and key; none means that it was removed.
#[derive(Default)]
pub struct Settings(Mutex<BTreeMap<(String, String), Option<Value>>>);

impl Settings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Option<Value>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Phone {
    /// One value as lockdownd tells a trusted computer; the empty domain is the global one.
    pub fn lockdown_value(&self, domain: &str, key: &str) -> Option<Value> {
        values_of(self, domain).remove(key)
    }

    /// Sets, or with none removes, a value of lockdownd: for what a service or the person changes.
    pub fn set_lockdown_value(&self, domain: &str, key: &str, value: Option<Value>) {
        self.services().settings.lock().insert((domain.to_owned(), key.to_owned()), value);
    }
}

/// `GetValue` of one key or of a whole domain; a stranger sees a few values of the global domain only.
pub(super) fn get(phone: &Phone, request: &Dictionary, trusted: bool) -> Result<Dictionary, Refusal> {
    let (domain, key) = (text(request, "Domain").unwrap_or_default(), text(request, "Key"));
    if !trusted && !domain.is_empty() {
        return Err("GetProhibited");
    }
    let mut values = values_of(phone, domain);
    if trusted && domain.is_empty() && key.is_none_or(|key| key == "PasswordProtected") {
        phone.tell_lock();
    }
    let value = match key {
        None => {
            values.retain(|key, _| trusted || is_public(key));
            Value::Dictionary(values)
        }
        Some(key) if !trusted && !is_public(key) && values.contains_key(key) => return Err("GetProhibited"),
        Some(key) => values.remove(key).ok_or("MissingValue")?,
    };
    Ok(Dictionary::from_iter([("Value", value)]))
}

/// `SetValue`.
pub(super) fn set(phone: &Phone, request: &Dictionary, trusted: bool) -> Result<Dictionary, Refusal> {
    let (domain, key) = (text(request, "Domain").unwrap_or_default(), text(request, "Key").ok_or("MissingKey")?);
    let value = request.get("Value").ok_or("MissingValue")?;
    if !trusted || domain.is_empty() && !facts::SETTABLE.contains(&key) {
        return Err("SetProhibited");
    }
    match (domain, key, value.as_string()) {
        ("", "DeviceName", Some(name)) => phone.set_name(name),
        ("", "DeviceName", None) => return Err("InvalidArgument"),
        _ => phone.set_lockdown_value(domain, key, Some(value.clone())),
    }
    Ok(Dictionary::from_iter([("Value", value.clone())]))
}

/// `RemoveValue`.
pub(super) fn remove(phone: &Phone, request: &Dictionary, trusted: bool) -> Result<Dictionary, Refusal> {
    let (domain, key) = (text(request, "Domain").unwrap_or_default(), text(request, "Key").ok_or("MissingKey")?);
    if !trusted || domain.is_empty() {
        return Err("RemoveProhibited");
    }
    phone.set_lockdown_value(domain, key, None);
    Ok(Dictionary::new())
}

/// The phone's own values under those that were set.
fn values_of(phone: &Phone, domain: &str) -> Dictionary {
    let mut values = facts::of_domain(phone, domain);
    let from = (domain.to_owned(), String::new());
    for ((_, key), value) in phone.services().settings.lock().range(from..).take_while(|((of, _), _)| of == domain) {
        match value {
            Some(value) => values.insert(key.clone(), value.clone()),
            None => values.remove(key),
        };
    }
    if domain.is_empty() {
        values.insert("PasswordProtected".into(), Value::from(phone.is_locked()));
    }
    values
}

fn is_public(key: &str) -> bool {
    facts::PUBLIC.contains(&key)
}

fn text<'a>(request: &'a Dictionary, key: &str) -> Option<&'a str> {
    request.get(key).and_then(Value::as_string)
}
