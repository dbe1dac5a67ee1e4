//! lockdownd as the idevice crate and a bare client see it.

use std::sync::Arc;

use idevice::{IdeviceError, IdeviceService, lockdown::LockdownClient, provider::IdeviceProvider};
use plist::{Dictionary, Value};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::UnixStream;

use x509_cert::{
    der::{EncodePem, pem::LineEnding},
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages},
    },
};

use super::{
    Dialog,
    certificates::{RsaKey, certify, extension},
};
use crate::phone::services::{plist_stream, tests::Bench};

fn request(name: &str, more: &[(&str, &str)]) -> Value {
    Value::Dictionary([("Request", name)].into_iter().chain(more.iter().copied()).collect())
}

async fn ask<S: crate::phone::Stream>(stream: &mut S, request: Value) -> Dictionary {
    plist_stream::write(stream, &request).await.unwrap();
    plist_stream::read_dictionary(stream).await.unwrap().unwrap()
}

fn text<'a>(reply: &'a Dictionary, key: &str) -> Option<&'a str> {
    reply.get(key).and_then(Value::as_string)
}

#[tokio::test]
async fn a_stranger_sees_little() {
    let bench = Bench::new().await;
    let mut lockdown = LockdownClient::connect(&bench.provider().await).await.unwrap();
    let name = lockdown.get_value(Some("DeviceName"), None).await.unwrap();
    assert_eq!(name.as_string(), Some("iPhone 7"));
    for (key, domain) in [(Some("SerialNumber"), None), (None, Some("com.apple.disk_usage"))] {
        let refused = lockdown.get_value(key, domain).await.unwrap_err();
        assert!(matches!(refused, IdeviceError::GetProhibited), "{refused:?}");
    }
    let pairing = bench.provider().await.get_pairing_file().await.unwrap();
    lockdown.start_session(&pairing).await.unwrap();
    assert!(lockdown.get_value(Some("SerialNumber"), None).await.is_ok());
    lockdown.set_value("DeviceName", "Renamed".into(), None).await.unwrap();
    assert_eq!(bench.phone.name(), "Renamed");
    let wireless = Some("com.apple.mobile.wireless_lockdown");
    lockdown.set_value("EnableWifiConnections", true.into(), wireless).await.unwrap();
    let enabled = lockdown.get_value(Some("EnableWifiConnections"), wireless).await.unwrap();
    assert_eq!(enabled.as_boolean(), Some(true));
    lockdown.remove_value("EnableWifiConnections", wireless).await.unwrap();
    assert!(lockdown.get_value(Some("EnableWifiConnections"), wireless).await.is_err());
}

#[tokio::test]
async fn pairing_waits_for_the_person() {
    let bench = Bench::new().await;
    let provider = bench.provider().await;
    let mut lockdown = LockdownClient::connect(&provider).await.unwrap();
    for (dialog, refusal) in [(Dialog::Pending, "PairingDialogResponsePending"), (Dialog::Denied, "UserDeniedPairing")]
    {
        bench.phone.trust().dialog = dialog;
        let refused = lockdown.pair_once("HOST", "BUID", None).await.unwrap_err();
        assert!(format!("{refused:?}").contains(refusal), "{refused:?}");
    }
    bench.phone.trust().dialog = Dialog::Accepts;
    let pairing = lockdown.pair_once("HOST", "BUID", None).await.unwrap();
    assert!(pairing.escrow_bag.is_some());
    let refused = lockdown.start_session(&pairing).await;
    let then = lockdown.get_value(Some("SerialNumber"), None).await;
    assert!(refused.is_err() || then.is_err(), "idevice shows a CA certificate with the root's key as its own");
}

#[tokio::test]
async fn a_forgotten_computer_has_no_session() {
    let bench = Bench::new().await;
    let provider = bench.provider().await;
    let pairing = provider.get_pairing_file().await.unwrap();
    bench.phone.trust().forget_all();
    let mut lockdown = LockdownClient::connect(&provider).await.unwrap();
    let refused = lockdown.start_session(&pairing).await.unwrap_err();
    assert!(matches!(refused, IdeviceError::InvalidHostID), "{refused:?}");
}

/// Pairs with leaves of these extensions and the others as they should be; true if a session opens.
async fn opens_with(bench: &Bench, changed: &str, extensions: Vec<Extension>) -> bool {
    let mut record = bench.phone.pair_record("BUID").unwrap();
    let (root, host) = (RsaKey::generate(), RsaKey::generate());
    let constraints = |ca| extension(&BasicConstraints { ca, path_len_constraint: None }).unwrap();
    let usage = extension(&KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment)).unwrap();
    let (right, as_root) = (vec![constraints(false), usage], vec![constraints(true)]);
    for (name, right) in
        [("RootCertificate", as_root), ("HostCertificate", right.clone()), ("DeviceCertificate", right)]
    {
        let extensions = if name == changed { extensions.clone() } else { right };
        let trust = bench.phone.trust();
        let subject = match name {
            "RootCertificate" => &root,
            "HostCertificate" => &host,
            _ => trust.device_key(),
        };
        let certificate = certify(subject, &root, extensions).unwrap().to_pem(LineEnding::LF).unwrap();
        record.insert(name.into(), Value::Data(certificate.into_bytes()));
    }
    record.insert("HostPrivateKey".into(), Value::Data(host.private_pem().unwrap()));
    bench.phone.trust().accept(&record).unwrap();
    let mut bytes = Vec::new();
    plist::to_writer_xml(&mut bytes, &record).unwrap();
    bench.usbmuxd.pair_records().save(bench.phone.udid(), &bytes).unwrap();
    let pairing = bench.provider().await.get_pairing_file().await.unwrap();
    let mut lockdown = LockdownClient::connect(&bench.provider().await).await.unwrap();
    lockdown.start_session(&pairing).await.is_ok() && lockdown.get_value(Some("SerialNumber"), None).await.is_ok()
}

