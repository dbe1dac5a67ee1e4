//! `backstay report --session`: what a record of a conversation tells and what not, and that a simulated phone can do what
//! a record says.

use std::time::Duration;

use backstay_tests::{
    phone::{
        Fault, Heartbeat, Mishap, Moment, PasscodeAnswer, Phone, PhoneSpec, Unreadable,
        dataset::DataSetSpec,
        replay::{Record, Replay},
    },
    world::{World, text},
};

/// Longer than the silence that a record reports.
const SILENCE: Duration = Duration::from_millis(5500);

/// The last record, as a person gets it.
async fn saved(world: &World) -> String {
    let root = world.root();
    let output = world.backstay(&["--root", root.to_str().unwrap(), "report", "--session", "-"]).await;
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn read(text: &str) -> Record {
    Record::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A whole run of a phone with manners of its own, and of a second one that does as the record of the first says.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_behaves_as_a_record_says() {
    let first = World::new(DataSetSpec::mixed(71, 300, 5_000_000)).await;
    first.phone.set_device_link_version([300, 0]);
    first.phone.set_batch_bytes(1_500_000);
    first.phone.set_says_full(true);
    let early = Unreadable { code: 0x06, bytes_before: 320, ..Unreadable::LEFT_OUT };
    first.phone.set_unreadable(vec![(3, early), (45, Unreadable::ONLY_LISTED), (170, Unreadable::LEFT_OUT)]);
    for moment in [Moment::BeforeFile(60), Moment::BeforeManifest] {
        first.phone.during_backups(moment, Mishap::Silence { for_time: SILENCE });
    }
    let (code, object) = first.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    let told = saved(&first).await;
    let record = read(&told);

    let replay = Replay::new(&told).unwrap();
    let second = World::new(replay.data(72)).await;
    assert_eq!(replay.apply(&second.phone, 1.0), [""; 0]);
    let (code, object) = second.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    let again = read(&saved(&second).await);
    let (one, other) = (record.normalised(), again.normalised());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other, "\n{told}");
    }
    assert_eq!(one.len(), other.len());

    let said = |name: &str, key: &str| -> Vec<String> {
        let lines = record.lines.iter().filter(|line| line.is('*', name));
        lines.map(|line| line.text(key).unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(said("unreadable", "code"), ["0x06", "0x0b", "0x0b"]);
    assert_eq!(said("unreadable", "before"), ["320", "0", "0"]);
    assert_eq!(said("moved", "moved"), ["no"; 3]);
    assert_eq!(said("row", "listed"), ["no", "yes", "no"]);
    assert_eq!(said("silence", "after"), ["DLMessageUploadFiles"; 2]);
    assert_eq!(said("end", "how"), ["success"]);
    assert_eq!(said("run", "failure"), ["none"]);
    let files = record.lines.iter().filter(|line| line.counts("to").contains_key("U/Snapshot/xx/<file>"));
    let counts: Vec<u64> = files.map(|line| line.number("files").unwrap()).collect();
    assert!(counts.len() > 2 && counts.iter().sum::<u64>() == 300, "{counts:?}");
    assert_eq!(record.line('*', "tree").unwrap().text("state"), Some("missing"));
}

/// The record says whether the phone moves what it could not read, however the run ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_of_what_did_not_come_is_told() {
    let world = World::new(DataSetSpec::uniform(82, 20, 1000)).await;
    world.phone.set_unreadable(vec![(4, Unreadable::default()), (7, Unreadable::LEFT_OUT)]);
    world.back_up_once().await;
    let record = read(&saved(&world).await);
    let moved = record.lines.iter().filter(|line| line.is('*', "moved")).map(|line| line.text("moved"));
    assert_eq!(moved.collect::<Vec<_>>(), [Some("yes"), Some("no")]);
}

/// The end of a run that the phone refuses is that of the record, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_replayed_at_its_moment() {
    let first = World::new(DataSetSpec::mixed(73, 100, 500_000)).await;
    first.phone.set_batch_files(vec![30, 30]);
    let text = "Error reading backup properties of Anna: No such file (MBErrorDomain/205)".to_owned();
    first.phone.during_backups(Moment::BeforeManifest, Mishap::Error { code: 205, text });
    assert_eq!(first.back_up_once().await.0, 1);
    let told = saved(&first).await;
    let replay = Replay::new(&told).unwrap();
    let second = World::new(replay.data(74)).await;
    replay.apply(&second.phone, 1.0);
    let (code, object) = second.back_up_once().await;
    assert_eq!((code, &object["evidence"]["code"]), (1, &205.into()), "{object}");
    let (record, again) = (read(&told), read(&saved(&second).await));
    assert_eq!(record.normalised(), again.normalised());
    let end = record.line('*', "end").unwrap();
    let shown = "Error reading backup properties of <4>: No such file (MBErrorDomain/205)";
    assert_eq!((end.text("how"), end.text("text")), (Some("phone-error"), Some(shown)));
}

