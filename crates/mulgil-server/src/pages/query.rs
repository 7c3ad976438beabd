//! What stands behind the `?` of a page's address. What is not known is passed over: links are sent around,
//! and other programs hang words of their own on them.

use std::collections::BTreeMap;

use axum::http::request::Parts;
use mulgil_core::{interval::Instant, run::RunState};
use mulgil_web::view::run::Tab;
use url::form_urlencoded;

use super::port::{Fields, FlowQuery, ListQuery, LogQuery, RunQuery, TableQuery};

/// Characters that a search may have.
const SEARCH_CHARS: usize = 200;
/// Values that an address may have.
const VALUES: usize = 64;

/// The values of an address by name; of several of one name, the last.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(parts: &Parts) -> Self {
        let text = parts.uri.query().unwrap_or_default();
        Self(
            form_urlencoded::parse(text.as_bytes())
                .take(VALUES)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn fields(&self) -> Fields {
        self.0.clone()
    }

    pub(super) fn list(&self) -> ListQuery {
        ListQuery {
            search: self.search("q").unwrap_or_default(),
            after: self.text("after").map(str::to_owned),
            only: self.state(),
        }
    }

    pub(super) fn flow(&self) -> FlowQuery {
        FlowQuery {
            by_start: self.text("order") == Some("start"),
            only: self.state(),
            before: self.number("before"),
            after: self.number("after"),
        }
    }

    pub(super) fn run(&self) -> RunQuery {
        RunQuery {
            tab: match self.text("tab") {
                Some("gantt") => Tab::Gantt,
                Some("list") => Tab::List,
                Some("events") => Tab::Events,
                _ => Tab::Graph,
            },
            after: self.number("after"),
        }
    }

    pub(super) fn log(&self) -> LogQuery {
        let place = |name| self.number(name).and_then(|place| u64::try_from(place).ok());
        LogQuery {
            from: place("from"),
            before: place("before"),
            search: self.search("q"),
        }
    }

    pub(super) fn table(&self) -> TableQuery {
        TableQuery {
            keys: self.text("keys").map(str::to_owned),
            before: self.number("before").map(Instant),
            with_sample: self.text("sample") == Some("1"),
        }
    }

    fn search(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.chars().take(SEARCH_CHARS).collect())
    }

    fn state(&self) -> Option<RunState> {
        self.text("state").and_then(RunState::parse)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.text(name).and_then(|text| text.parse().ok())
    }
}
