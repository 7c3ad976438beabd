//! Every value of the pages of flows and runs, read once of a ledger in which a flow ran.

use std::{collections::BTreeMap, fs, sync::Arc};

use mulgil_core::{
    flow::By,
    interval::{Instant, RangeMap, RangeSet},
    interval_text,
    run::{RunState, TaskKind},
    state::NodeState,
};
use mulgil_server::{FlowQuery, ListQuery, LogQuery, NoPage, Page, RunQuery, WholeLog};
use mulgil_store::{LogLine, Store, page::ledger_text};
use mulgil_web::view::{
    Mark,
    flow::Order,
    run::{Tab, Task},
};
use serde_json::json;

use super::{
    attempt::attempt, flow::flow, flows::flows, log::whole_log, picture::Picture, run::run, runs::runs,
    standing::Standing,
};
use crate::{
    cli::Global,
    serving::{FlowAsked, run_flow},
    wire::{self, Opened},
};

/// Queries that a page may take.
const MOST_QUERIES: u32 = 4;

const SHOP: [(&str, &str); 5] = [
    ("mulgil.yml", "name: shop\n"),
    ("models/orders.sql", "{{ config(materialized='table') }}\nselect 1 as id, 'kr' as country\n"),
    ("sql/report.sql", "create or replace table shop.report as\nselect nothing\nfrom {{ ref('orders') }}\nwhere country = :country\n"),
    (
        "flows/daily.yml",
        "description: What the shop does each morning
owner: data@shop.example
schedule: {cron: '0 12 * * *', timezone: Asia/Seoul}
interval: day
begin: 2026-11-01
deadline: {after: scheduled, within: 2h}
params:
  country: {type: string, default: kr}
steps:
  models: {models: orders}
  count: {needs: [models], sql: \"create or replace table shop.counted as select count(*) as n from {{ ref('orders') }}\"}
  report: {needs: [count], sql: sql/report.sql}
  tell: {needs: [report], sql: 'select 1'}
",
    ),
    ("flows/never.yml", "steps:\n  one: {sql: 'select 1'}\n"),
];

struct World {
    _folder: tempfile::TempDir,
    opened: Opened,
    store: Store,
    picture: Picture,
    now: Instant,
}

impl World {
    /// A shop whose flow ran for two days and failed on both.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in SHOP {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let global = Global {
            project_dir: folder.path().to_owned(),
            env: None,
            vars: Vec::new(),
        };
        let opened = wire::open(&global).unwrap_or_else(|faults| panic!("{:?}", faults.0));
        let flow = opened.project.flow("daily").unwrap().clone();
        let days = ["2026-11-02", "2026-11-03"].map(|day| interval_text::parse(day, &flow.grid).unwrap());
        let asked = FlowAsked {
            intervals: days.to_vec(),
            params: BTreeMap::from([("country".to_owned(), json!("jp"))]),
            flow,
            is_quiet: true,
        };
        let exit = run_flow(&opened, &asked, None)
            .await
            .unwrap_or_else(|faults| panic!("{:?}", faults.0));
        assert_eq!(exit, 1, "one of its steps fails");
        let store = opened.ledger_to_read().await.unwrap().unwrap();
        let now = interval_text::parse("2026-11-07", &asked.flow.grid).unwrap().start;
        let picture = picture(&opened, &store, now).await;
        Self {
            _folder: folder,
            opened,
            store,
            picture,
            now,
        }
    }

    async fn flow(&self, query: FlowQuery) -> mulgil_web::view::flow::Flow {
        seen(flow(&self.opened, &self.store, &self.picture, self.now, "daily", query).await)
    }

    async fn run(&self, number: i64, tab: Tab) -> mulgil_web::view::run::Run {
        let query = RunQuery { tab, after: None };
        seen(run(&self.opened, &self.store, &self.picture, self.now, number, query).await)
    }

    async fn attempt(&self, run: i64, task: i64, query: LogQuery) -> mulgil_web::view::attempt::Attempt {
        seen(attempt(&self.opened, &self.store, &self.picture, self.now, run, task, 1, query).await)
    }
}

