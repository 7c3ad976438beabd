//! Sources as people meet them: files in a folder, faults as they are printed, SQL over them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod broken;
mod fields;
mod hours;
mod looks;
mod reads;
mod templates;
mod times;

use std::{collections::BTreeMap, fs, io::Write, path::Path, sync::Arc};

use datafusion::{
    arrow::util::pretty::pretty_format_batches,
    execution::{SessionStateBuilder, config::SessionConfig, context::SessionContext},
};
use flate2::{Compression, write::GzEncoder};
use mulgil_core::{
    diagnostic::Place,
    grid::{Cut, Grid, Unit, Zone},
    interval::{Instant, Interval},
    location::StoreOptions,
    name::NodeName,
    port::{Fault, SourceSeen},
    project::{FileFormat, FilePattern, Source},
    task::FileSeen,
};
use tempfile::TempDir;

use super::{Files, observe, provider};
use crate::fault::{self, Author};

/// A project folder with one source.
struct Fixture {
    root: TempDir,
    source: Source,
}

impl Fixture {
    /// A CSV source of one file.
    fn csv(path: &str) -> Self {
        Self::new(FilePattern::Single(path.into()), Grid::whole(Zone::UTC))
    }

    /// A CSV source with one file per interval.
    fn per(unit: Unit, zone: &str, template: &str) -> Self {
        let zone = Zone::named(zone).unwrap();
        let grid = Grid {
            cut: Cut::Unit(unit),
            zone: zone.clone(),
            begin: None,
            end: None,
        };
        let mut fixture = Self::new(
            FilePattern::PerInterval {
                template: template.to_owned(),
                unit,
            },
            grid,
        );
        fixture.source.zone = zone;
        fixture
    }

    fn new(files: FilePattern, grid: Grid) -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
            source: Source {
                name: NodeName::new("raw.t"),
                files,
                store: StoreOptions::default(),
                format: FileFormat::Csv {
                    delimiter: ',',
                    null_words: vec!["NA".to_owned()],
                },
                grid,
                event_time: None,
                zone: Zone::UTC,
                columns: BTreeMap::new(),
                description: None,
                place: Place::at("mulgil.yml", 5, 3),
            },
        }
    }

    fn format(mut self, format: FileFormat) -> Self {
        self.source.format = format;
        self
    }

    fn event_time(mut self, column: &str) -> Self {
        self.source.event_time = Some(column.to_owned());
        self
    }

    fn zone(mut self, zone: &str) -> Self {
        self.source.zone = Zone::named(zone).unwrap();
        self
    }

    fn column(mut self, name: &str, words: &str) -> Self {
        self.source.columns.insert(name.to_owned(), words.to_owned());
        self
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.write(path, bytes);
        self
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn place(&self) -> Files {
        Files::Folder(self.path().to_owned())
    }

    async fn observe(&self, known: &SourceSeen) -> Result<SourceSeen, Fault> {
        observe(&self.place(), &self.source, known).await
    }

    async fn first_look(&self) -> SourceSeen {
        self.observe(&SourceSeen::default()).await.unwrap()
    }

    /// The columns that a first look finds: `name type`.
    async fn inferred(&self) -> String {
        let seen = self.first_look().await;
        let columns = seen
            .columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.data_type));
        columns.collect::<Vec<_>>().join("\n")
    }

    /// The result of SQL over `t`, after a first look.
    async fn sql(&self, sql: &str) -> Result<String, Fault> {
        let seen = self.observe(&SourceSeen::default()).await?;
        self.sql_over(sql, &seen, None).await
    }

    /// The result of SQL over `t`, with files and columns as given.
    async fn sql_over(&self, sql: &str, seen: &SourceSeen, scope: Option<Interval>) -> Result<String, Fault> {
        let context = session();
        let table = provider(&self.place(), &self.source, &seen.columns, scope, &seen.files)?;
        context.register_table("t", table).unwrap();
        let batches = context.sql(sql).await.unwrap().collect().await;
        let batches = batches.map_err(|error| fault::sql(&error, &Author::Typed))?;
        Ok(pretty_format_batches(&batches).unwrap().to_string())
    }

    /// What reading all of it complains about, as printed.
    async fn complaint(&self) -> String {
        self.sql("select * from t").await.unwrap_err().to_string()
    }

    /// What reading complains about when only the first look saw better files.
    async fn complaint_over(&self, columns_of: &str) -> String {
        let better = {
            let better = Self {
                root: tempfile::tempdir().unwrap(),
                source: self.source.clone(),
            };
            better.write(&self.single(), columns_of);
            better.first_look().await
        };
        let known = SourceSeen {
            files: Vec::new(),
            hours: Vec::new(),
            ..better
        };
        let seen = match self.observe(&known).await {
            Ok(seen) => seen,
            Err(fault) => return fault.to_string(),
        };
        self.sql_over("select * from t", &seen, None)
            .await
            .unwrap_err()
            .to_string()
    }

    fn single(&self) -> String {
        match &self.source.files {
            FilePattern::Single(path) => path.to_str().unwrap().to_owned(),
            FilePattern::PerInterval { .. } => panic!("the fixture has one file"),
        }
    }
}

fn session() -> SessionContext {
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(2))
        .build();
    SessionContext::new_with_state(state)
}

/// `from..to` in RFC 3339.
fn interval(from: &str, to: &str) -> Interval {
    let at = |text: &str| Instant::from_timestamp(text.parse().unwrap());
    Interval::new(at(from), at(to)).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The files with their intervals.
fn listing(files: &[FileSeen]) -> String {
    let line = |file: &FileSeen| format!("{} {:?}", file.path.display(), file.interval.unwrap());
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One Parquet file.
fn parquet(batch: &datafusion::arrow::array::RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer =
        datafusion::parquet::arrow::ArrowWriter::try_new(&mut bytes, Arc::clone(&batch.schema()), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}
