//! Trust: the certificates by which a phone and this computer know each other.
//!
//! A pair record as usbmuxd and Apple's software make it holds a root certificate and, signed by it, one certificate
//! for the computer and one for the phone. (`idevice` presents the root itself as the computer's certificate, which
//! strict peers refuse.) Which extensions they have is what phones have long taken from other programs: `common/userpref.c`
//! of libimobiledevice and `ca.py` of pymobiledevice3 agree on them.

use std::time::Duration;

use backstay_shared::health::{Failure, FailureId};
use idevice::lockdown::LockdownClient;
use plist::{Dictionary, Value};
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1::DecodeRsaPublicKey,
    pkcs1v15::SigningKey,
    pkcs8::{EncodePrivateKey, LineEnding},
    rand_core::OsRng,
};
use sha2::Sha256;
use uuid::Uuid;
use x509_cert::{
    builder::{self, Builder, CertificateBuilder, Profile},
    der::{EncodePem, referenced::OwnedToRef},
    ext::pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    name::Name,
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::Validity,
};

use super::link::{Attached, Muxer, Session, exchange, within};
use crate::health::codes;

const KEY_BITS: usize = 2048;
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A record in the making: what goes to the phone, and the keys that stay here.
#[derive(Debug)]
pub struct Candidate {
    record: Dictionary,
    host_key: Vec<u8>,
    root_key: Vec<u8>,
}

fn broken(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::from(FailureId::SecureConnectionFailed).doing("making a pair record").text(format!("{what}: {error}"))
}

impl Candidate {
    /// Makes keys and certificates for this phone. Takes a second or two of computing.
    ///
    /// # Errors
    /// When the phone's public key is none.
    fn new(device_public_key: &[u8], wifi_mac: Option<Value>, system_buid: &str) -> Result<Self, Failure> {
        let text = std::str::from_utf8(device_public_key).map_err(|error| broken("the phone's key", error))?;
        let device_key = RsaPublicKey::from_pkcs1_pem(text).map_err(|error| broken("the phone's key", error))?;
        let generate = || RsaPrivateKey::new(&mut OsRng, KEY_BITS).map_err(|error| broken("a key", error));
        let (root_key, host_key) = (generate()?, generate()?);
        let certificate =
            |key: &RsaPublicKey, of| sign(&root_key, key, of).map_err(|error| broken("a certificate", error));
        let root_certificate = certificate(&root_key.to_public_key(), Of::Root)?;
        let host_certificate = certificate(&host_key.to_public_key(), Of::Computer)?;
        let device_certificate = certificate(&device_key, Of::Phone)?;
        let pem = |key: &RsaPrivateKey| {
            let text = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| broken("a key", error))?;
            Ok::<_, Failure>(text.as_bytes().to_vec())
        };
        let mut record = Dictionary::new();
        record.insert("DeviceCertificate".into(), Value::Data(device_certificate));
        record.insert("HostCertificate".into(), Value::Data(host_certificate));
        record.insert("RootCertificate".into(), Value::Data(root_certificate));
        record.insert("HostID".into(), Uuid::new_v4().to_string().to_uppercase().into());
        record.insert("SystemBUID".into(), system_buid.into());
        if let Some(mac) = wifi_mac {
            record.insert("WiFiMACAddress".into(), mac);
        }
        Ok(Self { record, host_key: pem(&host_key)?, root_key: pem(&root_key)? })
    }

    /// The record as it is kept, once the phone has agreed.
    fn into_record(self, escrow_bag: Option<Value>) -> Result<Vec<u8>, Failure> {
        let mut record = self.record;
        record.insert("HostPrivateKey".into(), Value::Data(self.host_key));
        record.insert("RootPrivateKey".into(), Value::Data(self.root_key));
        if let Some(bag) = escrow_bag {
            record.insert("EscrowBag".into(), bag);
        }
        let mut bytes = Vec::new();
        plist::to_writer_xml(&mut bytes, &record).map_err(|error| broken("the record", error))?;
        Ok(bytes)
    }
}

/// Whose certificate it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Root,
    Computer,
    Phone,
}

/// Makes one without any name; the root signs all three. Only the phone's says which key it is of, as in the records of
/// other programs.
fn sign(root_key: &RsaPrivateKey, subject: &RsaPublicKey, of: Of) -> Result<Vec<u8>, builder::Error> {
    let signer = SigningKey::<Sha256>::new(root_key.clone());
    let key = SubjectPublicKeyInfoOwned::from_key(subject.clone())?;
    let identifier = SubjectKeyIdentifier::try_from(key.owned_to_ref())?;
    let (serial, validity) = (SerialNumber::from(0_u8), Validity::from_now(VALIDITY)?);
    let mut made =
        CertificateBuilder::new(Profile::Manual { issuer: None }, serial, validity, Name::default(), key, &signer)?;
    made.add_extension(&BasicConstraints { ca: of == Of::Root, path_len_constraint: None })?;
    if of == Of::Phone {
        made.add_extension(&identifier)?;
    }
    if of != Of::Root {
        made.add_extension(&KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment))?;
    }
    let certificate = made.build::<rsa::pkcs1v15::Signature>()?;
    Ok(certificate.to_pem(LineEnding::LF)?.into_bytes())
}

