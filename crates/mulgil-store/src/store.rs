//! Opening a ledger: the file or the server's schema, the one writer and the readers beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mulgil_core::{codes, crash, port::Fault};
use sqlx::{
    ConnectOptions, Connection, SqlSafeStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    DataLock, Fence, LedgerPlace, PostgresPlace,
    connect::{Connect, Session},
    copy,
    error::{self, Error, io_fault},
    line::Line,
    pool::Readers,
    postgres,
    sql::Conn,
    writer::{Fenced, Work, Writer},
};

/// Versions below can corrupt a database in WAL mode that several connections use.
const LEAST_SQLITE: [u32; 3] = [3, 51, 3];
/// How long a statement waits for a lock that somebody else holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often, and after which time, a ledger is looked at again that its holder is bringing up to date.
const MIGRATION_WAITS: u32 = 40;
const MIGRATION_WAIT: Duration = Duration::from_millis(50);

/// The migrations, oldest first: number, name, text. A file that was released is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ledger", include_str!("../migrations/0001_ledger.sql")),
    (2, "dropped", include_str!("../migrations/0002_dropped.sql")),
    (3, "published", include_str!("../migrations/0003_published.sql")),
    (4, "rollback", include_str!("../migrations/0004_rollback.sql")),
    (5, "flows", include_str!("../migrations/0005_flows.sql")),
    (10, "lease", include_str!("../migrations/0010_lease.sql")),
    (12, "backfill", include_str!("../migrations/0012_backfill.sql")),
    (13, "reopened", include_str!("../migrations/0013_reopened.sql")),
    (14, "retention", include_str!("../migrations/0014_retention.sql")),
    (15, "page", include_str!("../migrations/0015_page.sql")),
];

/// One environment's ledger. Whoever writes one in a folder holds the folder's [`crate::DataLock`]; on a
/// server several write, each group of requests alone.
#[derive(Debug)]
pub struct Store {
    place: LedgerPlace,
    ledger: String,
    readers: Readers,
    writer: Option<Writer>,
    /// The folder of a scratch copy, removed with it.
    _scratch: Option<tempfile::TempDir>,
}