#[tokio::test]
async fn certificates_of_another_shape_open_no_session() {
    let bench = Bench::new().await;
    let loose = |mut extension: Extension| {
        extension.critical = false;
        extension
    };
    let constraints = |ca| extension(&BasicConstraints { ca, path_len_constraint: None }).unwrap();
    let usage = |usages| extension(&KeyUsage(usages)).unwrap();
    let both = || usage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment);
    for leaf in ["HostCertificate", "DeviceCertificate"] {
        assert!(opens_with(&bench, leaf, vec![constraints(false), both()]).await, "{leaf}");
        for (what, extensions) in [
            ("none", vec![]),
            ("no constraints", vec![both()]),
            ("constraints not critical", vec![loose(constraints(false)), both()]),
            ("a CA", vec![constraints(true), both()]),
            ("no usage", vec![constraints(false)]),
            ("usage not critical", vec![constraints(false), loose(both())]),
            ("one usage", vec![constraints(false), usage(KeyUsages::DigitalSignature.into())]),
            ("the other usage", vec![constraints(false), usage(KeyUsages::KeyEncipherment.into())]),
        ] {
            assert!(!opens_with(&bench, leaf, extensions).await, "{leaf}: {what}");
        }
    }
    assert!(!opens_with(&bench, "RootCertificate", vec![]).await);
    assert!(!opens_with(&bench, "RootCertificate", vec![loose(constraints(true))]).await);
}

#[tokio::test]
async fn the_wireless_domain_tells_all_that_a_phone_does() {
    let bench = Bench::new().await;
    let provider = bench.provider().await;
    let mut lockdown = LockdownClient::connect(&provider).await.unwrap();
    lockdown.start_session(&provider.get_pairing_file().await.unwrap()).await.unwrap();
    let told = lockdown.get_value(None, Some("com.apple.mobile.wireless_lockdown")).await.unwrap();
    let told = told.into_dictionary().unwrap();
    for key in ["EnableWifiConnections", "EnableWifiDebugging", "SupportsWifi", "SupportsWifiSyncing"] {
        assert!(told.get(key).and_then(Value::as_boolean).is_some(), "{key}: {told:?}");
    }
    let full = text(&told, "BonjourFullServiceName").unwrap();
    assert!(full.starts_with(text(&told, "InstanceName").unwrap()) && full.ends_with("._tcp.local."), "{told:?}");
}

#[tokio::test]
async fn plain_text_follows_a_session() {
    let bench = Bench::new().await;
    let (mut near, far) = UnixStream::pair().unwrap();
    let phone = bench.phone.clone();
    let served = tokio::spawn(async move { super::serve(&phone, far).await });
    let record: Dictionary =
        plist::from_bytes(&bench.usbmuxd.pair_records().read(bench.phone.udid()).unwrap()).unwrap();
    for _ in 0..2 {
        let started = ask(&mut near, request("StartSession", &[("HostID", text(&record, "HostID").unwrap())])).await;
        let session = text(&started, "SessionID").unwrap();
        let name = ServerName::try_from("phone").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(client_config(&record)));
        let mut tls = connector.connect(name, near).await.unwrap();
        assert!(ask(&mut tls, request("GetValue", &[("Key", "SerialNumber")])).await.contains_key("Value"));
        let wrong = ask(&mut tls, request("StopSession", &[("SessionID", "other")])).await;
        assert_eq!(text(&wrong, "Error"), Some("InvalidSessionID"));
        let stopped = ask(&mut tls, request("StopSession", &[("SessionID", session)])).await;
        assert!(!stopped.contains_key("Error"));
        near = close(tls).await;
        let refused = ask(&mut near, request("GetValue", &[("Key", "SerialNumber")])).await;
        assert_eq!(text(&refused, "Error"), Some("GetProhibited"));
    }
    drop(near);
    served.await.unwrap().unwrap();
}

/// Ends TLS on both sides and keeps the stream.
async fn close(tls: tokio_rustls::client::TlsStream<UnixStream>) -> UnixStream {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, mut connection) = tls.into_inner();
    let mut alert = Vec::new();
    connection.send_close_notify();
    connection.write_tls(&mut alert).unwrap();
    stream.write_all(&alert).await.unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.unwrap();
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).await.unwrap();
    stream
}

fn client_config(record: &Dictionary) -> ClientConfig {
    let data = |key: &str| record.get(key).and_then(Value::as_data).unwrap();
    let certificate = CertificateDer::from_pem_slice(data("HostCertificate")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(data("HostPrivateKey")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyPhone))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap()
}

#[derive(Debug)]
struct AnyPhone;

impl ServerCertVerifier for AnyPhone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