/// What the ledger says, as the server keeps it in memory.
async fn picture(opened: &Opened, store: &Store, now: Instant) -> Picture {
    let project = Arc::clone(&opened.project);
    let flows = store.flow_states(&project.flows).await.unwrap();
    let unknown = NodeState::default();
    let standing = |flow: &mulgil_core::flow::Flow| {
        let state = flows.get(&flow.instance()).unwrap_or(&unknown);
        let statuses: RangeMap<_> = flow.statuses(state, &RangeSet::new(), now);
        let standing = Standing {
            statuses,
            ..Standing::default()
        };
        (flow.instance(), Arc::new(standing))
    };
    let standings = project.flows.iter().map(standing).collect();
    Picture {
        now,
        serial: 0,
        seq: 0,
        state: Arc::new(store.load_state(&project).await.unwrap()),
        flows: Arc::new(flows.clone()),
        active: Arc::default(),
        live: 0,
        standings,
        readers: Arc::default(),
        catalog: Arc::default(),
        health: None,
        project_faults: Arc::default(),
        fault: None,
        project,
    }
}

/// A page, which took no more queries than it may.
fn seen<T>(page: Page<T>) -> T {
    match page {
        Ok(seen) => {
            assert!(seen.queries <= MOST_QUERIES, "{} queries", seen.queries);
            assert!(!seen.topics.is_empty(), "a page wants to hear of something");
            seen.view
        }
        Err(NoPage::NotFound { fault, .. } | NoPage::Fault(fault)) => panic!("{fault}"),
    }
}

