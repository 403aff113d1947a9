use super::*;
use crate::protocol::record::Seat;
use crate::protocol::record::tests::active;
use crate::protocol::timing::{Millis, Profile};
use crate::protocol::{Sound, record::Record};

const GROUP: Group = Group(7);
const BOOT: BootId = BootId(1);

fn record(site: &str, epoch: u64) -> Record {
    let timing = Profile::Fast.timing();
    Record { token: token(epoch), timing, longest: timing.wait::<Sound>(), ..active(site) }
}

fn token(epoch: u64) -> Token {
    Token { generation: 1, epoch }
}

fn fencing(epoch: u64) -> Record {
    let to = Seat { site: "b".parse().unwrap(), node: None };
    record("a", epoch - 1).fenced::<Sound>(None, to, "r").unwrap()
}

fn at(ms: u32) -> BootTime {
    BootTime::default() + Millis(ms)
}

fn node() -> Holder {
    let disk = Durable { boot: BOOT, ..Durable::default() };
    let (holder, commands) = Holder::start::<Sound>("a".parse().unwrap(), BOOT, Some(disk), at(0));
    assert_eq!(commands, []);
    holder
}

fn answer(nonce: u128, revision: i64, record: Record) -> Answer {
    Answer {
        nonce: Nonce(nonce),
        cluster: ClusterId(5),
        generation: 1,
        revision: Revision(revision),
        groups: vec![View { group: GROUP, record }],
    }
}

fn hear(holder: &mut Holder, sent: u32, heard: u32, answer: &Answer) -> Vec<Command> {
    holder.renew(at(sent), answer.nonce);
    holder.answered::<Sound>(at(heard), answer)
}

fn opens(commands: &[Command]) -> Option<Order> {
    commands.iter().find_map(|c| if let Command::Open(_, order) = c { Some(*order) } else { None })
}

/// A node that holds and is open until 6 s after its request at `sent`.
fn open(sent: u32) -> Holder {
    let mut holder = node();
    let stored = hear(&mut holder, sent, sent + 100, &answer(1, 9, record("a", 1)));
    assert!(matches!(stored[..], [Command::Store(_)]), "nothing opens before it is on disk: {stored:?}");
    assert!(opens(&holder.stored(at(sent + 200))).is_some());
    assert_eq!(holder.carried_out(at(sent + 300), GROUP), []);
    holder
}

#[test]
fn a_right_is_counted_from_its_request_and_opens_after_it_is_on_disk() {
    let mut holder = open(1_000);
    assert_eq!(holder.groups[&GROUP].open, Some(at(7_000)));
    assert_eq!(holder.rest(GROUP, at(6_999)), Some(at(7_000)), "a new pod gets what is left");
    assert_eq!(holder.rest(GROUP, at(7_000)), None);
    assert_eq!(holder.passed(at(6_999)), []);
    assert_eq!(holder.passed(at(7_000)), [Command::Close(GROUP)]);
}

#[test]
fn what_comes_late_or_unasked_opens_nothing() {
    let mut holder = node();
    holder.renew(at(0), Nonce(1));
    holder.renew(at(1_000), Nonce(2));
    assert_eq!(holder.answered::<Sound>(at(1_100), &answer(1, 9, record("a", 1))), [], "not the newest");
    holder.answered::<Sound>(at(1_200), &answer(2, 9, record("a", 1)));
    assert_eq!(holder.answered::<Sound>(at(1_300), &answer(2, 9, record("a", 1))), [], "twice");
    assert_eq!(opens(&holder.stored(at(7_000))), None, "the disk took too long");
    let order = Order { token: token(1), until: at(7_000), computed: at(1_000) };
    assert_eq!(order.kernel::<Sound>(at(6_999)), Some(at(7_000)));
    assert_eq!(order.kernel::<Sound>(at(7_000)), None);
}

#[test]
fn a_higher_token_closes_at_once_stops_pods_and_is_acknowledged_last() {
    let mut holder = open(0);
    holder.started(at(400), GROUP);
    holder.stored(at(500));
    holder.stored(at(500));
    let heard = hear(&mut holder, 1_000, 1_100, &answer(2, 10, fencing(2)));
    assert!(matches!(heard[..], [Command::Close(_), Command::Stop(_), Command::Store(_)]), "{heard:?}");
    holder.renew(at(1_200), Nonce(3));
    assert_eq!(holder.stored(at(1_300)), [Command::ReadBack(GROUP, token(2))]);
    let open = holder.read_back(GROUP, token(2), false);
    assert_eq!(open, [Command::Close(GROUP), Command::ReadBack(GROUP, token(2))]);
    assert_eq!(holder.read_back(GROUP, token(2), true), [Command::Acknowledge(GROUP, token(2))]);
    assert_eq!(holder.outstanding, None, "what was asked before the word is forgotten");
    assert_eq!(holder.answered::<Sound>(at(1_400), &answer(3, 11, record("a", 3))), []);
    // The word may be lost: it is given again with the next answer.
    hear(&mut holder, 2_000, 2_100, &answer(4, 12, fencing(2)));
    assert_eq!(holder.stored(at(2_200)), []);
    assert_eq!(holder.groups[&GROUP].fence, Some(Fence::Reading));
}

