//! `backstay wifi`: whether a phone may be backed up over Wi-Fi. It is a setting of the phone, which only a trusted
//! computer on its cable can change; the command is the consent.

use backstay_shared::health::{Failure, FailureId};
use clap::Subcommand;
use serde_json::json;

use super::{CliError, Context, attention, backup, output, phones};
use crate::{
    phone::{
        link::{Attached, Muxer, Session},
        wifi,
    },
    vault,
};

/// Arguments of `backstay wifi`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a phone on its cable be backed up over Wi-Fi, too
    On(Which),
    /// Back a phone on its cable up over the cable only
    Off(Which),
    /// See whether a phone is reached over Wi-Fi, and if not, why
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Which {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Status {
    /// One object, for scripts
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// True when machines read the output.
    pub fn json(&self) -> bool {
        matches!(&self.command, Command::Status(Status { json: true }))
    }
}

/// Carries it out.
///
/// # Errors
/// When the phone is not on its cable, or refuses.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    match &arguments.command {
        Command::On(which) => set(context, which.phone.as_deref(), true).await,
        Command::Off(which) => set(context, which.phone.as_deref(), false).await,
        Command::Status(status) => tell(context, status.json).await,
    }
}

/// Said where it would otherwise be promised.
const TURNED_OFF: &str = "The settings turn Wi-Fi off here: no iPhone is looked for on the network while [network] has \
                          wifi = false.";

async fn set(context: &Context, wanted: Option<&str>, on: bool) -> Result<(), CliError> {
    let muxer = context.muxer()?;
    let on_cable: Vec<_> = phones::named(&muxer, &context.config, muxer.devices().await?)
        .await?
        .into_iter()
        .filter(|phone| phone.attached.usb)
        .collect();
    let names: Vec<_> = on_cable.iter().map(|phone| (phone.attached.udid.clone(), phone.name.clone())).collect();
    let attached = backup::choose(on_cable, wanted)?;
    switch(&muxer, &attached, on).await?;
    let name = names.into_iter().find(|(udid, _)| *udid == attached.udid).map(|(_, name)| name).unwrap_or_default();
    attention::look_again(context, attached.udid.as_str()).await;
    output::line(&match on {
        true => format!("{name} allows backups over Wi-Fi now, wherever it is in the same network as this computer."),
        false => format!("{name} is backed up over its cable only."),
    })?;
    if on && !context.config.network.wifi { output::line(TURNED_OFF) } else { Ok(()) }
}

async fn switch(muxer: &Muxer, attached: &Attached, on: bool) -> Result<(), Failure> {
    let mut session = Session::open(muxer, attached).await?;
    session.set_value(wifi::DOMAIN, wifi::ALLOWED_KEY, on.into()).await?;
    let told = session.value(Some(wifi::DOMAIN), Some(wifi::ALLOWED_KEY)).await?.and_then(|value| value.as_boolean());
    if told == Some(on) {
        session.allows_wifi(on);
    }
    session.close().await;
    match told == Some(on) {
        true => Ok(()),
        false => Err(Failure::from(FailureId::LockdownRequestRefused).doing("switching Wi-Fi backups")),
    }
}

async fn tell(context: &Context, as_json: bool) -> Result<(), CliError> {
    let muxer = context.muxer()?;
    let phones = muxer.records().phones();
    let names = vault::phones::names(&context.root);
    if !context.config.network.wifi {
        return if as_json {
            output::json_line(&json!({ "wifi": false, "phones": [] }))
        } else {
            output::line(TURNED_OFF)
        };
    }
    let mut objects = Vec::new();
    for udid in &phones {
        let given = context.config.name_of(udid);
        let name = given.or_else(|| names.iter().find(|(of, _)| of == udid).map(|(_, name)| name.as_str()));
        let seen = wifi::examine(&muxer, udid).await;
        let (failure, checks) = (seen.failure(), seen.checks());
        if as_json {
            let milliseconds = seen.session.and_then(Result::ok).map(|took| took.as_secs_f64() * 1000.0);
            let id = failure.map(|failure| failure.id);
            objects.push(
                json!({ "udid": udid, "name": name, "checks": checks, "failure": id, "round_trip_ms": milliseconds }),
            );
            continue;
        }
        match name {
            Some(name) => output::line(&format!("{name} ({udid})"))?,
            None => output::line(udid.as_str())?,
        }
        for check in checks {
            output::line(&format!("  {check}"))?;
        }
        match failure {
            Some(failure) => {
                output::line(&format!("  -> {}: backstay explain {}", failure.id.entry().title, failure.id))?
            }
            None => output::line("  reached")?,
        }
    }
    match (as_json, phones.is_empty()) {
        (true, _) => output::json_line(&json!({ "wifi": true, "phones": objects })),
        (false, true) => output::line("No iPhone was backed up or looked at over its cable yet: begin with that."),
        (false, false) => Ok(()),
    }
}
