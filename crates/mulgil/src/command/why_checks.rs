//! What the scheduler asked of an interval, in sentences, with the command that helps: for `mulgil why` and for
//! the page that says the same.

use mulgil_core::{
    checks::{Check, Says},
    flow::name,
    grid::{Grid, Zone},
    interval::{Instant, Interval, RangeSet},
    interval_text,
    name::Instance,
    project::Project,
    tick::Fate,
};

use mulgil_store::DataLock;
use serde_json::{Value, json};

use crate::{command::plan::reason_text, say, wire::Opened};

/// Of what is told.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The project.
    pub(crate) project: &'a Project,
    /// Whose interval: a node's, or a flow's.
    pub(crate) instance: &'a Instance,
    /// Which.
    pub(crate) range: Interval,
    /// How its time is cut.
    pub(crate) grid: &'a Grid,
    /// The moment.
    pub(crate) now: Instant,
}

impl Subject<'_> {
    fn flow(&self) -> Option<&str> {
        name::flow_in(self.instance.node.as_str())
    }

    /// The command that fills it, whatever held it.
    fn run(&self) -> String {
        let interval = interval_text::format(self.range, self.grid);
        match (self.flow(), self.grid.is_cut(), self.grid.count(self.range)) {
            (Some(_) | None, false, _) => format!("mulgil run {}", self.instance),
            (Some(_), true, 1) => format!("mulgil run {} --interval {interval}", self.instance),
            (Some(_), true, _) => {
                let (from, to) = (
                    self.grid.interval_at(self.range.start),
                    self.grid.interval_at(self.range.end),
                );
                format!(
                    "mulgil backfill {} --from {} --to {}",
                    self.instance,
                    interval_text::format(from, self.grid),
                    interval_text::format(to, self.grid)
                )
            }
            (None, true, _) => format!("mulgil run {}@{interval}", self.instance),
        }
    }
}

/// The command that changes what one check says, where there is one.
pub(crate) fn command_for(check: &Check, of: Subject<'_>) -> Option<String> {
    let says = check.says(of.now);
    match check {
        Check::Failing { .. } | Check::RolledBack { .. } => Some(of.run()),
        Check::Waived { ranges } if !ranges.is_empty() => Some(of.run()),
        // Nothing brings it about but a person.
        Check::Wanted {
            is_wanted: false,
            next_tick: None,
            ..
        } if of.grid.extent().contains(of.range) => Some(of.run()),
        Check::Input {
            from,
            is_source,
            absent,
            ..
        } if !absent.is_empty() && !is_source => {
            let grid = &of.project.node(&from.node)?.grid;
            let range = absent.iter().next()?;
            Some(if grid.is_cut() {
                format!("mulgil why {from}@{}", interval_text::format(range, grid))
            } else {
                format!("mulgil why {from}")
            })
        }
        Check::Tested { failed, .. } => failed
            .first()
            .map(|_| format!("mulgil nodes show {}", of.instance.node)),
        Check::InFlight { run: Some(run), .. } => Some(format!("mulgil runs show {run}")),
        Check::Server { .. } if says.keeps() => Some("mulgil serve".to_owned()),
        Check::Named { .. }
        | Check::Wanted { .. }
        | Check::Tick { .. }
        | Check::Waived { .. }
        | Check::Filled { .. }
        | Check::Right { .. }
        | Check::Input { .. }
        | Check::InFlight { .. }
        | Check::Room { .. }
        | Check::Server { .. } => None,
    }
}

/// The one command that helps most: that of the first thing which stops it; else of what it waits for; else,
/// where it is due, the one that fills it now. None where all is as it should be.
pub(crate) fn best_command(checks: &[Check], of: Subject<'_>) -> Option<String> {
    // Without a server it is still filled by whoever says so.
    let asked = || checks.iter().filter(|check| !matches!(check, Check::Server { .. }));
    let of_those = |says: Says| {
        let mut those = asked().filter(|check| check.says(of.now) == says);
        those.find_map(|check| command_for(check, of))
    };
    let stops = of_those(Says::Stops);
    let is_wanted = !checks
        .iter()
        .any(|check| matches!(check, Check::Wanted { is_wanted: false, .. }));
    if !is_due(checks, of.now) {
        // What is filled needs nobody to want it.
        return stops.filter(|_| is_wanted);
    }
    if stops.is_some() {
        return stops;
    }
    let keeps = asked().any(|check| check.says(of.now).keeps());
    let waits = of_those(Says::Waits).or_else(|| of_those(Says::Due));
    waits.or_else(|| (!keeps).then(|| of.run()))
}

