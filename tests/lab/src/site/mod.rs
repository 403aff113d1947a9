//! A site from the inside: its first process, the processes it runs, and how they are told to start and stop.
//!
//! `init` is PID 1 and does nothing but start the supervisor and reap orphans. `supervisor` mounts the disk, starts
//! every process in order, restarts what ends and answers on the control socket. Nothing here runs on the host.

pub mod apiserver;
pub mod boot;
pub mod bootstrap;
pub mod control;
pub mod etcd;
pub mod etcd_auth;
pub mod health;
pub mod init;
pub mod node;
pub mod parts;
pub mod process;
pub mod sidecars;
pub mod supervisor;
