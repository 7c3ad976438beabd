//! Real servers on free ports, real sockets, real files. Only the program behind the server is a small
//! one that keeps its state in memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]
#![allow(clippy::wildcard_imports, reason = "the shared words of the tests")]

mod client;
mod drain;
mod health;
mod limits;
mod notify;
mod routes;
mod safety;
mod support;
mod verbs;
