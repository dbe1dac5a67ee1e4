//! TLS with the paired phone and nobody else. `idevice` takes any certificate and checks no signature, which is harmless
//! on a cable; on a network somebody else may answer in the phone's place, and would be sent the escrow bag.

use std::sync::Arc;

use idevice::{IdeviceError, ReadWrite, pairing_file::PairingFile};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::TlsConnector;
use x509_cert::{
    Certificate,
    der::{Decode, Encode},
};

/// Begins TLS, and ends it at once when the peer does not have the key of the phone that was paired.
///
/// # Errors
/// When the handshake fails.
pub async fn begin(socket: Box<dyn ReadWrite>, record: &PairingFile) -> Result<Box<dyn ReadWrite>, IdeviceError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let phone_key = public_key(&record.device_certificate)
        .ok_or_else(|| IdeviceError::UnexpectedResponse("the pair record's device certificate is broken".into()))?;
    let verifier = OnlyThePairedPhone { key: phone_key, provider: provider.clone() };
    let own_key = PrivateKeyDer::from_pem_slice(&record.host_private_key)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(vec![record.host_certificate.clone()], own_key)?;
    let name = ServerName::try_from("Device").map_err(|error| IdeviceError::InternalError(error.to_string()))?;
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, socket).await?))
}

/// Of a certificate in DER: what it certifies.
fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(certificate).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// The key is compared, not the certificate: names, dates and authorities mean nothing between a phone and a computer
/// that made the certificate itself.
#[derive(Debug)]
struct OnlyThePairedPhone {
    key: Vec<u8>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OnlyThePairedPhone {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match public_key(shown) {
            Some(key) if key == self.key => Ok(ServerCertVerified::assertion()),
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => Err(CertificateError::BadEncoding.into()),
        }
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
