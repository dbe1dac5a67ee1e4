//! `BackupKeyBag`: one key for each protection class, wrapped with a key that is derived from the backup password.
//!
//! The form is that of iphone-dataprotection (`keystore/keybag.py`): tag, length, value, the bag's own values first.

use std::collections::BTreeMap;

use aes_kw::KekAes256;
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;

use super::cipher::Key;
use crate::phone::spec::KeyDerivation;

const VERSION: u32 = 5;
const TYPE_BACKUP: u32 = 1;
/// The bit of `WRAP` that means "with the password".
const WRAPPED_BY_PASSWORD: u32 = 2;
/// Files have the first ones, the rest is for the keychain.
const CLASSES: std::ops::RangeInclusive<u32> = 1..=11;
/// A key wrapped as in RFC 3394.
const WRAPPED: usize = 40;

/// Random bytes for keys, salts and identifiers.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

/// A bag that is open.
pub(super) struct Keybag {
    bytes: Vec<u8>,
    classes: BTreeMap<u32, KekAes256>,
}

impl Keybag {
    /// A new bag with new keys.
    pub(super) fn create(password: &str, cost: KeyDerivation) -> Self {
        let (first_salt, salt) = (random::<20>(), random::<20>());
        let password_key = password_key(password, &first_salt, cost.sha256_iterations, &salt, cost.sha1_iterations);
        let mut bag = Self { bytes: Vec::new(), classes: BTreeMap::new() };
        bag.number("VERS", VERSION);
        bag.number("TYPE", TYPE_BACKUP);
        bag.put("UUID", &random::<16>());
        bag.put("HMCK", &wrap(&password_key, &random()));
        bag.number("WRAP", 0);
        bag.put("SALT", &salt);
        bag.number("ITER", cost.sha1_iterations);
        bag.number("DPWT", 0);
        bag.number("DPIC", cost.sha256_iterations);
        bag.put("DPSL", &first_salt);
        for class in CLASSES {
            let key = random();
            bag.put("UUID", &random::<16>());
            bag.number("CLAS", class);
            bag.number("WRAP", WRAPPED_BY_PASSWORD);
            bag.number("KTYP", 0);
            bag.put("WPKY", &wrap(&password_key, &key));
            bag.classes.insert(class, KekAes256::from(key));
        }
        bag
    }

    /// Opens a bag that a backup holds; none when it is no bag or the password is another.
    pub(super) fn open(bytes: &[u8], password: &str) -> Option<Self> {
        let mut own: BTreeMap<[u8; 4], &[u8]> = BTreeMap::new();
        let mut wrapped: Vec<(u32, &[u8])> = Vec::new();
        let mut class = None;
        for (tag, value) in values(bytes)? {
            match &tag {
                b"CLAS" => class = number(value),
                b"WPKY" => wrapped.push((class?, value)),
                _ if class.is_none() => drop(own.entry(tag).or_insert(value)),
                _ => {}
            }
        }
        let iterations = |tag| own.get(tag).copied().and_then(number);
        let password_key =
            password_key(password, own.get(b"DPSL")?, iterations(b"DPIC")?, own.get(b"SALT")?, iterations(b"ITER")?);
        let classes: Option<BTreeMap<u32, KekAes256>> =
            wrapped.into_iter().map(|(class, key)| Some((class, unwrap(&password_key, key)?.into()))).collect();
        classes.filter(|classes| !classes.is_empty()).map(|classes| Self { bytes: bytes.to_owned(), classes })
    }

    /// As in `Manifest.plist`.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The class in little endian and the key wrapped with its key: `EncryptionKey` and `ManifestKey`.
    pub(super) fn wrap(&self, class: u32, key: &Key) -> Vec<u8> {
        let mut wrapped = class.to_le_bytes().to_vec();
        wrapped.extend_from_slice(&wrap(&self.classes[&class], key));
        wrapped
    }

    /// The key out of what [`Self::wrap`] made, here or elsewhere.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Key> {
        let (class, key) = wrapped.split_first_chunk()?;
        unwrap(self.classes.get(&u32::from_le_bytes(*class))?, key)
    }

    fn put(&mut self, tag: &str, value: &[u8]) {
        self.bytes.extend_from_slice(tag.as_bytes());
        self.bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn number(&mut self, tag: &str, value: u32) {
        self.put(tag, &value.to_be_bytes());
    }
}

/// Two derivations, one after the other (since iOS 10.2).
fn password_key(
    password: &str,
    first_salt: &[u8],
    sha256_iterations: u32,
    salt: &[u8],
    sha1_iterations: u32,
) -> KekAes256 {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    pbkdf2_hmac::<Sha256>(password.as_bytes(), first_salt, sha256_iterations, &mut first);
    pbkdf2_hmac::<Sha1>(&first, salt, sha1_iterations, &mut second);
    KekAes256::from(second)
}

fn wrap(with: &KekAes256, key: &Key) -> [u8; WRAPPED] {
    let mut wrapped = [0; WRAPPED];
    with.wrap(key, &mut wrapped).unwrap();
    wrapped
}

fn unwrap(with: &KekAes256, wrapped: &[u8]) -> Option<Key> {
    let mut key = [0; 32];
    with.unwrap(wrapped, &mut key).ok()?;
    Some(key)
}

fn values(mut bytes: &[u8]) -> Option<Vec<([u8; 4], &[u8])>> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (tag, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        values.push((*tag, value));
        bytes = rest;
    }
    Some(values)
}

fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}
