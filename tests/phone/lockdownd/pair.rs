//! Pairing: as a client asks for it, and as a test has it done in advance.

use std::io;

use plist::{Dictionary, Value};
use uuid::Uuid;

use super::{Dialog, Pairing, Refusal, certificates::HostIdentity};
use crate::phone::{Connection, Phone, usbmuxd::Usbmuxd};

/// `Pair`: the person is asked, and the escrow bag is the answer.
pub(super) fn pair(phone: &Phone, request: &Dictionary) -> Result<Dictionary, Refusal> {
    let record = record_of(request)?;
    if phone.connection() == Connection::Network {
        return Err("PairingProhibitedOverThisConnection");
    }
    if phone.is_locked() {
        return Err("PasswordProtected");
    }
    let mut trust = phone.trust();
    match trust.dialog {
        Dialog::Accepts => {}
        Dialog::Pending => return Err("PairingDialogResponsePending"),
        Dialog::Denied => return Err("UserDeniedPairing"),
    }
    let pairing = trust.accept(record).ok_or("InvalidPairRecord")?;
    Ok(Dictionary::from_iter([("EscrowBag", Value::Data(pairing.escrow_bag().to_vec()))]))
}

/// `ValidatePair`, which only phones before iOS 7 needed.
pub(super) fn validate(phone: &Phone, request: &Dictionary) -> Result<Dictionary, Refusal> {
    let host_id = host_id_of(request)?;
    phone.trust().pairing(host_id).map(|_| Dictionary::new()).ok_or("InvalidHostID")
}

/// `Unpair`.
pub(super) fn unpair(phone: &Phone, request: &Dictionary) -> Result<Dictionary, Refusal> {
    let host_id = host_id_of(request)?;
    if phone.trust().forget(host_id) { Ok(Dictionary::new()) } else { Err("InvalidHostID") }
}

fn record_of(request: &Dictionary) -> Result<&Dictionary, Refusal> {
    request.get("PairRecord").and_then(Value::as_dictionary).ok_or("MissingPairRecord")
}

fn host_id_of(request: &Dictionary) -> Result<&str, Refusal> {
    record_of(request)?.get("HostID").and_then(Value::as_string).ok_or("MissingHostID")
}

impl Phone {
    /// Pairs with the computer of this usbmuxd as if a person had done it before, and saves the record there.
    pub fn pair_with(&self, usbmuxd: &Usbmuxd) -> io::Result<()> {
        self.save_record(usbmuxd, |_| {})
    }

    /// As [`Self::pair_with`], by a program that did not keep the escrow bag: no service starts while the phone is
    /// locked.
    pub fn pair_without_escrow_bag(&self, usbmuxd: &Usbmuxd) -> io::Result<()> {
        self.save_record(usbmuxd, |record| drop(record.remove("EscrowBag")))
    }

    /// As [`Self::pair_with`], by a program that calls the computer by something else than a UUID.
    pub fn pair_with_host_id(&self, usbmuxd: &Usbmuxd, host_id: &str) -> io::Result<()> {
        save(usbmuxd, self, self.pair_record_of(usbmuxd.buid(), host_id))
    }

    fn save_record(&self, usbmuxd: &Usbmuxd, change: impl FnOnce(&mut Dictionary)) -> io::Result<()> {
        let record = self.pair_record(usbmuxd.buid()).map(|mut record| {
            change(&mut record);
            record
        });
        save(usbmuxd, self, record)
    }

    /// Trusts a new computer and gives the record that the computer keeps.
    pub fn pair_record(&self, system_buid: &str) -> Option<Dictionary> {
        self.pair_record_of(system_buid, &new_host_id())
    }

    fn pair_record_of(&self, system_buid: &str, host_id: &str) -> Option<Dictionary> {
        let mut trust = self.trust();
        let identity = HostIdentity::generate(trust.device_key())?;
        let mut record = self.record_of_identity(identity, system_buid, host_id);
        let escrow_bag = trust.accept(&record)?.escrow_bag().to_vec();
        record.insert("EscrowBag".into(), Value::Data(escrow_bag));
        Some(record)
    }

    /// A pairing with a computer that the phone has never seen.
    pub(crate) fn pairing_with_a_stranger(&self) -> Option<Pairing> {
        let trust = self.trust();
        let identity = HostIdentity::generate(trust.device_key())?;
        Pairing::new(&self.record_of_identity(identity, "", &new_host_id()), trust.device_key())
    }

    fn record_of_identity(&self, identity: HostIdentity, system_buid: &str, host_id: &str) -> Dictionary {
        Dictionary::from_iter([
            ("DeviceCertificate", Value::Data(identity.device_certificate)),
            ("HostCertificate", Value::Data(identity.host_certificate)),
            ("HostID", Value::from(host_id)),
            ("HostPrivateKey", Value::Data(identity.host_private_key)),
            ("RootCertificate", Value::Data(identity.root_certificate)),
            ("RootPrivateKey", Value::Data(identity.root_private_key)),
            ("SystemBUID", Value::from(system_buid)),
            ("WiFiMACAddress", Value::from(self.spec().wifi_mac.as_str())),
        ])
    }
}

fn new_host_id() -> String {
    Uuid::new_v4().to_string().to_uppercase()
}

fn save(usbmuxd: &Usbmuxd, phone: &Phone, record: Option<Dictionary>) -> io::Result<()> {
    let record = record.ok_or_else(|| io::Error::other("no pair record could be made"))?;
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &record).map_err(io::Error::other)?;
    usbmuxd.pair_records().save(phone.udid(), &bytes)
}
