//! What the phone asks for, one DeviceLink message each.

use super::{Refused, place::Place, value::Value};

/// A checked message of the phone. Source of the shapes: `idevicebackup2.c` and pymobiledevice3's `device_link.py`.
#[derive(Debug)]
pub enum Request {
    /// `DLMessageVersionExchange`: the phone's version of DeviceLink.
    Versions {
        /// The first of its two numbers.
        number: Option<u64>,
    },
    /// `DLMessageDownloadFiles`: send these files.
    Download {
        /// Which; nothing but listed paths is ever sent.
        files: Vec<Place>,
    },
    /// `DLMessageUploadFiles`: files follow as raw blocks.
    Upload {
        /// How many bytes, as the phone announces them; for showing only.
        announced: Option<u64>,
    },
    /// `DLMessageGetFreeDiskSpace`
    FreeSpace,
    /// `DLMessagePurgeDiskSpace`: the phone reckons that there is too little room.
    Purge {
        /// How much it wants freed; 2 GiB more than it needs.
        bytes: u64,
    },
    /// `DLContentsOfDirectory`
    List {
        /// Which.
        folder: Place,
    },
    /// `DLMessageCreateDirectory`
    CreateFolder {
        /// Which.
        folder: Place,
    },
    /// `DLMessageMoveFiles`, `DLMessageMoveItems`
    Move {
        /// From, to.
        items: Vec<(Place, Place)>,
    },
    /// `DLMessageRemoveFiles`, `DLMessageRemoveItems`
    Remove {
        /// Which.
        items: Vec<Place>,
    },
    /// `DLMessageCopyItem`
    Copy {
        /// What.
        from: Place,
        /// Where to.
        to: Place,
    },
    /// `DLMessageProcessMessage`: the end.
    Result {
        /// 0 is success, the rest is MBErrorDomain.
        code: i64,
        /// `ErrorDescription`.
        text: String,
    },
    /// `DLMessageDisconnect`
    Disconnect,
    /// It is about a path that leaves the phone's folder, and about nothing else.
    Odd,
    /// A message that is not known; it is answered with an error, as the phone expects an answer.
    Unknown {
        /// Its name.
        name: String,
    },
}

/// A request and the phone's estimate of the whole backup, in percent.
#[derive(Debug)]
pub struct Message {
    /// What is wanted; paths that leave the phone's folder are left out of it.
    pub request: Request,
    /// 0 to 100, where the message carries it.
    pub percent: Option<f64>,
    /// The paths that were left out.
    pub odd: Vec<OddPath>,
}

/// A path that leaves the phone's folder: nothing is done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddPath {
    /// As the phone spelled it.
    pub path: String,
    /// What is wrong with it.
    pub why: Refused,
}

impl Message {
    /// Reads and checks a message. A path that leaves the folder of `udid` is reported beside the request: phones were
    /// seen to name such paths, and one of them must not end a run (idevice pull request 104).
    ///
    /// # Errors
    /// When the message is malformed.
    pub fn parse(bytes: &[u8], udid: &str) -> Result<Self, Refused> {
        let Value::List(items) = Value::parse(bytes)? else {
            return Err(Refused::Malformed { what: "a message that is no list".into() });
        };
        let name = items.first().and_then(Value::text).unwrap_or_default();
        let malformed = || Refused::Malformed { what: name.to_owned() };
        let argument = |index: usize| items.get(index).ok_or_else(malformed);
        let mut odd = Vec::new();
        let mut place =
            |path: &str| Place::new(path, udid).map_err(|why| odd.push(OddPath { path: path.to_owned(), why })).ok();
        let text = |value: &Value| value.text().map(str::to_owned).ok_or_else(malformed);
        let texts = |value: &Value| match value {
            Value::List(list) => list.iter().map(text).collect::<Result<Vec<_>, _>>(),
            _ => Err(malformed()),
        };
        let percent = match name {
            "DLMessageUploadFiles" => items.get(2),
            _ => items.get(3),
        };
        let request = match name {
            "DLMessageVersionExchange" => {
                let number = items.get(1).and_then(Value::integer);
                Request::Versions { number: number.and_then(|number| number.try_into().ok()) }
            }
            "DLMessageDownloadFiles" => {
                Request::Download { files: texts(argument(1)?)?.iter().filter_map(|path| place(path)).collect() }
            }
            "DLMessageUploadFiles" => {
                let announced = items.get(3).and_then(Value::integer);
                Request::Upload { announced: announced.and_then(|bytes| bytes.try_into().ok()) }
            }
            "DLMessageGetFreeDiskSpace" => Request::FreeSpace,
            "DLMessagePurgeDiskSpace" => {
                let bytes = items.get(1).and_then(Value::integer).unwrap_or(0);
                Request::Purge { bytes: bytes.max(0).cast_unsigned() }
            }
            "DLContentsOfDirectory" => {
                place(&text(argument(1)?)?).map_or(Request::Odd, |folder| Request::List { folder })
            }
            "DLMessageCreateDirectory" => {
                place(&text(argument(1)?)?).map_or(Request::Odd, |folder| Request::CreateFolder { folder })
            }
            "DLMessageMoveFiles" | "DLMessageMoveItems" => {
                let Value::Map(moves) = argument(1)? else { return Err(malformed()) };
                let mut items = Vec::with_capacity(moves.len());
                for (from, to) in moves {
                    let (from, to) = (place(from), place(&text(to)?));
                    items.extend(from.zip(to));
                }
                Request::Move { items }
            }
            "DLMessageRemoveFiles" | "DLMessageRemoveItems" => {
                Request::Remove { items: texts(argument(1)?)?.iter().filter_map(|path| place(path)).collect() }
            }
            "DLMessageCopyItem" => {
                let (from, to) = (place(&text(argument(1)?)?), place(&text(argument(2)?)?));
                from.zip(to).map_or(Request::Odd, |(from, to)| Request::Copy { from, to })
            }
            "DLMessageProcessMessage" => result(argument(1)?).ok_or_else(malformed)?,
            "DLMessageDisconnect" => Request::Disconnect,
            "" => return Err(Refused::Malformed { what: "a message without a name".into() }),
            name => Request::Unknown { name: name.chars().take(80).collect() },
        };
        let percent = percent.and_then(Value::number).filter(|percent| (0.0..=100.0).contains(percent));
        Ok(Self { request, percent, odd })
    }
}

