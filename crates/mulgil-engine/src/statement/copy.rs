//! COPY: a query's rows into a file, a file's rows into a table. A file that is written appears whole or
//! not at all; one that is read is read as a source's file is, its columns found by their names.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use datafusion::arrow::datatypes::Fields;
use datafusion::sql::sqlparser::ast::{
    CopyOption, CopySource, CopyTarget, Expr, ObjectName, SelectItem, Statement, WildcardAdditionalOptions,
};
use mulgil_core::{
    codes, crash,
    diagnostic::{Diagnostic, Place},
    grid::Grid,
    location::StoreOptions,
    name::NodeName,
    port::{ByteSink, Fault, Format, QueryLimits, SourceSeen, StatementOutcome},
    project::{FileFormat, FilePattern, Source},
    task::{Binding, Reads},
};
use tempfile::NamedTempFile;

use super::{ast, change::refused, context::Context, done, insert, write::broken};
use crate::{
    fault::{self, Author},
    hidden, source,
};

/// The name under which a file is read.
const COPIED: &str = "@copied";

/// What a COPY says of its file.
struct Form {
    format: Named,
    delimiter: char,
    null_words: Vec<String>,
}

/// The formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    Csv,
    Json,
    Parquet,
}

/// Carries out a COPY.
pub(super) async fn copy(
    context: &Context<'_>,
    copy: Statement,
    limits: QueryLimits,
) -> Result<StatementOutcome, Fault> {
    let Statement::Copy {
        source,
        to,
        target: CopyTarget::File { filename },
        options,
        legacy_options,
        values,
    } = copy
    else {
        return Err(refused("COPY to or from anything but a file"));
    };
    if !legacy_options.is_empty() || !values.is_empty() {
        return Err(refused("an option of this COPY"));
    }
    let form = form(&options, &filename)?;
    let path = context.warehouse().root().join(&filename);
    match (to, source) {
        (true, source) => write_file(context, source, &form, &path, limits).await,
        (false, CopySource::Table { table_name, columns }) => {
            let columns = columns.iter().map(hidden::folded).collect();
            read_file(context, table_name, columns, &form, &filename).await
        }
        (false, CopySource::Query(_)) => Err(refused("COPY from a file into a query")),
    }
}

fn form(options: &[CopyOption], filename: &str) -> Result<Form, Fault> {
    let mut format = None;
    let mut form = Form {
        format: Named::Csv,
        delimiter: ',',
        null_words: Vec::new(),
    };
    for option in options {
        match option {
            CopyOption::Format(name) => format = Some(name.value.to_lowercase()),
            CopyOption::Header(true) | CopyOption::Quote('"') | CopyOption::Escape('"') => {}
            CopyOption::Delimiter(delimiter) => form.delimiter = *delimiter,
            CopyOption::Null(word) => form.null_words.push(word.clone()),
            CopyOption::Encoding(name) if name.eq_ignore_ascii_case("utf8") || name.eq_ignore_ascii_case("utf-8") => {}
            CopyOption::Header(false) => return Err(refused("COPY of a file without a header line")),
            other => return Err(refused(&format!("`{other}` in COPY"))),
        }
    }
    let ending = || {
        Path::new(filename.trim_end_matches(".gz"))
            .extension()?
            .to_str()
            .map(str::to_lowercase)
    };
    form.format = match format.or_else(ending).as_deref() {
        Some("csv" | "tsv" | "txt") => Named::Csv,
        Some("json" | "jsonl" | "ndjson") => Named::Json,
        Some("parquet") => Named::Parquet,
        Some(other) => return Err(refused(&format!("COPY of the format `{other}`"))),
        None => return Err(refused("COPY of a file that does not say its format")),
    };
    Ok(form)
}

