//! The protocol in parts: what is stored (`record`, `token`, `timing`, `point`), who acts on it (`holder` on a node,
//! `endpoint` between nodes and store, `leader` at a hub), what a leader decides by itself (`detect`, `automatic`), and the
//! rules that safety rests on (`rules`), which every part asks and the model checker breaks one at a time.

pub mod automatic;
pub mod detect;
pub mod endpoint;
pub mod holder;
pub mod leader;
pub mod point;
pub mod record;
pub mod rules;
pub mod timing;
pub mod token;

pub use rules::{Rules, Sound};
