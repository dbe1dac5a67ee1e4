//! `backstay phones`: who is connected, asked of usbmuxd and the network directly, so it works without the daemon.

use backstay_shared::{config::Config, health::Failure};
use serde_json::json;

use super::{CliError, Context, output};
use crate::{
    ipc::names,
    phone::{
        facts,
        link::{Attached, Muxer},
        pairing, wifi,
    },
};

/// Arguments of `backstay phones`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One object, for scripts
    #[arg(long)]
    pub json: bool,
}

/// A phone that is connected.
#[derive(Debug, Clone)]
pub struct Found {
    /// Which.
    pub attached: Attached,
    /// Its name, told apart from those of others; its UDID when it does not tell.
    pub name: String,
    /// Its iOS version.
    pub ios: Option<String>,
    /// True when this computer has a pair record of it.
    pub trusted: bool,
}

/// Asks usbmuxd who is here, looks on the network for those that it does not know, and asks each for its name.
///
/// # Errors
/// When usbmuxd can't be asked and nobody is on the network.
pub async fn found(context: &Context, muxer: &Muxer) -> Result<Vec<Found>, Failure> {
    let devices = muxer.devices().await;
    let known: Vec<_> = devices.iter().flatten().map(|attached| attached.udid.clone()).collect();
    let on_the_network = if context.config.network.wifi { wifi::found(muxer, &known).await } else { Vec::new() };
    let devices = match devices {
        Err(failure) if on_the_network.is_empty() => return Err(failure),
        devices => devices.into_iter().flatten().chain(on_the_network).collect(),
    };
    named(muxer, &context.config, devices).await
}

/// Asks each of these for its name.
///
/// # Errors
/// When usbmuxd can't be asked.
pub async fn named(muxer: &Muxer, config: &Config, devices: Vec<Attached>) -> Result<Vec<Found>, Failure> {
    let mut phones = Vec::new();
    for attached in devices {
        let introduction = facts::introduce(muxer, &attached).await.unwrap_or_else(|failure| {
            tracing::warn!(udid = %attached.udid, %failure, "a phone does not tell its name");
            facts::Introduction::default()
        });
        let trusted = pairing::is_trusted(muxer, &attached).await?;
        let given = config.name_of(&attached.udid).map(str::to_owned);
        let name = given.or(introduction.name).unwrap_or_else(|| attached.udid.to_string());
        phones.push(Found { attached, name, ios: introduction.ios, trusted });
    }
    let known = |phone: &Found| (phone.name.clone(), phone.attached.udid.to_string());
    let told_apart = names::told_apart(&phones.iter().map(known).collect::<Vec<_>>());
    phones.iter_mut().zip(told_apart).for_each(|(phone, name)| phone.name = name);
    Ok(phones)
}

/// Carries it out.
///
/// # Errors
/// When usbmuxd can't be asked.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let phones = found(context, &context.muxer()?).await?;
    if arguments.json {
        let list: Vec<_> = phones
            .iter()
            .map(|phone| {
                let link = if phone.attached.usb { "usb" } else { "network" };
                let (udid, name) = (&phone.attached.udid, &phone.name);
                json!({ "udid": udid, "name": name, "ios": phone.ios, "link": link, "trusted": phone.trusted })
            })
            .collect();
        return output::json_line(&json!({ "phones": list }));
    }
    if phones.is_empty() {
        return output::line("No iPhone is connected.");
    }
    for phone in phones {
        let trust = if phone.trusted { "trusted" } else { "not trusted yet, run: backstay pair" };
        let ios = phone.ios.map(|ios| format!(", iOS {ios}")).unwrap_or_default();
        output::line(&format!("{}  {}{ios}, {trust}", phone.attached.udid, phone.name))?;
    }
    Ok(())
}
