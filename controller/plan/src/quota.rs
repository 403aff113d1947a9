//! Quota: how a VDC's is divided, how a division is reached without ever passing it, and who has been promised what.

pub mod ledger;
pub mod split;
pub mod transfer;
