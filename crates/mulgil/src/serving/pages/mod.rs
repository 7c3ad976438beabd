//! What the pages are made of: values of the ledger and the project, page by page. Most come from the picture
//! that is kept in memory; what is asked of the ledger is counted.

mod attempt;
mod backfill_form;
mod cells;
mod faults;
mod flow;
mod flows;
#[cfg(test)]
mod flows_and_runs;
mod forms;
mod grid;
mod health;
mod log;
mod names;
mod painter;
mod picture;
mod run;
mod run_events;
mod runs;
mod sample;
mod sql;
mod standing;
mod table;
mod tables;
mod tasks;
mod today;
mod why;

use std::sync::Arc;

use async_trait::async_trait;
use mulgil_core::{diagnostic::Diagnostic, interval::Instant};
use mulgil_server::{
    Fields, FlowQuery, ListQuery, LogQuery, NoPage, Page, Performed, RunQuery, Seen, Site, TableQuery, WholeLog, Wish,
};
use mulgil_store::Store;
use mulgil_web::view;
use tokio::sync::broadcast;

use self::{
    attempt::attempt,
    flow::flow,
    flows::flows,
    log::whole_log,
    painter::Gallery,
    picture::{Picture, Topics},
    run::run,
    runs::runs,
};
use super::control::Program;
use crate::wire::{self, Opened};

/// The program behind the pages.
pub(crate) struct Pages {
    program: Arc<Program>,
    gallery: Gallery,
    slots: u64,
}

impl Pages {
    /// Begins to keep what pages are made of fresh, until this is dropped. `slots` is how many steps may be live
    /// at once.
    pub(crate) async fn start(program: Arc<Program>, slots: usize) -> Self {
        let gallery = Gallery::open(Arc::clone(&program)).await;
        Self {
            program,
            gallery,
            slots: slots as u64,
        }
    }

    fn sight<'a>(&'a self, picture: &'a Picture) -> Sight<'a> {
        Sight {
            program: &self.program,
            opened: &self.program.opened,
            store: &self.program.runner.store,
            picture,
            now: wire::now(),
            slots: self.slots,
            faults: &picture.project_faults,
        }
    }
}

/// What the values of one page are made of.
#[derive(Clone, Copy)]
struct Sight<'a> {
    program: &'a Program,
    opened: &'a Opened,
    store: &'a Store,
    picture: &'a Picture,
    now: Instant,
    slots: u64,
    faults: &'a [Diagnostic],
}

/// The values of a page, with the topics that it wants to hear of.
type Made<T> = Result<(T, Vec<String>), NoPage>;

/// Makes a page, and counts what that took.
async fn counted<T>(making: impl Future<Output = Made<T>>) -> Page<T> {
    let (made, queries) = mulgil_store::counted(making).await;
    let (view, topics) = made?;
    Ok(Seen { view, queries, topics })
}

#[async_trait]
impl mulgil_server::Pages for Pages {
    fn site(&self) -> Site {
        let picture = self.gallery.look();
        let project = &self.program.opened.project;
        Site {
            project: project.name.clone(),
            environment: project.environment.clone(),
            zone: project.zone.clone(),
            health: health::of_picture(&picture),
            faults: picture.project_faults.len() as u64,
        }
    }

    async fn today(&self) -> Page<view::today::Today> {
        let picture = self.gallery.look();
        counted(Box::pin(today::today(self.sight(&picture)))).await
    }

    async fn flows(&self, query: ListQuery) -> Page<view::list::Flows> {
        let (picture, of) = (self.gallery.look(), &self.program);
        flows(&of.opened, &of.runner.store, &picture, wire::now(), query).await
    }

    async fn flow(&self, name: &str, query: FlowQuery) -> Page<view::flow::Flow> {
        let (picture, of) = (self.gallery.look(), &self.program);
        Box::pin(flow(&of.opened, &of.runner.store, &picture, wire::now(), name, query)).await
    }

    async fn runs(&self, query: ListQuery) -> Page<view::list::Runs> {
        let (picture, of) = (self.gallery.look(), &self.program);
        runs(&of.opened, &of.runner.store, &picture, wire::now(), query).await
    }

    async fn run(&self, number: i64, query: RunQuery) -> Page<view::run::Run> {
        let (picture, of) = (self.gallery.look(), &self.program);
        Box::pin(run(&of.opened, &of.runner.store, &picture, wire::now(), number, query)).await
    }

    async fn attempt(&self, run: i64, task: i64, number: u32, query: LogQuery) -> Page<view::attempt::Attempt> {
        let (picture, of) = (self.gallery.look(), &self.program);
        let now = wire::now();
        Box::pin(attempt(
            &of.opened,
            &of.runner.store,
            &picture,
            now,
            run,
            task,
            number,
            query,
        ))
        .await
    }

    async fn whole_log(&self, run: i64, task: i64, number: u32) -> Result<WholeLog, NoPage> {
        let of = &self.program;
        whole_log(&of.opened, &of.runner.store, run, task, number).await
    }

    async fn tables(&self, query: ListQuery) -> Page<view::list::Tables> {
        let picture = self.gallery.look();
        counted(async { tables::tables(self.sight(&picture), query) }).await
    }

    async fn table(&self, name: &str, query: TableQuery) -> Page<view::table::Table> {
        let picture = self.gallery.look();
        counted(Box::pin(table::table(self.sight(&picture), name, query))).await
    }

    async fn why(&self, target: &str) -> Page<view::why::Why> {
        let picture = self.gallery.look();
        counted(Box::pin(why::why(self.sight(&picture), target))).await
    }

    async fn preview(&self, wish: &Wish, fields: &Fields) -> Page<view::form::Confirm> {
        let picture = self.gallery.look();
        counted(forms::preview(self.sight(&picture), wish, fields)).await
    }

    async fn perform(&self, wish: &Wish, fields: &Fields) -> Result<Performed, NoPage> {
        let picture = self.gallery.look();
        forms::perform(self.sight(&picture), wish, fields).await
    }

    fn serial(&self) -> u64 {
        self.gallery.look().serial
    }

    fn changes(&self) -> broadcast::Receiver<Topics> {
        self.gallery.listen()
    }
}