/// A pairing under way: the phone shows its Trust dialog until a person answers.
#[derive(Debug)]
pub struct Pairing {
    muxer: Muxer,
    attached: Attached,
    candidate: Candidate,
}

impl Pairing {
    /// Prepares the record. Nothing is shown on the phone yet.
    ///
    /// # Errors
    /// When the phone can't be reached.
    pub async fn prepare(muxer: &Muxer, attached: &Attached) -> Result<Self, Failure> {
        let system_buid = muxer.system_buid().await?;
        let socket = muxer.port(attached, LockdownClient::LOCKDOWND_PORT).await?;
        let mut lockdown = LockdownClient::new(socket);
        let key = within("reading the phone's key", lockdown.get_value(Some("DevicePublicKey"), None)).await?;
        let key = key.into_data().ok_or_else(|| broken("the phone's key", "is none"))?;
        let mac = within("reading the Wi-Fi address", lockdown.get_value(Some("WiFiAddress"), None)).await.ok();
        let made = tokio::task::spawn_blocking(move || Candidate::new(&key, mac, &system_buid)).await;
        let candidate = made.map_err(|error| broken("the record", error))??;
        Ok(Self { muxer: muxer.clone(), attached: attached.clone(), candidate })
    }

    /// Asks the phone once; the first time it shows the Trust dialog.
    ///
    /// # Errors
    /// `trust-pending` until a person has answered; then `trust-denied`, or the pairing was saved.
    pub async fn ask(self) -> Result<(), (Failure, Option<Self>)> {
        match self.request().await {
            Ok(escrow_bag) => {
                let Self { muxer, attached, candidate } = self;
                let save = async {
                    let record = candidate.into_record(escrow_bag)?;
                    muxer.save_pair_record(&attached.udid, record).await
                };
                save.await.map_err(|failure| (failure, None))
            }
            Err(failure) if matches!(failure.id, FailureId::TrustPending | FailureId::DeviceLocked) => {
                Err((failure, Some(self)))
            }
            Err(failure) => Err((failure, None)),
        }
    }

    /// Sends `Pair`; `idevice` has no way to send a record of ours.
    async fn request(&self) -> Result<Option<Value>, Failure> {
        let mut options = Dictionary::new();
        options.insert("ExtendedPairingErrors".into(), true.into());
        let mut request = Dictionary::new();
        request.insert("Label".into(), "backstay".into());
        request.insert("Request".into(), "Pair".into());
        request.insert("ProtocolVersion".into(), "2".into());
        request.insert("PairRecord".into(), self.candidate.record.clone().into());
        request.insert("PairingOptions".into(), options.into());
        let socket = self.muxer.port(&self.attached, LockdownClient::LOCKDOWND_PORT).await?;
        let socket = socket.get_socket();
        let mut socket = socket.ok_or_else(|| Failure::from(FailureId::SessionLost).text("no socket"))?;
        let answer = within("asking for trust", exchange(&mut socket, &request)).await?;
        match answer.get("Error").and_then(Value::as_string) {
            None => Ok(answer.get("EscrowBag").cloned()),
            Some(error) => {
                let failure = Failure::from(codes::lockdown_error(error)).text(error).doing("asking for trust");
                Err(failure)
            }
        }
    }
}

/// True when this computer has a pair record that the phone accepts. A phone that does not say (it is locked, or just
/// going) counts as trusting: a run will tell.
///
/// # Errors
/// When usbmuxd can't be asked.
pub async fn is_trusted(muxer: &Muxer, attached: &Attached) -> Result<bool, Failure> {
    if muxer.pair_record(attached).await?.is_none() {
        return Ok(false);
    }
    match Session::open(muxer, attached).await {
        Ok(session) => {
            session.close().await;
            Ok(true)
        }
        // "Reset Location & Privacy" on the phone makes it forget every computer.
        Err(failure) => Ok(!matches!(failure.id, FailureId::PairingLost | FailureId::TrustPending)),
    }
}

/// Asks for trust until a person has answered on the phone. `pending` is called once, when the dialog is up.
///
/// # Errors
/// When the person refused, the phone went away, or the record could not be kept.
pub async fn pair(muxer: &Muxer, attached: &Attached, pending: impl FnOnce(&Failure)) -> Result<(), Failure> {
    // A phone refuses it, and a stranger in the network would not.
    if !attached.is_muxed() {
        return Err(FailureId::PairingNeedsCable.into());
    }
    let mut pairing = Pairing::prepare(muxer, attached).await?;
    let (mut pending, mut asked) = (Some(pending), 0_u32);
    loop {
        match pairing.ask().await {
            Ok(()) => return Ok(()),
            Err((failure, Some(again))) => {
                if let Some(tell) = pending.take() {
                    tell(&failure);
                }
                pairing = again;
                // lockdownd has no event for the answer. Somebody who is there answers within the first minutes.
                asked += 1;
                tokio::time::sleep(Duration::from_secs(if asked < 120 { 1 } else { 15 })).await;
            }
            Err((failure, None)) => return Err(failure),
        }
    }
}
