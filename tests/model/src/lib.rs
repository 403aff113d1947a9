//! The authority's own code in a world of nodes, messages, leaders, clocks and a store: every state of it within bounds, and
//! every rule broken once. What the bounds are, and what is not shown, is told in adr 0017.
//!
//! It is a crate of its own so that it is compiled with optimisation: what is generic over the rules is compiled here.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod check;
mod codec;
mod hub;
pub mod mutants;
mod node;
pub mod slices;
mod steps;
mod world;

pub use check::{caught, holds, holds_in_full, holds_under};
