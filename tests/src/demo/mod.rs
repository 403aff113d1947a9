//! The demo: the product's main job on real parts, told step by step with the commands a person would type.
//!
//! It uses the doors that users use: `yunting-lab`, `kubectl`, and a hall's front door.

mod ciphertext;
pub mod city;
pub mod door;
pub mod shell;
pub mod story;
pub mod wait;
mod wire;
