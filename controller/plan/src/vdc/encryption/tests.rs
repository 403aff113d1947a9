use super::*;

const VDC: &str = "v";

fn text(seed: u8) -> Vec<u8> {
    let line: Vec<u8> = (0..64u8).map(|i| i.wrapping_mul(31) ^ seed.wrapping_mul(87)).collect();
    line.repeat(2 * BLOCK / 64)
}

/// Bytes in which nothing repeats.
fn noise() -> Vec<u8> {
    (0..u64::try_from(2 * BLOCK / 8).unwrap())
        .flat_map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn is(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Encrypted => "encrypted",
        Outcome::Plain(_) => "plain",
        Outcome::Unproved(_) => "unproved",
    }
}

#[test]
fn ciphertext_is_shown_only_where_clear_text_was_found_too() {
    let (written, control, noise) = (text(1), text(2), noise());
    let good = Evidence {
        written: &written,
        through: &written,
        raw: &noise,
        control: &control,
        control_raw: &control,
    };
    assert_eq!(read(good), Outcome::Encrypted);
    let zeros = vec![0; noise.len()];
    let half = [&noise[..BLOCK], &zeros[..BLOCK]].concat();
    let mut one_piece = noise.clone();
    one_piece[1001..1017].copy_from_slice(&written[16..32]);
    let masked: Vec<u8> = written.iter().map(|b| b ^ 0x5a).collect();
    for (what, evidence, wanted) in [
        ("in the clear", Evidence { raw: &written, ..good }, "plain"),
        (
            "in the clear, though the control fails",
            Evidence { raw: &written, control_raw: &noise, ..good },
            "plain",
        ),
        ("a piece of it anywhere", Evidence { raw: &one_piece, ..good }, "plain"),
        ("what shows through", Evidence { raw: &masked, ..good }, "plain"),
        ("the control is not where it should be", Evidence { control_raw: &noise, ..good }, "unproved"),
        ("the control is encrypted, too", Evidence { control_raw: &zeros, ..good }, "unproved"),
        ("no control", Evidence { control: &[], control_raw: &[], ..good }, "unproved"),
        ("the mount shows something else", Evidence { through: &noise, ..good }, "unproved"),
        ("nothing is there", Evidence { raw: &zeros, ..good }, "unproved"),
        ("half of it is there", Evidence { raw: &half, ..good }, "unproved"),
        ("less was read", Evidence { raw: &noise[..BLOCK], ..good }, "unproved"),
        ("nothing was read", Evidence { raw: &[], ..good }, "unproved"),
        ("nothing was written", Evidence { written: &[], through: &[], raw: &[], ..good }, "unproved"),
    ] {
        assert_eq!(is(&read(evidence)), wanted, "{what}");
    }
}

#[test]
fn reasons_hold_nothing_of_what_was_written() {
    let (written, control) = (b"Marker-of-a-test".repeat(2 * BLOCK / 16), text(2));
    let evidence = Evidence {
        written: &written,
        through: &written,
        raw: &written,
        control: &control,
        control_raw: &control,
    };
    let Outcome::Plain(why) = read(evidence) else { panic!("not found") };
    assert!(!why.contains("Marker"), "{why}");
}

