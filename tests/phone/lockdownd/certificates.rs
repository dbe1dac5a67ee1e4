//! The keys and certificates of a pairing.
//!
//! Shaped as libimobiledevice `common/userpref.c` does: X.509 version 3 without any name, ten years, a root of its own
//! key, and leaves under it for the computer and for the phone. What it and pymobiledevice3 `ca.py` agree on is what this
//! phone insists on.

use std::time::Duration;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rsa::{
    RsaPrivateKey,
    pkcs1::EncodeRsaPublicKey,
    pkcs1v15::SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
    signature::{SignatureEncoding, Signer},
};
use sha2::Sha256;
use x509_cert::{
    Certificate, TbsCertificate, Version,
    der::{
        self, Decode, DecodePem, Encode, EncodePem,
        asn1::BitString,
        flagset::FlagSet,
        oid::db::rfc5912::{SHA_1_WITH_RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION},
        referenced::OwnedToRef,
    },
    ext::{
        AsExtension, Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::Validity,
};

const KEY_SIZE: aws_lc_rs::rsa::KeySize = aws_lc_rs::rsa::KeySize::Rsa2048;
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What a leaf's key has to be allowed.
fn needed_of_a_leaf() -> FlagSet<KeyUsages> {
    KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment
}

/// An RSA key of 2048 bits.
pub(crate) struct RsaKey {
    private: RsaPrivateKey,
    pkcs8: Vec<u8>,
}

impl RsaKey {
    /// AWS-LC makes a key in a tenth of the time that the rsa crate takes.
    pub(crate) fn generate() -> Self {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = aws_lc_rs::rsa::KeyPair::generate(KEY_SIZE).expect("AWS-LC has entropy");
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("a fresh key has an encoding");
        let pkcs8 = pkcs8.as_ref().to_vec();
        let private = RsaPrivateKey::from_pkcs8_der(&pkcs8).expect("PKCS#8 is what both crates speak");
        Self { private, pkcs8 }
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn public_key_info(&self) -> Option<SubjectPublicKeyInfoOwned> {
        SubjectPublicKeyInfoOwned::from_key(self.private.to_public_key()).ok()
    }

    /// As in a pair record.
    pub(crate) fn private_pem(&self) -> Option<Vec<u8>> {
        Some(self.private.to_pkcs8_pem(LineEnding::LF).ok()?.as_bytes().to_vec())
    }

    /// As in `DevicePublicKey`.
    pub(crate) fn public_pem(&self) -> Option<Vec<u8>> {
        Some(self.private.to_public_key().to_pkcs1_pem(LineEnding::LF).ok()?.into_bytes())
    }
}

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Root,
    Host,
    Device,
}

/// Everything a computer makes before it asks a phone to pair; all in PEM.
pub(crate) struct HostIdentity {
    pub(crate) root_certificate: Vec<u8>,
    pub(crate) root_private_key: Vec<u8>,
    pub(crate) host_certificate: Vec<u8>,
    pub(crate) host_private_key: Vec<u8>,
    pub(crate) device_certificate: Vec<u8>,
}

impl HostIdentity {
    /// Makes root, host key and the certificates of both sides.
    pub(crate) fn generate(device_key: &RsaKey) -> Option<Self> {
        let (root, host) = (RsaKey::generate(), RsaKey::generate());
        let pem = |subject: &RsaKey, role| {
            let extensions = extensions_of(subject, role)?;
            Some(certify(subject, &root, extensions).ok()?.to_pem(LineEnding::LF).ok()?.into_bytes())
        };
        Some(Self {
            root_certificate: pem(&root, Role::Root)?,
            root_private_key: root.private_pem()?,
            host_certificate: pem(&host, Role::Host)?,
            host_private_key: host.private_pem()?,
            device_certificate: pem(device_key, Role::Device)?,
        })
    }
}

fn extensions_of(subject: &RsaKey, role: Role) -> Option<Vec<Extension>> {
    let mut extensions = vec![extension(&BasicConstraints { ca: role == Role::Root, path_len_constraint: None })?];
    if role == Role::Device {
        let key = subject.public_key_info()?;
        extensions.push(extension(&SubjectKeyIdentifier::try_from(key.owned_to_ref()).ok()?)?);
    }
    if role != Role::Root {
        extensions.push(extension(&KeyUsage(needed_of_a_leaf()))?);
    }
    Some(extensions)
}

/// One with the criticality that its kind should have.
pub(crate) fn extension(content: &impl AsExtension) -> Option<Extension> {
    content.to_extension(&Name::default(), &[]).ok()
}

/// Makes one certificate for `subject`, signed by `root`.
pub(crate) fn certify(subject: &RsaKey, root: &RsaKey, extensions: Vec<Extension>) -> der::Result<Certificate> {
    let algorithm = AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(der::Any::null()) };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[0])?,
        signature: algorithm.clone(),
        issuer: Name::default(),
        validity: Validity::from_now(LIFETIME)?,
        subject: Name::default(),
        subject_public_key_info: subject.public_key_info().ok_or(der::ErrorKind::Failed)?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions).filter(|extensions| !extensions.is_empty()),
    };
    let signer = SigningKey::<Sha256>::new(root.private.clone());
    let signature = BitString::from_bytes(&signer.sign(&tbs_certificate.to_der()?).to_bytes())?;
    Ok(Certificate { tbs_certificate, signature_algorithm: algorithm, signature })
}

/// Pair records hold PEM; some clients leave out its first and last line, or send DER.
pub(crate) fn certificate_from_record(data: &[u8]) -> Option<Certificate> {
    let trimmed = data.trim_ascii();
    Certificate::from_pem(trimmed).or_else(|_| Certificate::from_der(data)).ok()
}

/// Why its extensions are not those of a leaf: basicConstraints CA:FALSE and both key usages, all critical.
pub(crate) fn fault_of_leaf_extensions(certificate: &Certificate) -> Option<&'static str> {
    match certificate.tbs_certificate.get::<BasicConstraints>() {
        Ok(Some((_, constraints))) if constraints.ca => return Some("it is a CA certificate"),
        Ok(Some((true, _))) => {}
        _ => return Some("it has no critical basicConstraints"),
    }
    match certificate.tbs_certificate.get::<KeyUsage>() {
        Ok(Some((true, KeyUsage(usages)))) if usages.contains(needed_of_a_leaf()) => None,
        _ => Some("it has no critical keyUsage digitalSignature and keyEncipherment"),
    }
}

/// True for critical basicConstraints CA:TRUE.
pub(crate) fn is_certificate_authority(certificate: &Certificate) -> bool {
    matches!(certificate.tbs_certificate.get::<BasicConstraints>(), Ok(Some((true, constraints))) if constraints.ca)
}

/// True if `root` signed `certificate`. Older idevicepair signs with SHA-1, and phones take that.
pub(crate) fn is_signed_by(certificate: &Certificate, root: &Certificate) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match certificate.signature_algorithm.oid {
        SHA_1_WITH_RSA_ENCRYPTION => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        SHA_256_WITH_RSA_ENCRYPTION => &RSA_PKCS1_2048_8192_SHA256,
        _ => return false,
    };
    let root_key = root.tbs_certificate.subject_public_key_info.subject_public_key.as_bytes();
    match (root_key, certificate.tbs_certificate.to_der(), certificate.signature.as_bytes()) {
        (Some(key), Ok(signed), Some(signature)) => {
            UnparsedPublicKey::new(algorithm, key).verify(&signed, signature).is_ok()
        }
        _ => false,
    }
}