impl Store {
    /// Opens a ledger to read and write, and makes what is missing. `ledger` says whose facts these are:
    /// `<project>/<environment>`.
    ///
    /// # Errors
    /// A coded MG5 fault: the folder cannot be written, the disk is full, the ledger is damaged or
    /// of a newer version; on a server also MG22, where it does not let us in or holds another's ledger.
    pub async fn open(place: &LedgerPlace, ledger: &str) -> Result<Self, Fault> {
        let (data_dir, path) = match place {
            LedgerPlace::Folder { data_dir, environment } => (data_dir, file_of(data_dir, environment)),
            LedgerPlace::Postgres(server) => return Self::open_on_server(server, place, ledger).await,
        };
        fs::create_dir_all(data_dir).map_err(|error| io_fault(&error, "make the data folder", data_dir))?;
        // SQLite only says that it cannot open the file; the system says why.
        fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| io_fault(&error, "open the ledger", &path))?;
        Self::open_file(place.clone(), ledger, SqliteSynchronous::Full, None).await
    }

    /// Brings a ledger's schema up to date, or makes it: what [`Self::open`] does first. Gives the number of
    /// the schema that was there, 0 for none, and the one that is there now.
    ///
    /// # Errors
    /// As [`Self::open`]; then the schema is as it was.
    pub async fn migrate(place: &LedgerPlace, ledger: &str) -> Result<(i64, i64), Fault> {
        let before = Self::schema_found(place, ledger).await?;
        Self::open(place, ledger).await?.close().await;
        Ok((before.unwrap_or(0), newest_migration()))
    }

    /// The number of the schema that a ledger has; nothing where there is no ledger yet. It reads nothing else of
    /// it, so that it tells this of one that this version cannot read.
    ///
    /// # Errors
    /// As [`Self::open_read_only`], whatever the schema is.
    pub async fn schema_found(place: &LedgerPlace, ledger: &str) -> Result<Option<i64>, Fault> {
        match place {
            LedgerPlace::Folder { .. } => match place.file().filter(|path| path.exists()) {
                Some(path) => Ok(read_or_immutable(&path, place).await?.1),
                None => Ok(None),
            },
            LedgerPlace::Postgres(server) => {
                Ok(postgres::open(&Arc::new(Session::new(server)?), place, ledger).await?.1)
            }
        }
    }

    /// Opens the ledger to read, beside a writer or without one; nothing where there is none yet.
    /// Changes nothing, so it works in a folder that cannot be written.
    ///
    /// # Errors
    /// A coded MG5 fault: the ledger cannot be read, is damaged, or has another version's schema; on a server
    /// as with [`Self::open`].
    pub async fn open_read_only(place: &LedgerPlace, ledger: &str) -> Result<Option<Self>, Fault> {
        let (data_dir, environment) = match place {
            LedgerPlace::Folder { data_dir, environment } => (data_dir, environment),
            LedgerPlace::Postgres(server) => return Self::read_on_server(server, place, ledger).await,
        };
        for _ in 0..MIGRATION_WAITS {
            match Self::open_as_it_is(place, ledger).await {
                // Whoever holds it brings it up to date at this moment.
                Err(fault) if fault.code == codes::LEDGER_SCHEMA && DataLock::is_held(data_dir, environment) => {
                    tokio::time::sleep(MIGRATION_WAIT).await;
                }
                opened => return opened,
            }
        }
        Self::open_as_it_is(place, ledger).await
    }

    async fn open_as_it_is(place: &LedgerPlace, ledger: &str) -> Result<Option<Self>, Fault> {
        let Some(path) = place.file() else {
            return Ok(None);
        };
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > 0 => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_fault(&error, "read the ledger", &path)),
        }
        let (readers, schema) = read_or_immutable(&path, place).await?;
        let Some(found) = schema else {
            return Ok(None);
        };
        check_to_read(found, place)?;
        Ok(Some(Self {
            place: place.clone(),
            ledger: ledger.to_owned(),
            readers,
            writer: None,
            _scratch: None,
        }))
    }

    /// A copy of the ledger as it is now, to write into and throw away: what-if for reading commands.
    /// An empty ledger where there is none yet. It is a file of this machine, wherever the ledger lies.
    ///
    /// # Errors
    /// As [`Self::open_read_only`], or the machine's folder of temporary files takes no more.
    pub async fn scratch(place: &LedgerPlace, ledger: &str) -> Result<Self, Fault> {
        let folder = tempfile::tempdir().map_err(|error| io_fault(&error, "make a temporary folder", Path::new("")))?;
        let environment = match place {
            LedgerPlace::Folder { environment, .. } => environment,
            LedgerPlace::Postgres(_) => "scratch",
        };
        let copy = LedgerPlace::folder(folder.path(), environment);
        let original = Self::open_read_only(place, ledger).await?;
        let Some(original) = original else {
            return Self::open_file(copy, ledger, SqliteSynchronous::Off, Some(folder)).await;
        };
        if let (Some(from), Some(to)) = (place.file(), copy.file()) {
            let target = to.to_string_lossy().into_owned();
            let copied: Result<_, sqlx::Error> = async {
                let mut conn = read_only(&from).connect().await?;
                sqlx::query("vacuum into $1").bind(target).execute(&mut conn).await?;
                conn.close().await
            }
            .await;
            copied.map_err(|error| Error::from(error).into_fault(place))?;
            original.close().await;
            return Self::open_file(copy, ledger, SqliteSynchronous::Off, Some(folder)).await;
        }
        let scratch = Self::open_file(copy, ledger, SqliteSynchronous::Off, Some(folder)).await?;
        copy::tables(&original, &scratch, copy::NOT_IN_SCRATCH, copy::Users::Allowed).await?;
        original.close().await;
        Ok(scratch)
    }

    /// Whose facts these are: `<project>/<environment>`.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// Where it lies.
    pub fn place(&self) -> &LedgerPlace {
        &self.place
    }

    /// Requests written and commits made since it was opened; many requests share a commit.
    pub fn writes(&self) -> (u64, u64) {
        self.writer.as_ref().map_or((0, 0), Writer::counts)
    }

    /// Writes what waits and closes the file.
    pub async fn close(self) {
        if let Some(writer) = self.writer {
            writer.close().await;
        }
        self.readers.close().await;
    }

    /// Takes part in a write of the ledger, to see that it can be written, by whoever may.
    pub async fn ping(&self) -> Result<(), Fault> {
        self.write_as(Fenced::No, |_| Box::pin(async { Ok(()) })).await
    }

    /// From now on only that is written which the fence lets through; see [`Fence`].
    pub fn fence(&self, fence: Fence) {
        if let Some(writer) = &self.writer {
            writer.fence(fence);
        }
    }

    /// Runs a request on the writing connection; see [`Writer::write`].
    pub(crate) async fn write<T, F>(&self, request: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
    {
        self.write_as(Fenced::Yes, request).await
    }

    /// Runs a request that is about leases themselves, which no fence holds back.
    pub(crate) async fn write_lease<T, F>(&self, request: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
    {
        self.write_as(Fenced::No, request).await
    }

    async fn write_as<T, F>(&self, fenced: Fenced, request: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>> + Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.write(fenced, request).await,
            None => Err(error::not_a_writer(&self.place)),
        }
    }

    /// Runs queries on one snapshot.
    pub(crate) async fn read<T, F>(&self, queries: F) -> Result<T, Fault>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> Work<'c, Result<T, Error>>,
    {
        let result = async {
            let mut snapshot = self.readers.begin().await?;
            let value = queries(&mut snapshot.conn).await?;
            snapshot.end().await?;
            Ok(value)
        };
        result.await.map_err(|error: Error| error.into_fault(&self.place))
    }

    async fn open_file(
        place: LedgerPlace,
        ledger: &str,
        synchronous: SqliteSynchronous,
        scratch: Option<tempfile::TempDir>,
    ) -> Result<Self, Fault> {
        let path = place.file().unwrap_or_default();
        let mut conn = writing(&path, synchronous)
            .connect()
            .await
            .map_err(|error| Error::from(error).into_fault(&place))?;
        check_sqlite(&mut conn, &place).await?;
        migrate(&mut conn, &place).await?;
        let connect = Connect::Sqlite(Box::new(writing(&path, synchronous)));
        let line = Line::new(Conn::Sqlite(conn), connect, &place);
        Ok(Self {
            ledger: ledger.to_owned(),
            readers: Readers::new(Connect::Sqlite(Box::new(read_only(&path)))),
            writer: Some(Writer::start(line, &place)),
            _scratch: scratch,
            place,
        })
    }

    async fn open_on_server(server: &PostgresPlace, place: &LedgerPlace, ledger: &str) -> Result<Self, Fault> {
        let session = Arc::new(Session::new(server)?);
        let (mut conn, found) = postgres::open(&session, place, ledger).await?;
        check_schema(found.unwrap_or(0), place)?;
        if found != Some(newest_migration()) {
            postgres::migrate(&mut conn, &session, place, ledger).await?;
        }
        let connect = Connect::Postgres(session);
        let line = Line::new(conn, connect.clone(), place);
        Ok(Self {
            place: place.clone(),
            ledger: ledger.to_owned(),
            readers: Readers::new(connect),
            writer: Some(Writer::start(line, place)),
            _scratch: None,
        })
    }

    async fn read_on_server(server: &PostgresPlace, place: &LedgerPlace, ledger: &str) -> Result<Option<Self>, Fault> {
        let session = Arc::new(Session::new(server)?);
        let (conn, Some(found)) = postgres::open(&session, place, ledger).await? else {
            return Ok(None);
        };
        check_to_read(found, place)?;
        let readers = Readers::new(Connect::Postgres(session));
        readers.keep(conn);
        Ok(Some(Self {
            place: place.clone(),
            ledger: ledger.to_owned(),
            readers,
            writer: None,
            _scratch: None,
        }))
    }
}

