//! What a phone tells about itself.

use backstay_shared::{health::Failure, ids::Udid};
use idevice::lockdown::LockdownClient;
use plist::{Dictionary, Value};

use super::link::{Attached, Muxer, Session, within};
use crate::vault::receipt::Receipt;

/// lockdownd's values, read once at the beginning of a run.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The phone.
    pub udid: Udid,
    /// `DeviceName`
    pub name: String,
    /// `ProductType`, for example `iPhone15,2`.
    pub model: String,
    /// `ProductVersion`
    pub ios: String,
    values: Dictionary,
}

/// Longest text that is taken from the phone for showing.
const TEXT_LENGTH_MAX: usize = 200;

impl Facts {
    /// Reads them.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn read(session: &mut Session, udid: &Udid) -> Result<Self, Failure> {
        let values = session.value(None, None).await?.and_then(Value::into_dictionary).unwrap_or_default();
        let text = |key: &str| showable(values.get(key).and_then(Value::as_string).unwrap_or_default());
        let name = Some(text("DeviceName")).filter(|name| !name.is_empty()).unwrap_or_else(|| udid.to_string());
        Ok(Self { udid: udid.clone(), name, model: text("ProductType"), ios: text("ProductVersion"), values })
    }

    /// True when the phone encrypts what it sends; it is a setting of the phone, not of this computer.
    ///
    /// # Errors
    /// When the phone does not answer.
    pub async fn encrypts_backups(&self, session: &mut Session) -> Result<bool, Failure> {
        let value = session.value(Some("com.apple.mobile.backup"), Some("WillEncrypt")).await?;
        Ok(value.and_then(|value| value.as_boolean()).unwrap_or(false))
    }

    /// A phone with this iOS, for tests.
    #[cfg(test)]
    pub fn sample(ios: &str) -> Self {
        let udid: Udid = "00008120-001A2D3E0C40201E".parse().unwrap();
        Self { name: "Anna".into(), model: "iPhone15,2".into(), ios: ios.into(), values: Dictionary::new(), udid }
    }

    /// BLAKE3 of `DevicePublicKey`, the half of the key that lockdownd keeps on the data volume: an erased phone has
    /// another one.
    pub fn device_key(&self) -> Option<String> {
        let key = self.values.get("DevicePublicKey")?.as_data()?;
        Some(blake3::hash(key).to_hex().to_string())
    }

    /// One of lockdownd's values.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }
}

/// A text of the phone, fit for a terminal and a menu.
fn showable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(TEXT_LENGTH_MAX).collect()
}

/// What a phone is called, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// `DeviceName`
    pub name: Option<String>,
    /// `ProductType`
    pub model: Option<String>,
    /// `ProductVersion`
    pub ios: Option<String>,
}

impl Introduction {
    /// Takes what is newly told; what a phone does not tell stays as it was.
    pub fn learn(&mut self, newer: Self) {
        let told = |newer: Option<String>, known: &mut Option<String>| {
            if let Some(newer) = newer.filter(|newer| !newer.is_empty()) {
                *known = Some(newer);
            }
        };
        told(newer.name, &mut self.name);
        told(newer.model, &mut self.model);
        told(newer.ios, &mut self.ios);
    }
}

impl From<&Facts> for Introduction {
    fn from(facts: &Facts) -> Self {
        // The UDID stands for a name that was not told.
        let name = Some(facts.name.clone()).filter(|name| name != facts.udid.as_str());
        Self { name, model: Some(facts.model.clone()), ios: Some(facts.ios.clone()) }
    }
}

impl From<&Receipt> for Introduction {
    fn from(receipt: &Receipt) -> Self {
        let (name, model, ios) = (&receipt.phone_name, &receipt.model, &receipt.ios);
        Self { name: Some(name.clone()), model: Some(model.clone()), ios: Some(ios.clone()) }
    }
}

/// Asks a phone what it is called. Over usbmuxd this needs no trust; straight over a network only the paired phone is
/// believed.
///
/// # Errors
/// When it does not answer.
pub async fn introduce(muxer: &Muxer, attached: &Attached) -> Result<Introduction, Failure> {
    if !attached.is_muxed() {
        let mut session = Session::open_plainly(muxer, attached).await?;
        return Ok(Introduction::from(&Facts::read(&mut session, &attached.udid).await?));
    }
    let socket = muxer.port(attached, LockdownClient::LOCKDOWND_PORT).await?;
    let mut lockdown = LockdownClient::new(socket);
    let mut ask = async |key| {
        let value = within("asking for the phone's name", lockdown.get_value(Some(key), None)).await?;
        Ok::<_, Failure>(value.as_string().map(showable))
    };
    Ok(Introduction {
        name: ask("DeviceName").await?,
        model: ask("ProductType").await?,
        ios: ask("ProductVersion").await?,
    })
}
