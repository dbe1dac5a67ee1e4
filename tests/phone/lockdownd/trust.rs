//! Whom the phone trusts.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use rustls::ServerConfig;
use x509_cert::{Certificate, der::Encode};

use super::certificates::{HostIdentity, RsaKey, certificate_from_record};
use crate::phone::tls;

/// What the person answers to "Trust This Computer?".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialog {
    /// Taps Trust.
    #[default]
    Accepts,
    /// Has not answered yet: `PairingDialogResponsePending`.
    Pending,
    /// Taps Don't Trust: `UserDeniedPairing`.
    Denied,
}

/// What an impostor shows in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// The phone's certificate.
    Stolen,
    /// One of its own.
    Own,
}

/// Keys, pairings and the person's answer to the trust dialog.
pub struct Trust {
    /// What the person answers; tests change it at will.
    pub dialog: Dialog,
    device_key: OnceLock<RsaKey>,
    pairings: HashMap<String, Arc<Pairing>>,
}

impl Trust {
    /// A phone that trusts nobody; its key is made when first needed.
    pub fn new() -> Self {
        Self { dialog: Dialog::default(), device_key: OnceLock::new(), pairings: HashMap::new() }
    }

    /// The phone's own key, whose public half is `DevicePublicKey`.
    pub(crate) fn device_key(&self) -> &RsaKey {
        self.device_key.get_or_init(RsaKey::generate)
    }

    /// The pairing of this computer.
    pub fn pairing(&self, host_id: &str) -> Option<Arc<Pairing>> {
        self.pairings.get(host_id).cloned()
    }

    /// `HostID`s of every trusted computer.
    pub fn host_ids(&self) -> Vec<String> {
        self.pairings.keys().cloned().collect()
    }

    /// Somebody else in the place of the phone of this record: takes the computer, and does not have the phone's key.
    /// Shows the phone's certificate, which anybody may have seen, or one of its own.
    pub fn impersonate(&mut self, record: &plist::Dictionary, shown: Shown) -> Option<()> {
        let certificate = |key: &str| certificate_from_record(record.get(key)?.as_data()?);
        let key = RsaKey::generate();
        let device = match shown {
            Shown::Stolen => certificate("DeviceCertificate")?,
            Shown::Own => certificate_from_record(&HostIdentity::generate(&key)?.device_certificate)?,
        };
        let (root, host) = (certificate("RootCertificate")?, certificate("HostCertificate")?);
        let host_id = record.get("HostID")?.as_string()?.to_owned();
        let tls = tls::server_config(&root, &host, device.to_der().ok()?, key.pkcs8().to_vec()).ok()?;
        let pairing = Pairing { host_id: host_id.clone(), escrow_bag: Vec::new(), tls };
        self.pairings.insert(host_id, Arc::new(pairing));
        Some(())
    }

    /// Forgets one computer; false if it was not known.
    pub fn forget(&mut self, host_id: &str) -> bool {
        self.pairings.remove(host_id).is_some()
    }

    /// Settings > General > Transfer or Reset > Reset Location & Privacy: no computer is trusted any more.
    pub fn forget_all(&mut self) {
        self.pairings.clear();
    }

    /// Trusts the computer of this pair record. None if the record is no good.
    pub(crate) fn accept(&mut self, record: &plist::Dictionary) -> Option<Arc<Pairing>> {
        let pairing = Arc::new(Pairing::new(record, self.device_key())?);
        self.pairings.insert(pairing.host_id.clone(), pairing.clone());
        Some(pairing)
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::new()
    }
}

/// One trusted computer.
pub struct Pairing {
    host_id: String,
    escrow_bag: Vec<u8>,
    tls: Arc<ServerConfig>,
}

impl Pairing {
    pub(super) fn new(record: &plist::Dictionary, device_key: &RsaKey) -> Option<Self> {
        let certificate = |key: &str| certificate_from_record(record.get(key)?.as_data()?);
        let root = certificate("RootCertificate")?;
        let device: Certificate = certificate("DeviceCertificate")?;
        let host = certificate("HostCertificate")?;
        if device.tbs_certificate.subject_public_key_info != device_key.public_key_info()? {
            return None;
        }
        let mut escrow_bag = vec![0; 32];
        aws_lc_rs::rand::fill(&mut escrow_bag).ok()?;
        Some(Self {
            host_id: record.get("HostID")?.as_string()?.to_owned(),
            escrow_bag,
            tls: tls::server_config(&root, &host, device.to_der().ok()?, device_key.pkcs8().to_vec()).ok()?,
        })
    }

    /// `HostID`.
    pub fn host_id(&self) -> &str {
        &self.host_id
    }

    /// `EscrowBag`, with which this computer may start services while the phone is locked.
    pub fn escrow_bag(&self) -> &[u8] {
        &self.escrow_bag
    }

    pub(crate) fn tls(&self) -> &Arc<ServerConfig> {
        &self.tls
    }
}