/// Everything that a phone has to say about its owner goes through the conversation, and nothing of it is in the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_names_nobody() {
    let data = DataSetSpec::mixed(75, 300, 3_000_000);
    let mut world = World::unpaired(data.clone()).await;
    let spec = PhoneSpec {
        udid: "00008130-0A1B2C3D4E5F6071".into(),
        name: "Zwetschgenkuchen's Handy".into(),
        serial: "QX7Y2ZKL9WVM".into(),
        wifi_mac: "02:ab:cd:ef:12:34".into(),
        ..PhoneSpec::numbered(1, data)
    };
    world.phone = Phone::new(spec.clone());
    world.usbmuxd.add(&world.phone);
    world.phone.pair_with(&world.usbmuxd).unwrap();
    world.phone.plug_in();
    world
        .phone
        .set_unreadable((0..300).map(|index| (index, Unreadable::LEFT_OUT)).filter(|(i, _)| i % 7 == 0).collect());
    assert_eq!(world.back_up_once().await.0, 0);
    let mut records = vec![saved(&world).await];
    world.change();
    let error = format!("{} ({}, {}) at {} failed", spec.name, spec.udid, spec.serial, spec.wifi_mac);
    world.phone.set_fault(Some(Fault::FinalError { code: 1, text: error }));
    assert_eq!(world.back_up_once().await.0, 1);
    records.push(saved(&world).await);
    assert!(read(&records[1]).line('*', "end").unwrap().text("text").unwrap().ends_with("failed"), "{}", records[1]);

    let whole = records.concat().to_lowercase();
    let plain = spec.udid.replace('-', "");
    let data = world.phone.data();
    // Names of folders and endings may be everybody's.
    let names =
        data.files().filter_map(|file| Some(file.relative_path.rsplit('/').next()?.split('.').next()?.to_owned()));
    let domains = ["com.example", "My Notes"].map(str::to_owned);
    let ids = data.files().map(|file| file.file_id.hex());
    let folder = world.folder.path().file_name().unwrap().to_str().unwrap().to_owned();
    let of_phone = ["zwetschgenkuchen", "handy", &spec.udid, &plain, &spec.serial, &spec.wifi_mac].map(str::to_owned);
    for secret in
        of_phone.into_iter().chain([folder]).chain(ids).chain(domains).chain(names.filter(|name| name.len() > 5))
    {
        let found = whole.find(&secret.to_lowercase());
        let around = found.map(|place| &whole[place.saturating_sub(80)..(place + 80).min(whole.len())]);
        assert!(found.is_none(), "{secret} is in the record: {around:?}");
    }
    for known in ["iPhone15,2", "ios=18.5", "critical-basic-constraints=", "U/Snapshot/xx/<file>"] {
        assert!(records[0].contains(known), "{known} is missing: {}", records[0]);
    }
}

/// A change of the password and a restore are conversations, too; of a password the record says only that there was one.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_in_no_record() {
    use crate::encryption::{Desktop, PASSWORD, done};
    let desktop = Desktop::new(76).await;
    let world = &desktop.world;
    done(world, &["on", "--password-stdin"], &format!("{PASSWORD}\n")).await;
    let changed = saved(world).await;
    // Of an encrypted backup the list is opened for what could not be read.
    world.phone.set_unreadable(vec![(2, Unreadable::LEFT_OUT)]);
    assert_eq!(world.back_up_once().await.0, 0);
    let row = read(&saved(world).await).line('*', "row").cloned().unwrap();
    assert_eq!(row.text("listed"), Some("no"), "{row:?}");
    world.phone.set_unreadable(Vec::new());
    crate::restore::find_my(&world.phone, false);
    let output = world.backstay(&["restore", world.phone.udid(), "--yes"]).await;
    assert!(output.status.success(), "{}", text(&output));
    let restored = saved(world).await;
    for (told, name, key) in [(&changed, "ChangePassword", "NewPassword"), (&restored, "Restore", "Options")] {
        assert!(!told.contains(PASSWORD), "{told}");
        let request = read(told).line('>', name).cloned().unwrap_or_else(|| panic!("{told}"));
        assert!(request.text(key).unwrap().contains("given"), "{request:?}");
        assert_eq!(read(told).line('*', "end").unwrap().text("how"), Some("success"));
    }
    let restored = read(&restored);
    let lists = restored.lines.iter().filter(|line| line.is('*', "fetched"));
    let sent: u64 = lists.filter_map(|line| line.number::<u64>("whole")).sum();
    assert!(sent > 60, "{sent} files");
}

/// Over Wi-Fi, with the passcode: the record has what comes on other connections than that of the backup, too.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_heartbeats_are_told() {
    let world = World::new(DataSetSpec::uniform(81, 20, 1000)).await;
    world.phone.appear_on_wifi();
    world.phone.set_heartbeat(Heartbeat::Beats { interval: Duration::from_secs(1) });
    world.phone.set_person_present(true);
    let answer = PasscodeAnswer::EnteredWhenPresent { patience: Duration::from_secs(60) };
    world.phone.set_fault(Some(Fault::PasscodeSheet { answer }));
    let for_time = Duration::from_millis(2500);
    world.phone.during_backups(Moment::BeforeFiles, Mishap::Silence { for_time });
    let (code, object) = world.back_up_once().await;
    assert_eq!(code, 0, "{object}");
    let told = saved(&world).await;
    let record = read(&told);
    let heard = record.lines.iter().filter(|line| line.is('*', "notification")).filter_map(|line| line.text("of"));
    assert_eq!(heard.collect::<Vec<_>>(), ["passcode-sheet-presented", "passcode-sheet-dismissed"], "{told}");
    let beats = record.lines.iter().filter(|line| line.is('*', "heartbeat")).map(|line| line.text("interval"));
    let beats: Vec<_> = beats.collect();
    assert!(beats.len() >= 2 && beats.iter().all(|interval| *interval == Some("1")), "{told}");
    assert_eq!(record.line('*', "phone").unwrap().text("link"), Some("wifi-by-usbmuxd"));
}

