//! A phone that behaves as a record says: what a real one did somewhere can be had again here, for as long as it is
//! needed. What a record does not tell (names, contents) is made up; what the simulated phone has no switch for is listed.

mod record;

use std::time::Duration;

use self::record::OF_FILES;
pub use self::record::{Line, Record};
use super::{
    Fault, Interrupted, Mishap, Moment, Phone, Unreadable,
    dataset::{DataSetSpec, FileGroup, SizeRule},
};

/// More than any disk has: the phone asks for room.
const TOO_MUCH: u64 = 1 << 50;

/// The phone's own words at the end when it can't read files.
const FATAL: i64 = 104;

/// What a record makes of a phone.
#[derive(Debug)]
pub struct Replay {
    record: Record,
    batches: Vec<Batch>,
}

/// Files that went together.
#[derive(Debug, Default)]
struct Batch {
    /// Bytes of each file, in order.
    sizes: Vec<u64>,
    /// Files that could not be read: place in the batch, and how.
    unreadable: Vec<(usize, Unreadable)>,
}

impl Replay {
    /// Reads a record.
    ///
    /// # Errors
    /// When it is no record.
    pub fn new(text: &str) -> Result<Self, String> {
        let record = Record::parse(text)?;
        let batches = batches(&record);
        Ok(Self { record, batches })
    }

    /// Files as many and as large as they were, batch by batch.
    pub fn data(&self, seed: u64) -> DataSetSpec {
        let mut groups: Vec<FileGroup> = Vec::new();
        let mut last = None;
        for size in self.batches.iter().flat_map(|batch| &batch.sizes) {
            if last == Some(size)
                && let Some(group) = groups.last_mut()
            {
                group.count += 1;
            } else {
                let directory = format!("Media/{}/DCIM", groups.len());
                groups.push(FileGroup {
                    domain: "CameraRollDomain".into(),
                    directory,
                    count: 1,
                    size: SizeRule::Fixed(*size),
                });
            }
            last = Some(size);
        }
        DataSetSpec::of_groups(seed, groups)
    }

    /// Sets the switches; silences last `scale` times as long as they did. Returns what there is no switch for.
    pub fn apply(&self, phone: &Phone, scale: f64) -> Vec<String> {
        if let Some(version) = self.record.line('<', "DLMessageVersionExchange").and_then(|line| line.text("version")) {
            let mut numbers = version.split('.').map_while(|number| number.parse().ok());
            phone.set_device_link_version([numbers.next().unwrap_or(400), numbers.next().unwrap_or(0)]);
        }
        phone.set_batch_files(self.batches.iter().map(|batch| batch.sizes.len()).collect());
        phone.set_unreadable(self.unreadable());
        phone.set_odd_paths(self.odd_paths());
        if let Some(tree) = self.record.line('*', "tree") {
            phone.set_says_full(tree.text("full") == Some("true"));
            if tree.text("snapshot") == Some("true") {
                phone.set_interrupted(self.interrupted());
            }
        }
        if self.record.line('<', "DLMessagePurgeDiskSpace").is_some() {
            phone.set_fault(Some(Fault::SpaceNeeded { bytes: TOO_MUCH }));
        }
        self.end(phone);
        self.silences(phone, scale)
    }

    fn unreadable(&self) -> Vec<(usize, Unreadable)> {
        let mut all = Vec::new();
        let mut before = 0;
        for batch in &self.batches {
            all.extend(batch.unreadable.iter().map(|(place, manner)| (before + place, *manner)));
            before += batch.sizes.len();
        }
        all
    }

    /// Files of one batch that went elsewhere.
    fn odd_paths(&self) -> usize {
        let batches = self.record.lines.iter().filter(|line| is_of_files(line));
        let odd =
            batches.map(|line| line.counts("to").iter().filter(|(kind, _)| *kind != OF_FILES).map(|(_, n)| n).sum());
        odd.max().unwrap_or(0u64) as usize
    }

    fn interrupted(&self) -> Interrupted {
        for line in &self.record.lines {
            match line.name.as_str() {
                "batch" if is_of_files(line) => return Interrupted::Resumes,
                "DLMessageRemoveItems" if line.counts("kinds").contains_key("U/Snapshot") => {
                    return Interrupted::StartsOver;
                }
                "Response" if line.number("code") == Some(205) => return Interrupted::Refuses,
                _ => {}
            }
        }
        Interrupted::Resumes
    }

    /// The final answer, if it was an error, or the moment at which the cable came out.
    fn end(&self, phone: &Phone) {
        let has_cause = self.record.line('<', "DLMessagePurgeDiskSpace").is_some() || self.is_fatal();
        let answer = self.record.lines.iter().rfind(|line| line.is('<', "Response"));
        if let Some((answer, code)) = answer.and_then(|line| Some((line, line.number::<i64>("code")?)))
            && code != 0
            && !has_cause
        {
            let text = answer.text("text").unwrap_or_default().to_owned();
            phone.during_backups(self.moment_of(answer), Mishap::Error { code, text });
        }
        let bytes = self.record.line('*', "totals").and_then(|line| line.number("bytes"));
        let end = self.record.line('*', "end").and_then(|line| line.text("how"));
        if let (Some("link-lost"), Some(bytes)) = (end, bytes) {
            phone.set_fault(Some(Fault::UnplugAt { bytes }));
        }
    }

