//! One certificate authority and the certificates it signs.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

use super::write_secret;
use crate::error::{Error, Result};

/// A certificate and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub cert: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl Pair {
    /// Writes `<name>.crt` and `<name>.key` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> Result<()> {
        write_secret(&dir.join(format!("{name}.crt")), &self.cert)?;
        write_secret(&dir.join(format!("{name}.key")), &self.key)
    }
}

/// Whom a certificate names and what it is good for.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    name: String,
    groups: Vec<String>,
    addresses: Vec<SanType>,
    server: bool,
    client: bool,
}

impl Subject {
    /// A client of that name.
    pub fn client(name: impl Into<String>) -> Self {
        Self { name: name.into(), client: true, ..Self::default() }
    }

    /// A server of that name, reached at loopback and the addresses added.
    pub fn server(name: impl Into<String>) -> Self {
        let subject = Self { name: name.into(), server: true, ..Self::default() };
        subject.ip(Ipv4Addr::LOCALHOST).dns("localhost")
    }

    /// A peer: server and client in one, as etcd members are to each other.
    pub fn peer(name: impl Into<String>) -> Self {
        Self { client: true, ..Self::server(name) }
    }

    /// Adds a group (O).
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.groups.push(group.into());
        self
    }

    /// Adds an address.
    #[must_use]
    pub fn ip(mut self, ip: Ipv4Addr) -> Self {
        self.addresses.push(SanType::IpAddress(IpAddr::V4(ip)));
        self
    }

    /// Adds a host name. Names that are no ASCII are left out; the lab has none.
    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        self.addresses.extend(name.try_into().map(SanType::DnsName));
        self
    }

    /// Adds a URI.
    #[must_use]
    pub fn uri(mut self, uri: &str) -> Self {
        self.addresses.extend(uri.try_into().map(SanType::URI));
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, self.name.as_str());
        for group in &self.groups {
            subject.push(DnType::OrganizationName, group.as_str());
        }
        params.distinguished_name = subject;
        params.subject_alt_names.clone_from(&self.addresses);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        if self.server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if self.client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        valid_for_a_year(&mut params);
        params
    }
}

/// A certificate authority that can sign.
pub struct Authority {
    pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one.
    pub fn new(name: &str) -> Result<Self> {
        let failed = |source| Error::Certificate { name: name.into(), source };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for_a_year(&mut params);
        let key = KeyPair::generate().map_err(failed)?;
        let cert = params.self_signed(&key).map_err(failed)?;
        let pair = Pair { cert: cert.pem(), key: key.serialize_pem() };
        Ok(Self { pair, issuer: Issuer::new(params, key) })
    }

    /// Its certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.pair.cert
    }

    /// Its own certificate and key.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Signs a new certificate.
    pub fn issue(&self, subject: &Subject) -> Result<Pair> {
        let failed = |source| Error::Certificate { name: subject.name.clone(), source };
        let key = KeyPair::generate().map_err(failed)?;
        let cert = subject.params().signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
    }
}

/// A key pair for signing service-account tokens: private and public, PEM.
pub fn signing_key(name: &str) -> Result<(String, String)> {
    let key = KeyPair::generate().map_err(|source| Error::Certificate { name: name.into(), source })?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// From yesterday, since clocks differ, for about a year.
fn valid_for_a_year(params: &mut CertificateParams) {
    let today = jiff::Zoned::now().date();
    let ymd = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    params.not_before = ymd(today.yesterday().unwrap_or(today));
    params.not_after = ymd(today.saturating_add(jiff::Span::new().days(366)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_differs_from_its_authority_and_from_the_next() {
        let ca = Authority::new("test").unwrap();
        let one = ca.issue(&Subject::server("one").ip(Ipv4Addr::new(192, 168, 77, 1))).unwrap();
        let two = ca.issue(&Subject::client("two").group("people")).unwrap();
        assert!(one.cert.starts_with("-----BEGIN CERTIFICATE-----"));
        assert_ne!(one.key, two.key);
        assert_ne!(one.cert, ca.cert());
    }
}
