//! The HTTP side of `mulgil dev` and `mulgil serve`: what a running server answers, how the command
//! line finds it and hands its verbs over, and the notices that are sent to webhooks.
//!
//! It knows what is asked and what is told, and nothing of how it is done: the program implements
//! [`Control`]. It listens on loopback only, because there is no login yet; whoever may read the data
//! folder's token may do everything. It never decides, never opens the ledger, renders no template,
//! and never asks for the time: the clock is an argument.

#![allow(
    clippy::unnecessary_box_returns,
    reason = "a fault is a boxed diagnostic in every crate, because it is rare and large"
)]

mod app;
mod body;
pub mod client;
mod config;
mod connection;
mod control;
mod durable;
mod event;
mod exchange;
mod guard;
mod health;
mod log_route;
pub mod metrics;
pub mod notify;
mod pages;
mod presence;
mod problem;
mod random;
mod room;
mod routes;
mod serve;
mod streams;
mod token;
mod verb;
mod verb_route;

pub use config::{Config, Limits};
pub use control::{Control, Database, EventStream, HealthFacts, LogChunk, Refusal, Workers};
pub use event::{Answer, Answered, BackfillRow, BackfillState, Event, Happened, Named, RunEnd};
pub use pages::{
    Fields, FlowQuery, HEALTH_TOPIC, ListQuery, LogQuery, NoPage, Page, Pages, Performed, RunQuery, Seen, Site,
    TableQuery, WholeLog, Wish,
};
pub use presence::Presence;
pub use room::Room;
pub use routes::{RouteInfo, routes};
pub use serve::{Drained, bind, serve};
pub use verb::{Approval, Backfill, Definitions, Filter, Order, PROTOCOL, Retried, Run, Select, Target, Verb};
