//! What the boundary and the gate cost on a node: packets with them and without them in turns, and how long one pod's
//! coming and going takes in a large table; what the tunnel to other sites costs; and what encrypted volumes cost a database, and
//! their replication beside a copy over the same wire.

pub mod database;
pub mod disks;
pub mod many;
pub mod packets;
pub mod replication;
pub mod tunnel;
