//! Tokens: who a person is, signed with the issuer's key.

use std::path::{Path, PathBuf};

use jiff::{Span, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use super::{AUDIENCE, Error, URL, file};

/// Prints a token.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenArgs {
    /// Who the person is.
    #[arg(long)]
    pub user: String,
    /// A group of the person; can be given several times.
    #[arg(long = "group")]
    pub groups: Vec<String>,
    /// How long the token is good for.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(1..=1440))]
    pub minutes: i64,
    /// Directory with `issuer-signing.key`; by default the lab's.
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Whom a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person<'a> {
    /// The name API servers map to `oidc:NAME`.
    pub user: &'a str,
    /// The groups.
    pub groups: &'a [String],
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    preferred_username: String,
    groups: Vec<String>,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// The token the command line asks for; `lab` is the directory with the lab's keys.
#[allow(clippy::disallowed_methods)] // the one look at the clock; `sign` gets the time
pub fn token(args: &TokenArgs, lab: &Path) -> Result<String, Error> {
    let directory = args.dir.as_deref().unwrap_or(lab);
    let person = Person { user: &args.user, groups: &args.groups };
    sign(directory, &person, Timestamp::now(), Span::new().minutes(args.minutes))
}

/// Signs a token with the key in `directory`, good from `now` for `span`.
pub fn sign(directory: &Path, person: &Person<'_>, now: Timestamp, span: Span) -> Result<String, Error> {
    let key = signing_key(directory)?;
    let until = now.checked_add(span).unwrap_or(now).as_second();
    let now = now.as_second();
    let claims = Claims {
        iss: URL.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: person.user.to_owned(),
        preferred_username: person.user.to_owned(),
        groups: person.groups.to_vec(),
        iat: now,
        nbf: now,
        exp: until,
    };
    let header = Header { kid: public(&key)?.common.key_id, ..Header::new(Algorithm::ES256) };
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}

/// The public key as a key set.
pub fn jwks(directory: &Path) -> Result<JwkSet, Error> {
    Ok(JwkSet { keys: vec![public(&signing_key(directory)?)?] })
}

/// The public half; its name is its thumbprint, so that all sites name the same key alike.
fn public(key: &EncodingKey) -> Result<Jwk, Error> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}

fn signing_key(directory: &Path) -> Result<EncodingKey, Error> {
    let path = file(directory, "issuer-signing.key");
    let der = PrivatePkcs8KeyDer::from_pem_file(&path).map_err(|source| Error::ReadKey { path, source })?;
    Ok(EncodingKey::from_ec_der(der.secret_pkcs8_der()))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // what verifies a token has a clock of its own
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(directory.path().join("issuer-signing.key"), key.serialize_pem()).unwrap();
        directory
    }

    #[test]
    fn a_token_verifies_with_the_served_key_and_says_who() {
        let directory = directory();
        let groups = ["operators".to_owned()];
        let person = Person { user: "li.na", groups: &groups };
        let token = sign(directory.path(), &person, Timestamp::now(), Span::new().minutes(5)).unwrap();
        let keys = jwks(directory.path()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[URL]);
        let key = DecodingKey::from_jwk(&keys.keys[0]).unwrap();
        let data = jsonwebtoken::decode::<Claims>(&token, &key, &validation).unwrap();
        assert_eq!(data.header.kid, keys.keys[0].common.key_id);
        assert_eq!((data.claims.sub.as_str(), &data.claims.groups[..]), ("li.na", &groups[..]));
        assert_eq!(data.claims.exp - data.claims.iat, 300);
    }

    #[test]
    fn another_key_does_not_verify_it() {
        let person = Person { user: "li.na", groups: &[] };
        let token = sign(directory().path(), &person, Timestamp::now(), Span::new().minutes(5)).unwrap();
        let other = jwks(directory().path()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[AUDIENCE]);
        let key = DecodingKey::from_jwk(&other.keys[0]).unwrap();
        assert!(jsonwebtoken::decode::<Claims>(&token, &key, &validation).is_err());
    }
}
