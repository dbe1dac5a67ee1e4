//! The phones that are here: a line about each, and one for whatever stands in the way of its backups.

use std::path::Path;

use backstay_shared::health::{Failure, FailureId, readable_bytes};
use futures_util::future::join_all;
use plist::{Dictionary, Value};

use super::{
    finding::{CHECK_SECONDS_MAX, Check, Finding, State, in_time},
    usb::{Mode, UsbDevice},
};
use crate::{
    cli::output,
    host::keyring,
    phone::{
        facts::{self, Facts},
        link::{Attached, Muxer, Session},
    },
    vault::{layout::Layout, receipt},
};

/// Below it a backup may end before its time, unless the phone is on power.
const BATTERY_PERCENT_LOW: u64 = 20;

/// Below it the phone may not be able to prepare a backup.
const PHONE_BYTES_MIN: u64 = 500_000_000;

/// Below it that comes near.
const PHONE_BYTES_LOW: u64 = 2_000_000_000;

/// Looks at those that usbmuxd knows and at those that only the kernel knows.
pub async fn look(
    muxer: &Result<Muxer, Failure>,
    on_usb: &[UsbDevice],
    root: &Path,
    store_usable: bool,
) -> Vec<Finding> {
    let devices = match muxer {
        Ok(muxer) => tokio::time::timeout(CHECK_SECONDS_MAX, muxer.devices()).await.ok().and_then(Result::ok),
        Err(_) => None,
    };
    let mut findings = silent(on_usb, devices.as_deref());
    let (Ok(muxer), Some(devices)) = (muxer, devices) else { return findings };
    if devices.is_empty() && findings.is_empty() {
        findings.push(
            Finding::note(Check::Phone, "none is connected")
                .mend("connect one with a cable and unlock it")
                .failure(FailureId::DeviceNotFound),
        );
    }
    let looking = devices.iter().map(|device| in_time(Check::Phone, one(muxer, device, root, store_usable)));
    findings.extend(join_all(looking).await.concat());
    findings
}

/// Plugged in, and not to be talked to.
fn silent(on_usb: &[UsbDevice], devices: Option<&[Attached]>) -> Vec<Finding> {
    let known = |serial: &str| {
        let plain = |attached: &Attached| attached.udid.as_str().replace('-', "").eq_ignore_ascii_case(serial);
        // Without usbmuxd nobody is known, and that is told already.
        devices.is_none_or(|devices| devices.iter().any(plain))
    };
    let told = |device: &UsbDevice| match device.mode {
        Mode::Normal if known(&device.serial) => None,
        Mode::Normal => Some((FailureId::UsbAccessoryBlocked, "an iPhone is plugged in that usbmuxd does not know")),
        Mode::Recovery => Some((FailureId::DeviceRecoveryMode, "an iPhone in recovery mode is plugged in")),
        Mode::Dfu => Some((FailureId::DeviceRecoveryMode, "an iPhone in DFU mode is plugged in, its screen black")),
    };
    let lack = |(id, says): (FailureId, &str)| {
        Finding::lack(Check::Usb, says).mend(id.entry().steps.first().cloned().unwrap_or_default()).failure(id)
    };
    let mut findings: Vec<Finding> = on_usb.iter().filter_map(told).map(lack).collect();
    if findings.is_empty() && !on_usb.is_empty() {
        findings.push(Finding::ok(Check::Usb, format!("{} of Apple's are plugged in", on_usb.len())));
    }
    findings
}

async fn one(muxer: &Muxer, attached: &Attached, root: &Path, store_usable: bool) -> Vec<Finding> {
    let introduced = facts::introduce(muxer, attached).await.unwrap_or_default();
    let name = introduced.name.unwrap_or_else(|| attached.udid.to_string());
    let lack = |failure: &Failure| Finding::of_failure(Check::Phone, State::Lack, failure, Some(&name));
    let session = match muxer.pair_record(&attached.udid).await {
        Ok(Some(_)) => Session::open(muxer, attached).await,
        Ok(None) => Err(FailureId::TrustPending.into()),
        Err(failure) => Err(failure),
    };
    let mut session = match session {
        Ok(session) => session,
        Err(failure) => return vec![lack(&failure)],
    };
    let seen = Seen::read(&mut session, attached, root, store_usable).await;
    session.close().await;
    match seen {
        Ok(seen) => seen.told(&name),
        Err(failure) => vec![lack(&failure)],
    }
}

