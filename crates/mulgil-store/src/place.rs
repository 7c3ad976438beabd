//! Where a ledger lies: a file in a data folder, or a schema of a PostgreSQL database.
//!
//! A password stands in the URL that a person gave and nowhere else: no fault and no debug output
//! shows more of it than user, host and database.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Place, Retry},
    port::Fault,
};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

/// How long a database may take to answer before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(15);
/// PostgreSQL cuts longer names off.
const SCHEMA_BYTES_LIMIT: usize = 63;

/// Where a ledger lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerPlace {
    /// The SQLite file `<data_dir>/<environment>.db`.
    Folder {
        /// The folder of the environment's files.
        data_dir: PathBuf,
        /// The environment.
        environment: String,
    },
    /// A schema of a PostgreSQL database.
    Postgres(PostgresPlace),
}

/// A schema of a PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresPlace {
    /// As given, with its password, without what we take from it.
    url: String,
    schema: String,
    /// For people.
    shown: String,
    patience: Duration,
}

impl LedgerPlace {
    /// The SQLite file `<data_dir>/<environment>.db`.
    pub fn folder(data_dir: impl Into<PathBuf>, environment: impl Into<String>) -> Self {
        Self::Folder {
            data_dir: data_dir.into(),
            environment: environment.into(),
        }
    }

    /// A schema of the database that `url` names: the one of its `schema=` or of the search path in
    /// its `options=`, else `mulgil_<project>_<environment>` after `ledger`, so that several
    /// environments share a database.
    ///
    /// # Errors
    /// `LEDGER_URL` where the URL or the schema's name cannot be read; the fault never holds the URL.
    pub fn postgres(url: &str, ledger: &str) -> Result<Self, Fault> {
        let (url, named) = take_schema(url);
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(unreadable("it does not begin with `postgres://`"));
        }
        let options = PgConnectOptions::from_str(&url).map_err(|error| unreadable(&error.to_string()))?;
        let schema = named
            .or_else(|| search_path(options.get_options()?))
            .unwrap_or_else(|| default_schema(ledger));
        if schema.is_empty() || schema.len() > SCHEMA_BYTES_LIMIT || schema.chars().any(|sign| !is_of_name(sign)) {
            return Err(unreadable(&format!(
                "`{schema}` is not the name of a schema: letters, digits, `_` and `-`, at most {SCHEMA_BYTES_LIMIT} bytes"
            )));
        }
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        let database = options.get_database().unwrap_or(options.get_username());
        Ok(Self::Postgres(PostgresPlace {
            shown: format!(
                "postgres://{}@{host}/{database}?schema={schema}",
                options.get_username()
            ),
            url,
            schema,
            patience: PATIENCE,
        }))
    }

    /// How long a database on a server may take to answer before it counts as gone; 15 s where this is
    /// not said.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        if let Self::Postgres(place) = &mut self {
            place.patience = patience;
        }
        self
    }

    /// The ledger's file; none on a server.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Folder { data_dir, environment } => Some(file_of(data_dir, environment)),
            Self::Postgres(_) => None,
        }
    }

    /// As faults name it.
    pub(crate) fn as_place(&self) -> Place {
        Place::file(self.to_string())
    }
}

impl PostgresPlace {
    /// The ledger's schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// How long one answer may take.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// How to connect.
    pub(crate) fn options(&self) -> Result<PgConnectOptions, Fault> {
        let options = PgConnectOptions::from_str(&self.url).map_err(|error| unreadable(&error.to_string()))?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("mulgil"),
        };
        // What a pooler between us and the server would not let pass, and nobody here reads.
        Ok(options.extra_float_digits(None).disable_statement_logging())
    }
}

impl fmt::Display for LedgerPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { data_dir, environment } => file_of(data_dir, environment).display().fmt(f),
            Self::Postgres(place) => f.write_str(&place.shown),
        }
    }
}

impl fmt::Debug for PostgresPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn file_of(data_dir: &Path, environment: &str) -> PathBuf {
    data_dir.join(format!("{environment}.db"))
}

fn default_schema(ledger: &str) -> String {
    let mut schema = "mulgil".to_owned();
    for part in ledger.split('/') {
        schema.push('_');
        schema.extend(
            part.chars()
                .map(|sign| sign.to_ascii_lowercase())
                .map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' }),
        );
    }
    // Two that are cut to the same name are told apart by the ledger's name inside.
    schema.truncate(SCHEMA_BYTES_LIMIT);
    schema
}

fn is_of_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_' || sign == '-'
}

/// Takes `schema=…` out of a URL: it is ours, and not PostgreSQL's.
fn take_schema(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let (mut schema, mut left) = (None, Vec::new());
    for pair in query.split('&') {
        match pair.strip_prefix("schema=") {
            Some(name) => schema = Some(name.to_owned()),
            None => left.push(pair),
        }
    }
    let query = left.join("&");
    let url = if query.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{query}")
    };
    (url, schema)
}

/// The first schema of `-c search_path=a,b`.
fn search_path(options: &str) -> Option<String> {
    let (_, path) = options.split_once("search_path=")?;
    let first = path.split([',', ' ']).next()?;
    Some(first.trim_matches(['"', '\\']).to_owned())
}

fn unreadable(why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::LEDGER_URL,
            format!("the URL of the ledger's database cannot be read: {why}"),
        )
        .with_remedy(
            "write it as `postgres://user:password@host:5432/database?sslmode=verify-full`; signs such as `@` and `/` \
             in a password are written `%40` and `%2F`",
        )
        .with_retry(Retry::AfterHumanFix),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod tests {
    use super::*;

    fn schema(url: &str, ledger: &str) -> String {
        match LedgerPlace::postgres(url, ledger).unwrap() {
            LedgerPlace::Postgres(place) => place.schema,
            LedgerPlace::Folder { .. } => unreachable!("it is a server"),
        }
    }

    #[test]
    fn a_ledger_has_a_schema_of_its_own_unless_the_url_says_which() {
        let base = "postgres://mina:pw@db/ops";
        assert_eq!(schema(base, "shop/dev"), "mulgil_shop_dev");
        assert_eq!(schema(base, "My-Shop/prod.kr"), "mulgil_my_shop_prod_kr");
        assert_eq!(schema(base, &"x".repeat(99)).len(), 63);
        assert_eq!(schema(&format!("{base}?schema=shop&sslmode=require"), "a/b"), "shop");
        assert_eq!(
            schema(&format!("{base}?options=-c%20search_path%3Dshop,public"), "a/b"),
            "shop"
        );
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://mina:s3cret@db:5433/ops?sslmode=require",
            "postgres://mina@db:5433/ops?password=s3cret",
            "postgresql://mina:s3cret@localhost/ops?host=/run/s&port=5433",
        ] {
            let place = LedgerPlace::postgres(url, "shop/dev").unwrap();
            let shown = format!("{place} {place:?} {}", place.as_place());
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(
                shown.contains("mina@") && shown.contains("schema=mulgil_shop_dev"),
                "{shown}"
            );
        }
        for url in [
            "mysql://a:s3cret@db/x",
            "postgres://a:s3cret@db:port/x",
            "postgres://a:s3cret@db/x?schema=a;b",
        ] {
            let fault = LedgerPlace::postgres(url, "shop/dev").unwrap_err();
            assert_eq!(fault.code, codes::LEDGER_URL);
            assert!(!fault.to_string().contains("s3cret"), "{fault}");
        }
    }
}
