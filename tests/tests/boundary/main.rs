//! The boundary of a node in a real kernel: pods, a node and the world outside are network namespaces, packets are real.
// A test writes as a user does.
#![allow(clippy::unwrap_used, missing_docs)]

mod changes;
mod gate;
mod granted;
mod matrix;
mod object;
mod protected;
mod streams;
mod tunnel;
