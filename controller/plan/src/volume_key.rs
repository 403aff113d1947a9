//! May a node have the data key of a volume, and is anything to be done for it? Pure: keys are made and opened by the
//! site's controller.

use yunting_crds::vdc::KeyProvider;
use yunting_crds::volume_key::{VolumeKeySpec, VolumeKeyStatus, WrappedKey};
use yunting_crds::volume_replication::{VolumeReplicationSpec, VolumeReplicationStatus};

/// What the site has for the VDC whose the volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VdcKeys {
    /// Generation of the newest one.
    pub generation: u32,
}

/// What is done about a `VolumeKey`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is answered.
    Nothing,
    /// It is answered, and it is to be seen that this wrapped key still opens.
    Prove(WrappedKey),
    /// No key, and why.
    Refuse(String),
    /// A new volume: a data key is made, wrapped, and sealed for who asked.
    Make,
    /// A replica's: what another site has sealed to this one is opened and wrapped.
    TakeOver(String),
    /// This wrapped key is opened. `rewrap`: it is wrapped anew, with the newest key.
    Open {
        /// The key as the volume keeps it.
        wrapped: WrappedKey,
        /// Volume that it was made for, where it is another.
        origin: Option<String>,
        /// Whether the newest key-encryption key wraps it anew.
        rewrap: bool,
    },
}

/// Why there is no key for a VDC at a site that has no place for its keys.
pub fn missing(provider: KeyProvider) -> &'static str {
    match provider {
        KeyProvider::Embedded => "this site keeps no keys: start its controller with --keys",
        KeyProvider::Vault => {
            "the VDC's keys are to be in Vault, and this site has none: start its controller with --vault-address, --vault-token-file and --vault-ca"
        }
    }
}

/// Decides. `vdc` is what the site has for the VDC, or why it has nothing; `prove` that it is time to see whether keys open.
pub fn decide(
    generation: Option<i64>,
    spec: &VolumeKeySpec,
    status: Option<&VolumeKeyStatus>,
    vdc: Result<VdcKeys, &str>,
    prove: bool,
) -> Decision {
    let vdc = match vdc {
        Ok(vdc) => vdc,
        Err(why) => return refuse(status, generation, why),
    };
    // What the volume keeps comes first; what was answered and not kept yet is the same key.
    let answered = status.and_then(|s| s.wrapped.as_ref());
    let origin = spec.origin.as_ref().filter(|_| answered.is_none());
    let kept = spec.wrapped.as_ref().filter(|_| spec.origin.is_none() || origin.is_some());
    let Some(wrapped) = kept.or(answered) else {
        return spec.sealed.clone().map_or(Decision::Make, Decision::TakeOver);
    };
    let newest = |w: &WrappedKey| w.generation >= vdc.generation;
    let current = answered.is_some_and(newest) || kept.is_some_and(newest);
    let said = status.is_some_and(|s| {
        s.observed_generation == generation && s.recipient == spec.recipient && s.refused.is_none()
    });
    if said && current && answered.is_some() {
        return if prove { Decision::Prove(wrapped.clone()) } else { Decision::Nothing };
    }
    let rewrap = origin.is_some() || !newest(wrapped);
    Decision::Open { wrapped: wrapped.clone(), origin: origin.cloned(), rewrap }
}

/// What is done about the key of a volume that is replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sealing {
    /// It is sealed, or nothing of it is known yet.
    Nothing,
    /// It is not, and why.
    Refuse(String),
    /// This wrapped key is opened and sealed to the other site.
    Seal(WrappedKey),
}

