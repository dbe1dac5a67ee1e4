//! The disks themselves: a proof made with a crooked instrument is none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use backstay_tests::{
    disk::{FaultyDisk, Kind, Mounted, Plan, RecordedDisk, Trigger, Volume, format},
    random::Random,
};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

fn errno<T>(result: io::Result<T>) -> Option<Errno> {
    result.err().and_then(|error| Errno::from_io_error(&error))
}

fn rename_with(from: &Path, to: &Path, flags: RenameFlags) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, flags)?)
}

#[test]
fn the_faulty_disk_is_a_file_system_like_any_other() {
    needs!();
    let folder = tempfile::tempdir().unwrap();
    let (below, at) = (folder.path().join("below"), folder.path().join("at"));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&at).unwrap();
    let disk = FaultyDisk::mount(&below, &at).unwrap();
    fs::create_dir_all(at.join("a/b")).unwrap();
    let content: Vec<u8> = (0..700_000_u32).map(|number| number as u8).collect();
    fs::write(at.join("a/b/large"), &content).unwrap();
    assert!(fs::read(at.join("a/b/large")).unwrap() == content);
    assert!(fs::read(below.join("a/b/large")).unwrap() == content, "it is in the folder below");

    // A hard link is the same file, and outlives the first name.
    fs::hard_link(at.join("a/b/large"), at.join("a/link")).unwrap();
    assert_eq!(fs::metadata(at.join("a/link")).unwrap().nlink(), 2);
    assert_eq!(fs::metadata(at.join("a/link")).unwrap().ino(), fs::metadata(at.join("a/b/large")).unwrap().ino());
    fs::remove_file(at.join("a/b/large")).unwrap();
    assert_eq!(fs::metadata(at.join("a/link")).unwrap().nlink(), 1);
    assert!(fs::read(at.join("a/link")).unwrap() == content);

    // Files follow the folders above them.
    fs::rename(at.join("a"), at.join("c")).unwrap();
    OpenOptions::new().append(true).open(at.join("c/link")).unwrap().write_all(b"end").unwrap();
    assert_eq!(fs::metadata(at.join("c/link")).unwrap().len(), 700_003);
    let file = OpenOptions::new().read(true).write(true).open(at.join("c/link")).unwrap();
    file.set_len(5).unwrap();
    file.sync_all().unwrap();
    assert_eq!(fs::read(below.join("c/link")).unwrap(), content[..5]);

    // Two folders change places; a name that is taken is left alone.
    fs::create_dir(at.join("d")).unwrap();
    fs::write(at.join("d/mark"), "d").unwrap();
    rename_with(&at.join("c"), &at.join("d"), RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read_to_string(at.join("c/mark")).unwrap(), "d");
    assert!(at.join("d/link").exists() && at.join("d/b").is_dir());
    assert_eq!(errno(rename_with(&at.join("c"), &at.join("d"), RenameFlags::NOREPLACE)), Some(Errno::EXIST));
    assert_eq!(errno(fs::remove_dir(at.join("d"))), Some(Errno::NOTEMPTY));

    // A folder with more names than fit one answer.
    for number in 0..2000 {
        File::create(at.join(format!("c/file-with-a-rather-long-name-{number}"))).unwrap();
    }
    assert_eq!(fs::read_dir(at.join("c")).unwrap().count(), 2001);
    File::open(at.join("c")).unwrap().sync_all().unwrap();

    // An open file that has no name any more can still be read.
    let mut open = OpenOptions::new().read(true).write(true).create_new(true).open(at.join("gone")).unwrap();
    fs::remove_file(at.join("gone")).unwrap();
    open.write_all(b"still").unwrap();
    open.rewind().unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "still");

    let (one, other) = (File::create(at.join("lock")).unwrap(), File::open(at.join("lock")).unwrap());
    one.try_lock().unwrap();
    assert!(other.try_lock().is_err(), "two locks on a file");
    drop(one);
    other.try_lock().unwrap();

    let connection = rusqlite::Connection::open(at.join("test.sqlite")).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1), (2);").unwrap();
    drop(connection);
    let connection = rusqlite::Connection::open(at.join("test.sqlite")).unwrap();
    assert_eq!(connection.query_row("SELECT sum(n) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    drop(connection);

    disk.without_hard_links();
    assert_eq!(errno(fs::hard_link(at.join("lock"), at.join("lock2"))), Some(Errno::PERM));
    assert_eq!(errno(rename_with(&at.join("c"), &at.join("d"), RenameFlags::EXCHANGE)), Some(Errno::INVAL));
    drop(disk);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0, "unmounted");
    fs::remove_dir(&at).unwrap();
}

