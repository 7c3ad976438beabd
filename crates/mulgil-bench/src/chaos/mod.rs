//! Chaos: programs of ours that are killed, stopped, starved and lied to, and what must hold afterwards.

pub(crate) mod scheduler;
pub(crate) mod spine;
