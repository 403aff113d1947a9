//! The boundary of a node in a real kernel: pods, a node and the world outside are network namespaces, packets are real.
// A test writes as a user does.
#![allow(clippy::unwrap_used, missing_docs)]
// The text of a few commands is built once; how is of no weight.
#![allow(clippy::format_push_string, clippy::format_collect)]
// What is done in a namespace is done in a world, whose end takes the namespace away.
#![allow(clippy::unused_self)]

mod changes;
mod gate;
mod matrix;
mod object;
mod site;
mod streams;
mod world;
