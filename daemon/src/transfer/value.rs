//! Property lists from the phone, with a bound on what they unfold to.
//!
//! A binary property list may refer to one object from many places, so a kilobyte can unfold to gigabytes; the plain
//! reader of the `plist` crate follows. Here every unfolded object is counted.

use std::{cell::Cell, fmt};

use chrono::{DateTime, Utc};
use serde::{
    Deserialize,
    de::{Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

use super::Refused;

/// More objects than the largest real message has (moves come in batches of some hundred, names in some thousand).
const OBJECTS_MAX: u32 = 1_000_000;

/// Real messages nest some five levels deep; the reader below calls itself for each.
const DEPTH_MAX: u32 = 48;

/// Longer texts and data do not occur in messages.
const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

thread_local! {
    static OBJECTS_LEFT: Cell<u32> = const { Cell::new(0) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static BYTES_LEFT: Cell<usize> = const { Cell::new(0) };
}

/// The part of a property list that DeviceLink messages and the lists of a backup use.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Whole number.
    Integer(i64),
    /// Fraction.
    Real(f64),
    /// Truth.
    Boolean(bool),
    /// Text.
    Text(String),
    /// Array.
    List(Vec<Value>),
    /// Dictionary, in the phone's order.
    Map(Vec<(String, Value)>),
    /// Data: the keys of an encrypted backup.
    Data(Vec<u8>),
    /// What nothing here needs.
    Other,
}

impl Value {
    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are no property list or unfold to more than any real message.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        OBJECTS_LEFT.set(OBJECTS_MAX);
        BYTES_LEFT.set(TOTAL_BYTES_MAX);
        DEPTH.set(0);
        plist::from_bytes(bytes).map_err(|error| Refused::Malformed { what: format!("a message ({error})") })
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The data, if it is some.
    pub fn data(&self) -> Option<&[u8]> {
        if let Self::Data(bytes) = self { Some(bytes) } else { None }
    }

    /// The time, if it is one: the reader hands dates out in the form that XML property lists have.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.text()?).ok().map(Into::into)
    }

    /// The whole number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The number as a fraction, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// A dictionary's entry.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

fn spend<E: Error>(bytes: usize) -> Result<(), E> {
    let objects = OBJECTS_LEFT.get().checked_sub(1).ok_or_else(|| E::custom("too many objects"))?;
    let left = BYTES_LEFT.get().checked_sub(bytes).ok_or_else(|| E::custom("too many bytes"))?;
    OBJECTS_LEFT.set(objects);
    BYTES_LEFT.set(left);
    Ok(())
}

/// One level deeper, until it is dropped.
struct Level;

impl Level {
    fn enter<E: Error>() -> Result<Self, E> {
        let depth = DEPTH.get() + 1;
        if depth > DEPTH_MAX {
            return Err(E::custom("nested too deep"));
        }
        DEPTH.set(depth);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

struct Bounded;

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a property list")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        spend(0)?;
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        spend(0)?;
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        spend(0)?;
        // Sizes above 2^63 are no sizes; wrapping keeps -1 that was written as unsigned.
        Ok(Value::Integer(value.cast_signed()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        spend(0)?;
        Ok(Value::Real(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        spend(value.len())?;
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        spend(value.len())?;
        Ok(Value::Text(value))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        spend(value.len())?;
        Ok(Value::Data(value.to_owned()))
    }

    fn visit_byte_buf<E: Error>(self, value: Vec<u8>) -> Result<Value, E> {
        spend(value.len())?;
        Ok(Value::Data(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        spend(0)?;
        Ok(Value::Other)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let _level = Level::enter()?;
        spend(0)?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let _level = Level::enter()?;
        spend(0)?;
        let mut map = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            spend(key.len())?;
            map.push((key, value));
        }
        Ok(Value::Map(map))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Bounded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read() {
        let mut bytes = Vec::new();
        let message = plist::Value::Array(vec![
            "DLMessageMoveItems".into(),
            plist::Value::Dictionary([("a".to_owned(), plist::Value::from("b"))].into_iter().collect()),
            plist::Value::Integer((-1).into()),
            plist::Value::Real(12.5),
            plist::Value::Date(std::time::SystemTime::UNIX_EPOCH.into()),
            plist::Value::Data(vec![1, 2]),
        ]);
        message.to_writer_binary(&mut bytes).unwrap();
        let Value::List(list) = Value::parse(&bytes).unwrap() else { panic!("no list") };
        assert_eq!(list[1].get("a").and_then(Value::text), Some("b"));
        assert_eq!((list[2].integer(), list[3].number()), (Some(-1), Some(12.5)));
        assert_eq!(list[5].data(), Some(&[1, 2][..]));
        assert_eq!((list[4].date(), list[0].date()), (Some(DateTime::UNIX_EPOCH), None));
        assert_eq!(list.len(), 6);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let mut bytes = b"<plist version=\"1.0\">".to_vec();
        bytes.extend(b"<array>".repeat(1_000_000));
        assert!(Value::parse(&bytes).is_err());
    }

    /// 40 arrays, each holding the next one twice: 2^40 objects from some 200 bytes.
    #[test]
    fn a_bomb_is_refused() {
        let depth = 40_u8;
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..depth {
            offsets.push(u8::try_from(bytes.len()).unwrap());
            bytes.extend([0xA2, level + 1, level + 1]);
        }
        offsets.push(u8::try_from(bytes.len()).unwrap());
        bytes.push(0x09);
        let table = bytes.len() as u64;
        bytes.extend(&offsets);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        bytes.extend((offsets.len() as u64).to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        assert!(matches!(Value::parse(&bytes), Err(Refused::Malformed { .. })));
        assert!(Value::parse(b"no plist at all").is_err());
        assert!(Value::parse(b"").is_err());
    }
}