/// The checks that say something of it: what lies outside of a grid is wanted by nobody, and no clock changes that.
pub(crate) fn telling(checks: &[Check]) -> impl Iterator<Item = &Check> {
    let is_outside = checks
        .iter()
        .any(|check| matches!(check, Check::Named { is_named: false, .. }));
    checks
        .iter()
        .filter(move |check| !(is_outside && matches!(check, Check::Wanted { is_wanted: false, .. })))
}

/// The checks in lines, with what helps. Where nothing is to be done, nobody has to be there to do it.
pub(super) fn lines(checks: &[Check], of: Subject<'_>) -> Vec<String> {
    let mut lines = vec!["  what the scheduler asks:".to_owned()];
    let is_due = is_due(checks, of.now);
    let told = telling(checks).filter(|check| is_due || !matches!(check, Check::Server { .. }));
    lines.extend(told.map(|check| format!("    {:5}  {}", word(check.says(of.now)), sentence(check, of))));
    lines.extend(best_command(checks, of).map(|command| format!("  do: {command}")));
    lines
}

/// Adds the checks to what is told as JSON.
pub(super) fn add_json(told: &mut Value, checks: &[Check], of: Subject<'_>) {
    let one = |check: &Check| json!({ "check": check, "says": check.says(of.now), "text": sentence(check, of), "do": command_for(check, of) });
    told["checks"] = checks.iter().map(one).collect();
    told["do"] = json!(best_command(checks, of));
}

/// Whether no process of this machine keeps time for the project; where the ledger is shared, nobody can say.
pub(super) fn is_nobody_there(opened: &Opened) -> bool {
    let is_file = opened.place().is_ok_and(|place| place.file().is_some());
    is_file && !DataLock::is_held(opened.data_dir(), &opened.project.environment)
}

fn word(says: Says) -> &'static str {
    match says {
        Says::Fine => "ok",
        Says::Due => "due",
        Says::Waits => "waits",
        Says::Stops => "stops",
    }
}

/// Whether anything is to be done, be it kept or not.
pub(crate) fn is_due(checks: &[Check], now: Instant) -> bool {
    checks.iter().any(|check| check.says(now) == Says::Due)
}

/// One check in one line, without its sign.
pub(crate) fn sentence(check: &Check, of: Subject<'_>) -> String {
    let zone = &of.grid.zone;
    let at = |at: Instant| say::moment(at, zone);
    let own = |set: &RangeSet| ranges(set, of.grid);
    match check {
        Check::Named {
            unit,
            begin,
            end,
            is_named,
        } => {
            let since = begin.map_or_else(String::new, |begin| format!(", since {}", at(begin)));
            let until = end.map_or_else(String::new, |end| format!(", until {}", at(end)));
            let what = if *is_named {
                "its time is cut"
            } else {
                "it lies outside: its time is cut"
            };
            match unit.as_str() {
                "whole" => "all of time is one".to_owned(),
                unit => format!("{what} by {unit}{since}{until}"),
            }
        }
        Check::Wanted {
            schedule,
            last_tick,
            next_tick,
            is_wanted,
        } => wanted(schedule.as_deref(), *last_tick, *next_tick, *is_wanted, zone),
        Check::Tick {
            scheduled_at,
            fate,
            run,
        } => format!("its newest tick, {}, {}", at(*scheduled_at), became(*fate, *run, zone)),
        Check::Waived { ranges } => format!("given up{}", in_parts(&own(ranges))),
        Check::Filled {
            filled,
            missing,
            at: filled_at,
            rows,
        } => {
            if filled.is_empty() {
                return "never filled".to_owned();
            }
            let when = filled_at.map_or_else(String::new, |moment| format!(" at {}", at(moment)));
            let rows = rows.map_or_else(String::new, |rows| format!(", {}", say::count(rows, "row")));
            let rest = if missing.is_empty() {
                String::new()
            } else {
                format!("; never{}", in_parts(&own(missing)))
            };
            format!("filled{when}{rows}{rest}")
        }
        Check::Right { stale } => match stale.as_slice() {
            [] => "nothing made it stale".to_owned(),
            some => {
                let parts = some.iter().map(|(range, reason)| {
                    let part = if *range == of.range {
                        String::new()
                    } else {
                        format!(" ({})", interval_text::format(*range, of.grid))
                    };
                    format!("{}{part}", reason_text(reason))
                });
                format!("stale: {}", parts.collect::<Vec<_>>().join("; "))
            }
        },
        Check::Input { .. } => input(check, of),
        Check::Failing {
            range,
            code,
            count,
            failed_at,
            next_try_at,
            is_held,
            ..
        } => {
            let part = if *range == of.range {
                String::new()
            } else {
                format!(" ({})", interval_text::format(*range, of.grid))
            };
            let then = match (is_held, *next_try_at > of.now) {
                (true, _) => "; held until something changes or it is named".to_owned(),
                (false, true) => format!("; tried again from {}", at(*next_try_at)),
                (false, false) => "; tried again when it is its turn".to_owned(),
            };
            let times = match count {
                0 => format!("{code} at {}; it or what it reads has changed since", at(*failed_at)),
                _ => format!(
                    "{code} {} in a row, last at {}",
                    say::count(u64::from(*count), "time"),
                    at(*failed_at)
                ),
            };
            format!("failed{part}: {times}{then}; `mulgil explain {code}`")
        }
        Check::RolledBack { to, .. } => {
            format!("held: its table went back to version {to}; until its code or an input changes, or it is named")
        }
        Check::Tested { failed, untested } => match (failed.as_slice(), untested.is_empty()) {
            ([], true) => "its data tests have passed".to_owned(),
            ([], false) => format!(
                "its data tests have to pass before anybody reads it{}",
                in_parts(&own(untested))
            ),
            (failed, _) => format!("data tests failed: {}", failed.join(", ")),
        },
        Check::InFlight { ranges, run, .. } => {
            let run = run.map_or_else(String::new, |run| format!(" by run {run}"));
            format!("being filled{run}{}", in_parts(&own(ranges)))
        }
        Check::Room { of, used, limit } => match of.as_str() {
            "slots" => format!("{used} of {limit} slots of the server are taken"),
            "max_active" => format!("{} of at most {limit} go on", say::count(*used, "run")),
            table => format!("another attempt writes {table}, and one does at a time"),
        },
        Check::Server { heartbeat_at } => match heartbeat_at {
            Some(heard) => format!("a server keeps time; it was last heard of at {}", at(*heard)),
            None => "no server is running, so nothing begins by itself".to_owned(),
        },
    }
}

