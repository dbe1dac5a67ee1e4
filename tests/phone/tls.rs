//! TLS as a phone does it: both sides show a certificate of their pairing, and only of that.
//!
//! Clients differ in what they show: libimobiledevice the root certificate with its key (`src/idevice.c`),
//! pymobiledevice3 and idevice the host certificate. A phone takes both. This one is stricter in one point: of no use is a
//! pairing whose host certificate has the root's key, or whose certificates are not what libimobiledevice and
//! pymobiledevice3 both make them.

use std::{io, sync::Arc};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_cert::{Certificate, der::Decode};

use super::{
    Handshake, Phone, Stream, TlsFailure,
    lockdownd::{
        Pairing,
        certificates::{fault_of_leaf_extensions, is_certificate_authority, is_signed_by},
    },
};

mod records;

pub(crate) use records::Records;

/// A fatal `handshake_failure`.
const ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

/// Answers the client's handshake, as well as the script lets it.
pub(crate) async fn accept<S: Stream>(
    phone: &Phone,
    handshake: Handshake,
    pairing: &Pairing,
    mut stream: S,
) -> io::Result<TlsStream<S>> {
    let config = match phone.tls_failure(handshake) {
        None => pairing.tls().clone(),
        Some(TlsFailure::OtherPairing) => {
            phone.pairing_with_a_stranger().ok_or_else(|| io::Error::other("no certificates"))?.tls().clone()
        }
        Some(failure) => {
            let mut header = [0; 5];
            stream.read_exact(&mut header).await?;
            let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            stream.read_exact(&mut hello).await?;
            if failure == TlsFailure::Alert {
                stream.write_all(&ALERT).await?;
                stream.flush().await?;
            }
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the handshake failed by script"));
        }
    };
    TlsAcceptor::from(config).accept(stream).await
}

/// Answers the client's close_notify and gives back the stream, which stays open for plain text.
pub(crate) async fn close<S: Stream>(stream: TlsStream<S>) -> io::Result<S> {
    let (mut stream, mut connection) = stream.into_inner();
    let mut alert = Vec::new();
    connection.send_close_notify();
    connection.write_tls(&mut alert)?;
    stream.write_all(&alert).await?;
    Ok(stream)
}

/// What a phone needs to talk to one paired computer. Phones still speak TLS 1.2 on USB.
pub(crate) fn server_config(
    root: &Certificate,
    host: &Certificate,
    device_certificate: Vec<u8>,
    device_key: Vec<u8>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device_key));
    let key = provider.key_provider.load_private_key(key)?;
    let shown = CertificateDer::from(device_certificate.clone());
    let certified = CertifiedKey::new(vec![shown], key);
    let device = Certificate::from_der(&device_certificate).map_err(|error| Error::General(error.to_string()))?;
    let verifier = HostVerifier { root: root.clone(), paired: host.clone(), device, provider: provider.clone() };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(DeviceCertificate(Arc::new(certified))));
    Ok(Arc::new(config))
}

/// The device certificate as the computer made it, whatever it looks like.
#[derive(Debug)]
struct DeviceCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for DeviceCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Lets in only a computer that shows the root certificate of its pairing or a leaf under it.
#[derive(Debug)]
struct HostVerifier {
    root: Certificate,
    /// `HostCertificate` as it was paired.
    paired: Certificate,
    device: Certificate,
    provider: Arc<CryptoProvider>,
}

impl HostVerifier {
    /// Why this is no host certificate under the root.
    fn fault_of_leaf(&self, leaf: &Certificate) -> Option<&'static str> {
        let (leaf_facts, root_facts) = (&leaf.tbs_certificate, &self.root.tbs_certificate);
        if let Some(fault) = fault_of_leaf_extensions(leaf) {
            return Some(fault);
        }
        if leaf_facts.subject_public_key_info == root_facts.subject_public_key_info {
            return Some("it has the key of the root certificate");
        }
        if leaf_facts.issuer != root_facts.subject || !is_signed_by(leaf, &self.root) {
            return Some("the pairing's root certificate did not sign it");
        }
        None
    }
}

impl ClientCertVerifier for HostVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refuse = |why: &str| Err(Error::General(format!("host certificate refused: {why}")));
        if let Some(why) = self.fault_of_leaf(&self.paired) {
            return refuse(&format!("as it was paired, {why}"));
        }
        if let Some(why) = fault_of_leaf_extensions(&self.device) {
            return refuse(&format!("the device certificate beside it: {why}"));
        }
        if !is_certificate_authority(&self.root) {
            return refuse("its root is no CA");
        }
        let Ok(shown) = Certificate::from_der(end_entity) else {
            return refuse("it is broken");
        };
        if shown != self.root
            && let Some(why) = self.fault_of_leaf(&shown)
        {
            return refuse(why);
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