/// A result without a code is no success.
fn result(content: &Value) -> Option<Request> {
    let code = content.get("ErrorCode")?.integer()?;
    let text = content.get("ErrorDescription").and_then(Value::text).unwrap_or_default();
    Some(Request::Result { code, text: text.chars().take(2000).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UDID: &str = "00008120-001A2D3E0C40201E";

    fn parse(message: Vec<plist::Value>) -> Result<Message, Refused> {
        let mut bytes = Vec::new();
        plist::Value::Array(message).to_writer_binary(&mut bytes).unwrap();
        Message::parse(&bytes, UDID)
    }

    fn dictionary(from: &str, to: &str) -> plist::Value {
        plist::Value::Dictionary([(from.to_owned(), plist::Value::from(to))].into_iter().collect())
    }

    #[test]
    fn every_path_in_every_message_is_checked() {
        let inside = format!("{UDID}/Status.plist");
        let outside = "../../.ssh/authorized_keys";
        let list = |path: &str| plist::Value::Array(vec![path.into()]);
        for message in [
            vec!["DLMessageDownloadFiles".into(), list(outside)],
            vec!["DLContentsOfDirectory".into(), outside.into()],
            vec!["DLMessageCreateDirectory".into(), outside.into()],
            vec!["DLMessageMoveItems".into(), dictionary(outside, &inside)],
            vec!["DLMessageMoveItems".into(), dictionary(&inside, outside)],
            vec!["DLMessageRemoveItems".into(), list(outside)],
            vec!["DLMessageCopyItem".into(), outside.into(), (*inside).into()],
            vec!["DLMessageCopyItem".into(), (*inside).into(), outside.into()],
        ] {
            let told = format!("{message:?}");
            let parsed = parse(message).unwrap();
            assert_eq!(parsed.odd.len(), 1, "{told}");
            assert_eq!((&*parsed.odd[0].path, matches!(parsed.odd[0].why, Refused::Path { .. })), (outside, true));
            let is_empty = match &parsed.request {
                Request::Odd => true,
                Request::Download { files } => files.is_empty(),
                Request::Move { items } => items.is_empty(),
                Request::Remove { items } => items.is_empty(),
                _ => false,
            };
            assert!(is_empty, "{told}");
        }
        // The others of a list are as they were.
        let both = plist::Value::Array(vec![(*inside).into(), outside.into()]);
        let parsed = parse(vec!["DLMessageRemoveItems".into(), both]).unwrap();
        assert!(matches!(&parsed.request, Request::Remove { items } if items.len() == 1), "{parsed:?}");
    }

    #[test]
    fn what_lacks_its_parts_is_refused() {
        for message in [
            vec![],
            vec![plist::Value::from(3)],
            vec!["DLMessageDownloadFiles".into()],
            vec!["DLMessageDownloadFiles".into(), "no list".into()],
            vec!["DLMessageMoveItems".into(), "no map".into()],
            vec!["DLMessageProcessMessage".into(), dictionary("no", "code")],
        ] {
            let told = format!("{message:?}");
            assert!(matches!(parse(message), Err(Refused::Malformed { .. })), "{told}");
        }
    }

    #[test]
    fn the_estimate_comes_along() {
        let message = vec!["DLMessageUploadFiles".into(), 0.into(), plist::Value::Real(42.5), 4096.into()];
        assert_eq!(parse(message).unwrap().percent, Some(42.5));
        let message = vec!["DLMessageUploadFiles".into(), 0.into(), plist::Value::Real(f64::NAN)];
        assert_eq!(parse(message).unwrap().percent, None);
    }
}
