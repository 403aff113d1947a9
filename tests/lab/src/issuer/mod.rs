//! The city's login, as far as the lab needs it: an OIDC issuer that API servers trust.
//!
//! It serves the discovery document and the public key; tokens are signed by the `token` command, which has
//! the same key. There is no password and no browser: whoever may read the key may be anybody, and that is
//! the person who runs the lab.

mod serve;
mod token;

use std::path::{Path, PathBuf};

use serde_json::json;

pub use serve::{Args, run};
pub use token::{Person, TokenArgs, jwks, sign, token};

/// The issuer's name in its tokens. Nobody has to reach it: API servers are told where to discover.
pub const URL: &str = "https://login.bozhou.example";
/// For whom tokens are made out.
pub const AUDIENCE: &str = "yunting";
/// Where the discovery document is served.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where the public key is served.
const KEYS: &str = "/keys";

/// Why the issuer does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key or certificate can't be read.
    #[error("could not read {}", path.display())]
    ReadKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The signing key can't sign.
    #[error("could not use the signing key")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// Certificate and key don't fit.
    #[error("could not use the serving certificate")]
    Certificate(#[from] rustls::Error),
    /// The address is taken.
    #[error("could not listen on {address}")]
    Listen {
        /// Which address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// The discovery document.
pub fn discovery(listen: &str) -> serde_json::Value {
    json!({
        "issuer": URL,
        "jwks_uri": format!("https://{listen}{KEYS}"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The API servers' structured authentication configuration: people come with tokens of this issuer as
/// `oidc:NAME` in groups `oidc:GROUP`, and nobody is anonymous except to ask for health.
///
/// A claim that looks like an identity of the cluster or of Yunting refuses the whole token: the prefix alone
/// would keep it apart, but nobody honest carries one. API servers take a changed file up while they run.
pub fn authentication_configuration(ca_pem: &str, listen: &str) -> String {
    let config = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": true,
            "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
        },
        "jwt": [{
            "issuer": {
                "url": URL,
                "discoveryURL": format!("https://{listen}{DISCOVERY}"),
                "certificateAuthority": ca_pem,
                "audiences": [AUDIENCE],
            },
            "claimValidationRules": [{
                // A lost token must not be good for a year.
                "expression": "claims.exp - claims.iat <= 86400",
                "message": "a token must not be good for more than a day",
            }],
            "claimMappings": {
                "username": {"claim": "sub", "prefix": "oidc:"},
                "groups": {"claim": "groups", "prefix": "oidc:"},
            },
            "userValidationRules": [{
                "expression": free("user.username"),
                "message": "the name of a person must not be empty nor begin with system: or yunting:",
            }, {
                "expression": format!("user.groups.all(group, {})", free("group")),
                "message": "a person's group must not be empty nor begin with system: or yunting:",
            }],
        }],
    });
    format!("{config:#}\n")
}

/// CEL over a name that already has its prefix.
fn free(name: &str) -> String {
    format!("{name}.matches('^oidc:.') && !{name}.matches('^oidc:(system|yunting):')")
}

/// Place of a file of the issuer in its directory.
fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_points_to_the_keys_under_the_issuers_name() {
        let document = discovery("127.0.0.1:5556");
        assert_eq!(document["issuer"], URL);
        assert_eq!(document["jwks_uri"], "https://127.0.0.1:5556/keys");
    }

    #[test]
    fn the_configuration_prefixes_people_and_refuses_borrowed_names() {
        let text = authentication_configuration("PEM", "127.0.0.1:5556");
        let config: serde_json::Value = serde_json::from_str(&text).unwrap();
        let jwt = &config["jwt"][0];
        assert_eq!(jwt["claimMappings"]["username"], json!({"claim": "sub", "prefix": "oidc:"}));
        assert!(jwt["userValidationRules"][1]["expression"].as_str().unwrap().contains("(system|yunting)"));
        assert_eq!(config["anonymous"]["conditions"].as_array().unwrap().len(), 3);
    }
}