#[test]
fn an_order_that_is_carried_out_late_is_closed_before_the_word_is_given() {
    let mut holder = node();
    hear(&mut holder, 0, 100, &answer(1, 9, record("a", 1)));
    assert!(opens(&holder.stored(at(200))).is_some());
    let heard = hear(&mut holder, 1_000, 1_100, &answer(2, 10, fencing(2)));
    assert!(heard.contains(&Command::Close(GROUP)));
    assert_eq!(holder.stored(at(1_200)), [], "the order may be carried out any moment");
    let late = holder.carried_out(at(1_300), GROUP);
    assert_eq!(late, [Command::Close(GROUP), Command::ReadBack(GROUP, token(2))]);
}

#[test]
fn a_right_that_came_back_waits_for_the_pods_of_the_earlier_one() {
    let mut holder = open(0);
    holder.started(at(400), GROUP);
    holder.stored(at(500));
    let heard = hear(&mut holder, 1_000, 1_100, &answer(2, 11, record("a", 3)));
    assert!(heard.starts_with(&[Command::Close(GROUP), Command::Stop(GROUP)]), "{heard:?}");
    assert_eq!(opens(&holder.stored(at(1_200))), None);
    assert!(opens(&holder.stopped(at(1_300), GROUP)).is_some());
}

#[test]
fn nobody_tells_a_node_less_than_it_has_seen() {
    let mut holder = open(0);
    let other = |cluster, generation, revision, epoch| Answer {
        cluster: ClusterId(cluster),
        generation,
        ..answer(2, revision, Record { token: Token { generation, epoch }, ..record("a", 1) })
    };
    for refused in [other(5, 1, 8, 1), other(6, 1, 99, 9), other(6, 0, 99, 9), other(5, 1, 10, 0)] {
        let heard = hear(&mut holder, 1_000, 1_100, &refused);
        assert!(matches!(heard[0], Command::Refused(_)), "{heard:?}");
        assert_eq!(holder.groups[&GROUP].right.unwrap().until, at(6_000), "no information");
        holder.stored(at(1_200));
    }
    let heard = hear(&mut holder, 1_000, 1_100, &other(6, 2, 1, 1));
    assert!(matches!(heard[..], [Command::Close(_), Command::Store(_)]), "{heard:?}");
    let text = serde_json::to_string(&holder.known()).unwrap();
    assert_eq!(serde_json::from_str::<Durable>(&text).unwrap(), holder.known());
}

#[test]
fn a_right_goes_on_in_the_next_process_and_never_in_the_next_boot() {
    let holder = open(0);
    let start = |boot, disk, now| Holder::start::<Sound>("a".parse().unwrap(), boot, disk, now);
    let (_, same) = start(BOOT, holder.disk.clone(), at(2_000));
    assert_eq!(opens(&same).map(|o| o.until), Some(at(6_000)));
    let (_, late) = start(BOOT, holder.disk.clone(), at(6_000));
    assert_eq!(opens(&late), None);
    let (_, boot) = start(BootId(2), holder.disk.clone(), at(10));
    assert!(boot.contains(&Command::CloseAll) && opens(&boot).is_none(), "{boot:?}");
    let (mut lost, closed) = start(BOOT, None, at(10));
    assert_eq!(closed, [Command::CloseAll]);
    assert_eq!(hear(&mut lost, 100, 200, &answer(8, 20, record("a", 1))), [], "nothing opens without a disk");
}

#[test]
fn distrust_closes_all_and_the_next_answer_opens_again() {
    let mut holder = open(0);
    holder.renew(at(1_000), Nonce(2));
    assert_eq!(holder.distrusted(), [Command::CloseAll]);
    assert_eq!(holder.answered::<Sound>(at(1_100), &answer(2, 10, record("a", 1))), []);
    hear(&mut holder, 2_000, 2_100, &answer(3, 11, record("a", 1)));
    assert!(opens(&holder.stored(at(2_200))).is_some());
    assert_eq!(holder.lost_disk(), [Command::CloseAll]);
    assert_eq!(holder.known().groups[&GROUP].until, None);
}

#[test]
fn pods_without_a_right_are_stopped_after_ten_times_its_length() {
    let mut holder = open(0);
    holder.started(at(400), GROUP);
    assert_eq!(holder.passed(at(65_999)), [Command::Close(GROUP)]);
    assert_eq!(holder.passed(at(66_000)), [Command::Stop(GROUP)]);
    assert_eq!(holder.passed(at(66_001)), []);
}
