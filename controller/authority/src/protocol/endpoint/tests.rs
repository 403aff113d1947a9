use super::*;
use crate::protocol::record::tests::active;
use crate::protocol::record::{Method, Seat};
use crate::protocol::token::{BootId, Token};
use crate::protocol::{Sound, timing::Profile};

const GROUP: Group = Group(7);

fn identity(site: &str, node: &str) -> Identity {
    Identity { site: site.parse().unwrap(), node: node.parse().unwrap() }
}

fn fencing() -> Record {
    let timing = Profile::Fast.timing();
    let replicas = ["d".parse().unwrap()].into();
    let token = Token { generation: 1, epoch: 1 };
    let active = Record { token, timing, longest: timing.wait::<Sound>(), replicas, ..active("a") };
    active.fenced::<Sound>(None, Seat { site: "b".parse().unwrap(), node: None }, "r").unwrap()
}

#[test]
fn a_node_is_itself_to_the_letter() {
    let own = identity("a", "n1");
    assert_eq!(permits(&own, &identity("a", "n1")), Ok(()));
    for other in [identity("a", "n10"), identity("b", "n1"), identity("a.b", "n1")] {
        assert!(permits(&own, &other).is_err(), "{other:?}");
    }
}

#[test]
fn a_renewal_is_one_transaction_under_the_own_key() {
    let beat = Beat {
        sequence: 3,
        boot: BootId(1),
        members: [].into(),
        armed: true,
        tested_as: "k".to_owned(),
        tested_ago: 9,
    };
    let asked = renewal(&identity("a", "n1"), &beat).unwrap();
    assert_eq!(asked.put.0, "/yunting/v1/beat/a/n1");
    assert_eq!(serde_json::from_str::<Beat>(&asked.put.1).unwrap(), beat);
    assert_eq!((asked.records, asked.generation), ("/yunting/v1/auth/", "/yunting/v1/generation"));
}

#[test]
fn a_site_is_answered_what_concerns_it() {
    let committed = || Committed {
        cluster: ClusterId(1),
        generation: 1,
        revision: Revision(9),
        records: vec![(GROUP, fencing())],
    };
    for (site, concerned) in [("a", true), ("b", true), ("d", true), ("c", false)] {
        let answer = answer(&identity(site, "n1"), Nonce(5), committed());
        assert_eq!((answer.nonce, answer.revision), (Nonce(5), Revision(9)));
        assert_eq!(answer.groups.len(), usize::from(concerned), "{site}");
    }
}

#[test]
fn only_who_is_fenced_acknowledges_and_only_this_fencing() {
    let record = fencing();
    let said = |token| Acknowledged { token, method: Method::Gate, finals: [].into() };
    let write = |who: &Identity, token| acknowledgement(who, GROUP, (&record, Revision(4)), &said(token));
    let own = write(&identity("a", "n1"), record.token).unwrap();
    assert_eq!(own.put.0, record::acknowledgement_key(GROUP, &"a".parse().unwrap(), &"n1".parse().unwrap()));
    assert_eq!(own.unchanged, (record::key(GROUP), Revision(4)));
    assert!(write(&identity("b", "n1"), record.token).is_err(), "the target holds nothing");
    assert!(write(&identity("a", "n1"), record.token.next()).is_err());
    let active = Record { phase: record::Phase::Active, ..record.clone() };
    let early = acknowledgement(&identity("a", "n1"), GROUP, (&active, Revision(4)), &said(record.token));
    assert!(early.is_err());
}
