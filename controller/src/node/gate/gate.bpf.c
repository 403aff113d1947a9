// SPDX-License-Identifier: Apache-2.0
//
// The gate on a pod's link, in both directions and before everything else: a packet of a protected pod passes only before
// its group's deadline. Nobody has to do anything for it to close, and a deadline that is written late opens nothing.
//
// What is not known is closed: a link without a group, a group without a deadline.
//
// Built by `make gate` (clang); gate.bpf.o is what the controller carries.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct group {
    __u8 uid[16];
};

struct counts {
    __u64 passed;
    __u64 dropped;
};

// Link, by its number, which no other link gets before the next boot.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, __u32);
    __type(value, struct group);
} members SEC(".maps");

// Nanoseconds of CLOCK_BOOTTIME, which goes on while the machine is suspended.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, struct group);
    __type(value, __u64);
} deadlines SEC(".maps");

// Per link.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, __u32);
    __type(value, struct counts);
} counted SEC(".maps");

SEC("classifier")
int gate(struct __sk_buff *skb)
{
    __u32 link = skb->ifindex;
    struct counts *counts = bpf_map_lookup_elem(&counted, &link);
    struct group *group = bpf_map_lookup_elem(&members, &link);
    if (group) {
        __u64 *deadline = bpf_map_lookup_elem(&deadlines, group);
        if (deadline && bpf_ktime_get_boot_ns() < *deadline) {
            if (counts)
                __sync_fetch_and_add(&counts->passed, 1);
            // To what else stands on the link.
            return TC_ACT_UNSPEC;
        }
    }
    if (counts)
        __sync_fetch_and_add(&counts->dropped, 1);
    return TC_ACT_SHOT;
}

// None of the helpers used is for programs under the GPL only.
char LICENSE[] SEC("license") = "Apache-2.0";
