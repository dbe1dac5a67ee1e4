//! `com.apple.mobilebackup2` from the phone's side.
//!
//! The order of messages follows idevicebackup2 (`tools/idevicebackup2.c`), pymobiledevice3 (`mobilebackup2.py`,
//! `device_link.py`) and idevice (`mobilebackup2.rs`), which talk to real phones.

mod cipher;
mod devicelink;
mod digests;
mod download;
mod encryption;
mod engine;
mod host;
mod journal;
mod judgement;
mod keybag;
mod listing;
mod manifest;
mod mbfile;
mod misbehave;
mod names;
mod password;
mod plan;
mod plists;
mod restore;
mod restored;
mod rows;
mod script;
mod status;
mod stop;
mod stored;
#[cfg(test)]
mod tests;
mod upload;

use std::io;

use plist::{Dictionary, Value};

pub use self::restored::{Restored, RestoredFile};
use self::{
    devicelink::{EMPTY, Link},
    engine::Backup,
    stop::{Stop, broken},
};
pub(crate) use self::{digests::Digests, encryption::Encryption, journal::Journal};
use super::{Event, Fault, Phone, Stream, Versions};

/// The DeviceLink version that hosts answer, whatever the phone's is (`src/mobilebackup2.c`, `MBACKUP2_VERSION_INT1`).
const DEVICE_LINK_VERSION_OF_HOSTS: u64 = 400;
const PROTOCOL_VERSION: f64 = 2.1;

/// Talks to one host until it is done or gone.
pub async fn serve<S: Stream>(phone: &Phone, stream: S) -> io::Result<()> {
    let mut link = Link::new(phone, stream);
    if let Some(Fault::SilentStart { for_time }) = phone.fault() {
        tokio::time::sleep(for_time).await;
    }
    if phone.is_busy() {
        tokio::select! {
            () = phone.idle() => {}
            () = link.swallow() => return Ok(()),
        }
    }
    if !greet(&mut link).await? {
        return Ok(());
    }
    while let Some(message) = link.receive().await? {
        match message.name.as_str() {
            "DLMessageProcessMessage" => {}
            "DLMessageDisconnect" => break,
            "DLMessagePing" => continue,
            name => return Err(broken(format!("{name} in place of a request"))),
        }
        let request = message.into_dictionary()?;
        let name = request.get("MessageName").and_then(Value::as_string).unwrap_or_default().to_owned();
        let code = match handle(&mut link, &name, &request).await {
            Ok(answer) => finish(&mut link, 0, "", answer).await?,
            Err(Stop::Refused { code, text }) => finish(&mut link, code, &text, Dictionary::new()).await?,
            Err(Stop::Link(error)) => return Err(error),
            Err(Stop::Disconnect) => {
                link.send("DLMessageDisconnect", vec![EMPTY.into()]).await?;
                return link.flush().await;
            }
        };
        match name.as_str() {
            "Backup" => phone.tell(Event::BackupEnded { code }),
            "Restore" => phone.tell(Event::RestoreEnded { code }),
            _ => {}
        }
    }
    Ok(())
}

/// DeviceLink's greeting (`src/device_link_service.c`, `device_link_service_version_exchange`); false when there is no
/// version in common.
async fn greet<S: Stream>(link: &mut Link<'_, S>) -> io::Result<bool> {
    let version = link.phone().device_link_version();
    link.send("DLMessageVersionExchange", version.map(Value::from).to_vec()).await?;
    let answer = link.receive().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let number = answer.arguments.get(1).and_then(Value::as_unsigned_integer);
    link.phone().keep_device_link_answer(number);
    let accepted = answer.arguments.first().and_then(Value::as_string) == Some("DLVersionsOk")
        && number.is_some_and(|number| [DEVICE_LINK_VERSION_OF_HOSTS, version[0]].contains(&number));
    if answer.name != "DLMessageVersionExchange" || !accepted {
        return Err(broken("the host accepts no version"));
    }
    let common = link.phone().versions() != Versions::NoDeviceLink;
    if common {
        link.send("DLMessageDeviceReady", Vec::new()).await?;
    } else {
        link.send("DLMessageDisconnect", vec![EMPTY.into()]).await?;
    }
    link.flush().await?;
    Ok(common)
}

/// Sends the final status of a request.
async fn finish<S: Stream>(link: &mut Link<'_, S>, code: i64, text: &str, answer: Dictionary) -> io::Result<i64> {
    let mut response = answer;
    response.insert("MessageName".into(), "Response".into());
    response.insert("ErrorCode".into(), code.into());
    response.insert("ErrorDescription".into(), text.into());
    link.process_message(response).await?;
    Ok(code)
}

/// Does what a request asks for; what comes back belongs into its final status.
async fn handle<S: Stream>(link: &mut Link<'_, S>, name: &str, request: &Dictionary) -> Result<Dictionary, Stop> {
    let text = |key: &str| request.get(key).and_then(Value::as_string);
    let target = text("TargetIdentifier").unwrap_or(link.phone().udid()).to_owned();
    let source = text("SourceIdentifier").unwrap_or(&target).to_owned();
    let options = request.get("Options").and_then(Value::as_dictionary).cloned().unwrap_or_default();
    let password = text("Password").or_else(|| options.get("Password").and_then(Value::as_string)).map(str::to_owned);
    let mut answer = Dictionary::new();
    match name {
        "Hello" => hello(link.phone(), request, &mut answer)?,
        "Backup" => {
            link.phone().tell(Event::BackupRequested);
            let full = options.get("ForceFullBackup").and_then(Value::as_boolean).unwrap_or(false);
            Backup::new(link, target).run(full).await?;
        }
        "Restore" => restore::run(link, &source, options).await?,
        "Info" => {
            drop(answer.insert("Content".into(), listing::info(link, &source, password.as_deref()).await?.into()))
        }
        "List" => {
            drop(answer.insert("Content".into(), listing::list(link, &source, password.as_deref()).await?.into()))
        }
        "ChangePassword" => {
            let given = |key| text(key).filter(|password| !password.is_empty());
            password::change(link, given("OldPassword"), given("NewPassword")).await?;
        }
        "EnableCloudBackup" => {
            let on = options.get("CloudBackupState").and_then(Value::as_boolean);
            let on = on.ok_or_else(|| Stop::refused(1, "CloudBackupState is missing (MBErrorDomain/1)"))?;
            if let Some((code, text)) = link.phone().cloud_backup_refusal() {
                return Err(Stop::refused(code, text));
            }
            link.phone().set_cloud_backup(on);
        }
        "EraseDevice" => return Err(Stop::refused(22, "Erasing is not allowed (MBErrorDomain/22)")),
        _ => return Err(Stop::refused(1, format!("{name} is not implemented (MBErrorDomain/1)"))),
    }
    Ok(answer)
}

fn hello(phone: &Phone, request: &Dictionary, answer: &mut Dictionary) -> Result<(), Stop> {
    let versions = request.get("SupportedProtocolVersions").and_then(Value::as_array);
    let supported =
        versions.is_some_and(|versions| versions.iter().any(|version| version.as_real() == Some(PROTOCOL_VERSION)));
    if !supported || phone.versions() == Versions::NoProtocol {
        // Hosts read 1 here as "no version in common".
        return Err(Stop::refused(1, "No common supported protocol version"));
    }
    answer.insert("ProtocolVersion".into(), PROTOCOL_VERSION.into());
    Ok(())
}