fn file_of(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.db"))
}

fn writing(path: &Path, synchronous: SqliteSynchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn read_only(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// As [`read_with`], in a folder that cannot be written too.
async fn read_or_immutable(path: &Path, place: &LedgerPlace) -> Result<(Readers, Option<i64>), Fault> {
    let read = match read_with(read_only(path)).await {
        Err(error) if leaves_no_room_for_wal(&error, path) => read_with(read_only(path).immutable(true)).await,
        other => other,
    };
    read.map_err(|error| error.into_fault(place))
}

/// Connects, and reads which schema is there.
async fn read_with(options: SqliteConnectOptions) -> Result<(Readers, Option<i64>), Error> {
    let mut conn = options.connect().await?;
    let schema = schema_of(&mut conn).await?;
    conn.close().await?;
    Ok((Readers::new(Connect::Sqlite(Box::new(options))), schema))
}

/// SQLite wants to make its `-wal` and `-shm` files even to read. In a folder that cannot be written
/// nobody writes, so where there is no log either, the file can be read as one that never changes.
fn leaves_no_room_for_wal(error: &Error, path: &Path) -> bool {
    const CANTOPEN: i32 = 14;
    const READONLY: i32 = 8;
    let Error::Sql(error) = error else {
        return false;
    };
    let code = error::sqlite_code(error).map(|code| code & 0xff);
    let log = path.with_extension("db-wal");
    matches!(code, Some(CANTOPEN | READONLY)) && fs::metadata(log).map_or(true, |log| log.len() == 0)
}

/// The newest migration that was applied; none in a file without a schema.
async fn schema_of(conn: &mut SqliteConnection) -> Result<Option<i64>, Error> {
    let (tables,): (i64,) = sqlx::query_as("select count(*) from sqlite_master where name = '_sqlx_migrations'")
        .fetch_one(&mut *conn)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    let (newest,): (Option<i64>,) = sqlx::query_as("select max(version) from _sqlx_migrations where success")
        .fetch_one(conn)
        .await?;
    Ok(newest)
}

/// The number of the schema that this program makes.
pub fn schema() -> u32 {
    u32::try_from(newest_migration()).unwrap_or(u32::MAX)
}

/// The numbers of the migrations of a file.
#[cfg(test)]
pub(crate) fn migrations() -> impl Iterator<Item = i64> {
    MIGRATIONS.iter().map(|(version, ..)| *version)
}

fn newest_migration() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// One that reads changes nothing, so it reads no older ledger either.
fn check_to_read(found: i64, place: &LedgerPlace) -> Result<(), Fault> {
    check_schema(found, place)?;
    if found == newest_migration() {
        return Ok(());
    }
    let message = format!(
        "the ledger has schema {found}, and this version reads {}",
        newest_migration()
    );
    Err(error::schema(
        place,
        message,
        "run a command that writes, such as `mulgil run`: it brings the ledger up to date",
    ))
}

fn check_schema(found: i64, place: &LedgerPlace) -> Result<(), Fault> {
    let known = newest_migration();
    if found <= known {
        return Ok(());
    }
    let message =
        format!("the ledger has schema {found}, and this version knows up to {known}: a newer mulgil made it");
    Err(error::schema(
        place,
        message,
        "use the newer mulgil, or another data folder",
    ))
}

async fn check_sqlite(conn: &mut SqliteConnection, place: &LedgerPlace) -> Result<(), Fault> {
    let row: Result<(String,), _> = sqlx::query_as("select sqlite_version()").fetch_one(conn).await;
    let (found,) = row.map_err(|error| Error::from(error).into_fault(place))?;
    let numbers: Vec<u32> = found.split('.').filter_map(|number| number.parse().ok()).collect();
    if numbers.as_slice() < LEAST_SQLITE.as_slice() {
        let least = LEAST_SQLITE.map(|number| number.to_string()).join(".");
        return Err(error::sqlite_too_old(&found, &least, place));
    }
    Ok(())
}

async fn migrate(conn: &mut SqliteConnection, place: &LedgerPlace) -> Result<(), Fault> {
    let found = schema_of(&mut *conn).await.map_err(|error| error.into_fault(place))?;
    check_schema(found.unwrap_or(0), place)?;
    if found == Some(newest_migration()) {
        return Ok(());
    }
    let migrations = MIGRATIONS.iter().map(|&(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    crash::write();
    match Migrator::with_migrations(migrations.collect())
        .run_direct(None, conn, false)
        .await
    {
        Ok(()) => Ok(()),
        Err(sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _)) => {
            Err(Error::from(error).into_fault(place))
        }
        Err(error) => {
            let message = format!("the ledger cannot be brought up to date: {error}");
            Err(error::schema(
                place,
                message,
                "use the mulgil that made it, or put a backup in its place",
            ))
        }
    }
}
