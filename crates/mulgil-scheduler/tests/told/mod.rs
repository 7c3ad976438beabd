//! A project with its ledger, and an engine that writes down what it is asked and keeps tables as logs.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    interval::{Instant, Interval},
    name::{Instance, Relation},
    plan::{Forecast, Step},
    port::{
        Author, Commit, CommitTag, Engine, Fault, FillOutcome, Filled, Maintained, Progress, RestoreTag,
        ScriptStatement, SessionSpec, SourceSeen, SqlSession, TableLog, TestOutcome, Touched,
    },
    project::{Fingerprint, Source},
    run::TaskKind,
    task::{Claim, FillSpec, ScriptSpec, TestSpec},
};
use mulgil_project::LoadOptions;
use mulgil_scheduler::{FailedAttempt, RunRequest, RunSummary, Runner, Watch};
use mulgil_store::{LedgerPlace, Store};

/// Says what it was asked, and fails the scripts that hold a word.
#[derive(Default)]
pub(crate) struct Told {
    asked: Mutex<Vec<String>>,
    logs: Mutex<BTreeMap<Relation, TableLog>>,
    pub(crate) failing: Mutex<Option<&'static str>>,
    /// Fills that fail before the next that does not, as where a store cannot be reached for a while.
    pub(crate) outages: Mutex<u32>,
}

impl Told {
    fn tell(&self, line: String) {
        self.asked.lock().unwrap().push(line);
    }

    /// What it was asked since it was last looked at.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn commit(&self, spec: &FillSpec, claim: &Claim, intervals: &[Filled]) -> i64 {
        let mut logs = self.logs.lock().unwrap();
        let log = logs.entry(spec.relation.clone()).or_insert_with(|| TableLog {
            version: -1,
            table_id: spec.relation.to_string(),
            ..TableLog::default()
        });
        log.version += 1;
        log.highest_seq = claim.seq;
        log.commits.push(Commit {
            version: log.version,
            committed_at_us: 0,
            touched: vec![Touched {
                instance_key: spec.instance.key.clone(),
                at: spec.range,
            }],
            author: Author::Ours(CommitTag {
                ledger: claim.ledger.clone(),
                seq: claim.seq,
                attempt: claim.attempt,
                instance: spec.instance.clone(),
                range: spec.range,
                fingerprint: spec.fingerprint,
                intervals: intervals.to_vec(),
                replaces_all: spec.replaces_all,
                total: None,
                then_hooks: !spec.hooks.after.is_empty(),
            }),
        });
        log.version
    }
}

#[async_trait]
impl Engine for Told {
    async fn fill(&self, spec: &FillSpec, claim: &Claim, _: &dyn Progress) -> Result<FillOutcome, Fault> {
        self.tell(format!("fill {}", spec.instance));
        let outages = std::mem::take(&mut *self.outages.lock().unwrap());
        if outages > 0 {
            *self.outages.lock().unwrap() = outages - 1;
            let fault = Diagnostic::error(codes::SQL_FAILED, "nobody answers");
            return Err(Box::new(fault.with_retry(Retry::Later)));
        }
        let intervals: Vec<Filled> = spec
            .grid
            .intervals(spec.range)
            .map(|interval| Filled {
                interval,
                rows: 1,
                content: Fingerprint(1),
            })
            .collect();
        let version = self.commit(spec, claim, &intervals);
        Ok(FillOutcome {
            version: Some(version),
            table_id: Some(spec.relation.to_string()),
            written: 1,
            intervals,
            columns: Vec::new(),
            replaced_all: spec.replaces_all,
            growth: mulgil_core::port::Growth::default(),
        })
    }

    async fn test(&self, _: &TestSpec) -> Result<Vec<TestOutcome>, Fault> {
        unreachable!("nothing is tested here")
    }