/// What a phone tells of itself, and what is kept of it here.
#[derive(Debug, Clone, Default)]
struct Seen {
    model: String,
    ios: String,
    link: &'static str,
    locked: bool,
    set_up: Option<bool>,
    activation: Option<String>,
    battery_percent: Option<u64>,
    charging: Option<bool>,
    bytes_free: Option<u64>,
    encrypts: bool,
    /// None when the store can't be asked without bothering anybody.
    password_stored: Option<bool>,
    wifi_allowed: Option<bool>,
    last_good: Option<String>,
}

impl Seen {
    async fn read(
        session: &mut Session,
        attached: &Attached,
        root: &Path,
        store_usable: bool,
    ) -> Result<Self, Failure> {
        let facts = Facts::read(session, &attached.udid).await?;
        let battery = domain(session, "com.apple.mobile.battery").await?;
        let disk = domain(session, "com.apple.disk_usage").await?;
        let setup = domain(session, "com.apple.purplebuddy").await?;
        let wireless = domain(session, "com.apple.mobile.wireless_lockdown").await?;
        let encrypts = facts.encrypts_backups(session).await?;
        let password_stored = match encrypts && store_usable {
            true => keyring::passwords(&attached.udid).await.ok().map(|passwords| !passwords.is_empty()),
            false => None,
        };
        let newest = receipt::latest(&Layout::new(root, &attached.udid)).ok().flatten();
        let bytes = |key| disk.get(key).and_then(Value::as_unsigned_integer);
        let text = |key| facts.value(key).and_then(Value::as_string).map(str::to_owned);
        Ok(Self {
            link: if attached.usb { "USB" } else { "Wi-Fi" },
            locked: facts.value("PasswordProtected").and_then(Value::as_boolean).unwrap_or(false),
            set_up: setup.get("SetupDone").and_then(Value::as_boolean),
            activation: text("ActivationState"),
            battery_percent: battery.get("BatteryCurrentCapacity").and_then(Value::as_unsigned_integer),
            charging: battery.get("BatteryIsCharging").and_then(Value::as_boolean),
            bytes_free: bytes("TotalDataAvailable").or_else(|| bytes("AmountDataAvailable")),
            encrypts,
            password_stored,
            wifi_allowed: wireless.get("EnableWifiConnections").and_then(Value::as_boolean),
            last_good: newest.map(|receipt| output::moment(receipt.verified_at)),
            model: facts.model,
            ios: facts.ios,
        })
    }

    fn told(&self, name: &str) -> Vec<Finding> {
        let mut findings = vec![Finding::ok(Check::Phone, format!("{name}: {}", self.summary())).about(Some(name))];
        let mut add = |state, failure: Failure| {
            findings.push(Finding::of_failure(Check::Phone, state, &failure, Some(name)));
        };
        if self.activation.as_deref() == Some("Unactivated") {
            add(State::Lack, FailureId::DeviceNotActivated.into());
        }
        if self.set_up == Some(false) {
            add(State::Lack, FailureId::DeviceSetupUnfinished.into());
        }
        if self.locked {
            add(State::Note, FailureId::DeviceLocked.into());
        }
        if let Some(percent) = self.battery_percent.filter(|percent| *percent < BATTERY_PERCENT_LOW)
            && self.charging != Some(true)
        {
            let failure = Failure::from(FailureId::DeviceBatteryLow).text(format!("{percent} %"));
            add(State::Note, failure);
        }
        if let Some(free) = self.bytes_free.filter(|free| *free < PHONE_BYTES_LOW) {
            let full = free < PHONE_BYTES_MIN;
            let id = if full { FailureId::DeviceStorageFull } else { FailureId::DeviceStorageLow };
            let mut failure = Failure::from(id);
            failure.evidence.bytes_free = Some(free);
            add(if full { State::Lack } else { State::Note }, failure);
        }
        if self.password_stored == Some(false) {
            add(State::Lack, FailureId::BackupPasswordMissing.into());
        }
        if self.encrypts && self.password_stored.is_none() {
            add(State::Lack, FailureId::KeyringUnavailable.into());
        }
        findings
    }

