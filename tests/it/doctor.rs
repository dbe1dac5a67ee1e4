//! `backstay doctor`, `explain` and `report`: what they find on a bare computer and on a whole one, and what they give away.

use std::process::Output;

use backstay_tests::{
    binaries::binary,
    desktop::{NotificationHost, PrivateBus, SecretService, TrayHost},
    phone::{Fault, Phone, PhoneSpec, Unreadable, dataset::DataSetSpec},
    world::{PATIENCE, World, text},
};
use serde_json::Value;
use tokio::{process::Command, time::timeout};

async fn run(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.expect("backstay hangs").unwrap()
}

async fn doctor(world: &World) -> (i32, Vec<Value>) {
    let root = world.root();
    let output = world.backstay(&["--root", root.to_str().unwrap(), "doctor", "--json"]).await;
    findings(&output)
}

fn findings(output: &Output) -> (i32, Vec<Value>) {
    let object: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(output)));
    let findings = object["findings"].as_array().unwrap().clone();
    let lacks = findings.iter().any(|finding| finding["state"] == "lack");
    assert_eq!(object["stops_backups"], lacks, "{object}");
    let code = output.status.code().unwrap();
    assert_eq!(code, i32::from(lacks), "the exit code says the same: {object}");
    for finding in &findings {
        assert!(finding["state"] == "ok" || finding["mend"].is_string(), "nothing mends it: {finding}");
    }
    (code, findings)
}