    /// Files that could not be read ended it.
    fn is_fatal(&self) -> bool {
        let answer = self.record.lines.iter().rfind(|line| line.is('<', "Response"));
        let read_all = self.batches.iter().all(|batch| batch.unreadable.is_empty());
        !read_all && answer.and_then(|line| line.number("code")) == Some(FATAL)
    }

    /// Lets the silences happen where they did; those in a moment of which the phone knows nothing are returned.
    fn silences(&self, phone: &Phone, scale: f64) -> Vec<String> {
        let mut unknown = Vec::new();
        for line in self.record.lines.iter().filter(|line| line.is('*', "silence")) {
            let for_time = Duration::from_secs_f64(line.number("seconds").unwrap_or(0.0) * scale);
            if line.text("after") == Some("nothing") || line.text("in-a-file") == Some("yes") {
                unknown.push(format!("{line:?}"));
                continue;
            }
            phone.during_backups(self.moment_of(line), Mishap::Silence { for_time });
        }
        unknown
    }

    /// The moment of a backup at which this line stands.
    fn moment_of(&self, line: &Line) -> Moment {
        let before = self.record.lines.iter().take_while(|other| !std::ptr::eq(*other, line));
        let (mut files, mut batches, mut index, mut manifest) = (0, 0, false, false);
        for other in before {
            match other.name.as_str() {
                "batch" if is_of_files(other) => {
                    files += self.batches.get(batches).map_or(0, |batch| batch.sizes.len());
                    batches += 1;
                }
                "batch" if other.counts("to").contains_key("U/Snapshot/Manifest.plist") => manifest = true,
                "fetched" => index |= other.counts("to").contains_key("U/Manifest.db"),
                "DLMessageGetFreeDiskSpace" => index = true,
                _ => {}
            }
        }
        match (line.number::<usize>("batch-files"), batches) {
            (Some(in_batch), _) => Moment::BeforeFile(files + in_batch),
            _ if manifest => Moment::BeforeMoves,
            (None, sent) if sent > 0 && sent == self.batches.len() => Moment::BeforeManifest,
            (None, sent) if sent > 0 => Moment::BetweenBatches(sent - 1),
            _ if index => Moment::AfterIndexDownload,
            _ => Moment::BeforeFiles,
        }
    }
}

/// True for a batch of the phone's files, rather than of what describes them.
fn is_of_files(line: &Line) -> bool {
    line.is('*', "batch") && line.counts("to").contains_key(OF_FILES)
}

fn batches(record: &Record) -> Vec<Batch> {
    let moved = |number: Option<&str>| find(record, "moved", number).and_then(|line| line.text("moved")) == Some("yes");
    // Where nothing was moved before it ended, the usual is taken.
    let listed =
        |number: Option<&str>| find(record, "row", number).is_none_or(|line| line.text("listed") == Some("yes"));
    let fatal = record.lines.iter().rfind(|line| line.is('<', "Response")).and_then(|line| line.number("code"));
    let (mut all, mut announced, mut unreadable) = (Vec::new(), None, Vec::new());
    for line in &record.lines {
        if line.is('<', "DLMessageUploadFiles") {
            (announced, unreadable) = (line.number::<u64>("bytes"), Vec::new());
        } else if line.is('*', "unreadable") {
            let manner = Unreadable {
                code: line.code().unwrap_or(0x0B),
                bytes_before: line.number("before").unwrap_or(0),
                moved: moved(line.text("number")),
                listed: listed(line.text("number")),
                fatal: fatal == Some(FATAL),
            };
            let place = line.number::<usize>("file").unwrap_or(1).saturating_sub(1);
            unreadable.push((place, manner));
        } else if line.is('*', "batch") && is_of_files(line) {
            all.push(batch(line, announced, std::mem::take(&mut unreadable)));
        }
    }
    all
}

fn find<'a>(record: &'a Record, name: &str, number: Option<&str>) -> Option<&'a Line> {
    record.lines.iter().find(|line| line.is('*', name) && line.text("unreadable") == number)
}

/// As many files as there were, the empty ones first, one of them the largest, the others alike.
fn batch(line: &Line, announced: Option<u64>, unreadable: Vec<(usize, Unreadable)>) -> Batch {
    let figure = |key| line.number::<u64>(key).unwrap_or(0);
    let before: u64 = unreadable.iter().map(|(_, manner)| manner.bytes_before).sum();
    let bytes = figure("bytes").saturating_sub(before);
    let files = line.counts("to").get(OF_FILES).copied().unwrap_or(0);
    let readable = files.saturating_sub(unreadable.len() as u64);
    let empty = figure("empty").min(readable);
    let mut sizes = vec![0; empty as usize];
    if readable > empty {
        let largest = figure("largest").min(bytes);
        sizes.push(largest);
        sizes.extend(spread(bytes - largest, readable - empty - 1));
    }
    // What was announced of them and did not come.
    let missing = announced.unwrap_or(0).saturating_sub(bytes + before);
    let mut rest = spread(missing, unreadable.len() as u64);
    for (place, manner) in &unreadable {
        let size = manner.bytes_before + rest.next().unwrap_or(0);
        sizes.insert((*place).min(sizes.len()), size);
    }
    Batch { sizes, unreadable }
}

/// So many bytes in so many files.
fn spread(bytes: u64, files: u64) -> impl Iterator<Item = u64> {
    let (each, more) = (bytes.checked_div(files).unwrap_or(0), bytes.checked_rem(files).unwrap_or(0));
    (0..files).map(move |file| each + u64::from(file < more))
}
