//! Suites over the whole tree, and the demo that shows it.
// The demo prints, and what it does is a test's business: it may unwrap nothing but may print.
#![allow(clippy::print_stdout)]

pub mod apiserver;
pub mod demo;
pub mod mutations;
pub mod names;
pub mod netns;
pub mod node;
pub mod plane;
pub mod pods;
pub mod tap;
