//! The newest iOS for a model.
//!
//! Apple's own list is <https://gdmf.apple.com/v2/pmv>, made for device managements. Its certificate is of Apple's own
//! authority, which macOS knows and other systems do not; there ipsw.me is asked for the model.

use std::collections::BTreeMap;

use backstay_shared::health::{Failure, FailureId};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;

use super::Unreadable;

/// Longest model or version that is believed.
const WORD_LENGTH_MAX: usize = 20;

/// A version for comparing: `26.0` and `26` are the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Version(Vec<u32>);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let short = text.len() <= WORD_LENGTH_MAX;
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        let mut parts = parts.ok().filter(|_| short)?;
        while parts.last() == Some(&0) {
            parts.pop();
        }
        Some(Self(parts))
    }
}

/// `iPhone15,2` and the like. It comes from a phone and gets into an address and a file's name.
pub fn is_model(text: &str) -> bool {
    let Some((name, minor)) = text.split_once(',') else { return false };
    let major = name.trim_start_matches(|character: char| character.is_ascii_alphabetic());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= WORD_LENGTH_MAX && major.len() < name.len() && digits(major) && digits(minor)
}

#[derive(Deserialize)]
struct Lists {
    #[serde(rename = "PublicAssetSets")]
    public: BTreeMap<String, Vec<Value>>,
}

