//! Where tables and files lie: a folder of this machine, or a place in a bucket of an object store.
//! Knows how such places are written, and talks to nobody.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Whose object store it is: that decides how it is spoken to and which credentials count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Amazon S3, or what speaks its language.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl StoreKind {
    /// The word for it in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }

    /// The store that a word in settings names.
    pub fn named(word: &str) -> Option<Self> {
        [Self::S3, Self::Gcs, Self::Azure]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Gcs => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        }
    }

    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" | "abfs" | "abfss" => Some(Self::Azure),
            _ => None,
        }
    }
}

/// What Azure's long URLs put behind the account's name.
const AZURE_HOSTS: [&str; 2] = [".dfs.core.windows.net", ".blob.core.windows.net"];

/// A place in an object store: `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix` or
/// `abfss://container@account.dfs.core.windows.net/prefix`. Its text is taken as it stands; nothing
/// in it is decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ObjectUrl {
    /// Whose store.
    pub kind: StoreKind,
    /// The bucket, which Azure calls container.
    pub bucket: String,
    /// The storage account that an Azure URL names.
    pub account: Option<String>,
    /// What follows the bucket, without slashes at its ends; empty for the bucket as a whole.
    pub path: String,
}

impl ObjectUrl {
    /// Whether a text is meant as a URL and not as the path of a file.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
        })
    }

    /// Reads a URL; the fault says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| "it has no `s3://` before it".to_owned())?;
        let kind = StoreKind::of_scheme(scheme)
            .ok_or_else(|| format!("`{scheme}://` is no object store; there are s3://, gs://, az:// and abfss://"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (bucket, account) = match host.split_once('@') {
            Some((container, host)) if kind == StoreKind::Azure => (container, Some(azure_account(host)?)),
            Some(_) => return Err("it holds a login; credentials come from the environment".to_owned()),
            None => (host, None),
        };
        let is_name = |name: &str| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
            !name.is_empty() && name.bytes().all(is_letter)
        };
        if !is_name(bucket) || account.as_ref().is_some_and(|account| !is_name(account)) {
            return Err(format!("`{host}` names no bucket"));
        }
        let path = path.trim_end_matches('/');
        check_path(path)?;
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            account,
            path: path.to_owned(),
        })
    }

    /// The bucket as a whole.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            path: String::new(),
            ..self.clone()
        }
    }

    /// A place below it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        Self { path, ..self.clone() }
    }
}

fn azure_account(host: &str) -> Result<String, String> {
    AZURE_HOSTS
        .iter()
        .find_map(|ending| host.strip_suffix(ending))
        .map(str::to_owned)
        .ok_or_else(|| format!("`{host}` is no host such as `account.dfs.core.windows.net`"))
}

fn check_path(path: &str) -> Result<(), String> {
    if path.contains(['?', '#']) || path.chars().any(char::is_control) {
        return Err("it has a `?`, a `#` or a control character, which no path may have".to_owned());
    }
    match path
        .split('/')
        .find(|part| matches!(*part, "." | "..") || part.is_empty())
    {
        Some(_) if path.is_empty() => Ok(()),
        Some("") => Err("it has two slashes in a row".to_owned()),
        Some(part) => Err(format!("it has `{part}` in it")),
        None => Ok(()),
    }
}

impl fmt::Display for ObjectUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            bucket,
            account,
            path,
        } = self;
        match (kind, account) {
            (StoreKind::S3, _) => write!(f, "s3://{bucket}")?,
            (StoreKind::Gcs, _) => write!(f, "gs://{bucket}")?,
            (StoreKind::Azure, None) => write!(f, "az://{bucket}")?,
            (StoreKind::Azure, Some(account)) => write!(f, "abfss://{bucket}@{account}{}", AZURE_HOSTS[0])?,
        }
        if path.is_empty() { Ok(()) } else { write!(f, "/{path}") }
    }
}

impl From<ObjectUrl> for String {
    fn from(url: ObjectUrl) -> Self {
        url.to_string()
    }
}

impl TryFrom<String> for ObjectUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

/// How an object store is reached, as far as the project says it. Credentials are never among it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StoreOptions {
    /// Where it is, if it is not the provider's own: `https://minio.example.com`.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// Whether it may be spoken to without TLS.
    #[serde(default)]
    pub allow_http: bool,
}

impl StoreOptions {
    /// Whether all is left to whoever reads it.
    pub fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a warehouse lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In a bucket.
    Bucket {
        /// Where.
        url: ObjectUrl,
        /// How it is reached.
        options: StoreOptions,
    },
}

impl Location {
    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Bucket { .. } => None,
        }
    }

    /// A place below it.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Folder(folder) => Self::Folder(folder.join(name)),
            Self::Bucket { url, options } => Self::Bucket {
                url: url.join(name),
                options: options.clone(),
            },
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Bucket { url, .. } => write!(f, "{url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_out_as_they_went_in() {
        for text in [
            "s3://lake",
            "s3://lake/wh/prod",
            "gs://lake.example.com/x",
            "az://lake/x y/한글",
            "abfss://lake@account.dfs.core.windows.net/wh",
        ] {
            assert_eq!(ObjectUrl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(ObjectUrl::parse("s3a://lake/wh/").unwrap().to_string(), "s3://lake/wh");
        let joined = ObjectUrl::parse("s3://lake").unwrap().join("wh").join("shop");
        assert_eq!(
            (joined.to_string().as_str(), joined.root().to_string().as_str()),
            ("s3://lake/wh/shop", "s3://lake")
        );
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "lake/x",
            "http://lake/x",
            "s3://",
            "s3:///x",
            "s3://key:secret@lake/x",
            "s3://lake/a//b",
            "s3://lake/../x",
            "s3://lake/x?versionId=1",
            "abfss://lake@elsewhere.example.com/x",
        ] {
            assert!(ObjectUrl::parse(text).is_err(), "{text}");
        }
        assert!(ObjectUrl::is_meant("ftp://host/x") && !ObjectUrl::is_meant("data/x_{YYYY}.csv"));
    }
}