fn task<'a>(run: &'a mulgil_web::view::run::Run, name: &str) -> &'a Task {
    run.tasks.iter().find(|task| task.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_a_flow_that_ran_is_read() {
    let world = World::new().await;
    lists(&world).await;
    grid(&world).await;
    let run = runs_of_it(&world).await;
    attempts(&world, &run).await;
    logs(&world).await;
    nothing(&world).await;
}

async fn lists(world: &World) {
    let World {
        opened,
        store,
        picture,
        now,
        ..
    } = world;
    let all = seen(flows(opened, store, picture, *now, ListQuery::default()).await);
    let names: Vec<&str> = all.rows.iter().map(|row| row.name.text.as_str()).collect();
    assert_eq!(names, ["daily", "never"]);
    assert!(all.rows[0].next_at.is_some_and(|at| at > *now));
    assert_eq!(all.rows[0].last.map(|(_, state, _)| state), Some(RunState::Failed));
    assert!(all.rows[1].last.is_none() && all.rows[1].schedule.is_none());
    let search = ListQuery {
        search: "NEV".to_owned(),
        ..ListQuery::default()
    };
    assert_eq!(seen(flows(opened, store, picture, *now, search).await).rows.len(), 1);

    let all = seen(runs(opened, store, picture, *now, ListQuery::default()).await);
    // A step that fills models has a run of its own.
    assert!(all.rows.len() >= 3, "{:?}", all.rows);
    let failed = ListQuery {
        only: Some(RunState::Failed),
        ..ListQuery::default()
    };
    let failed = seen(runs(opened, store, picture, *now, failed).await);
    let told: Vec<(&str, &str)> = failed
        .rows
        .iter()
        .map(|row| {
            (
                row.what.text.as_str(),
                row.interval.as_ref().map_or("", |of| of.name.as_str()),
            )
        })
        .collect();
    assert_eq!(told, [("daily", "2026-11-03"), ("daily", "2026-11-02")]);
}

async fn grid(world: &World) {
    let grid = world.flow(FlowQuery::default()).await;
    assert_eq!((grid.order, grid.unit.as_deref()), (Order::Interval, Some("day")));
    let columns: Vec<(&str, bool, Mark)> = grid
        .columns
        .iter()
        .map(|column| {
            (
                column.interval.as_ref().unwrap().name.as_str(),
                column.run.is_some(),
                column.mark,
            )
        })
        .collect();
    let (failed, hole) = (Mark::Run(RunState::Failed), Mark::Missing);
    assert_eq!(
        columns,
        [
            ("2026-11-01", false, hole),
            ("2026-11-02", true, failed),
            ("2026-11-03", true, failed),
            ("2026-11-04", false, hole),
            ("2026-11-05", false, hole),
        ]
    );
    let rows: Vec<(&str, &str, u8)> = grid
        .rows
        .iter()
        .map(|row| (row.name.text.as_str(), row.kind, row.depth))
        .collect();
    assert_eq!(
        rows,
        [
            ("models", "models", 0),
            ("orders", "table", 1),
            ("count", "sql", 0),
            ("report", "sql", 0),
            ("tell", "sql", 0),
        ]
    );
    let marks: Vec<Option<Mark>> = grid
        .rows
        .iter()
        .map(|row| row.cells[1].as_ref().map(|cell| cell.mark))
        .collect();
    let ok = Mark::Run(RunState::Success);
    let behind = Mark::Run(RunState::UpstreamFailed);
    assert_eq!(marks, [Some(ok), None, Some(ok), Some(failed), Some(behind)]);
    assert!(
        grid.rows.iter().all(|row| row.cells[0].is_none()),
        "a hole has no cells"
    );
    let (words, count, fix) = grid.holes.unwrap();
    assert!(words.contains("2026-11-01") && count == 3, "{words} {count}");
    assert!(
        fix.command.starts_with("mulgil backfill flow:daily --from 2026-11-01"),
        "{}",
        fix.command
    );
    let schedule = grid.schedule.unwrap();
    assert_eq!(
        (schedule.cron.as_str(), schedule.zone.as_str(), schedule.next.len()),
        ("0 12 * * *", "Asia/Seoul", 5)
    );
    assert!(matches!(
        schedule.deadline,
        Some(By::Within {
            within_us: 7_200_000_000,
            ..
        })
    ));
    assert!(!schedule.comes_late);
    assert_eq!(grid.owner.as_deref(), Some("data@shop.example"));

    let by_start = FlowQuery {
        by_start: true,
        ..FlowQuery::default()
    };
    let by_start = world.flow(by_start).await;
    assert_eq!(by_start.columns.len(), 2);
    let only = FlowQuery {
        only: Some(RunState::Success),
        ..FlowQuery::default()
    };
    assert!(world.flow(only).await.columns.is_empty());
}

/// Gives the older of the two runs.
async fn runs_of_it(world: &World) -> mulgil_web::view::run::Run {
    let run = world.run(1, Tab::List).await;
    assert_eq!(
        (run.state, run.interval.as_ref().unwrap().name.as_str()),
        (RunState::Failed, "2026-11-02")
    );
    assert_eq!(run.params, [("country".to_owned(), "\"jp\"".to_owned())]);
    let told: Vec<(&str, Mark, usize, usize)> = run
        .tasks
        .iter()
        .map(|task| (task.name.as_str(), task.mark, task.attempts.len(), task.needs.len()))
        .collect();
    let (ok, failed) = (Mark::Run(RunState::Success), Mark::Run(RunState::Failed));
    assert_eq!(
        told,
        [
            ("models", ok, 1, 0),
            ("count", ok, 1, 1),
            ("report", failed, 1, 1),
            ("tell", Mark::Run(RunState::UpstreamFailed), 0, 1),
        ]
    );
    assert_eq!(
        run.counts,
        [(ok, 2), (failed, 1), (Mark::Run(RunState::UpstreamFailed), 1)]
    );
    let (link, fault) = run.fault.as_ref().unwrap();
    assert_eq!(link.text, "report");
    assert!(fault.message.contains("nothing"), "{fault}");
    assert_eq!(task(&run, "tell").fault.as_ref(), Some(fault), "why it does not begin");
    let count = task(&run, "count");
    assert_eq!(count.ready_at, task(&run, "models").attempts[0].ended_at);
    assert!(count.ready_at <= Some(count.attempts[0].started_at));
    let commands: Vec<&str> = run.commands.iter().map(|fix| fix.command.as_str()).collect();
    assert!(commands.contains(&"mulgil runs retry 1"), "{commands:?}");
    assert!(run.cancel_href.is_none());

    let events = world.run(1, Tab::Events).await.events;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("flow_began", "flow_ended"));
    let began = events.iter().find(|event| event.kind == "steps_began").unwrap();
    let href = began.subject.as_ref().unwrap().href.clone();
    assert_eq!(href, task(&run, "models").href);

    // What the first step filled is a run of models.
    let models = world.run(2, Tab::Graph).await;
    assert!(
        models.flow.is_none() && models.selector.contains("step of run 1"),
        "{}",
        models.selector
    );
    assert_eq!(
        (models.tasks[0].name.as_str(), models.tasks[0].kind),
        ("orders", TaskKind::Fill)
    );
    assert_eq!(models.tasks[0].reason, Some(mulgil_core::due::Reason::Missing));
    run
}

