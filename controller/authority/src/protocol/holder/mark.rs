//! What a node remembers of the store, in memory and on disk, so that nobody tells it less afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::token::{BootId, BootTime, ClusterId, Group, Revision, Token};

/// What was seen of a store and a group, or is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: u64,
    /// Its revision.
    pub revision: Revision,
    /// The group's token.
    pub token: Token,
}

/// What is not believed, because more was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Lower {
    /// Another store.
    #[error(
        "cluster {offered:?} answered with generation {generation}, and {seen:?} with generation {known} was seen: only a restore with a higher generation follows another cluster; stop the members of whichever is not the city's"
    )]
    Cluster {
        /// What answered.
        offered: ClusterId,
        /// Its generation.
        generation: u64,
        /// What was seen.
        seen: ClusterId,
        /// Its generation.
        known: u64,
    },
    /// The same, of earlier.
    #[error(
        "the store answered with revision {offered:?}, and {seen:?} was seen: a member has lost what it acknowledged; remove it and add it anew as a learner"
    )]
    Revision {
        /// Of the answer.
        offered: Revision,
        /// What was seen.
        seen: Revision,
    },
    /// A right of earlier.
    #[error(
        "token {offered} is offered, and {seen} was seen: it was taken away already; see what wrote the record"
    )]
    Token {
        /// Of the answer.
        offered: Token,
        /// What was seen.
        seen: Token,
    },
}

impl Mark {
    /// Whether what is offered is not below what was seen.
    pub(in crate::protocol) fn admits(&self, offered: &Self) -> Result<(), Lower> {
        let none = *self == Self { token: self.token, ..Self::NOTHING };
        let same = offered.cluster == self.cluster && offered.generation == self.generation;
        if !none && !same && offered.generation <= self.generation {
            return Err(Lower::Cluster {
                offered: offered.cluster,
                generation: offered.generation,
                seen: self.cluster,
                known: self.generation,
            });
        }
        if same && offered.revision < self.revision {
            return Err(Lower::Revision { offered: offered.revision, seen: self.revision });
        }
        if offered.token < self.token {
            return Err(Lower::Token { offered: offered.token, seen: self.token });
        }
        Ok(())
    }

    /// Of a node that was enrolled and has heard nothing yet.
    const NOTHING: Self = Self {
        cluster: ClusterId(0),
        generation: 0,
        revision: Revision(0),
        token: Token { generation: 0, epoch: 0 },
    };
}

/// What is kept of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kept {
    /// The highest token.
    pub token: Token,
    /// When the right under it ends, for a process that starts in the same boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<BootTime>,
    /// The token under which its pods run; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Token>,
}

/// What a node keeps on its disk. Written when the node is enrolled, with nothing in it: a node without it is closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Durable {
    /// The cluster of the highest answer.
    pub cluster: ClusterId,
    /// Its generation.
    pub generation: u64,
    /// Its revision.
    pub revision: Revision,
    /// In which boot it was written; in another, rights in it are none.
    pub boot: BootId,
    /// The groups.
    pub groups: BTreeMap<Group, Kept>,
}

impl Durable {
    /// Whether it has seen as much as an answer of that revision, and this token of the group.
    pub(super) fn covers(&self, revision: Revision, group: Group, token: Token) -> bool {
        self.revision >= revision && self.groups.get(&group).is_some_and(|kept| kept.token >= token)
    }
}
