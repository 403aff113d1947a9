//! What follows when disk, gate and pods have done what they were told.

use super::{Command, Durable, Fence, Held, Holder, Kept, Order};
use crate::protocol::token::{BootTime, Group, Token};

impl Holder {
    /// The gate was told an order, whatever came of it.
    pub fn carried_out(&mut self, now: BootTime, group: Group) -> Vec<Command> {
        let mut commands = Vec::new();
        if let Some(held) = self.groups.get_mut(&group) {
            held.carried_out(group, &mut commands);
        }
        self.go_on(now, &mut commands);
        commands
    }

    /// The gate was read for a fencing. What is still on its way when the word is given is forgotten: no answer to it may
    /// open what was said to be closed.
    pub fn read_back(&mut self, group: Group, token: Token, closed: bool) -> Vec<Command> {
        let Some(held) = self.groups.get_mut(&group) else { return Vec::new() };
        if held.fence != Some(Fence::Reading) || held.token != token {
            return Vec::new();
        }
        if !closed || held.right.is_some() || held.order.is_some() {
            return vec![Command::Close(group), Command::ReadBack(group, token)];
        }
        held.fence = Some(Fence::Told);
        held.open = None;
        self.outstanding = None;
        vec![Command::Acknowledge(group, token)]
    }

    /// A pod of the group was made here, under the highest token that was seen.
    pub fn started(&mut self, now: BootTime, group: Group) -> Vec<Command> {
        let mut commands = Vec::new();
        let held = self.groups.entry(group).or_default();
        held.running = held.running.or(Some(held.token));
        self.go_on(now, &mut commands);
        commands
    }

    /// No pod of the group is left that was made under a lesser token.
    pub fn stopped(&mut self, now: BootTime, group: Group) -> Vec<Command> {
        let mut commands = Vec::new();
        if let Some(held) = self.groups.get_mut(&group) {
            held.running = None;
        }
        self.go_on(now, &mut commands);
        commands
    }

    /// Writes what the disk does not have, and orders and reads what it allows.
    pub(super) fn go_on(&mut self, now: BootTime, commands: &mut Vec<Command>) {
        let Some(disk) = &self.disk else { return };
        if self.writing.is_none() {
            let known = self.known();
            if known != *disk {
                self.writing = Some(known.clone());
                commands.push(Command::Store(known));
            }
        }
        let (cluster, generation) = (self.cluster, self.generation);
        let same = disk.cluster == cluster && disk.generation == generation;
        for (group, held) in &mut self.groups {
            held.act(*group, disk, same, now, commands);
        }
    }

    /// What would have to be on disk now.
    pub fn known(&self) -> Durable {
        let kept = |held: &Held| Kept {
            token: held.token,
            until: held.right.map(|right| right.until),
            running: held.running,
        };
        Durable {
            cluster: self.cluster,
            generation: self.generation,
            revision: self.revision,
            boot: self.boot,
            groups: self.groups.iter().map(|(group, held)| (*group, kept(held))).collect(),
        }
    }
}

impl Held {
    /// An order that was computed before the right was taken away may have opened after it was closed.
    fn carried_out(&mut self, group: Group, commands: &mut Vec<Command>) {
        let Some(order) = self.order.take() else { return };
        if self.right.is_none() || order.token != self.token {
            self.open = None;
            commands.push(Command::Close(group));
        } else {
            self.open = Some(order.until);
        }
    }

    fn act(&mut self, group: Group, disk: &Durable, same: bool, now: BootTime, commands: &mut Vec<Command>) {
        if self.order.is_some() || !same {
            return;
        }
        if let Some(right) = self.right {
            let fresh = self.open != Some(right.until) && right.until > now;
            let own = self.running.is_none_or(|under| under == self.token);
            if fresh && own && disk.covers(right.revision, group, self.token) {
                let order = Order { token: self.token, until: right.until, computed: now };
                self.order = Some(order);
                commands.push(Command::Open(group, order));
            }
        } else if self.fence == Some(Fence::Storing)
            && disk.groups.get(&group).is_some_and(|k| k.token >= self.token)
        {
            self.fence = Some(Fence::Reading);
            commands.push(Command::ReadBack(group, self.token));
        }
    }
}
