//! The way to each phone over Wi-Fi: which of the conditions holds and which does not, in order.

use backstay_shared::{
    health::{FailureId, WifiCheck},
    ids::Udid,
};
use futures_util::future::join_all;

use super::finding::{CHECK_SECONDS_MAX, Check, Finding, State};
use crate::phone::{
    link::Muxer,
    wifi::{self, Examination},
};

/// Looks at those that may be backed up over Wi-Fi, and says of the others that they may not. None of it stops backups:
/// there is the cable.
pub async fn look(muxer: &Muxer, names: &[(Udid, String)]) -> Vec<Finding> {
    let phones = muxer.records().phones();
    let looking = phones.iter().map(|udid| async move {
        let name = names.iter().find(|(of, _)| of == udid).map_or_else(|| udid.to_string(), |(_, name)| name.clone());
        match muxer.records().last_seen(udid).allowed {
            Some(true) => in_time(&name, async { told(&name, &wifi::examine(muxer, udid).await) }).await,
            _ => off(&name),
        }
    });
    join_all(looking).await
}

/// One phone that hangs keeps nothing back of the others.
async fn in_time(name: &str, looking: impl Future<Output = Finding>) -> Finding {
    let late = |_| {
        let says = format!("{name}: gave no answer for {} s", CHECK_SECONDS_MAX.as_secs());
        Finding::note(Check::Wifi, says).about(Some(name)).mend("wake the iPhone, then: backstay wifi status")
    };
    tokio::time::timeout(CHECK_SECONDS_MAX, looking).await.unwrap_or_else(late)
}

fn off(name: &str) -> Finding {
    Finding::note(Check::Wifi, format!("{name}: not switched on; it is backed up over its cable only"))
        .mend("connect it with its cable, then: backstay wifi on")
        .about(Some(name))
        .failure(FailureId::WifiBackupOff)
}

fn told(name: &str, seen: &Examination) -> Finding {
    let checks: Vec<String> = seen.checks().iter().map(WifiCheck::to_string).collect();
    let says = format!("{name}: {}", checks.join("; "));
    let finding = match (seen.failure(), &seen.session) {
        (None, Some(Ok(took))) => {
            Finding::ok(Check::Wifi, format!("{says}; round trip {:.0} ms", took.as_secs_f64() * 1000.0))
        }
        (None, _) => Finding::ok(Check::Wifi, says),
        (Some(failure), _) => {
            let mend = failure.id.entry().steps.first().cloned().unwrap_or_default();
            let finding =
                Finding { state: State::Note, ..Finding::of_failure(Check::Wifi, State::Note, &failure, None) };
            Finding { says: format!("{says} ({})", finding.says), ..finding }.mend(mend)
        }
    };
    finding.about(Some(name))
}