/// Decides. `key` is what the volume's node asks for, `fingerprint` that of the certificate to seal for, `vdc` what the site
/// has for the VDC, or why it has nothing.
pub fn sealing(
    spec: &VolumeReplicationSpec,
    status: Option<&VolumeReplicationStatus>,
    key: Option<&VolumeKeySpec>,
    fingerprint: &str,
    vdc: Result<VdcKeys, &str>,
) -> Sealing {
    let refuse = |why: &str| {
        let said = status.is_some_and(|s| s.refused.as_deref() == Some(why) && s.sealed.is_none());
        if said { Sealing::Nothing } else { Sealing::Refuse(why.to_owned()) }
    };
    if let Err(why) = vdc {
        return refuse(why);
    }
    let Some(key) = key else {
        return refuse("no node asks for a key of spec.volume: there is no such volume");
    };
    if key.vdc != spec.vdc || key.node != spec.node {
        return refuse("spec.volume is another VDC's, or on another node, than spec.vdc and spec.node say");
    }
    let Some(wrapped) = &key.wrapped else { return Sealing::Nothing };
    let sealed = status.is_some_and(|s| {
        s.sealed.is_some() && s.refused.is_none() && s.sealed_for.as_deref() == Some(fingerprint)
    });
    if sealed { Sealing::Nothing } else { Sealing::Seal(wrapped.clone()) }
}

fn refuse(status: Option<&VolumeKeyStatus>, generation: Option<i64>, why: &str) -> Decision {
    let said = status.is_some_and(|s| {
        s.observed_generation == generation && s.refused.as_deref() == Some(why) && s.sealed.is_none()
    });
    if said { Decision::Nothing } else { Decision::Refuse(why.to_owned()) }
}

