//! What keeps `backstay extract` from bringing everything: damage, a destination that takes nothing, an output that nobody
//! reads.

use backstay_tests::binaries::binary;

use super::*;

/// Changes one bit of what is stored.
fn flip(world: &World, file: &OddFile) {
    let path = OddTree::payload(&world.root(), file);
    let mut bytes = fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_damage_by_the_ledger_and_by_the_row() {
    let mut tree = OddTree::new();
    let content = vec![7; 300_000];
    tree.add("MediaDomain", "with a digest", &content).digest = true;
    tree.add("MediaDomain", "with none", &content);
    let world = world_with(&tree).await;
    let files: Vec<&OddFile> = tree.files().iter().filter(|file| file.domain == "MediaDomain").collect();
    let to = |name: &str| world.folder.path().join(name);

    // Without a ledger the row alone tells.
    files.iter().for_each(|file| flip(&world, file));
    let (code, told) = extract(&world, "MediaDomain", &to("first"), &[]).await;
    let damaged = events(&told, "damaged");
    assert_eq!((code, damaged.len()), (1, 1), "{told:?}");
    assert_eq!(damaged[0]["what"], "is not what the list says it is");
    assert_eq!(below(&to("first")).into_keys().collect::<Vec<_>>(), ["MediaDomain/with none"]);

    files.iter().for_each(|file| flip(&world, file));
    assert!(world.backstay(&["verify", UDID, "--deep"]).await.status.success());
    let (code, told) = extract(&world, "MediaDomain", &to("whole"), &[]).await;
    assert_eq!((code, below(&to("whole")).len()), (0, 2), "{told:?}");
    files.iter().for_each(|file| flip(&world, file));
    let (code, told) = extract(&world, "MediaDomain", &to("second"), &[]).await;
    let what: Vec<_> = events(&told, "damaged").iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!((code, &what[..]), (1, &["is not what it was when it came"; 2][..]), "{told:?}");
    assert!(below(&to("second")).is_empty());
    let done = events(&told, "incomplete")[0];
    assert_eq!((&done["files"], &done["bytes"], &done["damaged"]), (&0.into(), &0.into(), &2.into()), "{done}");
    // What is whole is not lost for what is damaged.
    let (code, told) = extract(&world, "MediaDomain", &to("whole"), &["--overwrite"]).await;
    assert_eq!(code, 1, "{told:?}");
    assert!(below(&to("whole")).values().all(|there| *there == content));

    let there = to("third");
    let output = world.backstay(&["extract", UDID, "MediaDomain", there.to_str().unwrap()]).await;
    let line = "in the backup: MediaDomain/with none is not what it was when it came";
    assert!(text(&output).lines().any(|told| told == line), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verdict_is_the_exit_code_whatever_becomes_of_the_output() {
    let mut tree = OddTree::new();
    tree.add("MediaDomain", "x", &[7; 3000]).digest = true;
    let world = world_with(&tree).await;
    let (program, root) = (binary("backstay").display().to_string(), world.root().display().to_string());
    let code = async |what: &str, to: &str, output: &str| {
        let to = world.folder.path().join(to).display().to_string();
        let run = format!("'{program}' --root '{root}' extract {UDID} {what} '{to}' --overwrite");
        let script = match output {
            // It is closed before anything is written.
            "a closed pipe" => format!("exec 3>&1; {{ sleep 0.3; {run}; echo $? >&3; }} | true"),
            file => format!("exec 3>&1; {run} >{file}; echo $? >&3"),
        };
        let mut command = world.command("sh");
        let output = command.args(["-c", &script]).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).trim().parse::<i32>().unwrap_or_else(|_| panic!("{}", text(&output)))
    };
    for (output, as_json, whole) in [
        ("/dev/null", "", 0),
        ("a closed pipe", "", 0),
        ("a closed pipe", "--json", 0),
        ("/dev/full", "", 1),
        ("/dev/full", "--json", 1),
    ] {
        let what = |domain: &str| format!("{domain} {as_json}");
        if output == "/dev/full" && !Path::new(output).exists() {
            continue;
        }
        assert_eq!(code(&what("CameraRollDomain"), "whole", output).await, whole, "{output} {as_json}");
        let damaged = tree.files().last().unwrap();
        flip(&world, damaged);
        assert_eq!(code(&what("MediaDomain"), "damaged", output).await, 1, "{output} {as_json}");
        flip(&world, damaged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_the_backups_and_files_are_no_destination() {
    let world = world_with(&OddTree::new()).await;
    assert!(world.backstay(&["verify", UDID, "--deep"]).await.status.success());
    let root = world.root();
    let (link, file) = (world.folder.path().join("link"), world.folder.path().join("file"));
    fs::write(&file, "").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join(".backstay"), &link).unwrap();
    let before = below(&root).into_keys().collect::<Vec<_>>();
    let mut refused = vec![root.join(".backstay/new"), root.join("x/../.backstay"), root.join(UDID), file];
    if cfg!(unix) {
        refused.push(link.join(UDID).join("next"));
    }
    for to in refused {
        let (code, told) = extract(&world, "CameraRollDomain", &to, &[]).await;
        assert_eq!((code, &told.last().unwrap()["event"]), (2, &"refused".into()), "{to:?}: {told:?}");
    }
    assert_eq!(below(&root).into_keys().collect::<Vec<_>>(), before);
    let (code, told) = extract(&world, "CameraRollDomain", &root.join("taken out"), &[]).await;
    assert_eq!((code, &told.last().unwrap()["event"]), (0, &"done".into()), "{told:?}");
}

/// A real file system that is full before everything is there.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_full_is_named_as_that() {
    let mut tree = OddTree::new();
    for index in 0..8_u8 {
        tree.add("MediaDomain", &format!("film {index}"), &vec![index; 400_000]);
    }
    let world = world_with(&tree).await;
    let to = world.folder.path().join("small");
    fs::create_dir(&to).unwrap();
    let (program, root) = (binary("backstay").display().to_string(), world.root().display().to_string());
    let there = to.display().to_string();
    let script = format!(
        "take() {{ '{program}' --root '{root}' extract {UDID} MediaDomain '{there}' --json | tail -n 1; }}
         mount -t tmpfs -o size=1m tmpfs '{there}'
         take; find '{there}' -type f -size -390k | wc -l
         mount -o remount,size=9m '{there}'; take; find '{there}' -type f | wc -l"
    );
    let mut command = world.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let output = tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap().unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    let failed: Value = serde_json::from_str(&lines[0]).unwrap_or_else(|_| panic!("{}", text(&output)));
    assert_eq!((&failed["failure"]["id"], &failed["evidence"]["code"]), (&"extract-disk-full".into(), &28.into()));
    assert!(!failed.to_string().contains("prune"), "{failed}");
    let needed = failed["evidence"]["bytes_needed"].as_u64().unwrap();
    assert!(needed.is_multiple_of(400_000) && needed >= 6 * 400_000, "what is not there whole: {failed}");
    assert_eq!((lines[1].trim(), lines[3].trim()), ("0", "8"), "no part of a file stays: {}", text(&output));
}
