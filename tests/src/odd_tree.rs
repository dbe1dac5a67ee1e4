//! Plain backups with the oddities of real ones, made file by file: what no simulated phone sends in one piece.

use std::{
    fs,
    path::{Path, PathBuf},
};

use plist::{Dictionary, Uid, Value};
use sha1::{Digest, Sha1};

use crate::random::Random;

/// Whose backups they are.
pub const UDID: &str = "00008110-00007D5BC65360C8";

/// The date of an ordinary file, seconds since 1970.
pub const MODIFIED: i64 = 1_700_000_000;

/// `Grüße aus Köln.pdf`, as people type it and as phones have it.
pub const COMPOSED: &str = "Gr\u{fc}\u{df}e aus K\u{f6}ln.pdf";
pub const DECOMPOSED: &str = "Gru\u{308}\u{df}e aus Ko\u{308}ln.pdf";

/// One file and what its row tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OddFile {
    pub domain: String,
    pub path: String,
    pub content: Vec<u8>,
    /// `Size`; none when the row has none.
    pub size: Option<u64>,
    /// `LastModified`.
    pub modified: i64,
    /// The row's blob is nothing that can be read.
    pub garbage: bool,
    /// The row tells the SHA-1 of the content, as those of some domains do.
    pub digest: bool,
}

impl OddFile {
    fn new(domain: &str, path: &str, content: &[u8]) -> Self {
        let size = Some(content.len() as u64);
        let (domain, path, content) = (domain.into(), path.into(), content.to_vec());
        Self { domain, path, content, size, modified: MODIFIED, garbage: false, digest: false }
    }

    /// Its domain and its path.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    fn file_id(&self) -> String {
        hex(&Sha1::digest(format!("{}-{}", self.domain, self.path)))
    }

    fn blob(&self) -> Vec<u8> {
        if self.garbage {
            return b"\x00\x01garbage".to_vec();
        }
        let uid = |number| Value::Uid(Uid::new(number));
        let mut facts = Dictionary::new();
        for (key, value) in [
            ("Mode", 0o100_644),
            ("LastModified", self.modified),
            ("Birth", self.modified),
            ("LastStatusChange", self.modified),
            ("UserID", 501),
            ("GroupID", 501),
            ("InodeNumber", 12345),
            ("ProtectionClass", 3),
            ("Flags", 0),
        ] {
            facts.insert(key.into(), value.into());
        }
        if let Some(size) = self.size {
            facts.insert("Size".into(), size.into());
        }
        if self.digest {
            facts.insert("Digest".into(), Value::Data(Sha1::digest(&self.content).to_vec()));
        }
        facts.insert("RelativePath".into(), uid(2));
        facts.insert("$class".into(), uid(3));
        let classes = ["MBFile", "NSObject"].map(Value::from).to_vec();
        let class = dictionary([("$classname", "MBFile".into()), ("$classes", Value::Array(classes))]);
        let objects = vec!["$null".into(), Value::Dictionary(facts), self.path.clone().into(), class];
        let archive = dictionary([
            ("$version", 100_000.into()),
            ("$archiver", "NSKeyedArchiver".into()),
            ("$top", dictionary([("root", uid(1))])),
            ("$objects", Value::Array(objects)),
        ]);
        let mut bytes = Vec::new();
        archive.to_writer_binary(&mut bytes).unwrap();
        bytes
    }
}

/// A backup in the making.
#[derive(Debug, Default)]
pub struct OddTree {
    files: Vec<OddFile>,
    /// A row that names nothing, of a kind that nobody knows.
    unknown_row: bool,
}

impl OddTree {
    /// With twenty ordinary pictures.
    pub fn new() -> Self {
        let mut tree = Self::default();
        let mut random = Random::new(7);
        for index in 0..20_u64 {
            let content: Vec<u8> = (0..3000 + index).map(|_| random.below(256) as u8).collect();
            tree.add("CameraRollDomain", &format!("Media/DCIM/100APPLE/IMG_{index:04}.JPG"), &content);
        }
        tree
    }

    /// One more file; what is odd about it may be changed.
    pub fn add(&mut self, domain: &str, path: &str, content: &[u8]) -> &mut OddFile {
        self.files.push(OddFile::new(domain, path, content));
        self.files.last_mut().unwrap()
    }

