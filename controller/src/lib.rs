//! Yunting's controllers. One binary, one subcommand per role; each role is a list of reconcilers of five
//! steps: observe, validate, plan, apply, status.
//!
//! Decisions are in `yunting-plan`; the one writer is [`writer`]; clock and metrics come in through [`context`].

pub mod audit;
mod body;
pub mod cache;
pub mod children;
pub mod context;
mod crowd;
pub mod error;
pub mod events;
pub mod hub;
pub mod hub_client;
pub mod keys;
pub mod kinds;
pub mod lease;
pub mod metrics;
pub mod node;
pub mod ops;
pub mod queue;
pub mod site;
pub mod storage_class;
mod turns;
mod versions;
pub mod watchdog;
pub mod wire;
pub mod writer;