#[test]
fn the_faulty_disk_fails_once_where_it_is_told() {
    needs!();
    let folder = tempfile::tempdir().unwrap();
    let (below, at) = (folder.path().join("below"), folder.path().join("at"));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&at).unwrap();
    let disk = FaultyDisk::mount(&below, &at).unwrap();
    // Candidates for "no space" are the creation, the write and the close of each file. By a program of its own: the
    // programs that other tests start here inherit open files for a moment, and close them once more.
    let write = |name: &str| {
        let mut program = std::process::Command::new("python3");
        program.args(["-c", "import sys; open(sys.argv[1], 'wb', 0).write(b'content')"]).arg(at.join(name));
        let output = program.output().unwrap();
        if output.status.success() { String::new() } else { String::from_utf8_lossy(&output.stderr).into_owned() }
    };
    disk.set(Plan::Fail { at: 5, errors: &[Errno::NOSPC] });
    assert_eq!(write("one"), "");
    let error = write("two");
    assert!(error.contains("No space left on device"), "{error:?}");
    let (fired, _) = disk.fired().unwrap();
    assert_eq!((fired.kind, fired.path.as_str()), (Kind::Write, "two"));
    fs::write(at.join("two"), "content").unwrap();
    assert_eq!(fs::read_to_string(below.join("two")).unwrap(), "content");

    disk.set(Plan::FailFrom { at: 1, errors: &[Errno::IO] });
    for _ in 0..3 {
        assert_eq!(errno(fs::write(at.join("three"), "content")), Some(Errno::IO));
    }
    disk.set(Plan::Well);
    assert!(!at.join("three").exists());
}

#[test]
fn the_faulty_disk_kills_and_then_stands_still() {
    needs!();
    let folder = tempfile::tempdir().unwrap();
    let (below, at) = (folder.path().join("below"), folder.path().join("at"));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&at).unwrap();
    let disk = FaultyDisk::mount(&below, &at).unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "read go; n=0; while :; do : > \"$0/$n\"; n=$((n+1)); done"]).arg(&at);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let process = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    disk.set(Plan::Kill { at: Trigger::when(|operation| operation.number == 50), process });
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    let (fired, _) = disk.fired().unwrap();
    assert_eq!((fired.number, disk.log().len()), (50, 50));
    let files = fs::read_dir(&below).unwrap().count();
    assert_eq!(errno(fs::write(at.join("more"), "content")), Some(Errno::IO), "it stands still");
    disk.set(Plan::Well);
    assert_eq!(fs::read_dir(&at).unwrap().count(), files);
}

#[test]
fn the_recorded_disk_sees_every_write_and_every_flush() {
    needs!();
    let folder = tempfile::tempdir().unwrap();
    let (served, at) = (folder.path().join("served"), folder.path().join("at"));
    fs::create_dir(&served).unwrap();
    fs::create_dir(&at).unwrap();
    let disk = RecordedDisk::mount(48 << 20, &served).unwrap();
    let mut random = Random::new(1);
    {
        let volume = Volume::of(&disk.image()).unwrap();
        format("mkfs.ext4", &["-q", "-F"], volume.device()).unwrap();
        let _mounted = Mounted::ext4(volume, &at, false).unwrap();
        disk.begin_recording();
        let mut file = File::create(at.join("synced")).unwrap();
        file.write_all(&[7; 300_000]).unwrap();
        let before = disk.barriers().len();
        file.sync_all().unwrap();
        assert!(disk.barriers().len() > before, "a sync of a file is a flush of the disk");
        assert!(disk.bytes_written() >= 300_000, "only {} bytes arrived", disk.bytes_written());
        let synced = disk.now();
        fs::write(at.join("not-synced"), [8; 300_000]).unwrap();
        let lost = disk.now();
        assert_eq!(synced, lost, "what is not synced is still in memory");
        rustix::fs::syncfs(File::open(&at).unwrap()).unwrap();
        assert!(disk.barriers().last() > Some(&synced), "syncfs is a flush of the disk");

        let after = |moment, random: &mut Random| {
            let (image, at) = (folder.path().join("image"), folder.path().join("after"));
            fs::create_dir_all(&at).unwrap();
            disk.image_at(moment, random, &image).unwrap();
            let mounted = Mounted::ext4(Volume::of(&image).unwrap(), &at, true).unwrap();
            let names = ["synced", "not-synced"].map(|name| fs::read(at.join(name)).ok().map(|content| content.len()));
            drop(mounted);
            names
        };
        for _ in 0..5 {
            assert_eq!(after(synced, &mut random), [Some(300_000), None]);
        }
        assert_eq!(after(disk.now(), &mut random), [Some(300_000), Some(300_000)]);
    }
}
