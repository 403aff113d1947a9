//! A node in network namespaces: its pods, itself and the world outside, with real packets and a real kernel's rules.
// A world of tests: what fails, fails the test.
#![allow(clippy::unwrap_used)]
// The text of a few commands is built once; how is of no weight.
#![allow(clippy::format_push_string, clippy::format_collect)]
// What is done in a namespace is done in a world, whose end takes the namespace away.
#![allow(clippy::unused_self)]

pub mod across;
pub mod flood;
pub mod pins;
pub mod process;
pub mod site;
pub mod world;
