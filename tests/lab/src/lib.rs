//! The lab: real Kubernetes sites on one machine, joined by a WAN that can be cut, each of which can lose power.
//!
//! `up` makes keys, namespaces and disks on the host ([`pki`], [`wan`], [`disk`]) and gives each site power
//! ([`power`]). Everything else a site does itself, from its first process on ([`site`]). Nothing here is a
//! simulation and nothing is part of the product: Yunting does not know that its sites are on one machine.
// A command line tool prints. It is no controller either: its writes need no counting and its clock is the wall's.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

pub mod addons;
mod amended;
pub mod binaries;
pub mod cgroup;
pub mod cli;
pub mod client;
pub mod cmd;
pub mod daemon;
pub mod disk;
pub mod error;
pub mod forward;
pub mod gateway;
pub mod hygiene;
pub mod images;
pub mod install;
pub mod issuer;
pub mod kubeconfig;
pub mod limits;
pub mod local_path;
pub mod manifests;
pub mod packages;
pub mod pki;
pub mod power;
pub mod progress;
pub mod relay;
pub mod run;
pub mod site;
pub mod spec;
pub mod state;
pub mod status;
pub mod stock;
pub mod up;
pub mod wan;
