//! What stands at the head of a record: who talks to whom, and what the phone will find in the backup.

use std::{fs, path::Path, time::Instant};

use backstay_shared::{ids::Udid, paths::Paths};
use idevice::pairing_file::PairingFile;
use tokio::sync::watch;
use x509_cert::{
    Certificate,
    der::{Decode, asn1::ObjectIdentifier},
};

use super::{
    counts::Counts,
    log::{Line, Log},
    message::{fraction, name, short},
    shape::part_shape,
};
use crate::{
    phone::{
        facts::Facts,
        heartbeat::Beat,
        link::{Attached, Session},
    },
    transfer::value::Value,
};

const SUBJECT_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const AUTHORITY_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SHA1_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

/// A larger `Status.plist` is not read for this; real ones have some 200 bytes.
const STATUS_BYTES_MAX: u64 = 1 << 20;

/// More entries of a folder are not looked at.
const ENTRIES_MAX: usize = 10_000;

/// Begins a record in the state folder of this user.
pub fn begin(udid: &Udid, kind: &str) -> Log {
    let log = Paths::of_this_user().map_or_else(|_| Log::default(), |paths| Log::begin(&paths.log_dir, udid, kind));
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let release = read("/etc/os-release");
    let system = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).map(|name| name.trim_matches('"'));
    let kernel = read("/proc/sys/kernel/osrelease");
    let line = Line::new('*', "computer").with("backstay", env!("CARGO_PKG_VERSION"));
    let line = line.with("os", std::env::consts::OS).with("arch", std::env::consts::ARCH);
    log.line(line.with_some("system", system).with_some("kernel", Some(kernel.trim()).filter(|text| !text.is_empty())));
    log
}

/// Tells of the phone, of its link and of the certificates by which it knows this computer.
pub fn tell_phone(log: &Log, session: &Session, facts: &Facts) {
    let (_, attached) = session.way();
    let truth = |key: &str| facts.value(key).and_then(plist::Value::as_boolean);
    let build = facts.value("BuildVersion").and_then(plist::Value::as_string).map(short);
    let line = Line::new('*', "phone").with("model", model(&facts.model)).with("ios", version(&facts.ios));
    let line = line.with_some("build", build).with("link", link(&attached));
    log.line(line.with_some("has-passcode-and-is-locked", truth("PasswordProtected")));
    log.line(pairing(session.pair_record()));
}

fn link(attached: &Attached) -> &'static str {
    match (attached.usb, attached.is_muxed()) {
        (true, _) => "usb",
        (false, true) => "wifi-by-usbmuxd",
        (false, false) => "wifi",
    }
}

fn model(text: &str) -> String {
    text.split(',').map(short).collect::<Vec<_>>().join(",")
}

fn version(text: &str) -> String {
    text.split('.').map(short).collect::<Vec<_>>().join(".")
}

/// The extensions of the computer's certificate tell which program made it: libimobiledevice, Apple's, or this one.
fn pairing(record: &PairingFile) -> Line {
    let line = Line::new('*', "pairing").with("escrow-bag", record.escrow_bag.is_some());
    let Ok(certificate) = Certificate::from_der(record.host_certificate.as_ref()) else {
        return line.with("host-certificate", "not-read");
    };
    let certificate = certificate.tbs_certificate;
    let told: Vec<String> = certificate
        .extensions
        .iter()
        .flatten()
        .take(12)
        .map(|extension| {
            let value = extension.extn_value.as_bytes();
            // Identifiers of keys differ from pair to pair; their lengths don't.
            let told: String = match extension.extn_id {
                BASIC_CONSTRAINTS | KEY_USAGE | EXTENDED_KEY_USAGE => {
                    value.iter().map(|byte| format!("{byte:02x}")).collect()
                }
                _ => format!("<{}>", value.len()),
            };
            let critical = if extension.critical { "critical-" } else { "" };
            format!("{critical}{}={told}", called(extension.extn_id))
        })
        .collect();
    let names = (certificate.subject.0.len(), certificate.issuer.0.len());
    let line = line.with("version", format!("{:?}", certificate.version)).with("extensions", told.join(","));
    let line = line.with("signature", called(certificate.signature.oid)).with("subject-parts", names.0);
    line.with("issuer-parts", names.1)
}

/// A number of X.509 by its name; others without dots, so that they are not taken for an address.
fn called(number: ObjectIdentifier) -> String {
    match number {
        BASIC_CONSTRAINTS => "basic-constraints".into(),
        KEY_USAGE => "key-usage".into(),
        EXTENDED_KEY_USAGE => "extended-key-usage".into(),
        SUBJECT_KEY => "subject-key".into(),
        AUTHORITY_KEY => "authority-key".into(),
        SHA256_WITH_RSA => "sha256-rsa".into(),
        SHA1_WITH_RSA => "sha1-rsa".into(),
        number => number.to_string().replace('.', "_"),
    }
}

/// Tells what is in the phone's folder before it looks: whether there is a backup that the run builds on, and whether the
/// tree is what a broken run left.
pub fn tell_tree(log: &Log, tree: &Path, built_on: bool, kept: bool) {
    let status = fs::metadata(tree.join("Status.plist")).ok().filter(|facts| facts.len() <= STATUS_BYTES_MAX);
    let status = status.and_then(|_| fs::read(tree.join("Status.plist")).ok());
    let parsed = status.as_deref().map(Value::parse);
    let state = match &parsed {
        None => "missing".into(),
        Some(Ok(status)) => status.get("SnapshotState").and_then(Value::text).map_or_else(|| "none".into(), name),
        Some(Err(_)) => "unreadable".into(),
    };
    let parsed = parsed.and_then(Result::ok);
    let get = |key: &str| parsed.as_ref().and_then(|status| status.get(key));
    let full = get("IsFullBackup").map(|full| matches!(full, Value::Boolean(true)));
    let entries = fs::read_dir(tree).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let kinds: Counts = entries.map(|entry| part_shape(&entry.file_name().to_string_lossy(), "")).collect();
    let length = |file: &str| fs::metadata(tree.join(file)).ok().map(|facts| facts.len());
    let snapshot = tree.join("Snapshot").exists();
    let line = Line::new('*', "tree").with("state", state).with_some("full", full);
    let line = line.with_some("version", get("Version").and_then(Value::text).map(version));
    let line = line.with("backup", built_on).with("kept-of-a-broken-run", kept).with("snapshot", snapshot);
    let line =
        line.with_some("manifest-plist", length("Manifest.plist")).with_some("manifest-db", length("Manifest.db"));
    log.line(line.with("kinds", kinds));
}

/// Tells each sign of life of a phone on Wi-Fi, for as long as they come.
pub fn tell_heartbeats(log: &Log, mut beats: watch::Receiver<Beat>) {
    let log = log.clone();
    tokio::spawn(async move {
        let mut last = Instant::now();
        while beats.changed().await.is_ok() {
            let beat = *beats.borrow_and_update();
            let after = fraction(last.elapsed().as_secs_f64());
            last = Instant::now();
            log.line(
                Line::new('*', "heartbeat")
                    .with("number", beat.number)
                    .with("interval", beat.interval)
                    .with("after", after),
            );
        }
    });
}
