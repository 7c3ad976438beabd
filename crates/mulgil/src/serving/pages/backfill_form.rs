//! The form that fills intervals anew: exactly what it lists is done, or nothing.

use mulgil_core::{
    codes, diagnostic::Diagnostic, flow::name, grid::Grid, interval::RangeSet, interval_text, name::Instance,
    project::Fingerprint, select, state::NodeState,
};
use mulgil_server::{Answered, Backfill, Control as _, Fields, Filter, Named, NoPage, Performed, Select, Verb};
use mulgil_web::view::{
    Link,
    form::{Confirm, Deed, Field, FieldKind, Label, PREVIEW_SHOWN},
};

use super::{
    Sight, faults,
    forms::field,
    names::{self, encoded},
};
use crate::{cli, command::backfill};

/// The hidden field that says what was shown.
const RANGES: &str = "ranges";
/// More ranges than these are sent as their hash.
const RANGES_SENT: usize = 200;

/// What is to be filled.
struct Asked<'a> {
    /// A node, an instance of one, or `flow:NAME`, as it is typed.
    name: &'a str,
    instance: Instance,
    grid: &'a Grid,
    from: Option<&'a str>,
    to: Option<&'a str>,
    only: Filter,
}

/// What would be filled, and how much of it is there.
pub(super) fn preview(sight: Sight<'_>, name: &str, fields: &Fields) -> Result<Confirm, NoPage> {
    let asked = Asked::of(sight, name, fields)?;
    let (ranges, faults) = match asked.ranges_seen(sight) {
        Ok(ranges) => (ranges, Vec::new()),
        Err(faults) => (Vec::new(), faults),
    };
    let all: RangeSet = ranges.iter().map(|named| named.range).collect();
    let state = match name::flow_in(name) {
        Some(_) => sight.picture.flows.get(&asked.instance),
        None => sight.picture.state.nodes.get(&asked.instance),
    };
    let filled = state.map_or_else(RangeSet::new, |state| state.filled.keys().intersect(&all));
    let readers = sight.picture.readers.get(&asked.instance.node);
    let words = |range| interval_text::format(range, asked.grid);
    let intervals = all.iter().flat_map(|range| asked.grid.intervals(range));
    Ok(Confirm {
        deed: Deed::Backfill {
            node: name.to_owned(),
            count: ranges.iter().map(|named| named.count).sum(),
            ranges: all.iter().take(PREVIEW_SHOWN).map(words).collect(),
            intervals: intervals.take(PREVIEW_SHOWN).map(words).collect(),
            filled: filled.iter().map(|range| asked.grid.count(range)).sum(),
            readers: readers.into_iter().flatten().map(ToString::to_string).collect(),
        },
        action: format!("{}/backfill", asked.page()),
        hidden: vec![(RANGES.to_owned(), told(&ranges, asked.grid))],
        fields: asked.fields(),
        faults,
        back: Link {
            text: name::flow_in(name).unwrap_or(name).to_owned(),
            href: Some(asked.back()),
        },
        command: asked.command(),
    })
}

/// Fills what was shown. Where it would be something else by now, nothing is done.
pub(super) async fn perform(sight: Sight<'_>, name: &str, fields: &Fields) -> Result<Performed, NoPage> {
    let asked = Asked::of(sight, name, fields)?;
    let ranges = match asked.ranges(sight).await {
        Ok(ranges) => ranges,
        Err(faults) => return Ok(Performed::Refused(faults)),
    };
    if ranges.is_empty() {
        return Ok(Performed::Refused(vec![nothing(name)]));
    }
    if field(fields, RANGES) != Some(told(&ranges, asked.grid).as_str()) {
        return Ok(Performed::Refused(vec![changed(name)]));
    }
    Ok(match sight.program.perform(asked.verb(false)).await {
        Ok(answer) => match answer.what {
            Answered::NothingDue {} => Performed::Refused(vec![nothing(name)]),
            _ => Performed::Done(asked.back()),
        },
        Err(refusal) => Performed::Refused(refusal.into_all()),
    })
}

impl<'a> Asked<'a> {
    fn of(sight: Sight<'a>, name: &'a str, fields: &'a Fields) -> Result<Self, NoPage> {
        let project = &sight.picture.project;
        let (instance, grid) = if let Some(flow) = name::flow_in(name) {
            let flow = project.flow(flow).ok_or_else(|| faults::no_flow(project, flow))?;
            (flow.instance(), &flow.grid)
        } else {
            let node = select::node(project, name).map_err(|_| faults::no_table(project, name))?;
            let instance = Instance::parse(name).unwrap_or_else(|| Instance::of(node.name.clone()));
            (instance, &node.grid)
        };
        let only = match field(fields, "only") {
            Some("missing") => Filter::Missing,
            Some("failed") => Filter::Failed,
            Some("stale") => Filter::Stale,
            Some(_) | None => Filter::All,
        };
        Ok(Self {
            name,
            instance,
            grid,
            from: field(fields, "from"),
            to: field(fields, "to"),
            only,
        })
    }

