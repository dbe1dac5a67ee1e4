//! `backstay pair`: ask a phone to trust this computer.

use backstay_shared::health::{Failure, FailureId};

use super::{CliError, Context, attention, output, phones};
use crate::{ipc::names, phone::pairing};

/// Arguments of `backstay pair`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A name, a UDID or a unique part of either; may be left out when there is one phone
    phone: Option<String>,
}

/// Carries it out; waits until the person has answered on the phone.
///
/// # Errors
/// When the person refused or the phone went away.
pub async fn run(context: &Context, arguments: &Arguments) -> Result<(), CliError> {
    let muxer = context.muxer()?;
    let found = phones::found(context, &muxer).await?;
    let known: Vec<(String, String)> =
        found.iter().map(|phone| (phone.name.clone(), phone.attached.udid.to_string())).collect();
    let index = match &arguments.phone {
        Some(wanted) => names::choose(&known, wanted)?,
        None if found.len() > 1 => {
            let names: Vec<String> = known.iter().map(|(name, udid)| format!("{name} ({udid})")).collect();
            return Err(CliError::Usage(format!("there are several iPhones, name one: {}", names.join(", "))));
        }
        None => 0,
    };
    let phone = found.get(index).ok_or_else(|| Failure::from(FailureId::DeviceNotFound))?;
    if phone.trusted {
        return output::line(&format!("{} trusts this computer already.", phone.name));
    }
    let pending = |failure: &Failure| {
        let entry = failure.id.entry();
        // A closed terminal changes nothing about the question on the phone.
        drop(output::line(&format!("{}: {}", entry.title, entry.steps.join(" "))));
    };
    pairing::pair(&muxer, &phone.attached, pending).await?;
    attention::look_again(context, phone.attached.udid.as_str()).await;
    output::line(&format!("{} trusts this computer now.", phone.name))
}
