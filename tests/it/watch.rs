//! Apple's side, as a server on this computer plays it.

use std::{path::Path, time::Instant};

use backstay::{
    host::web::REQUEST_SECONDS_MAX,
    watch::{self, Findings, Known, Wanted, desk::Desk},
};
use backstay_shared::{config, health::FailureId};
use backstay_tests::web_server::{Answer, WebServer};
use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

const FINE: &str = r#"{"services": [{"serviceName": "iCloud Backup", "redirectUrl": null, "events": []}]}"#;

const OUTAGE: &str = r#"jsonCallback({"services": [{"serviceName": "iCloud Backup", "events": [
    {"usersAffected": "Some users are affected", "epochStartDate": 1763990000000, "epochEndDate": null,
     "statusType": "Outage", "message": "Users may be unable to back up.", "eventStatus": "ongoing"}]}]});"#;

const VERSIONS: &str = r#"{"PublicAssetSets": {"iOS": [
    {"ProductVersion": "26.1", "Build": "23B85", "SupportedDevices": ["iPhone15,2", "iPhone16,1"]}]}}"#;

const FIRMWARES: &str = r#"{"identifier": "iPhone15,2", "firmwares": [{"version": "26.0.1", "signed": true}]}"#;

fn settings(server: &WebServer) -> config::Watch {
    let address = |path: &str| {
        let address = config::WebAddress::try_from(format!("{}/{path}", server.address())).unwrap();
        config::PrivateAddress::try_from(address).unwrap()
    };
    let addresses =
        config::Addresses { status: address("status.js"), versions: address("pmv"), firmwares: address("device") };
    config::Watch { addresses, ..config::Watch::default() }
}

fn wanted(model: Option<&str>, icloud_backup: bool) -> Wanted {
    let known = Known { model: model.map(str::to_owned), icloud_backup };
    Wanted::from([("00008120-001A2D3E0C40201E".parse().unwrap(), known)])
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_764_000_000, 0).unwrap()
}

/// One desk, one server, and the time as the test says.
struct Watching {
    server: WebServer,
    desk: Desk,
    wanted: Wanted,
}

impl Watching {
    fn new(server: WebServer, folder: &Path, wanted: Wanted) -> Self {
        Self { desk: Desk::new(&settings(&server), folder), server, wanted }
    }

