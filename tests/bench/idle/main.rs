//! `cargo build --release --workspace && target/release/idle`: what Backstay costs while nothing happens.
//!
//! A simulated iPhone is plugged in, backed up and at rest; the daemon and the tray companion, with a status bar and a
//! notification service to talk to, are watched for some minutes. Fails when either uses more than it may.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a broken invariant of its own ends the test"
)]

#[cfg(target_os = "linux")]
mod usage;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> ExitCode {
    linux::main().await
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("idle: reads /proc, so it runs on Linux only");
    ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        process::{ExitCode, Stdio},
        time::{Duration, Instant},
    };

    use backstay_shared::overview::Activity;
    use backstay_tests::{
        binaries::binary,
        desktop::{NotificationHost, PrivateBus, TrayHost},
        phone::dataset::DataSetSpec,
        world::World,
    };
    use clap::Parser;
    use tokio::time::sleep;

    use super::usage::{Reading, Usage};

    /// Watches an idle daemon and an idle tray companion, and tells what they use.
    #[derive(Parser)]
    #[command(name = "idle")]
    struct Arguments {
        /// How long they are watched
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// How long they are left alone before, so that what a start leaves to do is done
        #[arg(long, default_value_t = 20)]
        settle_seconds: u64,
    }

    pub(crate) async fn main() -> ExitCode {
        let arguments = Arguments::parse();
        let mut world = World::new(DataSetSpec::mixed(51, 2_000, 20_000_000)).await;
        let bus = PrivateBus::start();
        world.bus = Some(bus.address().to_owned());
        let (status_bar, mut notifications) = (TrayHost::start(&bus).await, NotificationHost::start(&bus).await);
        let daemon = world.daemon().await;
        let mut companion = world.command(binary("backstay-tray"));
        let companion = companion.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let at_rest = daemon.phone_shows("the phone is backed up and at rest", |phone| {
            (phone.last_good.is_some() && phone.activity == Activity::Idle && phone.problems.is_empty()).then_some(())
        });
        at_rest.await;
        status_bar.wait_for_text("verified").await;
        assert_eq!(notifications.more(), [], "quiet while all is well");

        let watched = [("backstay daemon", daemon.child.id().unwrap()), ("backstay-tray", companion.id().unwrap())];
        println!("backed up and at rest; left alone for {} s", arguments.settle_seconds);
        sleep(Duration::from_secs(arguments.settle_seconds)).await;
        let before = watched.map(|(_, id)| Reading::of(id).unwrap());
        let since = Instant::now();
        println!("watched for {} minutes", arguments.minutes);
        sleep(Duration::from_secs_f64(arguments.minutes * 60.0)).await;
        let after = watched.map(|(_, id)| Reading::of(id).expect("it still runs"));
        let elapsed = since.elapsed();

        let mut all_within = true;
        for (((name, id), before), after) in watched.into_iter().zip(before).zip(after) {
            let usage = Usage::between(&before, &after, elapsed);
            println!("\n{name}, process {id}\n{usage}");
            all_within &= usage.is_within();
        }
        assert_eq!(notifications.more(), [], "quiet while all is well");
        if all_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
