//! The text that the kernel is given, in the language of `nft`. Each text is one transaction: all of it or nothing.
//!
//! How a packet is judged: the class of who asks is looked up by source address and kept in the packet's priority, a
//! number that nothing else on the way uses and that a link to a pod clears. (The packet mark is kube-proxy's.) Then
//! class, destination and port are looked up together. Answers are judged by the same sets with the ends changed, so
//! that a call that is withdrawn ends at once, also in the middle of a connection. Destinations are those after the
//! translation of services, because the chains stand behind it.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};

use super::table::Table;

/// The table's family and name.
pub const TABLE: &str = "inet yunting";

/// The sets, each with the type of its elements.
const SETS: [(&str, &str); 15] = [
    ("outer", "set outer { type ifname; }"),
    ("tunnel", "set tunnel { type ifname; }"),
    ("abroad", "set abroad { type ipv4_addr; flags interval; }"),
    ("local", "set local { type ifname . ipv4_addr; }"),
    ("here", "set here { type ipv4_addr; }"),
    ("class", "map class { type ipv4_addr : classid; }"),
    ("platform", "set platform { type ipv4_addr; }"),
    ("dns", "set dns { type ipv4_addr . inet_service; }"),
    ("calls", "set calls { type classid . ipv4_addr . inet_service; }"),
    ("same", "set same { type classid . ipv4_addr; }"),
    ("entry", "set entry { type ipv4_addr . ipv4_addr . inet_service; flags interval; }"),
    ("from_node", "set from_node { type ipv4_addr . inet_service; }"),
    ("inside", "set inside { type ipv4_addr; flags interval; }"),
    ("egress_tcp", "set egress_tcp { type classid . ipv4_addr . inet_service; flags interval; }"),
    ("egress_any", "set egress_any { type classid . ipv4_addr; flags interval; }"),
];

/// The chains. They stand before those of kube-proxy and of anybody else, and what they let pass is still judged there.
///
/// A look-up costs more than all else in a rule, so the way that most packets take has few: where a packet comes from and
/// where it goes is found once each, by link and address together, and of the sets the one that holds the most calls is
/// asked first. What comes from a link with an address that is not its own is in none of them.
///
/// `meta priority set 0:0` comes before each look-up: one that finds nothing would leave what is there.
const CHAINS: &str = "
    chain forward {
        type filter hook forward priority -10; policy accept;
        iifname . ip saddr @local goto from_pod
        iifname @outer goto from_outside
        iifname @tunnel goto from_abroad
        counter drop
    }
    chain from_pod {
        oifname . ip daddr @local goto judged
        oifname @outer goto to_outside
        oifname @tunnel ip daddr @abroad goto crossing
        counter drop
    }
    chain to_outside {
        ip daddr @abroad counter drop
        goto judged
    }
    chain from_outside {
        oifname @outer accept
        ip saddr @here counter drop
        ip saddr @abroad counter drop
        oifname . ip daddr @local goto judged
        counter drop
    }
    chain from_abroad {
        ip saddr != @abroad counter drop
        oifname . ip daddr @local goto crossing
        counter drop
    }
    chain crossing {
        meta priority set 0:0
        ct direction original goto crossing_asks
        ct direction reply goto crossing_answers
        counter drop
    }
    chain crossing_asks {
        meta l4proto icmp ct state related accept
        meta priority set ip saddr map @class
        meta l4proto tcp meta priority . ip daddr . tcp dport @calls goto pass
        counter drop
    }
    chain crossing_answers {
        meta l4proto icmp ct state related accept
        meta priority set ip daddr map @class
        meta l4proto tcp meta priority . ip saddr . tcp sport @calls goto pass
        counter drop
    }
    chain input {
        type filter hook input priority -10; policy accept;
        iifname @outer ip saddr @abroad counter drop
        iifname @outer accept
        meta nfproto != ipv4 counter drop
        iifname . ip saddr != @local counter drop
        ip saddr @platform accept
        ct direction reply ct state established accept
        meta l4proto icmp ct state related accept
        counter drop
    }
    chain output {
        type filter hook output priority -10; policy accept;
        oifname @outer ip daddr @abroad counter drop
        oifname @outer accept
        meta nfproto != ipv4 counter drop
        oifname . ip daddr != @local counter drop
        ip daddr @platform accept
        ct direction original ip daddr . tcp dport @from_node accept
        meta l4proto icmp ct state related accept
        counter drop
    }
    chain judged {
        meta priority set 0:0
        ct direction original goto asks
        ct direction reply goto answers
        counter drop
    }
    chain asks {
        meta priority set ip saddr map @class
        meta l4proto tcp meta priority . ip daddr . tcp dport @calls goto pass
        meta priority . ip daddr @same goto pass
        meta l4proto icmp ct state related goto pass
        meta l4proto { tcp, udp } ip daddr . th dport @dns goto pass
        meta l4proto tcp ip saddr . ip daddr . tcp dport @entry goto pass
        ip saddr @platform ip daddr @platform goto pass
        ip saddr @platform goto from_platform
        ip daddr @platform goto to_platform
        ip daddr @inside counter drop
        meta l4proto tcp meta priority . ip daddr . tcp dport @egress_tcp goto pass
        meta priority . ip daddr @egress_any goto pass
        counter drop
    }
    chain answers {
        meta priority set ip daddr map @class
        meta l4proto tcp meta priority . ip saddr . tcp sport @calls goto pass
        meta priority . ip saddr @same goto pass
        meta l4proto icmp ct state related goto pass
        meta l4proto { tcp, udp } ip saddr . th sport @dns goto pass
        meta l4proto tcp ip daddr . ip saddr . tcp sport @entry goto pass
        ip saddr @platform ip daddr @platform goto pass
        ip daddr @platform goto to_platform
        ip saddr @platform goto from_platform
        ip saddr @inside counter drop
        meta l4proto tcp meta priority . ip saddr . tcp sport @egress_tcp goto pass
        meta priority . ip saddr @egress_any goto pass
        counter drop
    }
    chain from_platform {
        meta priority set 0:0
        meta priority set ip daddr map @class
        meta priority == 0:0 goto pass
        counter drop
    }
    chain to_platform {
        meta priority set 0:0
        meta priority set ip saddr map @class
        meta priority == 0:0 goto pass
        counter drop
    }
    chain pass {
        meta priority set 0:0
        accept
    }