async fn attempts(world: &World, run: &mulgil_web::view::run::Run) {
    let failed = world
        .attempt(1, task(run, "report").id.unwrap(), LogQuery::default())
        .await;
    assert_eq!((failed.state, failed.step), (RunState::Failed, Some("sql")));
    assert!(failed.fault.is_some() && failed.exit.is_none());
    let sql = failed.sql.unwrap();
    let source = sql.source.unwrap();
    assert_eq!(source.path, "sql/report.sql");
    assert!(source.text.contains("{{ ref('orders') }}") && !source.has_changed);
    let rendered = sql.rendered.unwrap();
    assert!(rendered.contains("'jp'") && !rendered.contains("{{"), "{rendered}");
    let text = match (sql.rendered_at, source.at) {
        (Some((line, _)), _) => rendered.lines().nth(line as usize - 1),
        (None, Some((line, _))) => source.text.lines().nth(line as usize - 1),
        (None, None) => None,
    };
    assert_eq!(text, Some("select nothing"), "where the fault lies");

    let models = world
        .attempt(1, task(run, "models").id.unwrap(), LogQuery::default())
        .await;
    assert!(models.output.unwrap().contains("\"run\": 2") && models.sql.is_none());

    let filled = world.run(2, Tab::List).await.tasks[0].id.unwrap();
    let filled = world.attempt(2, filled, LogQuery::default()).await;
    assert_eq!((filled.task.text.as_str(), filled.rows), ("orders", Some(1)));
    assert_eq!(filled.why.as_deref(), Some("/why/orders@all"));
    let sql = filled.sql.unwrap();
    let asked = sql.rendered.unwrap();
    assert!(asked.contains("select 1 as id, 'kr' as country"), "{asked}");
    assert!(!sql.source.unwrap().has_changed);
}

async fn logs(world: &World) {
    let run = world.run(2, Tab::List).await;
    let id = run.tasks[0].id.unwrap();
    let log = world.attempt(2, id, LogQuery::default()).await.log;
    let text = match whole_log(&world.opened, &world.store, 2, id, 1).await {
        Ok(WholeLog::Text(text)) => text,
        other => panic!("{}", other.is_ok()),
    };
    assert!(log.has_ended && log.bytes == text.len() as u64 && log.next == log.bytes);
    for line in &log.lines {
        assert!(
            text[line.at_byte as usize..]
                .lines()
                .next()
                .unwrap()
                .ends_with(&line.text),
            "{line:?}"
        );
    }
    let search = LogQuery {
        search: Some("SQL:".to_owned()),
        ..LogQuery::default()
    };
    let found = world.attempt(2, id, search).await.log;
    assert!(!found.lines.is_empty() && found.lines.iter().all(|line| line.text.contains("sql:")));
    assert!(found.search.is_some_and(|search| search.next.is_none()));

    // What a process said lies in its folder.
    let attempt = world.store.attempt_of(2, id, 1).await.unwrap().unwrap();
    let dir = world.opened.attempts_dir().join(attempt.to_string());
    fs::create_dir_all(&dir).unwrap();
    let line = |n: i64| LogLine {
        at: Instant(n),
        text: format!("line {n}"),
    };
    let said = ledger_text(&(0..2_000).map(line).collect::<Vec<_>>());
    fs::write(dir.join("log"), &said).unwrap();
    let end = world.attempt(2, id, LogQuery::default()).await.log;
    assert_eq!((end.lines.len(), end.bytes), (500, said.len() as u64));
    assert_eq!(end.lines[499].text, "line 1999");
    let before = LogQuery {
        before: Some(end.from),
        ..LogQuery::default()
    };
    let before = world.attempt(2, id, before).await.log;
    assert_eq!((before.next, before.lines[499].text.as_str()), (end.from, "line 1499"));
    assert!(matches!(
        whole_log(&world.opened, &world.store, 2, id, 1).await,
        Ok(WholeLog::File(_))
    ));
    fs::remove_dir_all(dir).unwrap();
}

async fn nothing(world: &World) {
    let World {
        opened,
        store,
        picture,
        now,
        ..
    } = world;
    let near = |page: Option<NoPage>| match page {
        Some(NoPage::NotFound { fault, near }) => (fault.code.exit(), near.into_iter().map(|link| link.text).collect()),
        Some(NoPage::Fault(fault)) => panic!("{fault}"),
        None => panic!("there is a page"),
    };
    let found: (u8, Vec<String>) = near(
        flow(opened, store, picture, *now, "dayly", FlowQuery::default())
            .await
            .err(),
    );
    assert_eq!(found, (5, vec!["daily".to_owned()]));
    let query = RunQuery {
        tab: Tab::List,
        after: None,
    };
    assert_eq!(near(run(opened, store, picture, *now, 999, query).await.err()).0, 5);
    let none = attempt(opened, store, picture, *now, 1, 1, 9, LogQuery::default()).await;
    assert_eq!(near(none.err()).0, 5);
    let of_another = attempt(opened, store, picture, *now, 2, 1, 1, LogQuery::default()).await;
    assert_eq!(near(of_another.err()).0, 5);
}
