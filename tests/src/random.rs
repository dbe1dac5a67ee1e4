//! Chance that can be repeated: each run draws the same lots unless `BACKSTAY_SEED` says otherwise, so that a change is
//! judged by itself and not by luck.

use std::time::{SystemTime, UNIX_EPOCH};

/// Any number.
const USUAL_SEED: u64 = 20_261_126;

/// The seed of this run, printed: `BACKSTAY_SEED`, which is a number, or `random` for one by the clock.
///
/// # Panics
///
/// When it is neither.
pub fn seed() -> u64 {
    let seed = match std::env::var("BACKSTAY_SEED").as_deref() {
        Err(_) => USUAL_SEED,
        Ok("random") => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_secs() << 10 | u64::from(now.subsec_millis())
        }
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("BACKSTAY_SEED={text} is no number")),
    };
    println!("BACKSTAY_SEED={seed}");
    seed
}

/// A stream of numbers that follows from its seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Different seeds, however close, give different streams.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
