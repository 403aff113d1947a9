//! Who may write for a protection group: tokens, the holder's own clock, and a wait.
//!
//! Owns: what stands in the authority's store, how long a right lasts, what a node, an endpoint and a leader do with what
//! they see. All of it is data and total functions; an executor carries the commands out.
//! Must never: do input or output, read a clock, or draw a random number. What time it is comes in as an argument.

pub mod protocol;
