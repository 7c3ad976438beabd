//! The pages of flows and runs.

use mulgil_core::{codes, diagnostic::Diagnostic, interval::Instant};
use mulgil_server::{FlowQuery, ListQuery, LogQuery, NoPage, Page, RunQuery, WholeLog};
use mulgil_store::Store;
use mulgil_web::view::{attempt, flow, list, run};

use super::picture::Picture;
use crate::wire::Opened;

pub(super) async fn flows(_: &Opened, _: &Store, _: &Picture, _: Instant, _: ListQuery) -> Page<list::Flows> {
    Err(unknown("flows"))
}

pub(super) async fn flow(_: &Opened, _: &Store, _: &Picture, _: Instant, name: &str, _: FlowQuery) -> Page<flow::Flow> {
    Err(unknown(name))
}

pub(super) async fn runs(_: &Opened, _: &Store, _: &Picture, _: Instant, _: ListQuery) -> Page<list::Runs> {
    Err(unknown("runs"))
}

pub(super) async fn run(_: &Opened, _: &Store, _: &Picture, _: Instant, run: i64, _: RunQuery) -> Page<run::Run> {
    Err(unknown(&run.to_string()))
}

#[expect(clippy::too_many_arguments, reason = "what a page is made of, and which")]
pub(super) async fn attempt(
    _: &Opened,
    _: &Store,
    _: &Picture,
    _: Instant,
    _: i64,
    task: i64,
    _: u32,
    _: LogQuery,
) -> Page<attempt::Attempt> {
    Err(unknown(&task.to_string()))
}

pub(super) async fn whole_log(_: &Opened, _: &Store, _: i64, task: i64, _: u32) -> Result<WholeLog, NoPage> {
    Err(unknown(&task.to_string()))
}

fn unknown(what: &str) -> NoPage {
    let fault = Diagnostic::error(codes::NOT_FOUND, format!("there is no page of `{what}`"));
    NoPage::Fault(Box::new(fault))
}