";

/// The whole table in place of whatever is there under its name.
pub fn whole(table: &Table) -> String {
    // `delete` alone fails where there is none.
    let mut text = format!("table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n");
    for (_, set) in SETS {
        let _ = writeln!(text, "    {set}");
    }
    text.push_str(CHAINS);
    text.push_str("}\n");
    for (name, elements) in elements(table) {
        line(&mut text, "add", name, elements.iter());
    }
    text
}

/// What leads from one table to another; nothing where they are the same.
pub fn change(from: &Table, to: &Table) -> Option<String> {
    if from == to {
        return None;
    }
    let mut text = String::new();
    for ((name, old), (_, new)) in elements(from).into_iter().zip(elements(to)) {
        // Of a map the key alone is deleted.
        let keys: BTreeSet<String> = old.difference(&new).map(|e| key(e).to_owned()).collect();
        line(&mut text, "delete", name, keys.iter());
        line(&mut text, "add", name, new.difference(&old));
    }
    Some(text)
}

/// Takes the table away.
pub fn nothing() -> String {
    format!("table {TABLE}\ndelete table {TABLE}\n")
}

fn key(element: &str) -> &str {
    element.split_once(" : ").map_or(element, |(key, _)| key)
}

fn line<'a>(text: &mut String, verb: &str, set: &str, elements: impl Iterator<Item = &'a String>) {
    let all: Vec<&str> = elements.map(String::as_str).collect();
    if !all.is_empty() {
        let _ = writeln!(text, "{verb} element {TABLE} {set} {{ {} }}", all.join(", "));
    }
}

fn elements(table: &Table) -> Vec<(&'static str, BTreeSet<String>)> {
    fn each<T>(set: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> BTreeSet<String> {
        set.into_iter().map(text).collect()
    }
    fn plain<T: Display>(set: &BTreeSet<T>) -> BTreeSet<String> {
        each(set, ToString::to_string)
    }
    let of = |name: &str| match name {
        "outer" => each(&table.outer, |l| format!("\"{l}\"")),
        "tunnel" => each(&table.tunnel, |l| format!("\"{l}\"")),
        "abroad" => plain(&table.abroad),
        "local" => each(&table.local, |(l, a)| format!("\"{l}\" . {a}")),
        "here" => each(&table.local, |(_, a)| a.to_string()),
        "class" => each(&table.class, |(a, id)| format!("{a} : {id}")),
        "platform" => plain(&table.platform),
        "dns" => each(&table.dns, |(a, port)| format!("{a} . {port}")),
        "calls" => each(&table.calls, |(id, a, port)| format!("{id} . {a} . {port}")),
        "same" => each(&table.same, |(id, a)| format!("{id} . {a}")),
        "entry" => each(&table.entry, |(n, a, port)| format!("{n} . {a} . {port}")),
        "from_node" => each(&table.from_node, |(a, port)| format!("{a} . {port}")),
        "inside" => plain(&table.inside),
        "egress_tcp" => each(&table.egress_tcp, |(id, n, port)| format!("{id} . {n} . {port}")),
        "egress_any" => each(&table.egress_any, |(id, n)| format!("{id} . {n}")),
        _ => BTreeSet::new(),
    };
    SETS.into_iter().map(|(name, _)| (name, of(name))).collect()
}
