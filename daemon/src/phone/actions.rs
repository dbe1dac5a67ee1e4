//! What a click can do with a phone, besides backing it up.

use backstay_shared::health::{Failure, FailureId};
use idevice::diagnostics_relay::DiagnosticsRelayClient;

use super::{
    guard::Framing,
    link::{Attached, Muxer, Session, guard, within},
    pairing,
};

/// Restarts the phone. It has to be unlocked once afterwards.
///
/// # Errors
/// When it refuses or does not answer.
pub async fn restart(muxer: &Muxer, attached: &Attached) -> Result<(), Failure> {
    let mut session = Session::open(muxer, attached).await?;
    let socket = session.service("com.apple.mobile.diagnostics_relay").await?;
    let mut relay = DiagnosticsRelayClient::new(guard(socket, Framing::PropertyLists)?);
    match within("restarting the iPhone", relay.restart()).await {
        // It may be gone before its answer is through.
        Err(failure) if failure.id == FailureId::SessionLost => Ok(()),
        done => done,
    }
}

/// Asks for trust anew, whatever record there is. Waits until the person has answered on the phone.
///
/// # Errors
/// When the person refused, the phone went away, or the record could not be kept.
pub async fn pair_again(muxer: &Muxer, attached: &Attached) -> Result<(), Failure> {
    pairing::pair(muxer, attached, |failure| tracing::info!(%failure, "waiting for trust")).await
}