async fn write_file(
    context: &Context<'_>,
    source: CopySource,
    form: &Form,
    path: &Path,
    limits: QueryLimits,
) -> Result<StatementOutcome, Fault> {
    if form.delimiter != ',' || !form.null_words.is_empty() {
        return Err(refused("another delimiter or NULL word in COPY TO"));
    }
    let query = match source {
        CopySource::Query(query) => *query,
        CopySource::Table { table_name, columns } => {
            let items = if columns.is_empty() {
                vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())]
            } else {
                columns
                    .into_iter()
                    .map(|name| SelectItem::UnnamedExpr(Expr::Identifier(name)))
                    .collect()
            };
            ast::select_items(None, items, vec![ast::alone(ast::table(table_name)?)], None)?
        }
    };
    let rows = context
        .plan(Statement::Query(Box::new(query)))
        .await?
        .rows(&Author::Typed)?;
    let format = match form.format {
        Named::Csv => Format::Csv,
        Named::Json => Format::JsonLines,
        Named::Parquet => Format::Parquet,
    };
    let mut file = WholeFile::begin(path)?;
    let all = QueryLimits {
        max_rows: None,
        ..limits
    };
    let outcome = context.output(format, all).write(rows, &mut file).await?;
    file.finish()?;
    Ok(done(format!("wrote {} rows to {}", outcome.rows, path.display())))
}

/// A file that gets its name when it is whole.
struct WholeFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl WholeFile {
    fn begin(path: &Path) -> Result<Self, Fault> {
        let folder = path.parent().ok_or_else(|| broken("a file without a folder"))?;
        crash::write();
        // Whoever may read what else is made here may read it.
        let file = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|error| fault::io(&error, path))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    fn finish(self) -> Result<(), Fault> {
        let to_fault = |error: std::io::Error| fault::io(&error, &self.path);
        crash::write();
        self.file.as_file().sync_all().map_err(to_fault)?;
        crash::write();
        self.file.persist(&self.path).map_err(|error| to_fault(error.error))?;
        // A folder that cannot be synced has its entry a little later.
        let folder = self.path.parent().map(File::open);
        let _ = folder.map(|folder| folder.and_then(|folder| folder.sync_all()));
        Ok(())
    }
}

#[async_trait]
impl ByteSink for WholeFile {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        crash::write();
        self.file
            .write_all(bytes)
            .map_err(|error| fault::io(&error, &self.path))
    }
}

async fn read_file(
    context: &Context<'_>,
    table: ObjectName,
    columns: Vec<String>,
    form: &Form,
    filename: &str,
) -> Result<StatementOutcome, Fault> {
    let changed = context.changed(&table)?;
    changed.takes_rows()?;
    let known = context.columns_of(&changed).await?;
    let names = if columns.is_empty() {
        known.iter().map(|field| field.name().clone()).collect()
    } else {
        columns
    };
    let source = Source {
        name: NodeName::new(COPIED),
        files: FilePattern::Single(PathBuf::from(filename)),
        format: match form.format {
            Named::Csv => FileFormat::Csv {
                delimiter: form.delimiter,
                null_words: form.null_words.clone(),
            },
            Named::Json => FileFormat::JsonLines,
            Named::Parquet => FileFormat::Parquet,
        },
        grid: Grid::whole(context.zone().clone()),
        event_time: None,
        zone: context.zone().clone(),
        columns: match form.format {
            // A Parquet file has types of its own; they are cast.
            Named::Parquet => BTreeMap::new(),
            Named::Csv | Named::Json => types(&known, &names),
        },
        description: None,
        store: StoreOptions::default(),
        place: Place::file(filename),
    };
    let seen = source::observe(&context.warehouse().files(&source)?, &source, &SourceSeen::default()).await?;
    if seen.files.is_empty() {
        return Err(not_there(filename));
    }
    let context = context.with(Binding {
        schema: None,
        name: COPIED.to_owned(),
        reads: Reads::Source {
            source,
            columns: seen.columns,
            scope: None,
            files: seen.files,
        },
    });
    let items = names
        .iter()
        .map(|name| SelectItem::UnnamedExpr(Expr::Identifier(ast::quoted(name))));
    let from = ast::table(ObjectName::from(vec![ast::quoted(COPIED)]))?;
    let query = ast::select_items(None, items.collect(), vec![ast::alone(from)], None)?;
    insert::add_named(&context, &changed, &names, query).await
}

/// The types of the table's columns, for those that are read.
fn types(known: &Fields, names: &[String]) -> BTreeMap<String, String> {
    let read = names.iter().filter_map(|name| {
        let (_, field) = known.find(name)?;
        Some((
            name.clone(),
            insert::sql_type(field.data_type())?.to_string().to_lowercase(),
        ))
    });
    read.collect()
}

fn not_there(filename: &str) -> Fault {
    Box::new(
        Diagnostic::error(codes::NOT_FOUND, format!("there is no file {filename}"))
            .with_remedy("paths begin at the project folder; write one that is there"),
    )
}
