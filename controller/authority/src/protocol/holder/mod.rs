//! What a node does: it asks for rights, takes them, lets go of them, and says so. Each method takes what happened and when,
//! by `CLOCK_BOOTTIME`, and returns what an executor has to do, in that order.
//!
//! Must never: open by what is not on disk yet, or acknowledge while anything is left that could open.

mod act;
mod mark;

use std::collections::BTreeMap;

use super::record::Record;
use super::rules::Rules;
use super::timing::Timing;
use super::token::{BootId, BootTime, ClusterId, Group, Nonce, Revision, Site, Token};

pub use mark::{Durable, Kept, Lower, Mark};

/// A request that is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outstanding {
    /// Its nonce: no other answer counts.
    pub nonce: Nonce,
    /// When it was sent.
    pub sent: BootTime,
}

/// A right of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Right {
    /// When it ends.
    pub until: BootTime,
    /// Revision of the answer that it came with.
    pub revision: Revision,
}

/// What the gate is to be told; carried out later than it was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// Under which right.
    pub token: Token,
    /// Packets pass until then.
    pub until: BootTime,
    /// When it was computed.
    pub computed: BootTime,
}

impl Order {
    /// What the executor writes into the kernel, at the moment when it does; nothing where it writes nothing.
    pub fn kernel<R: Rules>(self, carried_out: BootTime) -> Option<BootTime> {
        R::gate_until(self, carried_out)
    }
}

/// How far a node is with letting go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fence {
    /// The higher token is not on disk yet, or something that was ordered before is not carried out.
    Storing,
    /// The gate is being read back.
    Reading,
    /// It read closed, and that was acknowledged.
    Told,
}

/// What a node knows of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Held {
    /// The highest token that was seen.
    pub token: Token,
    /// The right under it, where there is one.
    pub right: Option<Right>,
    /// What the gate was told last and has not confirmed.
    pub order: Option<Order>,
    /// Until when the gate was told to be open, as confirmed.
    pub open: Option<BootTime>,
    /// Where this node has to acknowledge that token: how far it is.
    pub fence: Option<Fence>,
    /// The least token under which a pod runs here; none where there is none.
    pub running: Option<Token>,
    /// When pods without a right are stopped: D_stop after the right ended.
    pub stop: Option<BootTime>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its site, as its certificate says.
    pub site: Site,
    /// This boot.
    pub boot: BootId,
    /// Cluster, generation and revision that were seen highest.
    pub cluster: ClusterId,
    /// See `cluster`.
    pub generation: u64,
    /// See `cluster`.
    pub revision: Revision,
    /// What is known to be on disk; none where it is missing or corrupt, and then nothing opens.
    pub disk: Option<Durable>,
    /// What the disk was told to keep and has not confirmed.
    pub writing: Option<Durable>,
    /// The request that is on its way.
    pub outstanding: Option<Outstanding>,
    /// The groups that it knows of.
    pub groups: BTreeMap<Group, Held>,
}

/// One group in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    /// Which.
    pub group: Group,
    /// Its record, as the transaction read it.
    pub record: Record,
}

/// The answer to a renewal: the result of one committed transaction, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Of its request.
    pub nonce: Nonce,
    /// Which store answered.
    pub cluster: ClusterId,
    /// The store's generation.
    pub generation: u64,
    /// Revision of the transaction.
    pub revision: Revision,
    /// The groups that concern the site. A group that is not among them: no information.
    pub groups: Vec<View>,
}

/// What an executor does. It may be stopped before, between and after; gate and disk confirm what was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Send a renewal to the next endpoint.
    Renew(Nonce),
    /// Keep this: preallocated file, checksum, fsync, rename, fsync of the directory. Then `stored`.
    Store(Durable),
    /// Write [`Order::kernel`] into the gate at the moment of writing. Then `carried_out`, whatever was written.
    Open(Group, Order),
    /// Close the gate now; it waits for nothing, not for an order that was not carried out either.
    Close(Group),
    /// Close all gates now.
    CloseAll,
    /// Read the gate: whether it is closed, and nothing that passed before it closed is in a queue. Then `read_back`.
    ReadBack(Group, Token),
    /// Stop the group's pods. Then `stopped`.
    Stop(Group),
    /// Write an acknowledgement of that token, with the final points.
    Acknowledge(Group, Token),
    /// Count and show: an answer was not believed.
    Refused(Lower),
}

impl Holder {
    /// Begins with what is on disk. A right that was stored in this boot goes on until its own end; the gate is told again,
    /// since the process before may have died before it told it.
    pub fn start<R: Rules>(
        site: Site,
        boot: BootId,
        disk: Option<Durable>,
        now: BootTime,
    ) -> (Self, Vec<Command>) {
        let kept = disk.clone().unwrap_or_default();
        let same = R::survives(kept.boot, boot);
        let held = |kept: &Kept, revision| Held {
            token: kept.token,
            right: kept.until.filter(|until| same && *until > now).map(|until| Right { until, revision }),
            running: kept.running.filter(|_| same),
            ..Held::default()
        };
        let groups = kept.groups.iter().map(|(group, k)| (*group, held(k, kept.revision))).collect();
        let mut holder = Self {
            site,
            boot,
            cluster: kept.cluster,
            generation: kept.generation,
            revision: kept.revision,
            disk,
            writing: None,
            outstanding: None,
            groups,
        };
        let mut commands = Vec::new();
        if holder.disk.is_none() || !same {
            commands.push(Command::CloseAll);
        }
        holder.go_on(now, &mut commands);
        (holder, commands)
    }

