//! Does the daemon run, is it of this version, and what does it complain of?

use backstay_shared::{
    client::{Client, ClientError},
    health::{FailureId, Severity},
    overview::{Overview, Problem, Setup},
    paths::Paths,
    protocol::{Reply, Request},
};

use chrono::Utc;

use super::finding::{Check, Finding, State};

/// Asks it.
pub async fn look(paths: &Paths) -> Vec<Finding> {
    let overview = match ask(paths).await {
        Ok(overview) => overview,
        Err(error @ ClientError::OtherProtocol { .. }) => {
            return vec![
                Finding::lack(Check::Daemon, error.to_string())
                    .mend("backstay login restart")
                    .failure(FailureId::HostSoftwareOutdated),
            ];
        }
        Err(error) => {
            let says = format!("{error}, so that no backup starts by itself");
            return vec![Finding::lack(Check::Daemon, says).mend("backstay login start")];
        }
    };
    let (own, its) = (env!("CARGO_PKG_VERSION"), &overview.version);
    let mut findings = vec![if own == its {
        Finding::ok(Check::Daemon, format!("runs, version {its}, process {}", overview.pid))
    } else {
        Finding::note(Check::Daemon, format!("runs in version {its}, and this is version {own}"))
            .mend("backstay login restart")
    }];
    if overview.paused.is_some() {
        findings.push(
            Finding::note(Check::Daemon, "is paused: nothing starts by itself")
                .mend("resume it in the status bar, or back up all the same: backstay backup"),
        );
    }
    if overview.setup == Setup::Needed {
        findings.push(told(None, &Problem::new(&FailureId::SetupNeeded.into(), Utc::now())));
    }
    for phone in &overview.phones {
        if let Some(earlier) = overview.earlier_of(phone) {
            findings.push(
                Finding::note(Check::Daemon, format!("{}: {}", phone.name, earlier.sentence(phone)))
                    .about(Some(&phone.name)),
            );
        }
    }
    let of_phones = overview.phones.iter().flat_map(|phone| phone.problems.iter().map(|it| (Some(&*phone.name), it)));
    // Told above, also before a phone has come for which it is raised.
    let problems = overview.problems.iter().filter(|problem| problem.id != FailureId::SetupNeeded);
    let of_computer = problems.map(|problem| (None, problem));
    let in_front = of_computer.chain(of_phones).filter(|(_, problem)| problem.is_in_front());
    findings.extend(in_front.map(|(phone, problem)| told(phone, problem)));
    findings
}

async fn ask(paths: &Paths) -> Result<Overview, ClientError> {
    let mut client = Client::connect(&paths.socket()).await?;
    match client.request(Request::Overview).await? {
        Reply::Overview { overview, .. } => Ok(*overview),
        _ => Err(ClientError::Lost(None)),
    }
}

fn told(phone: Option<&str>, problem: &Problem) -> Finding {
    let about = phone.map(|phone| format!("{phone}: ")).unwrap_or_default();
    Finding {
        check: Check::Daemon,
        phone: phone.map(str::to_owned),
        state: if problem.severity == Severity::Error { State::Lack } else { State::Note },
        says: format!("says: {about}{}", problem.title),
        mend: problem.steps.first().cloned(),
        failure: Some(problem.id),
    }
}
