//! What provisioning costs, as ratios to a floor: a raw client that writes the very same objects. Real API servers
//! of a hub and its sites, the real controllers, no kubelets. Product and floor take turns in one run, so that what
//! the machine does beside them falls on both.

pub mod audit;
pub mod city;
pub mod clients;
pub mod floor;
pub mod growth;
pub mod latency;
pub mod node;
pub mod plan;
pub mod process;
pub mod product;
pub mod record;
pub mod report;
pub mod restart;
pub mod stats;
pub mod watch;
