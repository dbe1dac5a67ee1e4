//! lockdownd: facts about the phone, pairing, sessions and the way to every other service.
//!
//! Facts from libimobiledevice `src/lockdown.c` and pymobiledevice3 `lockdown.py`; error names from
//! `failures.toml`.

use std::io;

use plist::{Dictionary, Value};
use tracing::debug;

use super::{Event, Handshake, Phone, Stream, services::plist_stream, tls};

pub(crate) mod certificates;
mod pair;
mod ports;
mod session;
#[cfg(test)]
mod tests;
mod trust;
mod values;

pub use ports::{OpenPort, Ports};
pub use trust::{Dialog, Pairing, Shown, Trust};
pub use values::Settings;

use session::Session;

/// The port on which lockdownd always listens.
pub const PORT: u16 = 62078;

/// A refusal, in lockdownd's own words.
pub(crate) type Refusal = &'static str;

/// Why a conversation stopped.
enum Ended {
    Closed,
    /// TLS begins, for this session.
    SessionStarted(Session),
}

/// Serves one connection to port 62078: plain text until StartSession, TLS until StopSession, then plain text again.
pub(crate) async fn serve<S: Stream>(phone: &Phone, mut stream: S) -> io::Result<()> {
    loop {
        let session = match converse(phone, &mut stream, &mut None).await? {
            Ended::Closed => return Ok(()),
            Ended::SessionStarted(session) => session,
        };
        let mut tls = tls::accept(phone, Handshake::Session, &session.pairing, tls::Records::new(stream)).await?;
        let mut session = Some(session);
        converse(phone, &mut tls, &mut session).await?;
        if session.is_some() {
            return Ok(());
        }
        stream = tls::close(tls).await?.into_inner();
    }
}

/// Answers requests until the client closes or a session starts.
async fn converse<S: Stream>(phone: &Phone, stream: &mut S, session: &mut Option<Session>) -> io::Result<Ended> {
    while let Some(request) = plist_stream::read_dictionary(stream).await? {
        let name = request.get("Request").and_then(Value::as_string).unwrap_or_default().to_owned();
        let goodbye = name == "Goodbye";
        if let Some(error) = phone.scripted_refusal(&name, &request) {
            plist_stream::write(stream, &reply(&name, &request, Err(&error))).await?;
            continue;
        }
        let outcome = match name.as_str() {
            "StartSession" if session.is_some() => Err("SessionActive"),
            "StartSession" => match Session::start(phone, &request) {
                Ok(started) => {
                    plist_stream::write(stream, &reply(&name, &request, Ok(started.reply()))).await?;
                    return Ok(Ended::SessionStarted(started));
                }
                Err(refusal) => Err(refusal),
            },
            "StopSession" => Session::stop(session, &request),
            _ => answer(phone, &name, &request, session.as_ref()),
        };
        if let Err(refusal) = &outcome {
            debug!(request = name, refusal, "lockdownd refuses");
        }
        plist_stream::write(stream, &reply(&name, &request, outcome)).await?;
        if goodbye {
            break;
        }
    }
    Ok(Ended::Closed)
}

/// Every request but those that begin and end a session.
fn answer(phone: &Phone, name: &str, request: &Dictionary, session: Option<&Session>) -> Result<Dictionary, Refusal> {
    match name {
        "QueryType" => Ok(Dictionary::from_iter([("Type", "com.apple.mobile.lockdown")])),
        "GetValue" => values::get(phone, request, session.is_some()),
        "SetValue" => values::set(phone, request, session.is_some()),
        "RemoveValue" => values::remove(phone, request, session.is_some()),
        "Pair" => pair::pair(phone, request),
        "ValidatePair" => pair::validate(phone, request),
        "Unpair" => pair::unpair(phone, request),
        "StartService" => start_service(phone, request, session),
        "Goodbye" => Ok(Dictionary::new()),
        "EnterRecovery" | "Activate" | "Deactivate" => Err("SetProhibited"),
        _ => Err("InvalidRequest"),
    }
}

fn start_service(phone: &Phone, request: &Dictionary, session: Option<&Session>) -> Result<Dictionary, Refusal> {
    let session = session.ok_or("SessionInactive")?;
    let service = request.get("Service").and_then(Value::as_string).ok_or("MissingService")?;
    if !super::services::is_known(service) {
        return Err("InvalidService");
    }
    let escrow_bag = request.get("EscrowBag").and_then(Value::as_data);
    if !phone.was_unlocked_since_restart() {
        return Err("EscrowLocked");
    }
    if phone.is_locked() && escrow_bag != Some(session.pairing.escrow_bag()) {
        return Err("PasswordProtected");
    }
    let port = phone.services().ports.open(service, session.pairing.clone(), *phone.link().borrow());
    if service == "com.apple.mobilebackup2" {
        phone.keep_escrow_bag(escrow_bag.is_some());
    }
    phone.tell(Event::ServiceStarted(service.to_owned()));
    Ok(Dictionary::from_iter([
        ("Service", Value::from(service)),
        ("Port", Value::from(u64::from(port))),
        ("EnableServiceSSL", Value::from(true)),
    ]))
}

/// The request's name, what it was about, and the outcome. Phones since iOS 5 send no `Result`.
fn reply(name: &str, request: &Dictionary, outcome: Result<Dictionary, &str>) -> Value {
    let mut reply = Dictionary::new();
    reply.insert("Request".into(), Value::from(name));
    for key in ["Domain", "Key"] {
        if let Some(value) = request.get(key) {
            reply.insert(key.into(), value.clone());
        }
    }
    match outcome {
        Ok(body) => reply.extend(body),
        Err(refusal) => {
            reply.insert("Error".into(), Value::from(refusal));
        }
    }
    Value::Dictionary(reply)
}