    /// What is found, the paths that were asked for, and the minutes until the next look.
    async fn look(&mut self, minutes: i64) -> (Findings, Vec<String>, Option<i64>) {
        let now = noon() + TimeDelta::minutes(minutes);
        let next = self.desk.look(now, &self.wanted).await;
        let asked = self.server.asked().into_iter().map(|request| request.path).collect();
        (self.desk.findings(now, &self.wanted), asked, next.map(|next| (next - now).num_minutes()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_that_nobody_needs() {
    let server = WebServer::start(|_| Answer::Ok(FINE.into())).await;
    let folder = tempfile::tempdir().unwrap();
    let off = config::Watch { apple_status: false, ios_versions: false, ..settings(&server) };
    for (config, wanted) in [
        (settings(&server), Wanted::new()),
        (settings(&server), wanted(None, false)),
        (settings(&server), wanted(Some("../iPhone"), false)),
        (off, wanted(Some("iPhone15,2"), true)),
    ] {
        assert_eq!(Desk::new(&config, folder.path()).look(noon(), &wanted).await, None);
        assert_eq!(server.asked(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_looked_at_often_and_remembered() {
    let server = WebServer::start(|_| Answer::Tagged("\"one\"", FINE.into())).await;
    let folder = tempfile::tempdir().unwrap();
    let mut watching = Watching::new(server, folder.path(), wanted(None, true));
    let all_well = Findings::default();
    assert_eq!(watching.look(0).await, (all_well.clone(), vec!["/status.js".into()], Some(360)));
    assert_eq!(watching.look(359).await, (all_well.clone(), vec![], Some(1)), "the answer is still good");
    assert_eq!(watching.look(360).await, (all_well, vec!["/status.js".into()], Some(360)), "not modified");

    watching.server.answer(|_| Answer::Tagged("\"two\"", OUTAGE.into()));
    let (findings, asked, next) = watching.look(720).await;
    let outage = findings.outage.expect("an outage");
    assert_eq!(outage.id, FailureId::AppleServiceOutage);
    assert!(outage.explanation().contains("Users may be unable to back up."), "{}", outage.explanation());
    assert_eq!((asked.len(), next), (1, Some(15)));

    // A new process asks no sooner, and knows it from the first moment.
    let Watching { server, .. } = watching;
    let mut watching = Watching::new(server, folder.path(), wanted(None, true));
    let (findings, asked, next) = watching.look(730).await;
    assert_eq!((findings.outage.as_ref(), asked.len(), next), (Some(&outage), 0, Some(5)));

    // A page that can't be read takes nothing back, and is told only when that goes on.
    watching.server.answer(|_| Answer::Status(500));
    for (minutes, next, unknown) in [(735, 15, false), (750, 30, false), (780, 60, true), (840, 120, true)] {
        let (findings, asked, due) = watching.look(minutes).await;
        assert_eq!((findings.outage.as_ref(), asked.len(), due), (Some(&outage), 1, Some(next)), "{minutes}");
        assert_eq!(findings.status_unknown.is_some(), unknown, "{minutes}");
        if let Some(failure) = findings.status_unknown {
            assert_eq!((failure.id, failure.evidence.code), (FailureId::AppleStatusUnknown, Some(500)));
        }
    }
    let (findings, ..) = watching.look(735 + 3 * 24 * 60).await;
    assert!(findings.outage.is_none() && findings.status_unknown.is_some(), "old news is none: {findings:?}");
    watching.server.answer(|_| Answer::Ok(FINE.into()));
    assert_eq!(watching.look(10 * 24 * 60).await.0, Findings::default(), "over");
    assert_eq!(watching.look(-10 * 24 * 60).await.1.len(), 1, "the clock was set back: asked anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_answer_is_good_or_bad_news() {
    let server = WebServer::start(|_| Answer::Silent).await;
    for answer in [
        Answer::Status(404),
        Answer::Status(500),
        Answer::RedirectLoop,
        Answer::Ok(String::new()),
        Answer::Ok("<html>Welcome to the hotel</html>".into()),
        Answer::Ok(r#"{"services": []}"#.into()),
        Answer::Truncated(OUTAGE.into()),
        Answer::Endless,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(&settings(&server), folder.path());
        let (wanted, given) = (wanted(None, true), answer.clone());
        server.answer(move |_| given.clone());
        for (try_, minutes) in [0, 15, 45].into_iter().enumerate() {
            let now = noon() + TimeDelta::minutes(minutes);
            desk.look(now, &wanted).await;
            let findings = desk.findings(now, &wanted);
            assert_eq!(findings.outage, None, "{answer:?}");
            assert_eq!(findings.status_unknown.is_some(), try_ == 2, "{answer:?}");
            let asked = server.asked().len();
            assert!((1..=4).contains(&asked), "{answer:?}: asked {asked} times");
        }
        let kept = folder.path().join("apple/status.json");
        assert!(!kept.exists(), "{answer:?} was kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_not_waited_for_long() {
    let server = WebServer::start(|_| Answer::Silent).await;
    let folder = tempfile::tempdir().unwrap();
    let mut watching = Watching::new(server, folder.path(), wanted(None, true));
    let began = Instant::now();
    assert_eq!(watching.look(0).await, (Findings::default(), vec!["/status.js".into()], Some(15)));
    assert!(began.elapsed() < 3 * REQUEST_SECONDS_MAX, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_ios_comes_from_apple_or_else_from_the_other_list() {
    let server = WebServer::start(|request| match request.path.as_str() {
        "/device/iPhone15,2?type=ipsw" => Answer::Ok(FIRMWARES.into()),
        _ => Answer::Status(403),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut watching = Watching::new(server, folder.path(), wanted(Some("iPhone15,2"), false));
    let newest = |version: &str| Findings {
        newest_ios: [("iPhone15,2".to_owned(), version.to_owned())].into(),
        ..Findings::default()
    };
    let both = vec!["/pmv".to_owned(), "/device/iPhone15,2?type=ipsw".into()];
    assert_eq!(watching.look(0).await, (newest("26.0.1"), both, Some(15)));
    assert_eq!(
        watching.look(15).await,
        (newest("26.0.1"), vec!["/pmv".into()], Some(30)),
        "the other one is still good"
    );
    watching.server.answer(|_| Answer::Ok(VERSIONS.into()));
    assert_eq!(watching.look(45).await, (newest("26.1"), vec!["/pmv".into()], Some(24 * 60)));
    assert_eq!(watching.look(24 * 60).await, (newest("26.1"), vec![], Some(45)), "once a day");
    // A model that is heard of later costs no question: the list has them all.
    watching.wanted = wanted(Some("iPhone16,1"), false);
    let (findings, asked, _) = watching.look(24 * 60).await;
    assert_eq!((findings.newest_ios["iPhone16,1"].as_str(), asked.len()), ("26.1", 0));
}

/// The whole of it: a phone tells what it has, its owner hears what follows.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_reaches_the_phones_owner() {
    let server = WebServer::start(|request| match request.path.as_str() {
        "/status.js" => Answer::Ok(OUTAGE.into()),
        _ => Answer::Ok(VERSIONS.into()),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let (apple, watching) = watch::start(&settings(&server), folder.path(), shutdown.clone());
    let watching = tokio::spawn(watching);
    let mut findings = apple.findings();
    let known = Known { model: Some("iPhone15,2".into()), icloud_backup: true };
    apple.phone(&"00008120-001A2D3E0C40201E".parse().unwrap(), known);
    findings.wait_for(|findings| findings.outage.is_some()).await.unwrap();

    let now = Utc::now();
    let (on, days_ago) =
        (plist::Value::Boolean(true), plist::Value::Integer((now.timestamp() - 978_307_200 - 9 * 86_400).into()));
    let icloud = watch::icloud::IcloudBackup::new(Some(&on), Some(&days_ago), now);
    let ids =
        |failures: Vec<backstay_shared::health::Failure>| failures.into_iter().map(|failure| failure.id).collect();
    let told: Vec<FailureId> = ids(apple.of_phone(Some("iPhone15,2"), Some("18.0"), Some(&icloud)));
    let expected = [FailureId::AppleServiceOutage, FailureId::IcloudBackupStale, FailureId::IosOutdated];
    assert_eq!(told, expected, "what explains stands in front");
    let told: Vec<FailureId> = ids(apple.of_phone(Some("iPhone15,2"), Some("26.1"), None));
    assert_eq!(told, [], "whoever does not use iCloud has no trouble with it");
    shutdown.cancel();
    watching.await.unwrap();
}