    async fn script(&self, spec: &ScriptSpec) -> Result<(), Fault> {
        let by = spec.claim.as_ref().map_or("run", |_| "attempt");
        self.tell(format!("{by}: {}", spec.sql));
        match *self.failing.lock().unwrap() {
            Some(word) if spec.sql.contains(word) => {
                Err(Box::new(Diagnostic::error(codes::SQL_FAILED, "a division by zero")))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn statements(&self, _: &str) -> Result<Vec<ScriptStatement>, Fault> {
        unreachable!("nothing is typed here")
    }

    fn session(&self, _: &SessionSpec) -> Box<dyn SqlSession> {
        unreachable!("nothing is typed here")
    }

    async fn observe(&self, _: &Source, _: &SourceSeen) -> Result<SourceSeen, Fault> {
        Ok(SourceSeen::default())
    }

    async fn commits_after(&self, relation: &Relation, version: Option<i64>) -> Result<Option<TableLog>, Fault> {
        let mut log = self.logs.lock().unwrap().get(relation).cloned();
        if let (Some(log), Some(version)) = (&mut log, version) {
            log.commits.retain(|commit| commit.version > version);
        }
        Ok(log)
    }

    async fn maintain(&self, _: &Relation, _: Instant) -> Result<Maintained, Fault> {
        unreachable!("nothing is maintained here")
    }

    async fn restore(&self, _: &Relation, _: &RestoreTag) -> Result<i64, Fault> {
        unreachable!("nothing is taken back here")
    }

    async fn drop_table(&self, _: &Relation) -> Result<(), Fault> {
        unreachable!("nothing is dropped here")
    }
}

/// Looks on and says nothing.
pub(crate) struct Silent;

impl Watch for Silent {
    fn planned(&self, _: &[Step]) {}
    fn started(&self, _: i64, _: &Instance, _: Interval, _: TaskKind) {}
    fn rows(&self, _: i64, _: u64) {}
    fn finished(&self, _: i64, _: &Instance, _: Interval, _: TaskKind, _: u64, _: u64) {}
    fn narrowed(&self, _: i64, _: &Instance, _: Interval, _: &Diagnostic) {}
    fn failed(&self, _: i64, _: &FailedAttempt) {}
}

/// A minute later each time that it is asked.
fn clock() -> Instant {
    static MINUTES: AtomicI64 = AtomicI64::new(0);
    let start = Instant::from_timestamp("2026-02-01T00:00:00Z".parse().unwrap());
    Instant(start.0 + MINUTES.fetch_add(1, Ordering::Relaxed) * 60_000_000)
}

/// A project with its ledger and such an engine.
pub(crate) struct World {
    pub(crate) runner: Runner,
    pub(crate) told: Arc<Told>,
}

impl World {
    pub(crate) async fn new(files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!(
            "mulgil-told-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let loaded = mulgil_project::load(&folder, &LoadOptions::default());
        fs::remove_dir_all(&folder).unwrap();
        let told = Arc::new(Told::default());
        Self {
            runner: Runner {
                project: Arc::new(loaded.project.unwrap()),
                compiler: loaded.compiler.unwrap(),
                store: Arc::new(
                    Store::scratch(&LedgerPlace::folder(std::env::temp_dir(), "dev"), "shop/dev")
                        .await
                        .unwrap(),
                ),
                engine: Arc::clone(&told) as Arc<dyn Engine>,
                parallel: 1,
                clock,
            },
            told,
        }
    }

    pub(crate) async fn run(&self, request: &RunRequest) -> RunSummary {
        self.runner
            .run(request, Arc::new(Silent), std::future::pending())
            .await
            .unwrap()
    }

    /// What is due, with why.
    pub(crate) async fn due(&self) -> Vec<String> {
        let state = self.runner.store.load_state(&self.runner.project).await.unwrap();
        let forecast = Forecast::new(&self.runner.project, &state, (self.runner.clock)());
        let steps = forecast.plan().steps;
        let sure = steps.iter().filter(|step| !step.if_changed);
        sure.map(|step| format!("{} {} {}", step.instance, step.count, step.reason.kind()))
            .collect()
    }
}