/// The newest version for each model in Apple's list; what has expired on `today` can't be had any more.
///
/// # Errors
/// When it is not that list.
pub fn of_apple(reply: &[u8], today: NaiveDate) -> Result<BTreeMap<String, String>, Unreadable> {
    let lists: Lists = serde_json::from_slice(reply)
        .map_err(|error| Unreadable(format!("Apple's list of versions is not what it was: {error}")))?;
    let mut newest = BTreeMap::new();
    for entry in ["iOS", "iPadOS"].iter().filter_map(|system| lists.public.get(*system)).flatten() {
        let Some(version) = entry["ProductVersion"].as_str() else { continue };
        let expires: Option<NaiveDate> = entry["ExpirationDate"].as_str().and_then(|date| date.parse().ok());
        if expires.is_some_and(|expires| expires < today) {
            continue;
        }
        let models = entry["SupportedDevices"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for model in models.filter(|model| is_model(model)) {
            keep_newer(&mut newest, model, version);
        }
    }
    if newest.is_empty() { Err(Unreadable("Apple's list of versions is empty".into())) } else { Ok(newest) }
}

/// The newest version that Apple still signs for `model`, from ipsw.me's answer.
///
/// # Errors
/// When it is no such answer.
pub fn of_firmwares(reply: &[u8], model: &str) -> Result<BTreeMap<String, String>, Unreadable> {
    let answer: Value = serde_json::from_slice(reply)
        .map_err(|error| Unreadable(format!("the list of firmwares is not what it was: {error}")))?;
    if answer["identifier"].as_str().is_some_and(|identifier| identifier != model) {
        return Err(Unreadable("the list of firmwares is that of another model".into()));
    }
    let mut newest = BTreeMap::new();
    let firmwares = answer["firmwares"].as_array().into_iter().flatten();
    for firmware in firmwares.filter(|firmware| firmware["signed"].as_bool() == Some(true)) {
        if let Some(version) = firmware["version"].as_str() {
            keep_newer(&mut newest, model, version);
        }
    }
    if newest.is_empty() { Err(Unreadable("the list of firmwares is empty".into())) } else { Ok(newest) }
}

/// Keeps the version unless a newer one is there. What is no version is left out.
pub fn keep_newer(newest: &mut BTreeMap<String, String>, model: &str, version: &str) {
    let Some(offered) = Version::parse(version) else { return };
    if newest.get(model).and_then(|known| Version::parse(known)).is_none_or(|known| known < offered) {
        newest.insert(model.to_owned(), version.to_owned());
    }
}

/// `ios-outdated`, when `newest` is newer than what the phone has.
pub fn outdated(ios: &str, newest: &str) -> Option<Failure> {
    (Version::parse(ios)? < Version::parse(newest)?).then(|| {
        let mut failure = Failure::from(FailureId::IosOutdated);
        failure.evidence.version = Some(ios.to_owned());
        failure.evidence.newest = Some(newest.to_owned());
        failure
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPLE: &str = r#"{
        "PublicAssetSets": {
            "iOS": [
                {"ProductVersion": "18.7.2", "Build": "22H124", "PostingDate": "2025-11-05", "ExpirationDate": "2026-02-09", "SupportedDevices": ["iPhone11,8", "iPhone15,2"]},
                {"ProductVersion": "26.1", "Build": "23B85", "PostingDate": "2025-11-03", "ExpirationDate": "2026-03-11", "SupportedDevices": ["iPhone15,2", "iPad14,1", "../../etc"]},
                {"ProductVersion": "26.10", "Build": "23K1", "PostingDate": "2025-11-03", "ExpirationDate": "2025-11-04", "SupportedDevices": ["iPhone15,2"]},
                {"ProductVersion": "26.0.1", "Build": "23A355", "PostingDate": "2025-09-29", "SupportedDevices": ["iPhone15,2"]},
                {"ProductVersion": "27 beta", "SupportedDevices": ["iPhone15,2"]},
                {"Build": "?"}
            ],
            "macOS": [{"ProductVersion": "99.0", "SupportedDevices": ["J316sAP", "iPhone15,2"]}],
            "visionOS": []
        },
        "AssetSets": {"iOS": [{"ProductVersion": "98.0", "SupportedDevices": ["iPhone15,2"]}]}
    }"#;

    const FIRMWARES: &str = r#"{"name": "iPhone 14 Pro", "identifier": "iPhone15,2", "firmwares": [
        {"identifier": "iPhone15,2", "version": "26.1", "buildid": "23B85", "signed": true, "filesize": 1},
        {"identifier": "iPhone15,2", "version": "26.2", "buildid": "23C1", "signed": false},
        {"identifier": "iPhone15,2", "version": "18.7.2", "buildid": "22H124", "signed": true},
        {"version": 5, "signed": true}]}"#;

    #[test]
    fn the_newest_that_can_be_had_for_a_model() {
        let newest = of_apple(APPLE.as_bytes(), "2025-11-25".parse().unwrap()).unwrap();
        let listed: Vec<(&str, &str)> =
            newest.iter().map(|(model, version)| (model.as_str(), version.as_str())).collect();
        assert_eq!(listed, [("iPad14,1", "26.1"), ("iPhone11,8", "18.7.2"), ("iPhone15,2", "26.1")]);
        let newest = of_firmwares(FIRMWARES.as_bytes(), "iPhone15,2").unwrap();
        assert_eq!(newest["iPhone15,2"], "26.1");
    }

    #[test]
    fn what_is_not_a_list_is_none() {
        for text in ["", "<html>", "{}", r#"{"PublicAssetSets": {}}"#, &APPLE[..200], r#"{"firmwares": []}"#] {
            of_apple(text.as_bytes(), NaiveDate::default()).expect_err(text);
            of_firmwares(text.as_bytes(), "iPhone15,2").expect_err(text);
        }
        of_firmwares(FIRMWARES.as_bytes(), "iPhone14,2").expect_err("another model");
    }

    #[test]
    fn only_a_newer_version_is_told() {
        for (ios, newest, told) in [
            ("26.0.1", "26.1", true),
            ("9.3.5", "10.0", true),
            ("26", "26.0", false),
            ("26.1", "26.1", false),
            ("26.2", "26.1", false),
            ("26.1", "", false),
            ("", "26.1", false),
            ("26.-1", "26.1", false),
            ("26.1", "99999999999", false),
        ] {
            let failure = outdated(ios, newest);
            assert_eq!(failure.is_some(), told, "{ios:?} {newest:?}");
            if let Some(failure) = failure {
                let text = failure.explanation();
                assert!(text.contains(ios) && text.contains(newest), "{text}");
            }
        }
    }

    #[test]
    fn a_model_is_never_a_path() {
        for (text, so) in [
            ("iPhone15,2", true),
            ("iPad14,1", true),
            ("iPhone", false),
            ("15,2", false),
            ("iPhone15,", false),
            ("iPhone15,2/..", false),
            ("iPhone15,2?x", false),
            ("iPhone15,2222222222222222", false),
        ] {
            assert_eq!(is_model(text), so, "{text}");
        }
    }
}
