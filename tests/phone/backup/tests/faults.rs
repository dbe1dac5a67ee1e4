//! Every scripted fault does what it says.

use std::time::Duration;

use super::memory_host::MemoryHost;
use crate::phone::{
    Event, Fault, PasscodeAnswer, Phone, PhoneSpec, Unreadable,
    dataset::{DataSetSpec, Mutation},
};

fn phone() -> Phone {
    let phone = Phone::new(PhoneSpec::numbered(1, DataSetSpec::uniform(1, 600, 5000)));
    phone.plug_in();
    phone
}

async fn code(phone: &Phone, host: &mut MemoryHost) -> i64 {
    let answer = host.backup(phone).await.unwrap();
    answer.get("ErrorCode").unwrap().as_signed_integer().unwrap()
}

async fn code_with(fault: Fault) -> i64 {
    let phone = phone();
    phone.set_fault(Some(fault));
    code(&phone, &mut MemoryHost::new()).await
}

async fn link_fails_with(fault: Fault) {
    let phone = phone();
    phone.set_fault(Some(fault));
    MemoryHost::new().backup(&phone).await.unwrap_err();
}

#[tokio::test]
async fn without_a_fault_only_what_changed_is_sent() {
    let phone = phone();
    let mut host = MemoryHost::new();
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, host.moved), (600, 602));
    phone.mutate(Mutation::Change { count: 7 });
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, host.moved), (607, 611));
}

#[tokio::test]
async fn the_cable_comes_out_at_the_very_byte() {
    for bytes in [0, 1, 5000, 1_000_000] {
        let phone = phone();
        let mut events = phone.events();
        phone.set_fault(Some(Fault::UnplugAt { bytes }));
        MemoryHost::new().backup(&phone).await.unwrap_err();
        assert_eq!(*phone.bytes_sent().borrow(), bytes);
        assert_eq!(*phone.link().borrow(), 0);
        while events.recv().await.unwrap() != Event::Unplugged {}
        phone.plug_in();
        assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0);
    }
}

#[tokio::test]
async fn silence_lasts_until_the_cable_comes_out() {
    let phone = phone();
    let mut events = phone.events();
    phone.set_fault(Some(Fault::SilentAt { bytes: 100_000 }));
    let other = phone.clone();
    let host = tokio::spawn(async move { MemoryHost::new().backup(&other).await.map(|_| ()) });
    while events.recv().await.unwrap() != Event::WentSilent {}
    assert_eq!(*phone.bytes_sent().borrow(), 100_000);
    phone.unplug();
    host.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn final_statuses() {
    assert_eq!(code_with(Fault::FinalError { code: 209, text: "keys".into() }).await, 209);
    assert_eq!(code_with(Fault::Locked).await, 208);
    assert_eq!(code_with(Fault::PasscodeSheet { answer: PasscodeAnswer::Cancelled }).await, 208);
    assert_eq!(code_with(Fault::UnknownMessage).await, 0);
    assert_eq!(code_with(Fault::HostileDownload { path: "../secret".into() }).await, 103);
    link_fails_with(Fault::DisconnectWithoutStatus).await;
    link_fails_with(Fault::MessageBroken).await;
}

#[tokio::test]
async fn the_passcode_is_waited_for() {
    let phone = phone();
    let (mut events, mut notifications) = (phone.events(), phone.notifications().subscribe());
    phone.set_fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::EnteredWhenTold }));
    let other = phone.clone();
    let host = tokio::spawn(async move { code(&other, &mut MemoryHost::new()).await });
    while events.recv().await.unwrap() != Event::PasscodeSheetPresented {}
    assert!(notifications.recv().await.unwrap().ends_with("presented"));
    phone.enter_passcode();
    assert_eq!(host.await.unwrap(), 0);
    assert!(notifications.recv().await.unwrap().ends_with("dismissed"));
}

#[tokio::test]
async fn files_that_are_unreadable_or_forgotten() {
    let phone = phone();
    let mut host = MemoryHost::new();
    phone.set_fault(Some(Fault::FileUnreadable { index: 5, manner: Unreadable::LEFT_OUT }));
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, host.unreadable, host.moved), (600, 1, 601));
    phone.set_fault(None);
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, host.moved), (601, 604));
    let mut host = MemoryHost::new();
    phone.set_fault(Some(Fault::FileForgotten { index: 5 }));
    assert_eq!(code(&phone, &mut host).await, 0);
    assert_eq!((host.uploaded, host.moved), (599, 601));
}

#[tokio::test]
async fn room_is_asked_for() {
    let phone = phone();
    let mut host = MemoryHost::new();
    let required = 600 * 5000 + (128 << 20);
    host.free = required;
    assert_eq!(code(&phone, &mut host).await, 105);
    assert_eq!(host.purge, Some(2 << 30));
    host.free = required + 1;
    assert_eq!(code(&phone, &mut host).await, 0);
    phone.set_fault(Some(Fault::SpaceNeeded { bytes: 1 << 60 }));
    assert_eq!(code(&phone, &mut host).await, 105);
}

#[tokio::test]
async fn the_status_of_a_move_is_looked_at() {
    let phone = phone();
    let mut host = MemoryHost::new();
    host.move_status = -15;
    let answer = host.backup(&phone).await.unwrap();
    assert_eq!(answer.get("ErrorCode").unwrap().as_signed_integer(), Some(104));
    assert!(answer.get("ErrorDescription").unwrap().as_string().unwrap().contains("(MBErrorDomain/105)"));
}

#[tokio::test]
async fn a_slow_link_is_slow() {
    let phone = phone();
    phone.set_fault(Some(Fault::SlowLink { bytes_per_second: 5_000_000 }));
    let start = tokio::time::Instant::now();
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0);
    let expected = *phone.bytes_sent().borrow() as f64 / 5_000_000.0;
    let took = start.elapsed().as_secs_f64();
    assert!(took > 0.8 * expected, "{took} s in place of {expected} s");
}

#[tokio::test]
async fn a_silent_start_is_silent() {
    let phone = phone();
    phone.set_fault(Some(Fault::SilentStart { for_time: Duration::from_millis(200) }));
    let start = tokio::time::Instant::now();
    assert_eq!(code(&phone, &mut MemoryHost::new()).await, 0);
    assert!(start.elapsed() >= Duration::from_millis(200));
}
