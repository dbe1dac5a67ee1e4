//! Programs and services that hear of backups.

use std::path::Path;

use backstay_shared::{
    health::FailureId,
    overview::{Activity, PhoneOverview},
};
use backstay_tests::{
    phone::{Fault, dataset::DataSetSpec},
    web_server::{Answer, Request, WebServer},
    world::{World, eventually},
};

fn backed_up(phone: &PhoneOverview) -> Option<()> {
    (phone.last_good.is_some() && phone.activity == Activity::Idle && phone.problems.is_empty()).then_some(())
}

/// A line for each event, with what the program was told.
fn script(log: &Path) -> String {
    let line = "printf '%s|%s|%s|%s|%s|%s\\n' \"$BACKSTAY_EVENT\" \"$BACKSTAY_PHONE_NAME\" \"$BACKSTAY_UDID\" \
                \"$BACKSTAY_FAILURE_ID\" \"$BACKSTAY_TITLE\" \"${BACKSTAY_STEPS%%.*}\"";
    format!("{line} >> '{}'", log.display())
}

async fn lines(log: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<String>>();
    eventually("the programs ran", async || Some(read()).filter(|lines| lines.len() >= count)).await
}

async fn requests(server: &WebServer, seen: &mut Vec<Request>, count: usize) {
    eventually("the services were told", async || {
        seen.extend(server.asked());
        (seen.len() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_without_a_screen_tells_of_each_backup() {
    let world = World::new(DataSetSpec::mixed(301, 300, 5_000_000)).await;
    let server = WebServer::start(|_| Answer::Ok("OK".into())).await;
    let (log, address) = (world.folder.path().join("hooks.log"), server.address());
    let program = format!("[\"sh\", \"-c\", {:?}]", script(&log));
    world.configure(&format!(
        "[hooks]\non_start = {program}\non_success = {program}\non_failure = {program}\non_overdue = {program}\n\
         healthchecks = \"{address}/ping/{{udid}}\"\nntfy = \"{address}/topic\"\n"
    ));
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1_000_000 }));
    let daemon = world.daemon().await;
    let failed = |phone: &PhoneOverview| phone.last_run.as_ref()?.failure.as_ref().map(|problem| problem.id);
    let id = daemon.phone_shows("it was unplugged", failed).await;
    assert_eq!(id, FailureId::UsbDisconnected);
    let (name, udid, title) = (world.phone.name(), world.phone.udid(), &id.entry().title);
    let told = lines(&log, 2).await;
    // At the very first start the phone may not have told its name yet.
    assert!(told[0].starts_with("start|") && told[0].ends_with(&format!("|{udid}|||")), "{told:?}");
    assert_eq!(told[1], format!("failure|{name}|{udid}|usb-disconnected|{title}|1"));
    let mut seen = Vec::new();
    requests(&server, &mut seen, 3).await;
    let ping = format!("/ping/{}", udid.to_lowercase());
    let of =
        |path: &str, seen: &[Request]| seen.iter().filter(|request| request.path == path).cloned().collect::<Vec<_>>();
    assert_eq!(of(&format!("{ping}/start"), &seen).len(), 1);
    let fail = of(&format!("{ping}/fail"), &seen).remove(0);
    assert!(fail.method == "POST" && fail.body.contains(title) && fail.body.contains("\n1. "), "{fail:?}");
    let notification = of("/topic", &seen).remove(0);
    assert!(notification.headers["title"].contains(title.as_str()), "{notification:?}");
    assert!(notification.headers.contains_key("priority") && notification.headers.contains_key("tags"));

    // The same cause again: the check hears of it, the person and the program do not.
    daemon.phone_shows("it is away", |phone| (phone.activity == Activity::Away).then_some(())).await;
    let runs = |phone: &PhoneOverview| phone.last_run.as_ref().map(|run| run.run);
    let first = daemon.phone_shows("it ran", runs).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 1_000_000 }));
    world.phone.plug_in();
    daemon.phone_shows("it failed again", |phone| runs(phone).filter(|run| *run != first)).await;
    requests(&server, &mut seen, 5).await;
    world.phone.set_fault(None);
    world.phone.plug_in();
    daemon.phone_shows("the backup is done", backed_up).await;
    requests(&server, &mut seen, 7).await;
    let told: Vec<String> =
        lines(&log, 5).await.into_iter().map(|line| line.split('|').next().unwrap().into()).collect();
    assert_eq!(told, ["start", "failure", "start", "start", "success"]);
    let paths: Vec<&str> = seen.iter().map(|request| request.path.as_str()).filter(|path| *path != "/topic").collect();
    let (start, fail) = (format!("{ping}/start"), format!("{ping}/fail"));
    assert_eq!(paths, [&start, &fail, &start, &fail, &start, &ping]);
    assert_eq!(of("/topic", &seen).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_hurts_no_backup() {
    let world = World::new(DataSetSpec::mixed(302, 100, 1_000_000)).await;
    let log = world.folder.path().join("hooks.log");
    let success = format!("[\"sh\", \"-c\", {:?}]", script(&log));
    // The program is missing, the service is nobody.
    world.configure(&format!(
        "[hooks]\non_start = [\"/nowhere/program\"]\non_success = {success}\nntfy = \"http://127.0.0.1:1/topic\"\n"
    ));
    let daemon = world.daemon().await;
    daemon.phone_shows("the backup is done", backed_up).await;
    world.judge();
    assert_eq!(lines(&log, 1).await.len(), 1);
    daemon.terminate().await;
    let logs = world.folder.path().join("home/.local/state/backstay");
    let text: String = std::fs::read_dir(logs)
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok())
        .collect();
    assert!(text.contains("/nowhere/program"), "the failure is in the log: {text}");
}
