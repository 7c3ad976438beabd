//! What the command line asks of a server. These types are the wire format: what is added to them is
//! optional, and what changes its meaning raises [`PROTOCOL`].

use std::collections::BTreeMap;

use mulgil_core::backfill;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The number of the wire format. A server and a command line with different numbers refuse each other
/// by name, so that no word is taken for another one.
pub const PROTOCOL: u32 = 1;

/// One thing that a server is asked to do.
///
/// A field or a verb that the server does not know is refused with
/// [`OTHER_VERSION`](mulgil_core::codes::OTHER_VERSION): doing less than what was typed would be worse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", deny_unknown_fields)]
pub enum Verb {
    /// `mulgil run`.
    Run(Run),
    /// `mulgil backfill`: makes a backfill, or with `preview` says what it would fill.
    Backfill(Backfill),
    /// `mulgil backfill ls`.
    ListBackfills {},
    /// `mulgil backfill pause`: what runs ends, nothing more begins.
    PauseBackfill {
        /// Its number.
        backfill: i64,
    },
    /// `mulgil backfill resume`.
    ResumeBackfill {
        /// Its number.
        backfill: i64,
    },
    /// `mulgil backfill cancel`: what runs is ended too.
    CancelBackfill {
        /// Its number.
        backfill: i64,
    },
    /// `mulgil runs cancel`.
    CancelRun {
        /// Its number.
        run: i64,
    },
    /// `mulgil runs retry`.
    RetryRun {
        /// Its number.
        run: i64,
        /// What of it.
        #[serde(default)]
        what: Retried,
        /// With which definitions.
        #[serde(default)]
        definitions: Definitions,
    },
    /// `mulgil approve`.
    Approve {
        /// The run that waits.
        run: i64,
        /// Its step.
        step: String,
        /// What was decided.
        decision: Approval,
        /// Why, in the words of who decided.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

/// Which nodes, as they were typed: the server reads them, because it knows the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// Selectors; all nodes where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<String>,
    /// Selectors of what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

/// What `mulgil run` was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which nodes.
    #[serde(default)]
    pub select: Select,
    /// The flow that is run; none for models by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Parameters of the flow, by name; the server checks their types.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Variables for `var('name')`, as typed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, String>,
    /// Only this interval, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// All of it, due or not.
    #[serde(default)]
    pub full: bool,
    /// Then what is no longer declared is dropped.
    #[serde(default)]
    pub prune: bool,
    /// Attempts at once; as the server is set where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

/// What `mulgil backfill` was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// Which nodes; at least one is named.
    #[serde(default)]
    pub select: Select,
    /// The flow that is backfilled; none for models by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// Parameters of the flow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// The first interval, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The first interval that is not filled any more, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Which of the intervals in between.
    #[serde(default)]
    pub only: Filter,
    /// In which order.
    #[serde(default)]
    pub order: Order,
    /// Intervals of it that may be open at once; as the server is set where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
    /// The share of all slots that backfills may hold together, in percent from 1 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<u8>,
    /// Only says what would be filled.
    #[serde(default)]
    pub preview: bool,
}

/// Which of the named intervals a backfill fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Every one.
    #[default]
    All,
    /// What was never filled.
    Missing,
    /// What failed.
    Failed,
    /// What is filled and no longer right.
    Stale,
}

/// In which order a backfill goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As time goes.
    #[default]
    OldestFirst,
    /// The newest intervals first.
    NewestFirst,
}

impl From<Order> for backfill::Order {
    fn from(order: Order) -> Self {
        match order {
            Order::OldestFirst => Self::OldestFirst,
            Order::NewestFirst => Self::NewestFirst,
        }
    }
}

impl From<backfill::Order> for Order {
    fn from(order: backfill::Order) -> Self {
        match order {
            backfill::Order::OldestFirst => Self::OldestFirst,
            backfill::Order::NewestFirst => Self::NewestFirst,
        }
    }
}

/// What of a run is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// What failed, and what was not begun because of it.
    #[default]
    Unfinished,
    /// All of it, clean.
    All,
}

/// With which version of the definitions a run is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definitions {
    /// The one that the run was pinned to.
    #[default]
    Same,
    /// The newest.
    Latest,
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Approval {
    /// It goes on.
    Approve,
    /// It does not.
    Reject,
}

/// What can be followed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Target {
    /// A run.
    Run(i64),
    /// A backfill.
    Backfill(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verb_is_written_as_the_command_line_means_it() {
        let verb = Verb::Run(Run {
            select: Select {
                chosen: vec!["+sales".to_owned()],
                exclude: Vec::new(),
            },
            interval: Some("2013-03".to_owned()),
            ..Run::default()
        });
        let text = serde_json::to_string(&verb).unwrap();
        assert_eq!(
            text,
            r#"{"verb":"run","select":{"chosen":["+sales"]},"interval":"2013-03","full":false,"prune":false}"#
        );
        assert_eq!(serde_json::from_str::<Verb>(&text).unwrap(), verb);
    }

    #[test]
    fn what_is_not_known_is_refused_at_every_depth() {
        for text in [
            r#"{"verb":"run","colour":"red"}"#,
            r#"{"verb":"run","select":{"chosen":[],"colour":1}}"#,
            r#"{"verb":"list_backfills","colour":"red"}"#,
            r#"{"verb":"cancel_run","run":1,"colour":"red"}"#,
            r#"{"verb":"backfill","order":"random"}"#,
            r#"{"verb":"dance"}"#,
        ] {
            assert!(serde_json::from_str::<Verb>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Verb>(r#"{"verb":"list_backfills"}"#).is_ok());
        assert_eq!(
            serde_json::from_str::<Verb>(r#"{"verb":"retry_run","run":7}"#).unwrap(),
            Verb::RetryRun {
                run: 7,
                what: Retried::Unfinished,
                definitions: Definitions::Same
            }
        );
    }

    #[test]
    fn the_form_of_every_verb_stays() {
        for text in [
            r#"{"verb":"run","select":{"chosen":["a"],"exclude":["b"]},"flow":"daily","params":{"country":"kr"},"vars":{"x":"1"},"interval":"2013","full":true,"prune":true,"parallel":4}"#,
            r#"{"verb":"backfill","select":{"chosen":["a"]},"flow":"daily","params":{"n":1},"from":"2013-01","to":"2013-03","only":"missing","order":"newest_first","parallel":2,"share":25,"preview":true}"#,
            r#"{"verb":"list_backfills"}"#,
            r#"{"verb":"pause_backfill","backfill":1}"#,
            r#"{"verb":"resume_backfill","backfill":1}"#,
            r#"{"verb":"cancel_backfill","backfill":1}"#,
            r#"{"verb":"cancel_run","run":1}"#,
            r#"{"verb":"retry_run","run":1,"what":"all","definitions":"latest"}"#,
            r#"{"verb":"approve","run":1,"step":"load","decision":"reject","note":"too early"}"#,
        ] {
            let verb: Verb = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&verb).unwrap(), text);
        }
    }
}