    fn summary(&self) -> String {
        let mut parts = vec![format!("{}, iOS {}", self.model, self.ios), format!("trusted, over {}", self.link)];
        if let Some(percent) = self.battery_percent {
            let charging = if self.charging == Some(true) { ", charging" } else { "" };
            parts.push(format!("battery {percent} %{charging}"));
        }
        if let Some(free) = self.bytes_free {
            parts.push(format!("{} free", readable_bytes(free)));
        }
        parts.push(match (self.encrypts, self.password_stored) {
            (false, _) => "backups not encrypted".into(),
            (true, Some(true)) => "backups encrypted, password stored".into(),
            (true, _) => "backups encrypted".into(),
        });
        if let Some(allowed) = self.wifi_allowed {
            parts.push(format!("Wi-Fi {}", if allowed { "allowed" } else { "not allowed" }));
        }
        parts.push(match &self.last_good {
            Some(moment) => format!("last good backup {moment}"),
            None => "no backup yet".into(),
        });
        parts.join(", ")
    }
}

async fn domain(session: &mut Session, name: &str) -> Result<Dictionary, Failure> {
    Ok(session.value(Some(name), None).await?.and_then(Value::into_dictionary).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(findings: &[Finding]) -> Vec<(State, Option<FailureId>)> {
        findings.iter().map(|finding| (finding.state, finding.failure)).collect()
    }

    #[test]
    fn what_stands_in_the_way_has_a_line_of_its_own() {
        use FailureId::*;
        let well = || Seen { bytes_free: Some(9 << 30), battery_percent: Some(80), ..Seen::default() };
        for (seen, told) in [
            (well(), &[][..]),
            (Seen { locked: true, ..well() }, &[(State::Note, Some(DeviceLocked))]),
            (Seen { battery_percent: Some(19), ..well() }, &[(State::Note, Some(DeviceBatteryLow))]),
            (Seen { battery_percent: Some(19), charging: Some(true), ..well() }, &[]),
            (Seen { bytes_free: Some(1_000_000_000), ..well() }, &[(State::Note, Some(DeviceStorageLow))]),
            (Seen { bytes_free: Some(0), ..well() }, &[(State::Lack, Some(DeviceStorageFull))]),
            (Seen { set_up: Some(false), ..well() }, &[(State::Lack, Some(DeviceSetupUnfinished))]),
            (Seen { activation: Some("Unactivated".into()), ..well() }, &[(State::Lack, Some(DeviceNotActivated))]),
            (Seen { encrypts: true, ..well() }, &[(State::Lack, Some(KeyringUnavailable))]),
            (
                Seen { encrypts: true, password_stored: Some(false), ..well() },
                &[(State::Lack, Some(BackupPasswordMissing))],
            ),
            (Seen { encrypts: true, password_stored: Some(true), ..well() }, &[]),
        ] {
            let findings = seen.told("Anna");
            assert_eq!(findings[0].state, State::Ok);
            assert_eq!(ids(&findings[1..]), told, "{seen:?}");
            assert!(findings[1..].iter().all(|finding| finding.mend.is_some()), "{findings:?}");
        }
    }

    #[test]
    fn a_phone_that_only_the_kernel_sees() {
        let udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        let attached = [Attached { device_id: 1, udid, usb: true }];
        let device = |serial: &str, mode| UsbDevice { serial: serial.into(), mode };
        let here = device("00008120001A2D3E0C40201E", Mode::Normal);
        let other = device("00008030000A2D3E0C40201E", Mode::Normal);
        for (on_usb, devices, told) in [
            (vec![here.clone()], Some(&attached[..]), vec![(State::Ok, None)]),
            (vec![other.clone()], Some(&attached[..]), vec![(State::Lack, Some(FailureId::UsbAccessoryBlocked))]),
            (vec![other], None, vec![(State::Ok, None)]),
            (vec![device("", Mode::Dfu)], None, vec![(State::Lack, Some(FailureId::DeviceRecoveryMode))]),
            (vec![], Some(&attached[..]), vec![]),
        ] {
            assert_eq!(ids(&silent(&on_usb, devices)), told);
        }
    }
}
