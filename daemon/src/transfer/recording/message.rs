//! What a message says, without what it is about: one line each way.

use plist::Value as Sent;

use super::{
    counts::Counts,
    log::Line,
    shape::{part_shape, shape},
    words::plain,
};
use crate::transfer::value::Value;

/// Keys and names of messages are Apple's, short and of letters; anything else is a length.
const NAME_LENGTH_MAX: usize = 60;

const SHORT_LENGTH_MAX: usize = 9;

/// A percentage or a version.
pub(super) fn fraction(number: f64) -> String {
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A name of Apple's, or its length.
pub(super) fn name(text: &str) -> String {
    let plain = text.len() <= NAME_LENGTH_MAX && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if plain { text.to_owned() } else { format!("<{}>", text.chars().count()) }
}

/// A part of a model or a version, or its length: shorter than what identifies anything.
pub(super) fn short(text: &str) -> String {
    let plain = text.len() <= SHORT_LENGTH_MAX && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { text.to_owned() } else { format!("<{}>", text.chars().count()) }
}

/// Three digits are enough of an amount of room.
pub(super) fn rounded(bytes: u64) -> u64 {
    let unit = 10_u64.pow(bytes.checked_ilog10().unwrap_or(0).saturating_sub(2));
    bytes / unit * unit
}

/// A message of the phone.
pub(super) fn of_phone(bytes: usize, items: &[Value], udid: &str) -> Line {
    let message = items.first().and_then(Value::text).unwrap_or_default();
    let line = Line::new('<', &name(message));
    let number = |at: usize| items.get(at).and_then(Value::number);
    let percent = |at: usize| number(at).map(fraction);
    let place = |at: usize| items.get(at).and_then(Value::text).map(|path| shape(path, udid));
    let kinds = |paths: &[Value]| -> Counts {
        paths.iter().map(|path| path.text().map_or_else(|| "no-text".into(), |path| shape(path, udid))).collect()
    };
    match (message, items.get(1)) {
        ("DLMessageVersionExchange", _) => {
            let version: Vec<String> = (1..3).filter_map(number).map(fraction).collect();
            line.with("version", version.join("."))
        }
        ("DLMessageUploadFiles", options) => {
            let announced = items.get(3).and_then(Value::integer);
            let options = options.map(dictionary).filter(|keys| keys != "{}");
            line.with_some("options", options).with_some("percent", percent(2)).with_some("bytes", announced)
        }
        ("DLMessageDownloadFiles" | "DLMessageRemoveFiles" | "DLMessageRemoveItems", Some(Value::List(paths))) => {
            let line = line.with("items", paths.len()).with("kinds", kinds(paths));
            line.with("message-bytes", bytes).with_some("percent", percent(3))
        }
        ("DLMessageMoveFiles" | "DLMessageMoveItems", Some(Value::Map(moves))) => {
            let pair = |(from, to): &(String, Value)| {
                format!("{}->{}", shape(from, udid), to.text().map_or_else(String::new, |to| shape(to, udid)))
            };
            let line = line.with("items", moves.len()).with("kinds", moves.iter().map(pair).collect::<Counts>());
            line.with("message-bytes", bytes).with_some("percent", percent(3))
        }
        ("DLContentsOfDirectory" | "DLMessageCreateDirectory", _) => line.with_some("folder", place(1)),
        ("DLMessageCopyItem", _) => line.with_some("from", place(1)).with_some("to", place(2)),
        ("DLMessagePurgeDiskSpace", _) => {
            let whole = |at: usize| items.get(at).and_then(Value::integer);
            line.with_some("amount", whole(1)).with_some("urgency", whole(2))
        }
        ("DLMessageProcessMessage", Some(content @ Value::Map(_))) => response(content, udid),
        ("DLMessageGetFreeDiskSpace" | "DLMessageDeviceReady" | "DLMessageDisconnect", _) => line,
        _ => {
            let kinds: Vec<String> = items.iter().skip(1).take(8).map(kind).collect();
            line.with("arguments", kinds.join(",")).with("message-bytes", bytes)
        }
    }
}

fn response(content: &Value, udid: &str) -> Line {
    let of = content.get("MessageName").and_then(Value::text).map_or_else(|| "no-name".into(), name);
    let text = content.get("ErrorDescription").and_then(Value::text).map(|text| plain(text, udid));
    let protocol = content.get("ProtocolVersion").and_then(Value::number).map(fraction);
    let line = Line::new('<', &of).with_some("code", content.get("ErrorCode").and_then(Value::integer));
    let line = line.with_some("text", text.filter(|text| !text.is_empty())).with_some("protocol", protocol);
    line.with("keys", dictionary(content))
}

/// The keys of a dictionary, with numbers and truths; texts and data may say anything.
fn dictionary(value: &Value) -> String {
    let Value::Map(entries) = value else { return kind(value) };
    let told: Vec<String> =
        entries.iter().take(24).map(|(key, value)| format!("{}:{}", name(key), kind(value))).collect();
    format!("{{{}}}", told.join(","))
}

fn kind(value: &Value) -> String {
    match value {
        Value::Integer(number) if number.unsigned_abs() < 1_000_000 => number.to_string(),
        Value::Integer(_) => "integer".into(),
        Value::Real(number) => fraction(*number),
        Value::Boolean(truth) => truth.to_string(),
        Value::Text(text) => format!("text<{}>", text.len()),
        Value::Data(bytes) => format!("data<{}>", bytes.len()),
        Value::List(items) => format!("list<{}>", items.len()),
        Value::Map(entries) => format!("map<{}>", entries.len()),
        Value::Other => "other".into(),
    }
}

/// A request of ours to mobilebackup2; of its texts, which may be passwords, nothing but which there are.
pub(super) fn request(content: &plist::Dictionary) -> Line {
    let of = content.get("MessageName").and_then(Sent::as_string).map_or_else(|| "no-name".into(), name);
    let mut line = Line::new('>', &of);
    for (key, value) in content {
        line = match (key.as_str(), value) {
            ("MessageName", _) => line,
            (key, Sent::Dictionary(options)) => {
                let told: Vec<String> = options.iter().map(|(key, value)| format!("{key}:{}", truth(value))).collect();
                line.with(&name(key), format!("{{{}}}", told.join(",")))
            }
            (key, Sent::Array(items)) => {
                let versions: Vec<String> = items.iter().filter_map(Sent::as_real).map(fraction).collect();
                line.with(&name(key), versions.join(","))
            }
            (key, value) => line.with(&name(key), truth(value)),
        };
    }
    line
}

fn truth(value: &Sent) -> String {
    value.as_boolean().map_or_else(|| "given".into(), |truth| truth.to_string())
}

/// What we answered; `free` when the phone had asked for room.
pub(super) fn status(items: &[Sent], udid: &str, asked_for_room: bool) -> Line {
    let line = Line::new('>', "status").with_some("code", items.get(1).and_then(Sent::as_signed_integer));
    let text = items.get(2).and_then(Sent::as_string).filter(|text| *text != crate::transfer::greeting::EMPTY);
    let line = line.with_some("text", text.map(|text| plain(text, udid)));
    match items.get(3) {
        Some(Sent::Integer(number)) if asked_for_room => line.with_some("free", number.as_unsigned().map(rounded)),
        Some(Sent::Dictionary(entries)) if !entries.is_empty() => {
            let failed = entries.values().filter_map(|entry| entry.as_dictionary()?.get("DLFileErrorCode"));
            let codes: Counts = failed.map(|code| code.as_signed_integer().unwrap_or(0).to_string()).collect();
            if codes.is_empty() {
                let kinds: Counts = entries.keys().map(|entry| part_shape(entry, udid)).collect();
                line.with("entries", entries.len()).with("kinds", kinds)
            } else {
                let kinds: Counts = entries.keys().map(|path| shape(path, udid)).collect();
                line.with("missing", kinds).with("codes", codes)
            }
        }
        _ => line,
    }
}