fn open<'a>(volume: &'a str, last: Option<(&'a Outcome, u64)>, proved: Option<u64>) -> Open<'a> {
    let age = |s: u64| Duration::from_secs(s);
    let at = |s: u64| Timestamp::from_second(10_000 - i64::try_from(s).unwrap()).unwrap();
    Open {
        volume,
        vdc: VDC,
        proved: proved.map(|s| (at(s), age(s))),
        last: last.map(|(outcome, s)| (outcome, age(s))),
    }
}

#[test]
fn whose_turn_it_is() {
    let (good, plain, not) = (Outcome::Encrypted, Outcome::Plain("p".into()), Outcome::Unproved("u".into()));
    let all = [
        open("just-proved", Some((&good, 239)), Some(239)),
        open("proved", Some((&good, 240)), Some(240)),
        open("plain", Some((&plain, 1)), None),
        open("just-tried", Some((&not, 59)), None),
        open("tried", Some((&not, 61)), None),
        open("new", None, None),
    ];
    assert_eq!(due(&all), ["new", "proved", "tried", "plain"]);
    let names: Vec<String> = (0..20).map(|i| format!("v{i}")).collect();
    let many: Vec<Open<'_>> = names.iter().map(|n| open(n, None, None)).collect();
    assert_eq!(due(&many).len(), AT_ONCE);
}

/// Turn by turn, as long as proofs hold twice.
#[test]
fn every_volume_has_its_turn_while_its_proof_holds() {
    let names: Vec<String> = (0..432).map(|i| format!("v{i}")).collect();
    let mut probed: BTreeMap<&str, u64> = BTreeMap::new();
    for turn in 0..120u64 {
        let now = turn * TURN.as_secs();
        let good = Outcome::Encrypted;
        let all: Vec<Open<'_>> = names
            .iter()
            .map(|n| {
                let age = probed.get(n.as_str()).map(|at| now - at);
                open(n, age.map(|s| (&good, s)), age)
            })
            .collect();
        if turn >= 54 {
            let states: Vec<VdcVolumes> = shown(&all);
            assert_eq!(states[0].state, VolumesState::Encrypted, "turn {turn}: {:?}", states[0]);
        }
        let due: Vec<String> = due(&all).into_iter().map(str::to_owned).collect();
        for name in &names {
            if due.contains(name) {
                probed.insert(name, now);
            }
        }
    }
}

#[test]
fn what_a_node_says_of_its_volumes() {
    let (good, plain, not) =
        (Outcome::Encrypted, Outcome::Plain("p".into()), Outcome::Unproved("full".into()));
    let state = |open: &[Open<'_>]| shown(open).remove(0);
    let all = state(&[open("a", Some((&good, 5)), Some(5)), open("b", Some((&good, 100)), Some(100))]);
    assert_eq!((all.state, all.open, all.encrypted), (VolumesState::Encrypted, 2, 2));
    assert_eq!(all.oldest_proof, Some(Time(Timestamp::from_second(9_900).unwrap())));
    // A proof holds, though the last probe could not be made; for its time only.
    let held = [open("a", Some((&not, 5)), Some(540))];
    assert_eq!(state(&held).state, VolumesState::Encrypted);
    let late = state(&[open("a", Some((&not, 5)), Some(541))]);
    assert_eq!((late.state, late.findings[0].why.as_str()), (VolumesState::Unproved, "full"));
    // One in the clear is told, whatever was shown before, and named before all that is not known.
    let broken = state(&[
        open("a", Some((&plain, 1)), Some(30)),
        open("b", Some((&not, 1)), None),
        open("c", None, None),
    ]);
    assert_eq!((broken.state, broken.encrypted), (VolumesState::Plain, 0));
    assert_eq!(broken.findings.iter().map(|f| f.volume.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(state(&[open("a", None, None)]).state, VolumesState::Unproved);
    assert!(shown(&[]).is_empty());
    let names: Vec<String> = (0..20).map(|i| format!("v{i}")).collect();
    let many: Vec<Open<'_>> = names.iter().map(|n| open(n, Some((&plain, 1)), None)).collect();
    assert_eq!(state(&many).findings.len(), NAMED);
}

fn report(volumes: &[VdcVolumes]) -> VolumesReport {
    VolumesReport { observed_at: Time(Timestamp::from_second(10_000).unwrap()), vdcs: volumes.to_vec() }
}

fn nodes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn word<'a>(node: &'a str, report: &'a VolumesReport, age: u64) -> Word<'a> {
    Word { node, age: Duration::from_secs(age), report }
}

#[test]
fn verified_only_by_fresh_words_and_fresh_proofs() {
    let good = Outcome::Encrypted;
    let proved = |age: u64| report(&shown(&[open("a", Some((&good, age)), Some(age))]));
    let (fresh, aged) = (proved(5), proved(539));
    let unproved = report(&shown(&[open("a", None, None)]));
    let none = report(&[]);
    let two = nodes(&["n1", "n2"]);
    let is = |nodes: &BTreeSet<String>, words: &[Word<'_>]| judge(VDC, nodes, words);
    // A node that serves no volumes has no word of them.
    assert_eq!(is(&two, &[word("n1", &fresh, 20)]), Encryption::Verified(1, nodes(&["n1"])));
    assert_eq!(
        is(&two, &[word("n1", &fresh, 20), word("n2", &none, 60)]),
        Encryption::Verified(1, nodes(&["n1"]))
    );
    assert_eq!(
        is(&two, &[word("n1", &fresh, 20), word("n2", &aged, 60)]),
        Encryption::Verified(2, two.clone())
    );
    for words in [
        vec![word("n1", &fresh, 61)],
        vec![word("n1", &fresh, 20), word("n2", &none, 61)],
        vec![word("n1", &fresh, 20), word("n2", &unproved, 20)],
    ] {
        assert!(matches!(is(&two, &words), Encryption::Unproved(_)), "{words:?}");
    }
    // The node that said it is gone, and what was open on it.
    assert_eq!(is(&nodes(&["n2"]), &[word("n1", &fresh, 20)]), Encryption::Nothing);
    assert_eq!(is(&two, &[]), Encryption::Nothing);
    assert_eq!(judge("other", &two, &[word("n1", &fresh, 20)]), Encryption::Nothing);
}

#[test]
fn a_node_that_calls_old_proofs_good_is_not_believed() {
    let mut old = shown(&[open("a", Some((&Outcome::Encrypted, 5)), Some(5))]);
    old[0].oldest_proof = Some(Time(Timestamp::from_second(10_000 - 590).unwrap()));
    let told = report(&old);
    let one = nodes(&["n1"]);
    assert!(matches!(judge(VDC, &one, &[word("n1", &told, 5)]), Encryption::Verified(..)));
    assert!(matches!(judge(VDC, &one, &[word("n1", &told, 11)]), Encryption::Unproved(_)));
    old[0].oldest_proof = None;
    assert!(matches!(judge(VDC, &one, &[word("n1", &report(&old), 5)]), Encryption::Unproved(_)));
}

#[test]
fn clear_text_is_told_whatever_else_is_not_known() {
    let plain = report(&shown(&[open("pvc-1", Some((&Outcome::Plain("it lies there".into()), 1)), None)]));
    let none = report(&[]);
    let words = [word("n1", &plain, 20), word("n2", &none, 600)];
    let judged = judge(VDC, &nodes(&["n1", "n2"]), &words);
    assert_eq!(judged, Encryption::Plain("on node n1 volume pvc-1: it lies there".to_owned()));
    assert!(matches!(judge(VDC, &nodes(&["n1"]), &[word("n1", &plain, 61)]), Encryption::Unproved(_)));
}
