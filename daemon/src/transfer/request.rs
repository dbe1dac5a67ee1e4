//! What the phone asks for, one DeviceLink message each.

use super::{Refused, place::Place, value::Value};

/// A checked message of the phone. Source of the shapes: `idevicebackup2.c` and pymobiledevice3's `device_link.py`.
#[derive(Debug)]
pub enum Request {
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
    /// A message that is not known; it is answered with an error, as the phone expects an answer.
    Unknown {
        /// Its name.
        name: String,
    },
}

/// A request and the phone's estimate of the whole backup, in percent.
#[derive(Debug)]
pub struct Message {
    /// What is wanted.
    pub request: Request,
    /// 0 to 100, where the message carries it.
    pub percent: Option<f64>,
}

impl Message {
    /// Reads and checks a message; every path in it must lie in the folder of `udid`.
    ///
    /// # Errors
    /// When it is malformed or a path leaves the folder.
    pub fn parse(bytes: &[u8], udid: &str) -> Result<Self, Refused> {
        let Value::List(items) = Value::parse(bytes)? else {
            return Err(Refused::Malformed { what: "a message that is no list".into() });
        };
        let name = items.first().and_then(Value::text).unwrap_or_default();
        let malformed = || Refused::Malformed { what: name.to_owned() };
        let argument = |index: usize| items.get(index).ok_or_else(malformed);
        let place = |value: &Value| Place::new(value.text().ok_or_else(malformed)?, udid);
        let places = |value: &Value| match value {
            Value::List(list) => list.iter().map(place).collect::<Result<Vec<_>, _>>(),
            _ => Err(malformed()),
        };
        let percent = match name {
            "DLMessageUploadFiles" => items.get(2),
            _ => items.get(3),
        };
        let request = match name {
            "DLMessageDownloadFiles" => Request::Download { files: places(argument(1)?)? },
            "DLMessageUploadFiles" => {
                let announced = items.get(3).and_then(Value::integer);
                Request::Upload { announced: announced.and_then(|bytes| bytes.try_into().ok()) }
            }
            "DLMessageGetFreeDiskSpace" => Request::FreeSpace,
            "DLMessagePurgeDiskSpace" => {
                let bytes = items.get(1).and_then(Value::integer).unwrap_or(0);
                Request::Purge { bytes: bytes.max(0).cast_unsigned() }
            }
            "DLContentsOfDirectory" => Request::List { folder: place(argument(1)?)? },
            "DLMessageCreateDirectory" => Request::CreateFolder { folder: place(argument(1)?)? },
            "DLMessageMoveFiles" | "DLMessageMoveItems" => match argument(1)? {
                Value::Map(moves) => {
                    let checked = |(from, to): &(String, Value)| Ok((Place::new(from, udid)?, place(to)?));
                    Request::Move { items: moves.iter().map(checked).collect::<Result<_, Refused>>()? }
                }
                _ => return Err(malformed()),
            },
            "DLMessageRemoveFiles" | "DLMessageRemoveItems" => Request::Remove { items: places(argument(1)?)? },
            "DLMessageCopyItem" => Request::Copy { from: place(argument(1)?)?, to: place(argument(2)?)? },
            "DLMessageProcessMessage" => result(argument(1)?).ok_or_else(malformed)?,
            "DLMessageDisconnect" => Request::Disconnect,
            "" => return Err(Refused::Malformed { what: "a message without a name".into() }),
            name => Request::Unknown { name: name.chars().take(80).collect() },
        };
        Ok(Self { request, percent: percent.and_then(Value::number).filter(|percent| (0.0..=100.0).contains(percent)) })
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
            assert!(matches!(parse(message), Err(Refused::Path { .. })), "{told}");
        }
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
