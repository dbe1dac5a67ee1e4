//! The whole product with no iPhone: a simulated one is plugged in, backed up, pulled out, explained and made good.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a demo ends where something is not as it should be"
)]

use std::io::Write;

use backstay::cli::progress::describe;
use backstay_shared::{
    health::FailureId,
    overview::{Activity, PhoneOverview},
};
use backstay_tests::{
    phone::{
        Fault,
        dataset::{DataSetSpec, Mutation},
    },
    world::{Daemon, World, text},
};

fn say(what: &str) {
    println!("\n\x1b[1m{what}\x1b[0m");
}

/// Prints how far the run is until `ended` says that it is over.
async fn follow(daemon: &Daemon, ended: impl Fn(&PhoneOverview) -> bool) {
    let told = std::sync::Mutex::new(String::new());
    daemon
        .phone_shows("the end of the backup", |phone| {
            if let Activity::Running { progress, .. } = &phone.activity {
                let percent = progress.fraction.map(|part| format!("{:3.0} %  ", part * 100.0)).unwrap_or_default();
                let line = format!("   {percent}{}", describe(progress));
                let mut told = told.lock().unwrap();
                if *told != line {
                    println!("{line}");
                    std::io::stdout().flush().unwrap();
                    *told = line;
                }
            }
            ended(phone).then_some(())
        })
        .await;
}

async fn show_status(world: &World) {
    let output = world.backstay(&["status"]).await;
    for line in text(&output).lines() {
        println!("   {line}");
    }
}

fn is_backed_up(phone: &PhoneOverview) -> bool {
    phone.activity == Activity::Idle && phone.last_good.is_some() && phone.problems.is_empty()
}

#[tokio::main]
async fn main() {
    let world = World::new(DataSetSpec::mixed(7, 3000, 250_000_000)).await;
    world.phone.unplug();
    world.phone.set_name("Anna's iPhone");
    world.phone.set_fault(Some(Fault::SlowLink { bytes_per_second: 60_000_000 }));

    say("The daemon starts, as it does at login. No phone is here.");
    let daemon = world.daemon().await;
    show_status(&world).await;

    say("A phone with 3,000 files (250 MB) is plugged in. It has no backup, so one begins by itself:");
    world.phone.plug_in();
    follow(&daemon, is_backed_up).await;
    show_status(&world).await;
    world.judge();
    println!("   (compared with the phone, byte by byte: whole)");

    say("The phone is used. The next backup brings only what changed; in the middle of it the cable comes out:");
    world.phone.mutate(Mutation::Change { count: 1500 });
    let good = backstay_tests::world::frozen(&world.latest());
    world.phone.set_fault(Some(Fault::UnplugAt { bytes: 40_000_000 }));
    let output = world.backstay(&["backup"]).await;
    println!("   $ backstay backup");
    for line in text(&output).lines() {
        println!("   {line}");
    }
    println!("   exit code {}", output.status.code().unwrap());
    assert_eq!(output.status.code(), Some(1), "a pulled cable is a failure");
    daemon
        .phone_shows("the failure", |phone| {
            phone.problems.iter().any(|problem| problem.id == FailureId::UsbDisconnected).then_some(())
        })
        .await;
    assert_eq!(backstay_tests::world::frozen(&world.latest()), good, "the last good backup is untouched");
    println!("   (the last good backup was compared with what it was, byte by byte: untouched)");

    say("The cable is plugged in again. Nobody does anything else:");
    world.phone.set_fault(Some(Fault::SlowLink { bytes_per_second: 60_000_000 }));
    world.phone.plug_in();
    follow(&daemon, is_backed_up).await;
    show_status(&world).await;
    world.judge();
    println!("   (compared with the phone, byte by byte: whole)");
    daemon.terminate().await;
    say("That is all. The demo's files are removed again.");
}
