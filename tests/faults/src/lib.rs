//! A proxy between one process and one API server. It numbers every write, keeps a record of it, and makes chosen
//! calls go wrong: a crash before the call, after its commit or after its answer; refusals, stalls and cut-off
//! bodies; watches that hold, lose, double or reorder events; a view that stands still.
//!
//! What becomes of a call is decided by [`plan`] and [`watch`], which do no input or output: the same seed and the
//! same calls give the same faults. [`proxy`] carries it out.

pub mod call;
pub mod dice;
pub mod plan;
pub mod proxy;
pub mod record;
pub mod watch;

mod body;