fn of<'a>(findings: &'a [Value], check: &str) -> Vec<(&'a str, &'a str)> {
    let found = findings.iter().filter(|finding| finding["check"] == check);
    found.map(|finding| (finding["state"].as_str().unwrap(), finding["failure"].as_str().unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_computer_lacks_everything_and_is_told_what_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let bare = |arguments: &[&str]| {
        let mut command = Command::new(binary("backstay"));
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", folder.path()).env("XDG_RUNTIME_DIR", folder.path().join("run"));
        command.env("USBMUXD_SOCKET_ADDRESS", folder.path().join("no-usbmuxd")).kill_on_drop(true);
        command
    };
    let (code, found) = findings(&run(bare(&["doctor", "--json"])).await);
    assert_eq!(code, 1);
    for (check, told) in [
        ("settings", ("ok", "")),
        ("backup-folder", ("ok", "")),
        ("usbmuxd", ("lack", "usbmuxd-not-running")),
        ("daemon", ("lack", "")),
        ("session-bus", ("note", "")),
        ("tray", ("note", "")),
        ("notifications", ("note", "")),
        ("password-store", ("note", "keyring-unavailable")),
        ("login", ("note", "")),
        ("clock", ("ok", "")),
        ("log-folder", ("ok", "")),
    ] {
        assert_eq!(of(&found, check), [told], "{check}: {found:?}");
    }
    let mend = |check| found.iter().find(|finding| finding["check"] == check).unwrap()["mend"].to_string();
    assert!(mend("usbmuxd").contains("usbmuxd"), "{}", mend("usbmuxd"));
    assert_eq!(mend("daemon"), "\"backstay login start\"");
    assert_eq!(mend("login"), "\"backstay login enable\"");
    assert!(mend("password-store").contains("gnome-keyring"), "{}", mend("password-store"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "looking leaves nothing behind");

    let told = text(&run(bare(&["doctor"])).await);
    assert!(told.contains("LACK  usbmuxd") && told.contains("-> backstay login start"), "{told}");
    assert!(told.trim_end().ends_with("2 things stop backups."), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_with_a_mistake_are_a_lack_and_not_the_end() {
    let world = World::new(DataSetSpec::empty(1)).await;
    world.configure("[backup]\nkeep_lost = 3\n");
    let (code, found) = doctor(&world).await;
    assert_eq!((code, &of(&found, "settings")[..]), (1, &[("lack", "")][..]), "{found:?}");
    let says = found[0]["says"].as_str().unwrap();
    assert!(says.contains("line 2") && says.contains("keep_lost"), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_computer_lacks_nothing() {
    let bus = PrivateBus::start();
    let mut world = World::new(DataSetSpec::uniform(41, 20, 1000)).await;
    world.bus = Some(bus.address().to_owned());
    let store = SecretService::start(&bus, &world.folder.path().join("home")).await;
    let _tray = TrayHost::start(&bus).await;
    let _notifications = NotificationHost::start(&bus).await;
    assert_eq!(world.back_up_once().await.0, 0);
    let daemon = world.daemon().await;
    daemon.phone_shows("the phone", |phone| phone.last_good.as_ref().map(drop)).await;
    let (code, found) = doctor(&world).await;
    assert_eq!(code, 0, "{found:?}");
    for check in [
        "settings",
        "backup-folder",
        "other-backstay",
        "usbmuxd",
        "phone",
        "daemon",
        "session-bus",
        "tray",
        "notifications",
        "password-store",
        "clock",
        "log-folder",
    ] {
        assert_eq!(of(&found, check), [("ok", "")], "{check}: {found:?}");
    }
    let phone = found.iter().find(|finding| finding["check"] == "phone").unwrap()["says"].as_str().unwrap();
    for part in ["iPhone 1: iPhone15,2, iOS 18.5, trusted, over USB", "battery 80 %", "last good backup today"] {
        assert!(phone.contains(part), "{phone}");
    }

    // A password that nobody stored, and a store that nobody opened.
    world.phone.set_backup_password(Some("secret"));
    let (code, found) = doctor(&world).await;
    assert_eq!((code, of(&found, "phone")[1]), (1, ("lack", "backup-password-missing")), "{found:?}");
    store.lock().await;
    let (_, found) = doctor(&world).await;
    assert_eq!(of(&found, "phone")[1], ("lack", "keyring-unavailable"), "{found:?}");
    assert_eq!(of(&found, "password-store"), [("note", "keyring-unavailable")], "{found:?}");
    world.phone.set_backup_password(None);

    world.phone.set_fault(Some(Fault::Locked));
    assert_eq!(of(&doctor(&world).await.1, "phone")[1], ("note", "device-locked"));
    world.phone.unplug();
    assert_eq!(of(&doctor(&world).await.1, "phone"), [("note", "device-not-found")]);
    let away = world.folder.path().join("elsewhere");
    std::fs::rename(world.root(), away).unwrap();
    let (code, found) = doctor(&world).await;
    assert_eq!((code, &of(&found, "backup-folder")[..]), (1, &[("lack", "backup-drive-missing")][..]), "{found:?}");
    assert!(!world.root().exists(), "looking makes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_needs_nothing_but_itself() {
    let explain = async |arguments: &[&str]| {
        let mut command = Command::new(binary("backstay"));
        command.arg("explain").args(arguments).env_clear().kill_on_drop(true);
        let output = run(command).await;
        (output.status.code().unwrap(), text(&output))
    };
    let (code, all) = explain(&[]).await;
    assert_eq!(code, 0, "{all}");
    for id in backstay_shared::health::FailureId::ALL {
        assert!(all.contains(&format!("  {id} ")) && all.contains(&id.entry().title), "{id}: {all}");
    }
    for (words, told) in [
        (&["host-disk-full"][..], "backstay prune --free SIZE"),
        (&["taking", "too", "long"], "backup-slow"),
        (&["icloud full"], "icloud-storage-full"),
        (&["MBErrorDomain/208"], "passcode-not-entered"),
        (&["ENOSPC"], "Not enough space on this computer"),
        (&["PasswordProtected"], "as soon as the iPhone is unlocked"),
    ] {
        let (code, text) = explain(words).await;
        assert!(code == 0 && text.contains(told), "{words:?}: {text}");
    }
    assert_eq!(explain(&["zebra"]).await.0, 2);
    let (_, object) = explain(&["ENOSPC", "--json"]).await;
    let object: Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["failures"][0]["retry"]["condition"], "space-available");
}

/// Everything that is known of the person stands in the settings, the log, the ledger, the overview and the errors, and
/// nothing of it in the report.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_names_nobody() {
    let mut world = World::unpaired(DataSetSpec::uniform(42, 30, 5000)).await;
    let spec = PhoneSpec {
        udid: "00008130-0A1B2C3D4E5F6071".into(),
        name: "Zwetschgenkuchen's Handy".into(),
        serial: "QX7Y2ZKL9WVM".into(),
        wifi_mac: "02:ab:cd:ef:12:34".into(),
        ..PhoneSpec::numbered(1, DataSetSpec::uniform(42, 30, 5000))
    };
    world.phone = Phone::new(spec.clone());
    world.usbmuxd.add(&world.phone);
    world.phone.pair_with(&world.usbmuxd).unwrap();
    world.phone.plug_in();
    world.configure(
        "# Zwetschgenkuchen's settings, password Hirschgeweih\n[backup]\nkeep_last = 5 # for Zwetschgenkuchen\n",
    );
    world.phone.set_fault(Some(Fault::FileUnreadable { index: 7, manner: Unreadable::LEFT_OUT }));
    let unreadable = world.phone.data().file(7).unwrap().relative_path.to_string();
    let unreadable = unreadable.rsplit('/').next().unwrap().to_owned();
    assert_eq!(world.back_up_once().await.0, 0);
    // The phone names itself in its own errors.
    let error = format!("{} ({}, {}) at {} failed", spec.name, spec.udid, spec.serial, spec.wifi_mac);
    world.phone.set_fault(Some(Fault::FinalError { code: 1, text: error }));
    let daemon = world.daemon().await;
    daemon.phone_shows("the phone", |phone| phone.last_good.as_ref().map(drop)).await;
    let output = world.backstay(&["backup", "--full"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    daemon.phone_shows("it failed", |phone| phone.last_run.as_ref()?.failure.as_ref().map(drop)).await;
    // A log as a newer or chattier version would write it.
    let log = world.folder.path().join("home/.local/state/backstay/backstay.2999-01-01.log");
    let plain = spec.udid.replace('-', "");
    let home = world.folder.path().join("home");
    let line = format!(
        "INFO a phone came name={:?} udid={} serial={} usb={plain} wifi={} home={} user=pflaumenmus file=/x/y/Private Thing.jpg",
        spec.name,
        spec.udid,
        spec.serial,
        spec.wifi_mac,
        home.display()
    );
    std::fs::write(log, format!("{line}\nINFO backstay::phone::run: a line that helps code=28\n")).unwrap();

    let file = world.folder.path().join("report.txt");
    let mut command = world.command(binary("backstay"));
    command.env("USER", "pflaumenmus").arg("--root").arg(world.root()).arg("report").arg(&file);
    let output = run(command).await;
    assert!(output.status.success(), "{}", text(&output));
    let report = std::fs::read_to_string(&file).unwrap();
    let folder = world.folder.path().file_name().unwrap().to_str().unwrap();
    for secret in [
        "zwetschgenkuchen",
        "handy",
        &spec.udid,
        &plain,
        &spec.serial,
        &spec.wifi_mac,
        "pflaumenmus",
        "hirschgeweih",
        folder,
        &unreadable,
        "private thing",
    ] {
        let lower = report.to_lowercase();
        let place = lower.find(&secret.to_lowercase());
        let around = place.map(|place| &lower[place.saturating_sub(80)..(place + 80).min(lower.len())]);
        assert!(place.is_none(), "{secret} stands in the report: {around:?}");
    }
    for needed in [
        "== Backstay\nversion",
        "keep_last = 5",
        "LACK",
        "<phone-1>",
        "device-internal-error",
        "device-files-unreadable",
        "iOS 18.5",
        "a line that helps code=28",
        "\"last_runs\"",
    ] {
        assert!(report.contains(needed), "{needed} is missing: {report}");
    }
    let again = world.backstay(&["report", file.to_str().unwrap()]).await;
    assert_eq!(again.status.code(), Some(2), "a file that is there is not overwritten");
}
