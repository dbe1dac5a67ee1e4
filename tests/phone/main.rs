//! The simulated iPhone as a program, for foreign clients and for people.

use std::{
    error::Error,
    io::{self, BufRead, Write},
    path::PathBuf,
    time::Duration,
};

use backstay_tests::phone::{
    Fault, Heartbeat, PasscodeAnswer, Phone, PhoneSpec,
    afc::SyncLock,
    dataset::{DataSetSpec, FileGroup, SizeRule},
    lockdownd::Dialog,
    usbmuxd::Usbmuxd,
};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// Simulated iPhones behind a usbmuxd of their own.
///
/// Commands are read from standard input, one a line; `help` lists them. Its end leaves the phones running.
#[derive(Parser)]
struct Arguments {
    /// Folder for the socket and the pair records.
    #[arg(long)]
    dir: PathBuf,
    /// How many phones to plug in.
    #[arg(long, default_value_t = 1)]
    phones: u64,
    /// Small files on each phone.
    #[arg(long, default_value_t = 200)]
    files: usize,
    /// Bytes of each small file.
    #[arg(long, default_value_t = 8192)]
    file_size: u64,
    /// Big files on each phone.
    #[arg(long, default_value_t = 0)]
    big_files: usize,
    /// Bytes of each big file.
    #[arg(long, default_value_t = 64 << 20)]
    big_size: u64,
    /// Bytes that Manifest.db has at least.
    #[arg(long, default_value_t = 0)]
    manifest_bytes_min: u64,
    /// Where every identifier and all content come from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The phones do not trust this computer yet.
    #[arg(long)]
    unpaired: bool,
}

const COMMANDS: &str = "plug, unplug, unplug-at BYTES, silent-at BYTES, silent-start SECONDS, slow BYTES-A-SECOND, \
    passcode-sheet, enter-passcode, backup-password [WORD], lock, unlock, no-fault, trust, \
    trust-later, trust-never, forget-computers, hold-sync-lock, release-sync-lock, freeze, thaw, \
    wifi, speed [BYTES-A-SECOND], battery PERCENT, set-locked, set-unlocked, restart, \
    heart-stops, heart-beats, refuse REQUEST ERROR, refuse-nothing, stop-usbmuxd, start-usbmuxd, \
    help, quit";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(io::stderr)
        .init();
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.dir)?;
    let usbmuxd = Usbmuxd::start(&arguments.dir).await?;
    let mut phones = Vec::new();
    for number in 0..arguments.phones {
        let phone = make_phone(&arguments, arguments.seed + number);
        if !arguments.unpaired {
            phone.pair_with(&usbmuxd)?;
        }
        phone.plug_in();
        usbmuxd.add(&phone);
        phones.push(phone);
    }
    println!("USBMUXD_SOCKET_ADDRESS={}", usbmuxd.address());
    for phone in &phones {
        println!("{}", phone.udid());
    }
    io::stdout().flush()?;
    obey_until_told_to_stop(&usbmuxd, &phones).await?;
    usbmuxd.stop().await;
    Ok(())
}

fn make_phone(arguments: &Arguments, seed: u64) -> Phone {
    let group = |directory: &str, count, size| FileGroup {
        domain: "HomeDomain".into(),
        directory: directory.into(),
        count,
        size: SizeRule::Fixed(size),
    };
    let small = group("Library/Small", arguments.files, arguments.file_size);
    let big = group("Library/Big", arguments.big_files, arguments.big_size);
    let data = DataSetSpec::of_groups(seed, vec![small, big]).with_manifest_of(arguments.manifest_bytes_min);
    Phone::new(PhoneSpec::numbered(seed, data))
}

async fn obey_until_told_to_stop(usbmuxd: &Usbmuxd, phones: &[Phone]) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut commands = commands_from_standard_input();
    let mut held = Vec::new();
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some(line) = commands.recv() => {
                if line.trim() == "quit" {
                    return Ok(());
                }
                match obey(usbmuxd, phones, &mut held, &line).await {
                    Ok(()) => println!("ok"),
                    Err(error) => println!("error: {error}"),
                }
                io::stdout().flush()?;
            }
        }
    }
}

/// A thread, since reading standard input blocks.
fn commands_from_standard_input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
        // Kept open: the end of the commands is not the end of the phones.
        std::mem::forget(sender);
    });
    receiver
}

async fn obey(usbmuxd: &Usbmuxd, phones: &[Phone], held: &mut Vec<SyncLock>, line: &str) -> Result<(), Box<dyn Error>> {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap_or_default();
    let argument = words.next();
    let number = || -> Result<u64, Box<dyn Error>> { Ok(argument.ok_or("a number is missing")?.parse()?) };
    let each = |act: &dyn Fn(&Phone)| phones.iter().for_each(act);
    let fault = |fault: Option<Fault>| each(&|phone| phone.set_fault(fault.clone()));
    match command {
        "" => {}
        "help" => println!("{COMMANDS}"),
        "plug" => each(&Phone::plug_in),
        "unplug" => each(&Phone::unplug),
        "unplug-at" => fault(Some(Fault::UnplugAt { bytes: number()? })),
        "silent-at" => fault(Some(Fault::SilentAt { bytes: number()? })),
        "slow" => fault(Some(Fault::SlowLink { bytes_per_second: number()? })),
        "silent-start" => fault(Some(Fault::SilentStart { for_time: Duration::from_secs(number()?) })),
        "passcode-sheet" => fault(Some(Fault::PasscodeSheet { answer: PasscodeAnswer::EnteredWhenTold })),
        "enter-passcode" => each(&Phone::enter_passcode),
        "backup-password" => each(&|phone| phone.set_backup_password(argument)),
        "lock" => fault(Some(Fault::Locked)),
        "unlock" | "no-fault" => fault(None),
        "trust" => each(&|phone| phone.trust().dialog = Dialog::Accepts),
        "trust-later" => each(&|phone| phone.trust().dialog = Dialog::Pending),
        "trust-never" => each(&|phone| phone.trust().dialog = Dialog::Denied),
        "forget-computers" => each(&|phone| phone.trust().forget_all()),
        "hold-sync-lock" => held.extend(phones.iter().filter_map(|phone| phone.media().hold_sync_lock())),
        "release-sync-lock" => held.clear(),
        "freeze" => each(&Phone::freeze),
        "thaw" => each(&Phone::thaw),
        "wifi" => each(&Phone::appear_on_wifi),
        "speed" => {
            let speed = argument.map(str::parse).transpose()?;
            each(&|phone| phone.set_link_speed(speed));
        }
        "battery" => {
            let percent = u8::try_from(number()?)?;
            each(&|phone| phone.set_battery(percent, false));
        }
        "set-locked" => each(&|phone| phone.set_locked(true)),
        "set-unlocked" => each(&|phone| phone.set_locked(false)),
        "restart" => each(&Phone::restart),
        "heart-stops" => each(&|phone| phone.set_heartbeat(Heartbeat::Stops)),
        "heart-beats" => each(&|phone| phone.set_heartbeat(Heartbeat::default())),
        "refuse" => {
            let (request, error) =
                (argument.ok_or("a request is missing")?, words.next().ok_or("an error is missing")?);
            each(&|phone| phone.refuse(request, None, error));
        }
        "refuse-nothing" => each(&Phone::refuse_nothing),
        "stop-usbmuxd" => usbmuxd.stop().await,
        "start-usbmuxd" => usbmuxd.start_again().await?,
        _ => return Err(format!("unknown command; there are: {COMMANDS}").into()),
    }
    Ok(())
}
