//! Switches as a client behind usbmuxd sees them.

use std::time::Duration;

use idevice::{IdeviceError, IdeviceService, lockdown::LockdownClient, provider::IdeviceProvider};
use plist::{Dictionary, Value};
use tokio::time::timeout;

use crate::phone::{
    Event, Handshake, Heartbeat, TlsFailure,
    services::{plist_stream, tests::Bench},
};

/// Long enough for an answer that would come, short enough for a test.
const MOMENT: Duration = Duration::from_millis(100);
const AFC: &str = "com.apple.afc";

async fn session(bench: &Bench) -> Result<LockdownClient, IdeviceError> {
    let provider = bench.provider().await;
    let mut lockdown = LockdownClient::connect(&provider).await?;
    lockdown.start_session(&provider.get_pairing_file().await?).await?;
    Ok(lockdown)
}

async fn ask(service: &mut Box<dyn idevice::ReadWrite>, request: &[(&str, &str)]) -> Dictionary {
    let request = Value::Dictionary(Dictionary::from_iter(request.iter().copied()));
    plist_stream::write(service, &request).await.unwrap();
    plist_stream::read_dictionary(service).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_lock_state_changes_at_run_time() {
    let bench = Bench::new().await;
    let mut lockdown = session(&bench).await.unwrap();
    let bag = bench.provider().await.get_pairing_file().await.unwrap().escrow_bag;
    for locked in [true, false, true] {
        bench.phone.set_locked(locked);
        let value = lockdown.get_value(Some("PasswordProtected"), None).await.unwrap();
        assert_eq!(value.as_boolean(), Some(locked));
        assert_eq!(lockdown.start_service(AFC).await.is_err(), locked);
        lockdown.start_service_with_escrow(AFC, bag.clone()).await.unwrap();
    }
    bench.phone.set_unlocked_since_restart(false);
    let refused = lockdown.start_service_with_escrow(AFC, bag.clone()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("EscrowLocked"), "{refused:?}");
    bench.phone.set_locked(false);
    lockdown.start_service_with_escrow(AFC, bag).await.unwrap();
}

#[tokio::test]
async fn a_pairing_without_escrow_bag_is_of_no_use_while_locked() {
    let bench = Bench::new().await;
    bench.phone.pair_without_escrow_bag(&bench.usbmuxd).unwrap();
    drop(bench.service(AFC).await.unwrap());
    bench.phone.set_locked(true);
    assert!(matches!(bench.service(AFC).await, Err(IdeviceError::PasswordProtected)));
}

#[tokio::test]
async fn lockdownd_refuses_with_any_word() {
    let bench = Bench::new().await;
    let mut lockdown = session(&bench).await.unwrap();
    for error in ["ServiceLimit", "CheckinTimeout", "WrongDroid", "MCProtected", "NotAValidChaperoneHost"] {
        bench.phone.refuse("StartService", Some(AFC), error);
        let refused = lockdown.start_service(AFC).await.unwrap_err();
        assert!(format!("{refused:?}").contains(error), "{refused:?}");
        lockdown.start_service("com.apple.mobilebackup2").await.unwrap();
    }
    bench.phone.refuse("GetValue", Some("ActivationState"), "MissingValue");
    assert!(lockdown.get_value(Some("ActivationState"), None).await.is_err());
    assert!(lockdown.get_value(Some("DeviceName"), None).await.is_ok());
    bench.phone.refuse_nothing();
    assert!(lockdown.get_value(Some("ActivationState"), None).await.is_ok());
    let mut events = bench.phone.events();
    bench.phone.refuse_once("StartSession", None, "InvalidHostID");
    assert!(matches!(session(&bench).await, Err(IdeviceError::InvalidHostID)));
    let refused = Event::Refused { request: "StartSession".into(), error: "InvalidHostID".into() };
    assert_eq!(events.recv().await.unwrap(), refused);
    session(&bench).await.unwrap();
}

#[tokio::test]
async fn values_that_a_backup_looks_at_can_be_set() {
    let bench = Bench::new().await;
    let mut lockdown = session(&bench).await.unwrap();
    bench.phone.set_battery(7, false);
    bench.phone.set_free_space(123);
    let domains = [
        ("", "ActivationState", Value::from("Unactivated")),
        ("", "ProductVersion", Value::from("99.1")),
        ("com.apple.disk_usage", "TotalDataCapacity", Value::from(456_u64)),
        ("com.apple.mobile.backup", "CloudBackupEnabled", Value::from(true)),
        ("com.apple.mobile.backup", "LastCloudBackupDate", Value::from(700_000_000_u64)),
        ("com.apple.mobile.backup", "RequiresEncryption", Value::from(true)),
        ("com.apple.mobile.iTunes", "MinITunesVersion", Value::from("99.0")),
        ("com.apple.purplebuddy", "SetupDone", Value::from(false)),
        ("com.apple.purplebuddy", "SetupState", Value::from("NotStarted")),
    ];
    for (domain, key, value) in &domains {
        bench.phone.set_lockdown_value(domain, key, Some(value.clone()));
    }
    let others = [
        ("com.apple.mobile.battery", "BatteryCurrentCapacity", Value::from(7_u64)),
        ("com.apple.mobile.battery", "BatteryIsCharging", Value::from(false)),
        ("com.apple.mobile.battery", "ExternalConnected", Value::from(false)),
        ("com.apple.disk_usage", "TotalDataAvailable", Value::from(123_u64)),
        ("com.apple.disk_usage", "AmountDataAvailable", Value::from(123_u64)),
    ];
    for (domain, key, value) in domains.into_iter().chain(others) {
        let domain = Some(domain).filter(|domain| !domain.is_empty());
        assert_eq!(lockdown.get_value(Some(key), domain).await.unwrap(), value, "{key}");
        let whole = lockdown.get_value(None, domain).await.unwrap();
        assert_eq!(whole.as_dictionary().unwrap().get(key), Some(&value), "{key}");
    }
}

#[tokio::test]
async fn handshakes_fail_each_in_its_way() {
    let bench = Bench::new().await;
    for failure in [TlsFailure::Alert, TlsFailure::Closed, TlsFailure::OtherPairing] {
        bench.phone.fail_tls(Handshake::Service, failure);
        session(&bench).await.unwrap();
        let refused = bench.service(AFC).await.map(|_| ()).unwrap_err();
        let by_alert = format!("{refused:?}").contains("AlertReceived");
        assert_eq!(by_alert, failure != TlsFailure::Closed, "{failure:?}: {refused:?}");
        bench.phone.mend_tls();
        bench.phone.fail_tls(Handshake::Session, failure);
        let value = async { session(&bench).await?.get_value(Some("SerialNumber"), None).await };
        assert!(value.await.is_err(), "{failure:?}");
        bench.phone.mend_tls();
        drop(bench.service(AFC).await.unwrap());
    }
}

#[tokio::test]
async fn nothing_comes_through_a_dead_link() {
    let bench = Bench::new().await;
    let mut relay = bench.service("com.apple.mobile.diagnostics_relay").await.unwrap();
    bench.phone.freeze();
    let mut asked = Box::pin(ask(&mut relay, &[("Request", "GasGauge")]));
    assert!(timeout(MOMENT, &mut asked).await.is_err());
    let provider = bench.provider().await;
    let mut connecting = Box::pin(provider.connect(crate::phone::lockdownd::PORT));
    assert!(timeout(MOMENT, &mut connecting).await.is_err(), "usbmuxd lists the phone, but it does not answer");
    bench.phone.thaw();
    assert_eq!(asked.await.get("Status").unwrap().as_string(), Some("Success"));
    connecting.await.unwrap();
    bench.phone.freeze();
    bench.phone.unplug();
    bench.phone.plug_in();
    drop(bench.service(AFC).await.unwrap());
}

#[tokio::test]
async fn a_restart_is_refused_or_takes_the_phone_away_until_it_is_unlocked() {
    let bench = Bench::new().await;
    let restart = async || {
        let mut relay = bench.service("com.apple.mobile.diagnostics_relay").await.unwrap();
        ask(&mut relay, &[("Request", "Restart")]).await.get("Status").unwrap().as_string().unwrap().to_owned()
    };
    bench.phone.refuse_restart(Some("Failure"));
    assert_eq!(restart().await, "Failure");
    bench.phone.refuse_restart(None);
    let mut events = bench.phone.events();
    for comes_back in [false, true] {
        bench.phone.set_comes_back_after_restart(comes_back);
        let before = *bench.phone.link().borrow();
        assert_eq!(restart().await, "Success");
        while events.recv().await.unwrap() != Event::Restarted {}
        let mut link = bench.phone.link();
        let attached = *link.wait_for(|link| *link != before).await.unwrap();
        if !comes_back {
            assert_eq!(attached, 0);
            bench.phone.plug_in();
        }
        let refused = bench.service(AFC).await.map(|_| ()).unwrap_err();
        assert!(format!("{refused:?}").contains("EscrowLocked"), "{refused:?}");
        bench.phone.set_locked(false);
        drop(bench.service(AFC).await.unwrap());
    }
}

#[tokio::test]
async fn the_heart_beats_stops_and_sleeps() {
    let bench = Bench::new().await;
    bench.phone.appear_on_wifi();
    bench.phone.set_heartbeat(Heartbeat::Beats { interval: Duration::from_millis(20) });
    let mut events = bench.phone.events();
    let mut heart = bench.service("com.apple.mobile.heartbeat").await.unwrap();
    let next = async |heart: &mut Box<dyn idevice::ReadWrite>| {
        let message = plist_stream::read_dictionary(heart).await.unwrap().unwrap();
        message.get("Command").unwrap().as_string().unwrap().to_owned()
    };
    let polo = Value::Dictionary(Dictionary::from_iter([("Command", "Polo")]));
    for _ in 0..3 {
        assert_eq!(next(&mut heart).await, "Marco");
        plist_stream::write(&mut heart, &polo).await.unwrap();
        while events.recv().await.unwrap() != Event::HeartbeatAnswered {}
    }
    bench.phone.set_heartbeat(Heartbeat::Stops);
    // One Marco may be under way.
    while let Ok(command) = timeout(MOMENT, next(&mut heart)).await {
        assert_eq!(command, "Marco");
        plist_stream::write(&mut heart, &polo).await.unwrap();
    }
    bench.phone.set_heartbeat(Heartbeat::Sleeps);
    assert_eq!(next(&mut heart).await, "SleepyTime");
    assert!(plist_stream::read_dictionary(&mut heart).await.unwrap_or(None).is_none());
}

#[tokio::test]
async fn nobody_is_paired_over_wifi() {
    let bench = Bench::new().await;
    bench.phone.appear_on_wifi();
    let mut lockdown = LockdownClient::connect(&bench.provider().await).await.unwrap();
    let refused = lockdown.pair_once("HOST", "BUID", None).await.unwrap_err();
    assert!(format!("{refused:?}").contains("PairingProhibitedOverThisConnection"), "{refused:?}");
    bench.phone.plug_in();
    let mut lockdown = LockdownClient::connect(&bench.provider().await).await.unwrap();
    lockdown.pair_once("HOST", "BUID", None).await.unwrap();
}
