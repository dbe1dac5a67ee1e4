//! The phones that are here: a line about each, and one for whatever stands in the way of its backups.

use std::path::Path;

use backstay_shared::{
    config::{Backup, Config},
    health::{Failure, FailureId, readable_bytes},
};
use futures_util::future::join_all;

use super::finding::{CHECK_SECONDS_MAX, Check, Finding, State, in_time};
use crate::{
    cli::output,
    host::{
        keyring,
        usb_bus::{Mode, UsbDevice},
    },
    phone::{
        facts::{self, Facts},
        link::{Attached, Muxer, Session},
        state::Occasion,
        vitals::Vitals,
    },
    preflight::{self, Situation},
    vault::{forecast::Forecast, layout::Layout, receipt},
};

/// Looks at those that usbmuxd knows and at those that only the kernel knows.
pub async fn look(
    muxer: &Result<Muxer, Failure>,
    on_usb: &[UsbDevice],
    root: &Path,
    config: &Config,
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
    let looking = devices.iter().map(|device| in_time(Check::Phone, one(muxer, device, root, config, store_usable)));
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

async fn one(muxer: &Muxer, attached: &Attached, root: &Path, config: &Config, store_usable: bool) -> Vec<Finding> {
    let introduced = facts::introduce(muxer, attached).await.unwrap_or_default();
    let given = config.name_of(&attached.udid).map(str::to_owned);
    let name = given.or(introduced.name).unwrap_or_else(|| attached.udid.to_string());
    if config.is_turned_off(&attached.udid) {
        let says = format!("{name}: is turned off in the settings and not backed up");
        return vec![Finding::note(Check::Phone, says).about(Some(&name))];
    }
    let lack = |failure: &Failure| Finding::of_failure(Check::Phone, State::Lack, failure, Some(&name));
    let session = match muxer.pair_record(attached).await {
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
        Ok(seen) => seen.told(&name, &config.backup_of(&attached.udid)),
        Err(failure) => vec![lack(&failure)],
    }
}

/// What a phone tells of itself, and what is kept of it here.
#[derive(Debug)]
struct Seen {
    facts: Facts,
    vitals: Vitals,
    link: &'static str,
    /// None when the store can't be asked without bothering anybody.
    password_stored: Option<bool>,
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
        let vitals = Vitals::read(session, &facts).await?;
        let password_stored = match vitals.encrypts && store_usable {
            true => keyring::passwords(&attached.udid).await.ok().map(|passwords| !passwords.is_empty()),
            false => None,
        };
        let newest = receipt::latest(&Layout::new(root, &attached.udid)).ok().flatten();
        Ok(Self {
            link: if attached.usb { "USB" } else { "Wi-Fi" },
            password_stored,
            last_good: newest.map(|receipt| output::moment(receipt.verified_at)),
            facts,
            vitals,
        })
    }

    /// What would stand in the way of a backup that starts by itself now. The disk has a check of its own.
    fn told(&self, name: &str, config: &Backup) -> Vec<Finding> {
        let mut findings = vec![Finding::ok(Check::Phone, format!("{name}: {}", self.summary())).about(Some(name))];
        let mut add = |state, failure: &Failure| {
            findings.push(Finding::of_failure(Check::Phone, state, failure, Some(name)));
        };
        let verdict = preflight::judge(&Situation {
            facts: &self.facts,
            vitals: &self.vitals,
            config,
            occasion: Occasion::Time,
            bytes_free: u64::MAX,
            forecast: &Forecast { bytes: None, seconds: None, first: false },
            volume: "",
        });
        for hindrance in &verdict.hindrances {
            // These are gone as soon as its owner picks it up.
            let passes = matches!(
                hindrance.id,
                FailureId::DeviceLocked | FailureId::DeviceBatteryLow | FailureId::DeviceNotCharging
            );
            add(if passes { State::Note } else { State::Lack }, hindrance);
        }
        verdict.notices.iter().for_each(|notice| add(State::Note, notice));
        match (self.vitals.encrypts, self.password_stored) {
            (_, Some(false)) => add(State::Lack, &FailureId::BackupPasswordMissing.into()),
            (true, None) => add(State::Lack, &FailureId::KeyringUnavailable.into()),
            _ => {}
        }
        findings
    }

    fn summary(&self) -> String {
        let (facts, vitals) = (&self.facts, &self.vitals);
        let mut parts = vec![format!("{}, iOS {}", facts.model, facts.ios), format!("trusted, over {}", self.link)];
        if let Some(percent) = vitals.battery_percent {
            let powered = if vitals.powered == Some(true) { ", on power" } else { "" };
            parts.push(format!("battery {percent} %{powered}"));
        }
        if let Some(free) = vitals.bytes_free {
            parts.push(format!("{} free", readable_bytes(free)));
        }
        parts.push(match (vitals.encrypts, self.password_stored) {
            (false, _) => "backups not encrypted".into(),
            (true, Some(true)) => "backups encrypted, password stored".into(),
            (true, _) => "backups encrypted".into(),
        });
        if let Some(allowed) = vitals.wifi_allowed {
            parts.push(format!("Wi-Fi {}", if allowed { "allowed" } else { "not allowed" }));
        }
        parts.push(match &self.last_good {
            Some(moment) => format!("last good backup {moment}"),
            None => "no backup yet".into(),
        });
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::link::Way;

    fn ids(findings: &[Finding]) -> Vec<(State, Option<FailureId>)> {
        findings.iter().map(|finding| (finding.state, finding.failure)).collect()
    }

    #[test]
    fn what_stands_in_the_way_has_a_line_of_its_own() {
        use FailureId::*;
        let told = |vitals: Vitals, password_stored| {
            let seen = Seen { facts: Facts::sample("26.1"), vitals, link: "USB", password_stored, last_good: None };
            let findings = seen.told("Anna", &Backup::default());
            assert_eq!(findings[0].state, State::Ok);
            assert!(findings[1..].iter().all(|finding| finding.mend.is_some()), "{findings:?}");
            ids(&findings[1..])
        };
        assert_eq!(told(Vitals::default(), None), []);
        let troubled = Vitals {
            locked: Some(true),
            battery_percent: Some(12),
            powered: Some(false),
            bytes_free: Some(0),
            encrypts: true,
            ..Vitals::default()
        };
        let expected = [
            (State::Lack, Some(DeviceStorageFull)),
            (State::Note, Some(DeviceBatteryLow)),
            (State::Note, Some(DeviceLocked)),
        ];
        let with = |id| [&expected[..], &[(State::Lack, Some(id))]].concat();
        assert_eq!(told(troubled.clone(), Some(true)), expected);
        assert_eq!(told(troubled.clone(), Some(false)), with(BackupPasswordMissing));
        assert_eq!(told(troubled, None), with(KeyringUnavailable));
    }

    #[test]
    fn a_phone_that_only_the_kernel_sees() {
        let udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        let attached = [Attached { way: Way::Muxed(1), udid, usb: true }];
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
