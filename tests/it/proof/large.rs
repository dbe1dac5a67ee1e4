//! Lists as long as real phones have them: up to 1.5 GB for more than a million rows.

use std::{fs, process::Stdio};

use backstay_tests::{
    binaries::binary,
    phone::dataset::{DataSetSpec, Mutation},
    world::{World, text, watch_memory},
};
use tokio::io::AsyncWriteExt;

use super::{PASSWORD, judged};

/// How long the list is; `BACKSTAY_MANIFEST_BYTES` says otherwise.
fn bytes() -> u64 {
    std::env::var("BACKSTAY_MANIFEST_BYTES").map_or(20 << 20, |bytes| bytes.parse().expect("a number of bytes"))
}

/// The decrypted list goes neither to the folder for temporary files nor into memory, and leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_encrypted_list_needs_no_temporary_folder_and_little_memory() {
    let world = World::new(DataSetSpec::mixed(461, 400, 2_000_000).with_manifest_of(bytes())).await;
    world.phone.set_backup_password(Some(PASSWORD));
    for round in 0..2 {
        let mut command = world.command(binary("backstay"));
        command.arg("--root").arg(world.root()).args(["backup", "--once", "--json", "--password-stdin"]);
        command.env("TMPDIR", "/nonexistent").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).await.unwrap();
        let memory = tokio::spawn(watch_memory(child.id().unwrap()));
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "round {round}: {}", text(&output));
        let (peak, list) = (memory.await.unwrap(), fs::metadata(world.latest().join("Manifest.db")).unwrap().len());
        println!("round {round}: a list of {} MB, a peak of {} MiB", list / 1_000_000, peak >> 20);
        assert!(list >= bytes(), "{list}");
        assert!(peak < 80 << 20, "{peak} bytes of memory for a list of {list}");
        judged(&world, &world.latest()).unwrap();
        let own = world.root().join(".backstay").join(world.phone.udid());
        let left = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("backstay-manifest");
        assert!(!fs::read_dir(own).unwrap().map(Result::unwrap).any(left), "round {round}: a list was left behind");
        world.phone.mutate(Mutation::Change { count: 10 });
    }
}
