//! Keys in a real Vault: what its transit engine binds, rotates and destroys, and what is told when it cannot be asked.

mod provider;
mod served;
mod server;
