//! What the boundary and the gate cost on a node: packets with them and without them in turns, and how long one pod's
//! coming and going takes in a large table; and what the tunnel to other sites costs.

pub mod many;
pub mod packets;
pub mod tunnel;
