//! The keys and certificates of a pairing.
//!
//! Shaped as libimobiledevice `common/userpref.c` does: X.509 version 3 without any name, ten years, a root of its own
//! key, and leaves under it for the computer and for the phone.

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
        asn1::{BitString, OctetString},
        oid::{
            AssociatedOid,
            db::rfc5912::{SHA_1_WITH_RSA_ENCRYPTION, SHA_256_WITH_RSA_ENCRYPTION},
        },
    },
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::Validity,
};

const KEY_SIZE: aws_lc_rs::rsa::KeySize = aws_lc_rs::rsa::KeySize::Rsa2048;
const LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

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
    fn private_pem(&self) -> Option<Vec<u8>> {
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
    Leaf,
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
            Some(certify(subject, &root, role).ok()?.to_pem(LineEnding::LF).ok()?.into_bytes())
        };
        Some(Self {
            root_certificate: pem(&root, Role::Root)?,
            root_private_key: root.private_pem()?,
            host_certificate: pem(&host, Role::Leaf)?,
            host_private_key: host.private_pem()?,
            device_certificate: pem(device_key, Role::Leaf)?,
        })
    }
}

/// Makes one certificate for `subject`, signed by `root`.
fn certify(subject: &RsaKey, root: &RsaKey, role: Role) -> der::Result<Certificate> {
    let constraints = BasicConstraints { ca: role == Role::Root, path_len_constraint: None };
    let mut extensions = vec![critical(&constraints)?];
    if role == Role::Leaf {
        extensions.push(critical(&KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment))?);
    }
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
        extensions: Some(extensions),
    };
    let signer = SigningKey::<Sha256>::new(root.private.clone());
    let signature = BitString::from_bytes(&signer.sign(&tbs_certificate.to_der()?).to_bytes())?;
    Ok(Certificate { tbs_certificate, signature_algorithm: algorithm, signature })
}

fn critical<T: Encode + AssociatedOid>(extension: &T) -> der::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical: true, extn_value: OctetString::new(extension.to_der()?)? })
}

/// Pair records hold PEM; some clients leave out its first and last line, or send DER.
pub(crate) fn certificate_from_record(data: &[u8]) -> Option<Certificate> {
    let trimmed = data.trim_ascii();
    Certificate::from_pem(trimmed).or_else(|_| Certificate::from_der(data)).ok()
}

/// True for basicConstraints CA:TRUE.
pub(crate) fn is_certificate_authority(certificate: &Certificate) -> bool {
    certificate.tbs_certificate.get::<BasicConstraints>().is_ok_and(|found| found.is_some_and(|(_, it)| it.ca))
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
