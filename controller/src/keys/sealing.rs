//! A data key on its way to the process that opens the volume: HPKE (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM,
//! by rustls's implementation on the tree's one crypto provider.

use data_encoding::BASE64;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use super::{DataKey, KeyError, Place};

/// What the key pair is for, so that nothing sealed for another purpose opens.
const INFO: &[u8] = b"yunting volume key for a node v1";
/// Bytes of a public key and of the encapsulated secret before the ciphertext.
const PUBLIC: usize = 32;

/// Key pair of one process: made at its start, gone with it.
pub struct Recipient {
    public: String,
    private: HpkePrivateKey,
}

impl Recipient {
    /// A new one.
    pub fn new() -> Result<Self, KeyError> {
        let (public, private) = SUITE.generate_key_pair().map_err(|_| KeyError::Random)?;
        Ok(Self { public: BASE64.encode(&public.0), private })
    }

    /// Its public half, as objects carry it.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Opens what was sealed for it and this place.
    pub fn open(&self, place: &Place, sealed: &str) -> Result<DataKey, KeyError> {
        let bytes = BASE64.decode(sealed.as_bytes()).map_err(|_| KeyError::Sealed)?;
        let (secret, text) = bytes.split_at_checked(PUBLIC).ok_or(KeyError::Sealed)?;
        let secret = EncapsulatedSecret(secret.to_vec());
        let opened = SUITE.open(&secret, INFO, &place.binding(), text, &self.private);
        let key = Zeroizing::new(opened.map_err(|_| KeyError::Sealed)?);
        DataKey::new(&key).ok_or(KeyError::Sealed)
    }
}

/// Seals a data key so that only this recipient opens it, for this place only.
pub fn seal(place: &Place, key: &DataKey, recipient: &str) -> Result<String, KeyError> {
    let public = BASE64.decode(recipient.as_bytes()).map_err(|_| KeyError::Recipient)?;
    if public.len() != PUBLIC {
        return Err(KeyError::Recipient);
    }
    let sealed = SUITE.seal(INFO, &place.binding(), key.bytes(), &HpkePublicKey(public));
    let (secret, text) = sealed.map_err(|_| KeyError::Recipient)?;
    Ok(BASE64.encode(&[secret.0, text].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(volume: &str) -> Place {
        Place { vdc: "aaaaaaaa-1".to_owned(), volume: volume.to_owned() }
    }

    #[test]
    fn only_the_recipient_opens_and_only_for_this_place() {
        let (one, other) = (Recipient::new().unwrap(), Recipient::new().unwrap());
        let key = DataKey::new(&[7; 32]).unwrap();
        let sealed = seal(&place("v"), &key, one.public()).unwrap();
        assert_eq!(one.open(&place("v"), &sealed).unwrap(), key);
        assert!(other.open(&place("v"), &sealed).is_err());
        assert!(one.open(&place("w"), &sealed).is_err());
        assert!(one.open(&place("v"), &sealed[4..]).is_err());
        assert!(one.open(&place("v"), "").is_err());
        assert!(sealed.len() <= 400, "the field's bound");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = DataKey::new(&[7; 32]).unwrap();
        for recipient in ["", "AAAA", "no base64"] {
            assert!(matches!(seal(&place("v"), &key, recipient), Err(KeyError::Recipient)), "{recipient}");
        }
        // The point that makes every shared secret zero.
        assert!(seal(&place("v"), &key, &BASE64.encode(&[0; 32])).is_err());
        assert!(DataKey::new(&[1; 31]).is_none());
        assert_eq!(format!("{key:?}"), "DataKey");
    }
}