/// The oldest generation that a volume of the VDC may still be wrapped with: what is older opens nothing any more. Nothing
/// where a volume does not say, so that nothing is forgotten.
pub fn oldest<'a>(specs: impl IntoIterator<Item = &'a VolumeKeySpec>, newest: u32) -> Option<u32> {
    specs.into_iter().try_fold(newest, |least, spec| Some(least.min(spec.wrapped.as_ref()?.generation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(
        generation: Option<i64>,
        spec: &VolumeKeySpec,
        status: Option<&VolumeKeyStatus>,
        vdc: Result<VdcKeys, &str>,
    ) -> Decision {
        super::decide(generation, spec, status, vdc, false)
    }

    fn wrapped(generation: u32) -> WrappedKey {
        WrappedKey { kek: "0123456789abcdef".to_owned(), generation, data: "AAAA".to_owned() }
    }

    fn spec(wrapped: Option<WrappedKey>, recipient: Option<&str>) -> VolumeKeySpec {
        VolumeKeySpec {
            node: "n".to_owned(),
            vdc: "aaaaaaaa-1".to_owned(),
            wrapped,
            origin: None,
            sealed: None,
            recipient: recipient.map(str::to_owned),
        }
    }

    fn answer(generation: i64, wrapped: Option<WrappedKey>, recipient: Option<&str>) -> VolumeKeyStatus {
        VolumeKeyStatus {
            observed_generation: Some(generation),
            wrapped,
            sealed: recipient.map(|_| "c2VhbGVk".to_owned()),
            recipient: recipient.map(str::to_owned),
            refused: None,
        }
    }

    const KEYS: Result<VdcKeys, &str> = Ok(VdcKeys { generation: 2 });
    const NONE: Result<VdcKeys, &str> = Err("the VDC is not at this site");

    #[test]
    fn the_key_of_a_replica_is_taken_over_once_and_none_is_made_for_it() {
        let asked = VolumeKeySpec { sealed: Some("c2VhbGVk".to_owned()), ..spec(None, None) };
        assert_eq!(decide(Some(1), &asked, None, KEYS), Decision::TakeOver("c2VhbGVk".to_owned()));
        assert_eq!(
            decide(Some(1), &asked, Some(&answer(1, Some(wrapped(2)), None)), KEYS),
            Decision::Nothing
        );
        let refused = Err("the VDC is not at this site");
        assert!(matches!(decide(Some(1), &asked, None, refused), Decision::Refuse(_)));
    }

    #[test]
    fn it_is_seen_now_and_then_that_a_key_opens() {
        let (asked, said) = (spec(Some(wrapped(2)), None), answer(1, Some(wrapped(2)), None));
        let proved = |status| super::decide(Some(1), &asked, Some(status), KEYS, true);
        assert_eq!(proved(&said), Decision::Prove(wrapped(2)));
        // One that did not open is opened again at every look.
        let refused = VolumeKeyStatus { refused: Some("it does not open".to_owned()), ..said.clone() };
        assert!(matches!(proved(&refused), Decision::Open { .. }));
    }

    #[test]
    fn a_new_volume_gets_a_key_once() {
        let asked = spec(None, Some("r"));
        assert_eq!(decide(Some(1), &asked, None, KEYS), Decision::Make);
        let answered = answer(1, Some(wrapped(2)), Some("r"));
        assert_eq!(decide(Some(1), &asked, Some(&answered), KEYS), Decision::Nothing);
        // The node began anew before it kept the key: the same key for its new process.
        let again = spec(None, Some("s"));
        let opened = Decision::Open { wrapped: wrapped(2), origin: None, rewrap: false };
        assert_eq!(decide(Some(2), &again, Some(&answered), KEYS), opened);
    }

    #[test]
    fn what_a_volume_keeps_is_opened_and_wrapped_anew_when_it_is_old() {
        let asked = spec(Some(wrapped(1)), Some("r"));
        let anew = Decision::Open { wrapped: wrapped(1), origin: None, rewrap: true };
        assert_eq!(decide(Some(1), &asked, None, KEYS), anew);
        // Rotation: nobody asks, and the volume is wrapped with an old generation.
        let idle = spec(Some(wrapped(1)), None);
        assert_eq!(decide(Some(3), &idle, Some(&answer(3, Some(wrapped(1)), None)), KEYS), anew);
        assert_eq!(decide(Some(3), &idle, Some(&answer(3, Some(wrapped(2)), None)), KEYS), Decision::Nothing);
    }

    #[test]
    fn a_volume_made_from_another_gets_that_ones_key_for_itself() {
        let asked = VolumeKeySpec { origin: Some("source".to_owned()), ..spec(Some(wrapped(2)), Some("r")) };
        let origin = Some("source".to_owned());
        assert_eq!(
            decide(Some(1), &asked, None, KEYS),
            Decision::Open { wrapped: wrapped(2), origin, rewrap: true }
        );
        // It is wrapped for itself already: that one is opened, for itself.
        let (own, again) = (
            answer(1, Some(wrapped(2)), Some("r")),
            VolumeKeySpec { recipient: Some("s".to_owned()), ..asked },
        );
        let opened = Decision::Open { wrapped: wrapped(2), origin: None, rewrap: false };
        assert_eq!(decide(Some(2), &again, Some(&own), KEYS), opened);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_taken_back() {
        let done = spec(Some(wrapped(2)), None);
        let sealed = answer(1, Some(wrapped(2)), Some("r"));
        let open = Decision::Open { wrapped: wrapped(2), origin: None, rewrap: false };
        assert_eq!(decide(Some(2), &done, Some(&sealed), KEYS), open);
    }

    #[test]
    fn no_key_without_the_vdc_or_its_provider_and_that_is_said_once() {
        let asked = spec(Some(wrapped(2)), Some("r"));
        let Decision::Refuse(why) = decide(Some(1), &asked, None, NONE) else { panic!("a key was given") };
        let said = VolumeKeyStatus { refused: Some(why), ..answer(1, None, None) };
        assert_eq!(decide(Some(1), &asked, Some(&said), NONE), Decision::Nothing);
        let vault = missing(KeyProvider::Vault);
        assert_eq!(decide(Some(1), &asked, Some(&said), Err(vault)), Decision::Refuse(vault.to_owned()));
        assert_ne!(vault, missing(KeyProvider::Embedded));
        // Back again: it is answered after all.
        assert!(matches!(decide(Some(1), &asked, Some(&said), KEYS), Decision::Open { .. }));
        // What was given is taken out of the object.
        let given = answer(1, Some(wrapped(2)), Some("r"));
        assert!(matches!(decide(Some(1), &asked, Some(&given), NONE), Decision::Refuse(_)));
    }

    #[test]
    fn a_generation_is_forgotten_only_when_every_volume_says_a_newer_one() {
        let with = |g| spec(Some(wrapped(g)), None);
        assert_eq!(oldest(&[with(2), with(3)], 3), Some(2));
        assert_eq!(oldest(&[with(3), with(3)], 3), Some(3));
        assert_eq!(oldest(&[with(3), spec(None, None)], 3), None);
        assert_eq!(oldest(&[], 3), Some(3));
    }
}