    /// A database that has grown while the phone copied it.
    pub fn stale(&mut self) {
        let mut content = b"SQLite format 3\0".to_vec();
        content.resize(12288, 7);
        self.add("HomeDomain", "Library/SMS/sms.db", &content).size = Some(8192);
    }

    /// Dates that no calendar has, and one before 1970.
    pub fn date(&mut self) {
        for (name, modified) in [("odd", 1_700_000_000_000_000), ("before", -1_700_000_000_000_000), ("old", -86_400)] {
            self.add("HomeDomain", &format!("Library/{name}.txt"), b"hello").modified = modified;
        }
    }

    /// A row whose blob can't be read.
    pub fn garbage(&mut self) {
        self.add("HomeDomain", "Library/g.txt", b"hello").garbage = true;
    }

    /// A row that tells no size.
    pub fn nosize(&mut self) {
        self.add("HomeDomain", "Library/n.txt", b"hello").size = None;
    }

    /// A decomposed name.
    pub fn nfd(&mut self) {
        self.add("AppDomain-com.x", &format!("Documents/{DECOMPOSED}"), b"hello");
    }

    /// A name with what some disks refuse.
    pub fn colon(&mut self) {
        self.add("AppDomain-com.x", "Documents/note 12:30?.txt", b"hello");
    }

    /// A row of an unknown kind.
    pub fn kind16(&mut self) {
        self.unknown_row = true;
    }

    /// All files.
    pub fn files(&self) -> &[OddFile] {
        &self.files
    }

    /// Where a file is stored below the root.
    pub fn payload(root: &Path, file: &OddFile) -> PathBuf {
        let id = file.file_id();
        root.join(UDID).join(&id[..2]).join(id)
    }

    /// Writes it below the root that holds the backups of all phones.
    pub fn write(&self, root: &Path) {
        let tree = root.join(UDID);
        fs::create_dir_all(&tree).unwrap();
        let manifest = tree.join("Manifest.db");
        let mut database = rusqlite::Connection::open(manifest).unwrap();
        let tables =
            "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
                      CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";
        database.execute_batch(tables).unwrap();
        let rows = database.transaction().unwrap();
        for file in &self.files {
            let path = Self::payload(root, file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &file.content).unwrap();
            let row = (file.file_id(), &file.domain, &file.path, 1, file.blob());
            rows.execute("INSERT INTO Files VALUES (?, ?, ?, ?, ?)", row).unwrap();
        }
        if self.unknown_row {
            let id = hex(&Sha1::digest("x"));
            rows.execute("INSERT INTO Files VALUES (?, NULL, NULL, 16, NULL)", [id]).unwrap();
        }
        rows.commit().unwrap();
        write_lists(&tree);
    }
}

fn write_lists(tree: &Path) {
    let now = || Value::Date(plist::Date::from_xml_format("2026-11-29T12:00:00Z").unwrap());
    let lockdown = dictionary([("DeviceName", "Anna".into()), ("UniqueDeviceID", UDID.into())]);
    let lists = [
        (
            "Manifest.plist",
            dictionary([
                ("IsEncrypted", false.into()),
                ("Version", "10.0".into()),
                ("Date", now()),
                ("SystemDomainsVersion", "24.0".into()),
                ("Lockdown", lockdown),
            ]),
        ),
        (
            "Status.plist",
            dictionary([
                ("IsFullBackup", true.into()),
                ("SnapshotState", "finished".into()),
                ("BackupState", "new".into()),
                ("Date", now()),
                ("UUID", "A".into()),
                ("Version", "3.3".into()),
            ]),
        ),
        (
            "Info.plist",
            dictionary([
                ("Device Name", "Anna".into()),
                ("Display Name", "Anna".into()),
                ("Last Backup Date", now()),
                ("Product Type", "iPhone15,2".into()),
                ("Product Version", "18.5".into()),
                ("Target Identifier", UDID.into()),
                ("Unique Identifier", UDID.to_uppercase().into()),
                ("GUID", "X".into()),
            ]),
        ),
    ];
    for (name, list) in lists {
        let path = tree.join(name);
        if name == "Info.plist" { list.to_file_xml(path) } else { list.to_file_binary(path) }.unwrap();
    }
}

fn dictionary<const COUNT: usize>(entries: [(&str, Value); COUNT]) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
