//! The keybag of a backup: class keys, wrapped with what is derived from the password.

use std::collections::HashMap;

use aes_kw::KekAes256;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{EncryptionError, Password};

/// Real keybags ask for 10,000,000 and 10,000; a hostile one must not compute for hours.
const FIRST_ITERATIONS_MAX: u32 = 40_000_000;
const ITERATIONS_MAX: u32 = 1_000_000;

/// Real keybags have about ten.
const CLASSES_MAX: usize = 64;

/// RFC 3394: a key of 32 bytes and 8 to check it by.
const WRAPPED_BYTES: usize = 40;

/// A bit of a class key's `WRAP`: wrapped with the password, so that a backup can be moved to another phone.
const WRAPPED_WITH_PASSWORD: u32 = 2;

/// 32 bytes that are wiped when they are dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A parsed keybag.
#[derive(Debug)]
pub(super) struct Keybag {
    salt: Vec<u8>,
    iterations: u32,
    /// Salt and iterations of the derivation that iOS 10.2 put in front.
    first: Option<(Vec<u8>, u32)>,
    class_keys: Vec<(u32, [u8; WRAPPED_BYTES])>,
}

/// One class key as it is being read.
#[derive(Default)]
struct Class<'a> {
    class: Option<u32>,
    wrap: u32,
    wrapped: Option<&'a [u8]>,
}

impl Class<'_> {
    fn finish(self) -> Result<Option<(u32, [u8; WRAPPED_BYTES])>, &'static str> {
        let (Some(class), Some(wrapped)) = (self.class, self.wrapped) else { return Ok(None) };
        if self.wrap & WRAPPED_WITH_PASSWORD == 0 {
            return Ok(None);
        }
        Ok(Some((class, wrapped.try_into().map_err(|_| "has a class key of a wrong length")?)))
    }
}

impl Keybag {
    /// Reads tag, length, value; the first `UUID` is the bag's own, each further one begins a class.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let (mut salt, mut iterations, mut first_salt, mut first_iterations) = (None, None, None, None);
        let (mut bag_begun, mut class, mut class_keys) = (false, None::<Class<'_>>, Vec::new());
        while !bytes.is_empty() {
            let (tag, value, rest) = item(bytes).ok_or("has a keybag that is cut off")?;
            bytes = rest;
            match (tag, &mut class) {
                (b"UUID", _) if !bag_begun => bag_begun = true,
                (b"UUID", begun) => {
                    class_keys.extend(begun.take().map(Class::finish).transpose()?.flatten());
                    if class_keys.len() >= CLASSES_MAX {
                        return Err("has a keybag with too many keys");
                    }
                    class = Some(Class::default());
                }
                (b"CLAS", Some(class)) => class.class = Some(number(value)?),
                (b"WRAP", Some(class)) => class.wrap = number(value)?,
                (b"WPKY", Some(class)) => class.wrapped = Some(value),
                (b"SALT", None) => salt = Some(value.to_vec()),
                (b"ITER", None) => iterations = Some(bounded(value, ITERATIONS_MAX)?),
                (b"DPSL", None) => first_salt = Some(value.to_vec()),
                (b"DPIC", None) => first_iterations = Some(bounded(value, FIRST_ITERATIONS_MAX)?),
                // VERS, TYPE, HMCK, DPWT, KTYP and what later versions add tell nothing that is needed.
                _ => {}
            }
        }
        class_keys.extend(class.map(Class::finish).transpose()?.flatten());
        if class_keys.is_empty() {
            return Err("has a keybag without keys");
        }
        let first = match (first_salt, first_iterations) {
            (Some(salt), Some(iterations)) => Some((salt, iterations)),
            (None, None) => None,
            _ => return Err("has a keybag whose derivation is incomplete"),
        };
        let salt = salt.ok_or("has a keybag without a salt")?;
        let iterations = iterations.ok_or("has a keybag without an iteration count")?;
        Ok(Self { salt, iterations, first, class_keys })
    }

    /// Unwraps the class keys; none when the password is wrong. Takes seconds.
    pub(super) fn unlock(&self, password: &Password) -> Result<Option<ClassKeys>, &'static str> {
        let key = self.derive(password);
        let unwrapped = |(class, wrapped): &(u32, _)| Some((*class, unwrap(&key, wrapped)?));
        let class_keys: Vec<(u32, Key)> = self.class_keys.iter().filter_map(unwrapped).collect();
        match class_keys.len() {
            0 => Ok(None),
            // The check value of each key has 64 bits: one that fits is no accident.
            count if count < self.class_keys.len() => Err("has a keybag with a damaged key"),
            _ => Ok(Some(ClassKeys(class_keys.into_iter().collect()))),
        }
    }

    fn derive(&self, password: &Password) -> Key {
        let mut first = Key::default();
        let mut key = Key::default();
        let secret = match &self.first {
            Some((salt, iterations)) => {
                pbkdf2_hmac::<Sha256>(password.reveal().as_bytes(), salt, *iterations, &mut first[..]);
                &first[..]
            }
            None => password.reveal().as_bytes(),
        };
        pbkdf2_hmac::<Sha1>(secret, &self.salt, self.iterations, &mut key[..]);
        key
    }
}

fn item(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length).try_into().ok()?)?;
    Some((tag, value, rest))
}

fn number(value: &[u8]) -> Result<u32, &'static str> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| "has a keybag with a number of a wrong length")
}

fn bounded(value: &[u8], max: u32) -> Result<u32, &'static str> {
    match number(value)? {
        0 => Err("has a keybag with an iteration count of nothing"),
        count if count > max => Err("has a keybag with an iteration count beyond reason"),
        count => Ok(count),
    }
}

fn unwrap(with: &Key, wrapped: &[u8; WRAPPED_BYTES]) -> Option<Key> {
    let mut key = Key::default();
    KekAes256::new(with[..].into()).unwrap(wrapped, &mut key[..]).ok()?;
    Some(key)
}

/// The unwrapped keys of the protection classes.
#[derive(Clone)]
pub(super) struct ClassKeys(HashMap<u32, Key>);

impl ClassKeys {
    /// The key of a file: four bytes of class, little-endian, and the key wrapped with the key of this class.
    pub(super) fn file_key(&self, class_and_key: &[u8]) -> Result<Key, EncryptionError> {
        let broken = |why| EncryptionError::File { why };
        let (class, wrapped) = class_and_key.split_first_chunk().ok_or(broken("has no key"))?;
        let class_key = self.0.get(&u32::from_le_bytes(*class)).ok_or(broken("has a key of an unknown class"))?;
        let wrapped = wrapped.try_into().map_err(|_| broken("has a key of a wrong length"))?;
        unwrap(class_key, wrapped).ok_or(broken("has a damaged key"))
    }
}
