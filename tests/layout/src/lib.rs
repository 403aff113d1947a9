//! Databases, mounts and tools, as whoever measures disks needs them.

pub mod command;
pub mod mounts;
pub mod postgres;
