//! Opens an encrypted backup for the [`oracle`](crate::oracle): it shares no code with the phone that made it, down to the
//! ciphers, which are AWS-LC's here and RustCrypto's there.

use std::{collections::HashMap, num::NonZeroU32};

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    key_wrap::{self, AesKek, KeyWrap},
    pbkdf2,
};
use plist::{Dictionary, Value};

type Key = [u8; 32];

/// What a password opens.
pub struct BackupKeys {
    classes: HashMap<u32, Key>,
    manifest_key: Vec<u8>,
}

impl BackupKeys {
    /// Opens the bag of a `Manifest.plist`.
    pub fn open(manifest: &Dictionary, password: &str) -> Result<Self, String> {
        let data = |key: &str| {
            manifest.get(key).and_then(Value::as_data).ok_or_else(|| format!("Manifest.plist has no {key}"))
        };
        let (head, classes) = split_bag(data("BackupKeyBag")?)?;
        let value =
            |tag: &[u8; 4]| head.get(tag).ok_or_else(|| format!("the key bag has no {}", String::from_utf8_lossy(tag)));
        let iterations = |tag| NonZeroU32::new(number(value(tag)?)?).ok_or_else(|| "no iterations".to_owned());
        if number(value(b"TYPE")?)? != 1 {
            return Err("the key bag is not that of a backup".into());
        }
        let (mut first, mut second) = ([0; 32], [0; 32]);
        let (sha256, sha1) = (pbkdf2::PBKDF2_HMAC_SHA256, pbkdf2::PBKDF2_HMAC_SHA1);
        pbkdf2::derive(sha256, iterations(b"DPIC")?, value(b"DPSL")?, password.as_bytes(), &mut first);
        pbkdf2::derive(sha1, iterations(b"ITER")?, value(b"SALT")?, &first, &mut second);
        let mut opened = HashMap::new();
        for class in classes {
            let value = |tag: &[u8; 4]| class.get(tag).copied().ok_or("a key of the bag is incomplete");
            if number(value(b"WRAP")?)? != 2 {
                return Err("a key of the bag is not wrapped with the password alone".into());
            }
            let key = unwrap(&second, value(b"WPKY")?).ok_or("the password does not open the key bag")?;
            opened.insert(number(value(b"CLAS")?)?, key);
        }
        Ok(Self { classes: opened, manifest_key: data("ManifestKey")?.to_owned() })
    }

    /// Decrypts `Manifest.db`.
    pub fn manifest(&self, encrypted: Vec<u8>) -> Result<Vec<u8>, String> {
        self.decrypt(&self.manifest_key, encrypted)
    }

    /// Decrypts what was encrypted with this wrapped key, and takes the padding away.
    pub fn decrypt(&self, wrapped: &[u8], encrypted: Vec<u8>) -> Result<Vec<u8>, String> {
        let class = protection_class(wrapped).ok_or("a key of another length")?;
        let class_key = self.classes.get(&class).ok_or_else(|| format!("the bag has no key of class {class}"))?;
        let key = unwrap(class_key, &wrapped[4..]).ok_or("a key that its class key does not unwrap")?;
        let broken = |_| "content that its key does not decrypt".to_owned();
        let cipher = UnboundCipherKey::new(&AES_256, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
        let mut content = encrypted;
        let length = cipher
            .and_then(|cipher| cipher.decrypt(&mut content, DecryptionContext::Iv128([0; 16].into())).map(|c| c.len()))
            .map_err(broken)?;
        content.truncate(length);
        Ok(content)
    }
}

/// The class that a wrapped key begins with.
pub fn protection_class(wrapped: &[u8]) -> Option<u32> {
    (wrapped.len() == 44).then(|| u32::from_le_bytes([wrapped[0], wrapped[1], wrapped[2], wrapped[3]]))
}

type Values<'a> = HashMap<[u8; 4], &'a [u8]>;

/// The bag's own values, and those of each of its keys, which begin with a `UUID`.
fn split_bag(mut bag: &[u8]) -> Result<(Values<'_>, Vec<Values<'_>>), String> {
    let mut parts: Vec<Values<'_>> = vec![Values::new()];
    while !bag.is_empty() {
        if bag.len() < 8 {
            return Err("the key bag ends in the middle".into());
        }
        let (tag, length) = ([bag[0], bag[1], bag[2], bag[3]], [bag[4], bag[5], bag[6], bag[7]]);
        let end = 8 + u32::from_be_bytes(length) as usize;
        let value = bag.get(8..end).ok_or("the key bag ends in the middle")?;
        if tag == *b"UUID" && parts.last().is_some_and(|part| part.contains_key(&tag)) {
            parts.push(Values::new());
        }
        parts.last_mut().and_then(|part| part.insert(tag, value));
        bag = &bag[end..];
    }
    let head = parts.remove(0);
    Ok((head, parts))
}

fn number(value: &[u8]) -> Result<u32, String> {
    value.try_into().map(u32::from_be_bytes).map_err(|_| "a number of another length".into())
}

fn unwrap(with: &Key, wrapped: &[u8]) -> Option<Key> {
    let mut key = [0; 40];
    let with = AesKek::new(&key_wrap::AES_256, with).ok()?;
    with.unwrap(wrapped, &mut key).ok()?.try_into().ok().map(|key: &mut Key| *key)
}
