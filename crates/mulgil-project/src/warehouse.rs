//! The `warehouse:` of `mulgil.yml`: a folder, or a place in an object store and how it is reached.

use mulgil_core::location::{Location, ObjectUrl, StoreKind, StoreOptions};

use crate::{
    manifest::Reader,
    yaml::{self, Node, Value},
};

pub(crate) const KEYS: &[&str] = &["kind", "path", "url", "endpoint", "region", "allow_http"];

/// The kind of a warehouse on this machine.
const LOCAL: &str = "local";

/// The folder of the project that holds the tables, when nobody says another place.
const DEFAULT_FOLDER: &str = "warehouse";

impl Reader<'_> {
    /// Reads where the tables lie: one text, or a mapping.
    pub(crate) fn warehouse(&mut self, node: Option<&Node>) -> Location {
        let default = || Location::Folder(self.root.join(DEFAULT_FOLDER));
        let Some(node) = node else { return default() };
        if let Value::Text(text) = &node.value {
            let place = self.place(node, text, StoreOptions::default());
            return place.unwrap_or_else(|| Location::Folder(self.root.join(DEFAULT_FOLDER)));
        }
        let entries = yaml::map(self.file, node, "`warehouse`", self.faults);
        yaml::check_keys(self.file, entries, KEYS, "`warehouse`", self.faults);
        self.warehouse_of(node)
            .unwrap_or_else(|| Location::Folder(self.root.join(DEFAULT_FOLDER)))
    }

    fn warehouse_of(&mut self, node: &Node) -> Option<Location> {
        let kind = self.text_of(node, "kind");
        let store = kind.as_deref().and_then(StoreKind::named);
        if let (Some(word), Some(node)) = (&kind, node.get("kind"))
            && store.is_none()
            && word != LOCAL
        {
            self.bad(
                node,
                format!("`{word}` is no kind of warehouse"),
                "write `local`: Delta tables on disk; or `s3`, `gcs`, `azure` with a `url`",
            );
            return None;
        }
        if store.is_none() && node.get("url").is_none() {
            return self.local_warehouse(node);
        }
        let options = self.store_options(node);
        if let Some(path) = node.get("path") {
            self.bad(path, "`path` has a meaning only for a local warehouse", "write `url`");
        }
        let Some(url) = node.get("url") else {
            self.bad(
                node,
                "the warehouse does not say in which bucket it lies",
                "add `url: s3://bucket/prefix`",
            );
            return None;
        };
        let text = yaml::text(self.file, url, "`url`", self.faults)?;
        let place = self.place(url, &text, options)?;
        match (&place, store) {
            (Location::Bucket { url: place, .. }, Some(store)) if place.kind != store => {
                self.bad(
                    url,
                    format!(
                        "the warehouse is of kind `{}`, and its URL is `{place}`",
                        store.as_str()
                    ),
                    format!("write `kind: {}`, or leave it out", place.kind.as_str()),
                );
                None
            }
            (Location::Folder(_), _) => {
                self.bad(
                    url,
                    format!("`{text}` is no URL of a bucket"),
                    "write `s3://bucket/prefix`, or `path` for a folder",
                );
                None
            }
            (Location::Bucket { .. }, _) => Some(place),
        }
    }

    fn local_warehouse(&mut self, node: &Node) -> Option<Location> {
        for key in ["endpoint", "region", "allow_http"] {
            if let Some(node) = node.get(key) {
                self.bad(
                    node,
                    format!("`{key}` has a meaning only for a warehouse in an object store"),
                    "remove it, or add `url: s3://bucket/prefix`",
                );
            }
        }
        let path = self.text_of(node, "path")?;
        Some(Location::Folder(self.root.join(path)))
    }

    /// A folder or a place in a bucket, by how it is written.
    fn place(&mut self, node: &Node, text: &str, options: StoreOptions) -> Option<Location> {
        if !ObjectUrl::is_meant(text) {
            return Some(Location::Folder(self.root.join(text)));
        }
        let url = self.object_url(node, text)?;
        Some(Location::Bucket { url, options })
    }

    /// Reads the URL of a place in an object store.
    pub(crate) fn object_url(&mut self, node: &Node, text: &str) -> Option<ObjectUrl> {
        ObjectUrl::parse(text)
            .map_err(|why| {
                self.bad(
                    node,
                    format!("`{}` is no place in an object store: {why}", without_login(text)),
                    "write `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`",
                );
            })
            .ok()
    }

    /// Reads how an object store is reached.
    pub(crate) fn store_options(&mut self, node: &Node) -> StoreOptions {
        let allow_http = match node.get("allow_http") {
            None => false,
            Some(Node {
                value: Value::Bool(allowed),
                ..
            }) => *allowed,
            Some(other) => {
                self.bad(
                    other,
                    "`allow_http` is neither `true` nor `false`",
                    "write `allow_http: true`",
                );
                false
            }
        };
        StoreOptions {
            endpoint: self.endpoint(node),
            region: self.text_of(node, "region"),
            allow_http,
        }
    }

    fn endpoint(&mut self, node: &Node) -> Option<String> {
        let (text, node) = self.text_of(node, "endpoint").zip(node.get("endpoint"))?;
        let text = text.trim_end_matches('/');
        let host = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        if host
            .is_none_or(|host| host.is_empty() || host.contains(['@', '?', '#']) || host.contains(char::is_whitespace))
        {
            self.bad(
                node,
                format!("`endpoint` cannot be `{}`", without_login(text)),
                "write where the store is, without a login: `https://minio.example.com:9000`",
            );
            return None;
        }
        Some(text.to_owned())
    }
}

/// A URL as messages show it: a login that somebody wrote into it stays out.
fn without_login(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            let is_short = host.len() == end;
            format!("{scheme}://{}{host}{}", if is_short { "" } else { "…@" }, &rest[end..])
        }
        None => text.to_owned(),
    }
}
