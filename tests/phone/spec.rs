//! What kind of phone is simulated.

use super::dataset::DataSetSpec;

/// How often a backup password is hashed until it is a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDerivation {
    /// `DPIC`, the first time.
    pub sha256_iterations: u32,
    /// `ITER`, the second time.
    pub sha1_iterations: u32,
}

impl KeyDerivation {
    /// As on a real phone: some seconds for each guess.
    pub const REAL: Self = Self { sha256_iterations: 10_000_000, sha1_iterations: 10_000 };
    /// As tests want it.
    pub const QUICK: Self = Self { sha256_iterations: 1000, sha1_iterations: 10 };
}

/// The fixed facts of one simulated phone.
#[derive(Debug, Clone)]
pub struct PhoneSpec {
    /// 40 hex digits, or 8-16 digits with a dash as since iPhone XS.
    pub udid: String,
    /// Settings > General > About > Name.
    pub name: String,
    /// For example `iPhone15,2`.
    pub product_type: String,
    /// For example `18.5`.
    pub product_version: String,
    /// For example `22F76`.
    pub build_version: String,
    /// `SerialNumber`.
    pub serial: String,
    /// `WiFiAddress`.
    pub wifi_mac: String,
    /// Bytes of the phone's own storage.
    pub total_data_capacity: u64,
    /// Percent.
    pub battery_percent: u8,
    /// True while on power.
    pub battery_charging: bool,
    /// What a new backup password costs.
    pub key_derivation: KeyDerivation,
    /// What is on it.
    pub data: DataSetSpec,
}

impl PhoneSpec {
    /// A phone whose every identifier follows from `seed`.
    pub fn numbered(seed: u64, data: DataSetSpec) -> Self {
        let tail = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            udid: format!("00008120-{:016X}", tail),
            name: format!("iPhone {seed}"),
            product_type: "iPhone15,2".into(),
            product_version: "18.5".into(),
            build_version: "22F76".into(),
            serial: format!("F2L{:09X}", tail >> 28),
            wifi_mac: format!("02:00:00:00:{:02x}:{:02x}", (seed >> 8) as u8, seed as u8),
            total_data_capacity: 128_000_000_000,
            battery_percent: 80,
            battery_charging: true,
            key_derivation: KeyDerivation::QUICK,
            data,
        }
    }
}