    /// The exact ranges as the picture has them, by what the command line's `--dry-run` is made of.
    fn ranges_seen(&self, sight: Sight<'_>) -> Result<Vec<Named>, Vec<Diagnostic>> {
        let Sight { opened, picture, .. } = sight;
        let named = backfill::Named {
            select: cli::Select {
                selectors: vec![self.name.to_owned()],
                more: Vec::new(),
                exclude: Vec::new(),
            },
            from: self.from.map(str::to_owned),
            to: self.to.map(str::to_owned),
            only: self.only,
        };
        let takes = match name::flow_in(self.name).and_then(|flow| picture.project.flow(flow)) {
            Some(flow) => {
                let none = NodeState::default();
                let state = picture.flows.get(&self.instance).unwrap_or(&none);
                named
                    .of_flow(flow, state)
                    .map(|ranges| vec![(self.instance.clone(), ranges)])
            }
            None => named.of_models(opened, &picture.state),
        };
        let takes = takes.map_err(|faults| faults.0)?;
        let ranges = takes.iter().flat_map(|(instance, ranges)| {
            ranges.iter().map(|range| Named {
                instance: instance.clone(),
                range,
                count: self.grid.count(range),
            })
        });
        Ok(ranges.collect())
    }

    /// The exact ranges as the ledger has them at this moment.
    async fn ranges(&self, sight: Sight<'_>) -> Result<Vec<Named>, Vec<Diagnostic>> {
        match sight.program.perform(self.verb(true)).await {
            Ok(answer) => match answer.what {
                Answered::Preview { ranges } => Ok(ranges),
                _ => Ok(Vec::new()),
            },
            Err(refusal) => Err(refusal.into_all()),
        }
    }

    fn verb(&self, preview: bool) -> Verb {
        Verb::Backfill(Backfill {
            select: Select {
                chosen: vec![self.name.to_owned()],
                exclude: Vec::new(),
            },
            flow: name::flow_in(self.name).map(str::to_owned),
            from: self.from.map(str::to_owned),
            to: self.to.map(str::to_owned),
            only: self.only,
            preview,
            ..Backfill::default()
        })
    }

    fn fields(&self) -> Vec<Field> {
        let field = |name: &str, label, value: &str, kind| Field {
            name: name.to_owned(),
            label,
            value: value.to_owned(),
            kind,
            fault: None,
        };
        let mut fields = Vec::new();
        if self.grid.is_cut() {
            fields.push(field(
                "from",
                Label::From,
                self.from.unwrap_or_default(),
                FieldKind::Text,
            ));
            fields.push(field("to", Label::To, self.to.unwrap_or_default(), FieldKind::Text));
        }
        fields.push(field("only", Label::Only, word(self.only), FieldKind::Only));
        fields
    }

    fn command(&self) -> String {
        let mut command = format!("mulgil backfill {}", self.name);
        for (flag, value) in [("--from", self.from), ("--to", self.to)] {
            if let Some(value) = value {
                command = format!("{command} {flag} {value}");
            }
        }
        match self.only {
            Filter::All => command,
            Filter::Missing | Filter::Failed | Filter::Stale => format!("{command} --{}", word(self.only)),
        }
    }

    /// The page on which the form stands.
    fn page(&self) -> String {
        match name::flow_in(self.name) {
            Some(flow) => names::flow_href(flow),
            None => format!("/tables/{}", encoded(self.name)),
        }
    }

    /// The page that tells of what is done.
    fn back(&self) -> String {
        match name::flow_in(self.name) {
            Some(flow) => names::flow_href(flow),
            None => names::table_href(&self.instance),
        }
    }
}

fn word(only: Filter) -> &'static str {
    match only {
        Filter::All => "all",
        Filter::Missing => "missing",
        Filter::Failed => "failed",
        Filter::Stale => "stale",
    }
}

/// The ranges as the form carries them: by name, and where there are many, as their hash.
fn told(ranges: &[Named], grid: &Grid) -> String {
    let names = ranges.iter().map(|named| {
        let interval = interval_text::format(named.range, grid);
        if named.instance.key.is_empty() {
            interval
        } else {
            format!("{}@{interval}", named.instance.key)
        }
    });
    let all = names.collect::<Vec<_>>().join(" ");
    if ranges.len() > RANGES_SENT {
        Fingerprint::of_text(&all).to_string()
    } else {
        all
    }
}

fn nothing(name: &str) -> Diagnostic {
    Diagnostic::error(codes::EMPTY_BACKFILL, format!("there is nothing to fill of `{name}`"))
        .with_remedy("name other intervals, or another kind of them")
}

fn changed(name: &str) -> Diagnostic {
    Diagnostic::error(
        codes::PREVIEW_CHANGED,
        format!("what would be filled of `{name}` is not what was shown any more; nothing was done"),
    )
    .with_remedy("read once more what is going to be done, and confirm it")
}

#[cfg(test)]
mod tests {
    use mulgil_core::{grid::Zone, interval::Interval};

    use super::*;

    #[test]
    fn what_was_shown_is_told_exactly_and_shortly() {
        let grid = Grid::whole(Zone::UTC);
        let one = Named {
            instance: Instance::parse("sales[country=kr]").unwrap(),
            range: Interval::WHOLE,
            count: 1,
        };
        assert_eq!(told(std::slice::from_ref(&one), &grid), "country=kr@all");
        let many = vec![one; RANGES_SENT + 1];
        assert_eq!(told(&many, &grid).len(), 32);
        assert_ne!(told(&many, &grid), told(&many[1..], &grid));
    }
}