    /// Asks, each R and when a request counts as lost. What was asked before is forgotten.
    pub fn renew(&mut self, now: BootTime, nonce: Nonce) -> Vec<Command> {
        self.outstanding = Some(Outstanding { nonce, sent: now });
        vec![Command::Renew(nonce)]
    }

    /// Hears an answer, whenever it comes.
    pub fn answered<R: Rules>(&mut self, now: BootTime, answer: &Answer) -> Vec<Command> {
        let Some(asked) = self.outstanding.filter(|asked| asked.nonce == answer.nonce) else {
            return Vec::new();
        };
        self.outstanding = None;
        let offered = |token| Mark {
            cluster: answer.cluster,
            generation: answer.generation,
            revision: answer.revision,
            token,
        };
        let mut commands = Vec::new();
        if let Err(lower) = R::high_water(&self.mark(Token::default()), &offered(Token::default())) {
            return vec![Command::Refused(lower)];
        }
        let seen = self.mark(Token::default());
        (self.cluster, self.generation, self.revision) = (answer.cluster, answer.generation, answer.revision);
        for View { group, record } in &answer.groups {
            let held = self.groups.entry(*group).or_default();
            let seen = Mark { token: held.token, ..seen };
            if let Err(lower) = R::high_water(&seen, &offered(record.token)) {
                commands.push(Command::Refused(lower));
                continue;
            }
            held.raise(*group, record.token, &mut commands);
            if record.grants(&self.site) {
                let until = R::right_ends(asked.sent, now, record.timing.hold);
                held.granted(until, answer.revision, &record.timing);
            } else {
                held.refused(*group, record.fences(&self.site), &mut commands);
            }
        }
        self.go_on(now, &mut commands);
        commands
    }

    /// The disk has kept what it was told last.
    pub fn stored(&mut self, now: BootTime) -> Vec<Command> {
        let mut commands = Vec::new();
        if let Some(written) = self.writing.take() {
            self.disk = Some(written);
        }
        self.go_on(now, &mut commands);
        commands
    }

    /// What was on disk is lost or was damaged: nothing opens until it is written anew, by a person who enrols the node.
    pub fn lost_disk(&mut self) -> Vec<Command> {
        self.disk = None;
        self.writing = None;
        self.let_go()
    }

    /// The clocks of this machine and of the store do not agree, or it was suspended (rule 9): no right of before counts.
    pub fn distrusted(&mut self) -> Vec<Command> {
        self.let_go()
    }

    fn let_go(&mut self) -> Vec<Command> {
        self.outstanding = None;
        for held in self.groups.values_mut() {
            (held.right, held.open) = (None, None);
        }
        vec![Command::CloseAll]
    }

    /// The clock went on: what has ended is closed, also where the kernel has done so by itself.
    pub fn passed(&mut self, now: BootTime) -> Vec<Command> {
        let mut commands = Vec::new();
        for (group, held) in &mut self.groups {
            held.expire(*group, now, &mut commands);
        }
        commands
    }

    /// Until when a new pod of a group may have packets pass: the rest of a right that has not ended, never more.
    pub fn rest(&self, group: Group, now: BootTime) -> Option<BootTime> {
        let open = self.groups.get(&group)?.open?;
        (open > now).then_some(open)
    }

    fn mark(&self, token: Token) -> Mark {
        Mark { cluster: self.cluster, generation: self.generation, revision: self.revision, token }
    }
}

impl Held {
    /// Takes a higher token: what was under a lesser one is over, and its pods with it.
    fn raise(&mut self, group: Group, token: Token, commands: &mut Vec<Command>) {
        if token == self.token {
            return;
        }
        self.token = token;
        self.fence = None;
        if self.right.take().is_some() || self.order.is_some() || self.open.take().is_some() {
            commands.push(Command::Close(group));
        }
        if self.running.is_some_and(|under| under != token) {
            commands.push(Command::Stop(group));
        }
    }

    fn granted(&mut self, until: BootTime, revision: Revision, timing: &Timing) {
        self.right = Some(Right { until, revision });
        self.fence = None;
        self.stop = Some(until + timing.stop_after());
    }

    fn refused(&mut self, group: Group, fenced: bool, commands: &mut Vec<Command>) {
        if self.right.take().is_some() {
            commands.push(Command::Close(group));
        }
        // What was told once is told again with each answer: the word may have been lost.
        let at_it = self.fence.is_some_and(|fence| fence != Fence::Told);
        self.fence = match (fenced, at_it) {
            (true, true) => self.fence,
            (true, false) => Some(Fence::Storing),
            (false, _) => None,
        };
    }

    fn expire(&mut self, group: Group, now: BootTime, commands: &mut Vec<Command>) {
        if self.right.is_some_and(|right| right.until <= now) {
            self.right = None;
        }
        if self.open.is_some_and(|until| until <= now) {
            self.open = None;
            commands.push(Command::Close(group));
        }
        if self.stop.is_some_and(|stop| stop <= now) && self.right.is_none() {
            self.stop = None;
            if self.running.is_some() {
                commands.push(Command::Stop(group));
            }
        }
    }
}

#[cfg(test)]
mod tests;
