//! What is backed up.

use backstay_tests::phone::{
    PhoneSpec,
    dataset::{DataSetSpec, FileGroup, SizeRule},
};

/// Every identifier and all content follow from it.
const SEED: u64 = 1;

/// Files of one size on the phone.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Files {
    #[arg(long)]
    pub count: usize,
    #[arg(long)]
    pub size: u64,
}

/// The big files and the small ones, for figures that count and for a smoke run.
pub const FULL: (Files, Files) = (Files { count: 8, size: 256 << 20 }, Files { count: 50_000, size: 8 << 10 });
pub const QUICK: (Files, Files) = (Files { count: 8, size: 8 << 20 }, Files { count: 2_000, size: 8 << 10 });

impl Files {
    pub fn bytes(self) -> u64 {
        self.count as u64 * self.size
    }

    /// The phone that holds them; the same one wherever it is asked for. Large files are videos in the camera roll, as on
    /// real phones, where the list has no digest of them; small ones have one.
    pub fn phone(self) -> PhoneSpec {
        let small = DataSetSpec::uniform(SEED, self.count, self.size);
        let data = match self.size {
            0..1_048_576 => small,
            _ => DataSetSpec::of_groups(
                SEED,
                vec![FileGroup {
                    domain: "CameraRollDomain".into(),
                    directory: "Media/DCIM".into(),
                    count: self.count,
                    size: SizeRule::Fixed(self.size),
                }],
            ),
        };
        PhoneSpec::numbered(SEED, data)
    }
}

/// What a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Big,
    Small,
    Unchanged,
}

/// A case: the kind and what it is done with.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub kind: Kind,
    pub files: Files,
}

impl Case {
    pub fn title(self) -> String {
        let Files { count, size } = self.files;
        match self.kind {
            Kind::Big => format!("{} in {count} files, full", binary(self.files.bytes())),
            Kind::Small => format!("{} files of {}, full", thousands(count), binary(size)),
            Kind::Unchanged => format!("{} files of {}, nothing changed", thousands(count), binary(size)),
        }
    }

    /// How much of what is done in a second.
    pub fn rate(self, seconds: f64) -> String {
        match self.kind {
            Kind::Big => format!("{:.0} MB/s", self.files.bytes() as f64 / 1e6 / seconds),
            Kind::Small | Kind::Unchanged => {
                format!("{} files/s", thousands((self.files.count as f64 / seconds) as usize))
            }
        }
    }
}

fn binary(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn thousands(number: usize) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", thousands(number / 1000), number % 1000) }
}
