//! Yunting's decisions as pure functions: total, no client, runtime, clock, randomness or logging.
//!
//! Owns: where a VDC goes, how its quota is split, what objects VDCs and halls become at a site, what may be
//! written for whom, what may reach what on a node, what becomes of links whose gate does not stand, and how status sums
//! up, what a certificate says of the keys of a VDC that is gone,
//! and what a Vault is asked and means.
//! Must never: do input or output. What time it is comes in as an argument.

pub mod boundary;
pub mod certificate;
pub mod demand;
pub mod elsewhere;
pub mod gate;
pub mod grants;
pub mod hall;
pub mod news;
pub mod object;
pub mod orphans;
pub mod placement;
pub mod quota;
pub mod replicas;
pub mod replication;
pub mod scope;
pub mod slices;
pub mod summary;
pub mod tunnel;
pub mod vault;
pub mod vdc;
pub mod volume_key;