fn wanted(
    schedule: Option<&str>,
    last: Option<Instant>,
    next: Option<Instant>,
    is_wanted: bool,
    zone: &Zone,
) -> String {
    let at = |at: Option<Instant>| at.map_or_else(|| "never".to_owned(), |at| say::moment(at, zone));
    let word = if is_wanted { "wanted" } else { "not wanted" };
    match (schedule, is_wanted) {
        (Some(schedule), _) => format!("{word}: `{schedule}`, last tick {}, next {}", at(last), at(next)),
        (None, true) => "wanted".to_owned(),
        (None, false) => match next {
            Some(end) => format!("not wanted before it is over, at {}", at(Some(end))),
            None => "not wanted: it has no schedule, and nobody asked for it".to_owned(),
        },
    }
}

fn became(fate: Fate, run: Option<i64>, zone: &Zone) -> String {
    match (fate, run) {
        (Fate::Runs, Some(run)) => format!("is run {run}"),
        (Fate::Runs, None) => "waits for its run".to_owned(),
        (Fate::Coalesced { into }, _) => format!("was missed; the one of {} makes up for it", say::moment(into, zone)),
        (Fate::Missed, _) => "was missed".to_owned(),
        (Fate::Before, _) => "came before anybody kept time for it".to_owned(),
    }
}

fn input(check: &Check, of: Subject<'_>) -> String {
    let Check::Input {
        from,
        needs,
        absent,
        due,
        gone,
        waits_for_tests,
        ..
    } = check
    else {
        return String::new();
    };
    let node = of.project.node(&from.node).map(|node| &node.grid);
    let grid = node.or_else(|| of.project.source(&from.node).map(|source| &source.grid));
    let Some(grid) = grid else { return from.to_string() };
    let what = match needs {
        Some(needs) if grid.is_cut() => format!("{from}@{}", interval_text::format(*needs, grid)),
        Some(_) | None => from.to_string(),
    };
    let parts = |set: &RangeSet| in_parts(&ranges(set, grid));
    let state = if !absent.is_empty() {
        format!("not there{}", parts(absent))
    } else if !due.is_empty() {
        format!("there, and due again{}", parts(due))
    } else if *waits_for_tests {
        "there, and its data tests have not passed".to_owned()
    } else if !gone.is_empty() {
        format!("the file is gone{}; the rows stay", parts(gone))
    } else {
        "there".to_owned()
    };
    format!("reads {what}: {state}")
}

fn ranges(set: &RangeSet, grid: &Grid) -> String {
    let names = set.iter().map(|range| interval_text::format(range, grid));
    names.collect::<Vec<_>>().join(", ")
}

fn in_parts(text: &str) -> String {
    if text.is_empty() || text == "all" {
        String::new()
    } else {
        format!(" ({text})")
    }
}
