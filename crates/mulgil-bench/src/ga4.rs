//! A day of web events as Google Analytics 4 exports it, from nested JSON to a day's figures, beside
//! DuckDB; then what a question to the figures reads.

mod day;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    answers::{self, Answer, Nearness},
    measure::{self, Taken},
    peers::{self, Peers, THREADS},
    place,
    report::{self, Row, row},
};

/// What both programs may use.
const MEMORY: &str = "1GB";
/// MiB of the day's file.
const MIB: u64 = 3 * 1024;
const SEED: u64 = 20_261_120;

/// In which form the day lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is exported: an object per line.
    Json,
    /// As DuckDB's copy of that.
    Parquet,
}

/// Where visitors came from and what they looked at. Three parameters of each event, so the array is
/// taken apart and put together again by event.
const TRAFFIC: &str = "\
with parameters as (
    select user_pseudo_id, event_timestamp, event_name,
        ecommerce['purchase_revenue'] as revenue, unnest(event_params) as parameter
    from EVENTS
),
events as (
    select user_pseudo_id, event_timestamp, event_name, max(revenue) as revenue,
        max(case when parameter['key'] = 'ga_session_id' then parameter['value']['int_value'] end) as session_id,
        max(case when parameter['key'] = 'source' then parameter['value']['string_value'] end) as source,
        max(case when parameter['key'] = 'page_location' then parameter['value']['string_value'] end) as page
    from parameters
    where parameter['key'] in ('ga_session_id', 'source', 'page_location')
    group by user_pseudo_id, event_timestamp, event_name
)
select DAY as day, source, page,
    count(distinct user_pseudo_id) as users,
    count(distinct concat(user_pseudo_id, '.', session_id)) as sessions,
    count(*) filter (where event_name = 'page_view') as page_views,
    count(*) filter (where event_name = 'purchase') as purchases,
    round(coalesce(sum(revenue), 0), 2) as revenue
from events
group by source, page
";

/// What was bought.
const ITEMS: &str = "\
with items as (
    select unnest(items) as item
    from EVENTS
    where event_name = 'purchase'
)
select DAY as day, item['item_category'] as category, item['item_name'] as name,
    sum(cast(item['quantity'] as bigint)) as quantity, round(sum(item['item_revenue']), 2) as revenue
from items
group by item['item_category'], item['item_name']
";

/// The models, by name.
const MODELS: [(&str, &str); 2] = [("daily_items", ITEMS), ("daily_traffic", TRAFFIC)];

/// A question to the figures, and one that every row of them answers.
const QUESTION: &str = "select source, sum(page_views) as views, sum(purchases) as purchases, sum(revenue) as revenue \
                        from daily_traffic group by source order by views desc, source";

/// Measures the day and writes docs/bench/ga4; another form or size is only printed.
pub(crate) fn bench(form: Form, mib: Option<&str>) -> Result<()> {
    let is_whole = form == Form::Json && mib.is_none();
    let mib = mib.map_or(Ok(MIB), str::parse)?;
    let events = events(form, mib)?;
    let raw = fs::metadata(&events)?.len();
    let mut rows = Vec::new();
    let work = format!(
        "a day of {:.2} GiB {}: sources and pages, items",
        gib(raw),
        form.words()
    );
    let project = project(&events, form)?;
    let duckdb = Duckdb::beside(&events)?;
    let theirs = measure::run(&mut duckdb.run()?)?;
    let ours = measure::watch(place::mulgil(&project)?.arg("run").stdout(Stdio::null()))?;
    let mut notes = notes(form);
    if ours.status.success() {
        taken(&mut rows, &work, Some(ours.taken), theirs);
        compare(&project, &duckdb)?;
        question(&mut rows, &project, raw)?;
    } else {
        taken(&mut rows, &work, None, theirs);
        notes = format!("{notes}\nIt failed:\n\n```text\n{}\n```\n", ours.said.trim());
    }
    place::remove(&project)?;
    report::write_whole(is_whole, form.name(), &rows, &notes)
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "ga4",
            Self::Parquet => "ga4-parquet",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Json => "of JSON lines",
            Self::Parquet => "of Parquet",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Parquet => "parquet",
        }
    }
}

/// The day's file, made once.
fn events(form: Form, mib: u64) -> Result<PathBuf> {
    let name = format!("events_{}", day::DAY);
    let json = place::kept(&format!("ga4-json-{mib}"), |folder| {
        day::write(&folder.join(&name).with_extension("json"), mib << 20, SEED)
    })?;
    let json = json.join(&name).with_extension("json");
    if form == Form::Json {
        return Ok(json);
    }
    let parquet = place::kept(&format!("ga4-parquet-{mib}"), |folder| {
        let file = folder.join(&name).with_extension("parquet");
        peers::done(Peers::Duckdb.script("ga4.py")?.arg("parquet").arg(&json).arg(file))
    })?;
    Ok(parquet.join(name).with_extension("parquet"))
}