/// The cable comes out: what was said up to there is in the record, and how it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_run_is_recorded_up_to_its_end() {
    let world = World::new(DataSetSpec::uniform(77, 400, 10_000)).await;
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 2_000_000 }));
    assert_eq!(world.back_up_once().await.0, 1);
    let told = saved(&world).await;
    let record = read(&told);
    let batch = record.lines.iter().rfind(|line| line.is('*', "batch")).unwrap();
    assert_eq!(batch.text("broken"), Some("yes"), "{told}");
    let files: u64 = batch.number("whole").unwrap();
    assert!((150..200).contains(&files), "{files} files of 10,000 bytes in 2 MB: {told}");
    assert_eq!(record.line('*', "end").unwrap().text("how"), Some("link-lost"));
    assert_eq!(record.line('*', "run").unwrap().text("failure"), Some("usb-disconnected"));
    let bytes: u64 = record.line('*', "totals").unwrap().number("bytes").unwrap();
    assert_eq!(bytes, 2_000_000);

    // The next run finds what is left of it.
    world.phone.plug_in();
    world.phone.set_fault(None);
    assert_eq!(world.back_up_once().await.0, 0);
    let next = read(&saved(&world).await);
    let tree = next.line('*', "tree").unwrap();
    let seen = ["backup", "kept-of-a-broken-run", "snapshot"].map(|key| tree.text(key).unwrap());
    assert_eq!(seen, ["false", "true", "true"]);
}

/// `kill -9` in mid run: what was said before is on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_leaves_what_was_said() {
    let world = World::new(DataSetSpec::uniform(78, 400, 10_000)).await;
    world.phone.set_fault(Some(Fault::PauseAt { bytes: 2_000_000 }));
    let mut events = world.phone.events();
    let mut command = world.command(backstay_tests::binaries::binary("backstay"));
    let mut child = command.arg("--root").arg(world.root()).args(["backup", "--once", "--json"]).spawn().unwrap();
    while events.recv().await.unwrap() != backstay_tests::phone::Event::Paused {}
    child.kill().await.unwrap();
    let record = read(&saved(&world).await);
    assert!(record.line('<', "DLMessageUploadFiles").is_some() && record.line('*', "end").is_none());
    assert_eq!(record.line('>', "Backup").unwrap().text("TargetIdentifier"), Some("given"));
}

/// 20,000 files that can't be read are 1000 lines and a number.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_unreadable_files_are_counted() {
    let world = World::new(DataSetSpec::uniform(79, 20_000, 10)).await;
    world.phone.set_unreadable((0..20_000).map(|index| (index, Unreadable::LEFT_OUT)).collect());
    world.back_up_once().await;
    let told = saved(&world).await;
    let record = read(&told);
    assert!(told.len() < 1 << 20, "{} bytes", told.len());
    let lines = record.lines.iter().filter(|line| line.is('*', "unreadable")).count();
    assert_eq!(lines, 1000);
    assert_eq!(record.line('*', "totals").unwrap().number("unreadable"), Some(20_000));
}

/// Without a conversation on this computer; and with several phones, of which one is named.
#[tokio::test(flavor = "multi_thread")]
async fn which_record_is_meant() {
    let world = World::new(DataSetSpec::uniform(80, 5, 10)).await;
    let none = world.backstay(&["report", "--session", "-"]).await;
    assert_eq!(none.status.code(), Some(1), "{}", text(&none));
    assert!(text(&none).contains("is recorded yet"), "{}", text(&none));
    assert_eq!(world.back_up_once().await.0, 0);
    let root = world.root();
    let named = |name: &'static str| {
        let root = root.to_str().unwrap().to_owned();
        let world = &world;
        async move { world.backstay(&["--root", &root, "report", "--session", "--phone", name, "-"]).await }
    };
    let phone: &'static str = Box::leak(world.phone.udid().to_owned().into_boxed_str());
    assert!(named(phone).await.status.success());
    assert_eq!(named("nobody").await.status.code(), Some(2));
    let file = world.folder.path().join("session.txt");
    let output = world.backstay(&["report", "--session", file.to_str().unwrap()]).await;
    assert!(output.status.success() && text(&output).contains("Saved"), "{}", text(&output));
    assert!(read(&std::fs::read_to_string(file).unwrap()).line('*', "run").is_some());
    assert_eq!(world.backstay(&["report", "--phone", phone]).await.status.code(), Some(2), "it belongs to --session");
}
