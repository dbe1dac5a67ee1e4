//! What "verified" means on a phone as real ones are: sizes in the list that are not the lengths of the files, digests of
//! some domains, rows that nobody can read. Good backups are verified each time; every fault is found, by the rule that is
//! there for it.

mod elsewhere;
mod faults;
mod large;
mod real;
mod seeds;

use std::{path::Path, process::Stdio};

use backstay_tests::{
    oracle,
    world::{PATIENCE, World, text},
};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, time::timeout};

pub(crate) const PASSWORD: &str = "korrekt pferd";

/// Runs `backstay` on the world's backups; the password goes in where the phone encrypts.
pub(crate) async fn run(world: &World, arguments: &[&str]) -> (i32, Value) {
    let mut command = world.command(backstay_tests::binaries::binary("backstay"));
    command.arg("--root").arg(world.root()).args(arguments).arg("--json");
    let password = world.phone.backup_password();
    if password.is_some() {
        command.arg("--password-stdin");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = password.unwrap_or_default() + "\n";
    // A program that failed before it read has closed its end.
    drop(input.write_all(line.as_bytes()).await);
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("backstay hangs").unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let of_interest =
        |line: &&str| line.contains("\"checked\"") || line.contains("\"done\"") || line.contains("\"failed\"");
    let object = printed.lines().find(of_interest).or_else(|| printed.lines().last()).unwrap_or_default();
    let object = serde_json::from_str(object).unwrap_or_else(|_| panic!("no object: {}", text(&output)));
    (output.status.code().expect("killed"), object)
}

pub(crate) async fn back_up(world: &World) -> (i32, Value) {
    run(world, &["backup", "--once"]).await
}

async fn verify(world: &World, deep: bool) -> (i32, Value) {
    run(world, if deep { &["verify", "--deep"] } else { &["verify"] }).await
}

/// Judges a tree by the phone's data, byte by byte.
pub(crate) fn judged(world: &World, tree: &Path) -> Result<(), String> {
    match world.phone.backup_password() {
        None => oracle::check_backup(tree, &world.phone.data()),
        Some(password) => oracle::check_encrypted_backup(tree, &world.phone.data(), &password),
    }
}
