//! How the phone is: locked, empty, full, not set up; and what its owner does with the passcode sheet.

use std::time::Duration;

use backstay_shared::health::FailureId::*;
use backstay_tests::{
    phone::{Event, Fault, PasscodeAnswer},
    world::World,
};
use plist::Value;

use crate::harness::{
    PLAIN, Row, Stage,
    Then::{self, Asked, ByItself},
};

const SETUP: &str = "com.apple.purplebuddy";

fn set(world: &World, domain: &str, key: &str, value: impl Into<Value>) {
    world.phone.set_lockdown_value(domain, key, Some(value.into()));
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row::daemon(
            "the battery is nearly empty, without power",
            (DeviceBatteryLow, "\"percent\":9"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_battery(9, false),
            async |world: &World| world.phone.set_battery(9, true),
        ),
        Row::daemon(
            "the phone's storage is full",
            (DeviceStorageFull, "\"bytes_free\":100000000"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_free_space(100_000_000),
            async |world: &World| world.phone.set_free_space(5_000_000_000),
        ),
        Row::daemon(
            "the phone's storage is nearly full",
            (DeviceStorageLow, "\"bytes_free\":900000000"),
            Then::News,
            PLAIN,
            async |world: &World| world.phone.set_free_space(900_000_000),
            async |world: &World| world.phone.set_free_space(5_000_000_000),
        ),
        Row::daemon(
            "the phone is not activated",
            (DeviceNotActivated, "has not been activated"),
            Asked,
            PLAIN,
            async |world: &World| set(world, "", "ActivationState", "Unactivated"),
            async |world: &World| set(world, "", "ActivationState", "Activated"),
        ),
        Row::daemon(
            "the welcome screens are not over",
            (DeviceSetupUnfinished, "set"),
            ByItself,
            PLAIN,
            async |world: &World| set(world, SETUP, "SetupDone", false),
            async |world: &World| {
                set(world, SETUP, "SetupDone", true);
                world.phone.unplug();
                world.phone.plug_in();
            },
        ),
        Row::daemon(
            "the phone has restarted and was not unlocked since",
            (DeviceNotUnlockedSinceRestart, "EscrowLocked"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_unlocked_since_restart(false),
            async |world: &World| world.phone.set_locked(false),
        ),
        Row::daemon(
            "the phone is locked, and this computer has no escrow bag",
            (DeviceLocked, "starting com.apple"),
            ByItself,
            PLAIN,
            async |world: &World| {
                world.phone.pair_without_escrow_bag(&world.usbmuxd).unwrap();
                world.phone.set_locked(true);
            },
            async |world: &World| world.phone.set_locked(false),
        ),
        Row::daemon(
            "the phone is locked and refuses the backup (208)",
            (DeviceLocked, "Device locked"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_fault(Some(Fault::Locked)),
            async |world: &World| world.phone.set_fault(None),
        ),
    ];
    rows.extend(sheets());
    rows
}

fn sheets() -> Vec<Row> {
    vec![
        Row::own("the phone asks for its passcode", PasscodeNeeded, "asks for its passcode", |id, quotes| async move {
            let mut stage = Stage::set(PLAIN).await;
            stage.start().await;
            stage.world.phone.set_passcode_sheet(Some(PasscodeAnswer::EnteredWhenTold));
            let began = std::time::Instant::now();
            stage.world.phone.plug_in();
            let told = stage.told(id, &quotes, began).await?;
            stage.after(id, ByItself, told, async |world: &World| world.phone.enter_passcode()).await
        }),
        Row::daemon(
            "its owner dismisses the passcode sheet, and later plugs it in again",
            (PasscodeNotEntered, "Device locked"),
            ByItself,
            PLAIN,
            async |world: &World| world.phone.set_passcode_sheet(Some(PasscodeAnswer::Cancelled)),
            async |world: &World| {
                let answer = PasscodeAnswer::EnteredWhenPresent { patience: Duration::from_secs(60) };
                world.phone.set_passcode_sheet(Some(answer));
                world.phone.set_person_present(true);
                world.phone.unplug();
                world.phone.plug_in();
            },
        ),
        Row::daemon(
            "the backup fails after the passcode was typed, and its owner plugs it in again",
            (DeviceIoError, "Input/output error"),
            ByItself,
            PLAIN,
            async |world: &World| {
                let answer = PasscodeAnswer::EnteredWhenPresent { patience: Duration::from_secs(60) };
                world.phone.set_passcode_sheet(Some(answer));
                world.phone.set_person_present(true);
                let text = "Input/output error (MBErrorDomain/100)".into();
                world.phone.set_fault(Some(Fault::FinalError { code: 100, text }));
            },
            async |world: &World| {
                world.phone.set_fault(None);
                world.phone.unplug();
                world.phone.plug_in();
            },
        ),
        Row::daemon(
            "nobody types the passcode, and later somebody unlocks the phone",
            (PasscodeNotEntered, "timeout waiting for passcode"),
            ByItself,
            PLAIN,
            async |world: &World| {
                let answer = PasscodeAnswer::TimedOut { after: Duration::from_secs(1) };
                world.phone.set_passcode_sheet(Some(answer));
            },
            async |world: &World| {
                // It is locked when it is looked at, as a phone is that nobody is at; reading the second domain of a look
                // tells that the first was read.
                world.phone.set_locked(true);
                for _ in 0..2 {
                    let mut events = world.phone.events();
                    world.phone.refuse_once("GetValue", Some(SETUP), "MissingValue");
                    while !matches!(events.recv().await.unwrap(), Event::Refused { .. }) {}
                }
                world.phone.set_passcode_sheet(None);
                world.phone.set_locked(false);
            },
        ),
    ]
}
