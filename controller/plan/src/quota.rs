//! Quota: how a VDC's is divided, how a division is reached without ever passing it, who has been promised what, what
//! objects cost, and what has to go where an API server let more in than the limit.

pub mod charge;
pub mod ledger;
pub mod shrink;
pub mod split;
pub mod sweep;
pub mod transfer;
