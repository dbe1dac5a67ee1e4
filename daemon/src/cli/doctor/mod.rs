//! `backstay doctor`: everything that can be checked without starting anything. Exit 0 when nothing stops backups.
//!
//! One file a check. All run at once, each with a time limit, and are told in the order of [`Check`].

pub mod backup_folder;
pub mod computer;
pub mod daemon;
pub mod desktop;
pub mod finding;
pub mod phones;
pub mod system;
pub mod usbmuxd;
pub mod wifi;

use std::sync::Arc;

use backstay_shared::paths::Paths;
use serde_json::json;

use super::{CliError, Given, output};
use crate::{host::usb_bus, phone::link::Muxer, vault};
use finding::{Check, Finding, State, blocking, in_time};

/// Arguments of `backstay doctor`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// Carries it out.
///
/// # Errors
/// When something stops backups; it was told then.
pub async fn run(given: &Given, arguments: &Arguments) -> Result<(), CliError> {
    let findings = look(given).await;
    let lacks = findings.iter().filter(|finding| finding.state == State::Lack).count();
    if arguments.json {
        output::json_line(&json!({ "stops_backups": lacks > 0, "findings": findings }))?;
    } else {
        for finding in &findings {
            output::line(&text(finding))?;
        }
        output::line(&verdict(lacks))?;
    }
    if lacks == 0 { Ok(()) } else { Err(CliError::Told) }
}

/// Everything that was found, in order.
pub async fn look(given: &Given) -> Vec<Finding> {
    let paths = Arc::new(given.paths.clone());
    let (root, known_roots) = (given.root.clone(), given.known_roots());
    let config = given.in_force().cloned().unwrap_or_default();
    let looks_for_wifi = given.in_force().is_some_and(|config| config.network.wifi);
    let names = vault::phones::names(&given.root);
    let on_usb = usb_bus::apple_devices(usb_bus::SYSFS.as_ref());
    let muxer = Muxer::from_environment(&given.paths.log_dir);
    let bus = desktop::Bus::connect().await;
    let store_usable = bus.password_store_is_open().await;
    let computer = |look: fn(&Paths) -> Vec<Finding>, check| {
        let paths = paths.clone();
        blocking(check, move || look(&paths))
    };
    let mut findings = vec![computer::settings(given)];
    let (folder, devices, others) = tokio::join!(
        blocking(Check::BackupFolder, move || backup_folder::look(&root, &known_roots)),
        async {
            let service = usbmuxd::look(&muxer, &on_usb).await;
            let (phones, over_wifi) =
                tokio::join!(phones::look(&muxer, &on_usb, &given.root, &config, store_usable), async {
                    match &muxer {
                        Ok(muxer) if looks_for_wifi => wifi::look(muxer, &names).await,
                        _ => Vec::new(),
                    }
                },);
            [service, phones, over_wifi].concat()
        },
        async {
            let (daemon, desktop, login, clock, log) = tokio::join!(
                in_time(Check::Daemon, daemon::look(&paths)),
                in_time(Check::SessionBus, bus.look()),
                computer(computer::login, Check::Login),
                {
                    let root = given.root.clone();
                    blocking(Check::Clock, move || computer::clock(&root))
                },
                computer(computer::log_folder, Check::LogFolder),
            );
            [daemon, desktop, login, clock, log].concat()
        },
    );
    findings.extend([folder, devices, others].concat());
    // Within a check the order in which it was found is kept.
    findings.sort_by_key(|finding| finding.check);
    findings
}

/// One finding for a person.
pub fn text(finding: &Finding) -> String {
    let mark = match finding.state {
        State::Ok => "ok  ",
        State::Note => "note",
        State::Lack => "LACK",
    };
    let mut text = format!("{mark}  {:<15} {}", finding.check.label(), finding.says);
    if let Some(mend) = &finding.mend {
        text.push_str(&format!("\n{:22}-> {mend}", ""));
    }
    if let (Some(id), State::Lack) = (finding.failure, finding.state) {
        text.push_str(&format!("\n{:22}   more: backstay explain {id}", ""));
    }
    text
}

fn verdict(lacks: usize) -> String {
    match lacks {
        0 => "Nothing stops backups.".into(),
        1 => "One thing stops backups.".into(),
        lacks => format!("{lacks} things stop backups."),
    }
}
