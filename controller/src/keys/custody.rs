//! A data key on its way to another site: HPKE (RFC 9180) with P-256, HKDF-SHA256 and AES-256-GCM, to the custody key of that
//! site, whose certificate the machines' authority has issued. No key-encryption key leaves its site.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::encoding::AsBigEndian as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use data_encoding::{BASE64, HEXLOWER};
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_P256_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

use super::{DataKey, KeyError, Place};

/// What the key pair is for, so that nothing sealed for another purpose opens.
const INFO: &[u8] = b"yunting volume key for a site v1";
/// Bytes of a public key and of the encapsulated secret before the ciphertext.
const PUBLIC: usize = 65;
/// How a certificate says that its key is one of P-256, before the key itself (RFC 5480).
const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";

/// Characters in a line of PEM.
const LINE: usize = 64;
/// Longest certificate that is told; the fields' bound.
const LONGEST: usize = 4096;

/// The key of this site that other sites seal keys for.
pub struct Custody(HpkePrivateKey);

impl Custody {
    /// From its file (PEM, PKCS #8, P-256).
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let fail = |why: String| KeyError::Custody { why: format!("{}: {why}", file.display()) };
        let key = PrivatePkcs8KeyDer::from_pem_file(file).map_err(|e| fail(e.to_string()))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_pkcs8_der());
        let pair = pair.map_err(|e| fail(e.to_string()))?;
        let scalar = pair.private_key().as_be_bytes().map_err(|e| fail(e.to_string()))?;
        Ok(Self(HpkePrivateKey::from(scalar.as_ref().to_vec())))
    }

    /// Opens what was sealed for this site and this place.
    pub fn open(&self, place: &Place, sealed: &str) -> Result<DataKey, KeyError> {
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| KeyError::Sealed)?;
        let (secret, text) = bytes.split_at_checked(PUBLIC).ok_or(KeyError::Sealed)?;
        let secret = EncapsulatedSecret(secret.to_vec());
        let opened = SUITE.open(&secret, INFO, &place.binding(), text, &self.0);
        let key = Zeroizing::new(opened.map_err(|_| KeyError::Sealed)?);
        DataKey::new(&key).ok_or(KeyError::Sealed)
    }
}

/// Who says which key is which site's.
pub struct Machines(Vec<CertificateDer<'static>>);

impl Machines {
    /// From the file of the machines' authority (PEM).
    pub fn read(file: &Path) -> Result<Self, KeyError> {
        let fail = |why: String| KeyError::Custody { why: format!("{}: {why}", file.display()) };
        let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let all = all.map_err(|e| fail(e.to_string()))?;
        if all.is_empty() { Err(fail("it has no certificate".to_owned())) } else { Ok(Self(all)) }
    }

    /// Seals a data key so that only this site opens it, for this place only. `now` is the time since 1970.
    pub fn seal(
        &self,
        place: &Place,
        key: &DataKey,
        site: &str,
        certificate: &str,
        now: Duration,
    ) -> Result<String, KeyError> {
        let public = self.public(site, certificate, now).map_err(|why| KeyError::Custody { why })?;
        let sealed = SUITE.seal(INFO, &place.binding(), key.bytes(), &HpkePublicKey(public));
        let (secret, text) = sealed.map_err(|_| KeyError::Recipient)?;
        Ok(BASE64.encode(&[secret.0, text].concat()))
    }

    /// The custody key of a site, if that is what the certificate is for.
    fn public(&self, site: &str, certificate: &str, now: Duration) -> Result<Vec<u8>, String> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes());
        let der = der.map_err(|e| format!("spec.custody is no certificate: {e}"))?;
        let read = EndEntityCert::try_from(&der).map_err(|e| format!("spec.custody cannot be read: {e}"))?;
        let anchors: Vec<_> =
            self.0.iter().filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect();
        let (time, usage) = (UnixTime::since_unix_epoch(now), KeyUsage::client_auth());
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        read.verify_for_usage(algorithms, &anchors, &[], time, usage, None, None)
            .map_err(|e| format!("spec.custody was not issued by the machines' authority for now: {e}"))?;
        let wanted = format!("yunting://site/{site}/custody");
        let mut shown = read.valid_uri_names();
        if shown.next() != Some(wanted.as_str()) || shown.next().is_some() {
            return Err(format!("spec.custody is not the certificate of {wanted}"));
        }
        let key = read.subject_public_key_info();
        let key = key.strip_prefix(P256).filter(|key| key.len() == PUBLIC).map(<[u8]>::to_vec);
        key.ok_or_else(|| "the key of spec.custody is none of P-256".to_owned())
    }
}

/// The certificate (PEM) of a file, alone: whatever else is in the file goes nowhere.
pub fn certificate(file: &Path) -> Result<String, KeyError> {
    let fail = |why: String| KeyError::Custody { why: format!("{}: {why}", file.display()) };
    let der = CertificateDer::from_pem_file(file).map_err(|e| fail(e.to_string()))?;
    let text = BASE64.encode(&der);
    let lines: Vec<_> = text.as_bytes().chunks(LINE).map(String::from_utf8_lossy).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    if pem.len() > LONGEST {
        return Err(fail(format!("the certificate has more than {LONGEST} characters")));
    }
    Ok(pem)
}

/// How a certificate is told from another.
pub fn fingerprint(certificate: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(certificate))
}