fn project(events: &Path, form: Form) -> Result<PathBuf> {
    let folder = events.parent().context("a file lies in a folder")?;
    let project = place::empty(&format!("project-{}", form.name()))?;
    let manifest = format!(
        "name: web\ntimezone: UTC\nmemory: {MEMORY}\nthreads: {THREADS}\nsources:\n  ga4:\n    events:\n      \
         files: \"{}/events_{{YYYYMMDD}}.{}\"\n",
        folder.display(),
        form.ending()
    );
    let config = "{{ config(interval='day', event_time='day', begin='2026-11-20', end='2026-11-21') }}\n";
    let model = |sql: &str| {
        let sql = sql.replace("EVENTS", "{{ source('ga4', 'events') }}");
        format!("{config}{}", sql.replace("DAY", "date '{{ interval.start | date }}'"))
    };
    let files = MODELS.map(|(name, sql)| (format!("models/{name}.sql"), model(sql)));
    place::write_all(&project, files.iter().map(|(path, text)| (path.as_str(), text.clone())))?;
    place::write_all(&project, [("mulgil.yml", manifest)])?;
    Ok(project)
}

fn taken(rows: &mut Vec<Row>, work: &str, ours: Option<Taken>, theirs: Taken) {
    let peer = "DuckDB, same SQL";
    let seconds = ours.map(|taken| taken.seconds);
    rows.push(row(work, "time", "s", "", seconds, vec![(peer, theirs.seconds)]));
    let peak = ours.map(|taken| taken.peak_mib);
    rows.push(row(
        work,
        "peak memory",
        "MiB",
        "<= 1024",
        peak,
        vec![(peer, theirs.peak_mib)],
    ));
}

/// DuckDB's side: the models as it reads them, and the file for its tables.
struct Duckdb {
    events: PathBuf,
    models: PathBuf,
    database: PathBuf,
}

impl Duckdb {
    fn beside(events: &Path) -> Result<Self> {
        let models = place::empty("ga4-duckdb")?;
        let date = "date '2026-11-20'";
        let files = MODELS.map(|(name, sql)| (format!("{name}.sql"), sql.replace("DAY", date)));
        place::write_all(&models, files.iter().map(|(path, text)| (path.as_str(), text.clone())))?;
        Ok(Self {
            events: events.to_owned(),
            database: models.join("web.duckdb"),
            models,
        })
    }

    fn run(&self) -> Result<Command> {
        let mut command = Peers::Duckdb.script("ga4.py")?;
        command.args(["run", MEMORY, &THREADS.to_string()]);
        command.args([&self.events, &self.models, &self.database]);
        Ok(command)
    }

    fn rows(&self, sql: &str) -> Result<Vec<answers::Cells>> {
        let output = Peers::Duckdb
            .script("ga4.py")?
            .arg("rows")
            .arg(&self.database)
            .arg(sql)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // The line of names is not there, and not needed.
        let text = format!("names\n{}", String::from_utf8(output.stdout)?);
        Ok(Answer::from_csv(&text)?.rows)
    }
}

/// Both must have come to the same figures, in all rows.
fn compare(project: &Path, duckdb: &Duckdb) -> Result<()> {
    for (table, _) in MODELS {
        let sql = format!("select * from {table} order by 1, 2, 3");
        let output = place::mulgil(project)?.args(["query", &sql, "-o", "csv"]).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ours = Answer::from_csv(&String::from_utf8(output.stdout)?)?.rows;
        let theirs = duckdb.rows(&sql)?;
        ensure!(
            answers::in_order(&ours, &theirs) == Nearness::Same,
            "{table} is not what DuckDB has: {}",
            answers::first_difference(&ours, &theirs)
        );
        println!("{table}: {} rows, equal to DuckDB's", ours.len());
    }
    Ok(())
}

/// What a question to the figures reads: at most their files.
fn question(rows: &mut Vec<Row>, project: &Path, raw: u64) -> Result<()> {
    let asked = measure::median(5, || measure::run(place::mulgil(project)?.args(["query", QUESTION])))?;
    let work = "a question to the day's figures, from start to exit";
    rows.push(row(work, "time", "ms", "", asked.seconds * 1e3, vec![]));
    let tables = place::bytes_of(&project.join("warehouse"))?;
    let work = "bytes of all tables of figures, of those of the day's file";
    let part = tables as f64 / raw as f64 * 100.0;
    rows.push(row(work, "size", "%", "<= 1", part, vec![]));
    Ok(())
}

fn notes(form: Form) -> String {
    let file = match form {
        Form::Json => "The file is one, of JSON lines",
        Form::Parquet => "The file is one, of Parquet, written by DuckDB from the JSON lines",
    };
    format!(
        "{file}: events of visits to a shop with `event_params`, `user_properties`, `items`, `device`, `geo` and \
         `traffic_source` in the shape of the export, from a fixed seed. Two models read it: users, sessions, page views, \
         purchases and revenue by source and page, from unnested parameters; quantity and revenue by item, from unnested \
         items. DuckDB runs the same SQL with the same memory ({MEMORY}) and {THREADS} threads; every row of both tables \
         is compared. Peak memory is the largest resident set of the process.\n"
    )
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1_u64 << 30) as f64
}
