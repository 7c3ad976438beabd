//! What changes something: a form, and before it exactly what it is going to do.

use mulgil_core::diagnostic::Diagnostic;

use super::{Link, Named};

/// Intervals that a preview names one by one.
pub const PREVIEW_SHOWN: usize = 100;

/// The page before the deed. It asks once more, with all that it is going to do.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// What is going to be done.
    pub deed: Deed,
    /// Where the form is sent.
    pub action: String,
    /// What it sends beside the token: hidden fields, so that exactly what was shown is done.
    pub hidden: Vec<(String, String)>,
    /// What a person fills in.
    pub fields: Vec<Field>,
    /// Why it cannot be done as it stands.
    pub faults: Vec<Diagnostic>,
    /// Where to go back to.
    pub back: Link,
    /// The command that does the same.
    pub command: String,
}

/// What is going to be done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Run a flow.
    Run {
        /// Which.
        flow: String,
        /// For which interval, where it has them.
        interval: Option<Named>,
        /// Its steps, in order.
        steps: Vec<String>,
    },
    /// End a run.
    Cancel {
        /// Which.
        run: i64,
        /// What goes on in it now and is going to be stopped.
        live: Vec<String>,
        /// What has not begun and is not going to.
        rest: u64,
    },
    /// Fill intervals.
    Backfill {
        /// Of what.
        node: String,
        /// How many.
        count: u64,
        /// In words.
        ranges: Vec<String>,
        /// The first ones by name, at most [`PREVIEW_SHOWN`].
        intervals: Vec<String>,
        /// How many of them are filled already and are made anew.
        filled: u64,
        /// What reads it and becomes stale where rows change.
        readers: Vec<String>,
    },
}

/// A field of a form.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name in the form.
    pub name: String,
    /// What is written beside it: a name of the person's own, or one of ours.
    pub label: Label,
    /// Its value.
    pub value: String,
    /// What may be filled in.
    pub kind: FieldKind,
    /// What is wrong with the value.
    pub fault: Option<String>,
}

/// What is written beside a field.
#[derive(Clone, Debug)]
pub enum Label {
    /// A parameter of the flow.
    Param(String),
    /// The interval.
    Interval,
    /// The first interval.
    From,
    /// The end, which is not part of it.
    To,
    /// Which intervals of the range.
    Only,
}

/// What may be filled in.
#[derive(Clone, Debug)]
pub enum FieldKind {
    /// Text.
    Text,
    /// A whole number or one with a point.
    Number,
    /// Yes or no.
    Flag,
    /// One of these.
    Choice(Vec<String>),
    /// `missing`, `failed`, `stale`, or `all`.
    Only,
}
