//! A sound record breaks nothing; each way to break one is seen by the invariant that it breaks.

use mulgil_core::{
    cron::Cron,
    diagnostic::Place,
    flow::{Step, StepKind, Template},
    grid::Zone,
    interval::Interval,
    name::{Instance, NodeName},
    project::Fingerprint,
    run::{Attempt, Run, Trigger},
    schedule::Schedule,
    tick::Tick,
    walk::StepProgress,
};
use mulgil_store::{
    ScheduleKey, TickRow,
    fact::{FlowBegan, FlowEnded, Leaves, StepBegan, StepEnded, StepsBegan, StepsEnded, Ticked},
};

use super::*;
use crate::chaos::scheduler::{
    processes::Process,
    record::{Ack, Asked},
};

const VERSION: Fingerprint = Fingerprint(7);

fn minute(minute: i64) -> Instant {
    Instant(minute * 60_000_000)
}

/// Two steps, the second after the first and in a pool, every minute.
fn flow() -> Flow {
    let place = || Place::file("flows/f.yml");
    let step = |name: &str| {
        let script = Template {
            text: "select 1".to_owned(),
            place: place(),
        };
        let content = Fingerprint::default();
        Step::new(name, StepKind::Sql { script, content }, place())
    };
    Flow {
        schedule: Some(Schedule {
            cron: Cron::parse("* * * * *").unwrap(),
            zone: Zone::UTC,
        }),
        steps: vec![
            step("a"),
            Step {
                needs: vec!["a".to_owned()],
                pool: Some("narrow".to_owned()),
                ..step("b")
            },
        ],
        fingerprint: VERSION,
        ..Flow::new("f", "flows/f.yml")
    }
}

/// Run 1 of a tick and run 2 of a trigger, each with both steps; the first step of run 1 failed once.
fn sound() -> Record {
    let mut record = Record {
        slots: 1,
        ..Record::default()
    };
    record.flows.insert(VERSION, flow());
    let ticks = [
        (0, Fate::Before, None),
        (1, Fate::Runs, Some(1)),
        (2, Fate::Missed, None),
        (3, Fate::Missed, None),
    ];
    for (at, fate, run) in ticks {
        let tick = Tick {
            scheduled_at: minute(at),
            first_at: minute(at),
            fate,
        };
        let of = ScheduleKey {
            owner: "flow:f".to_owned(),
            schedule: "* * * * * UTC".to_owned(),
        };
        let ticked = Ticked {
            owner: of.owner.clone(),
            schedule: of.schedule.clone(),
            ticks: vec![tick],
        };
        record.facts.push((at, minute(at), Fact::Ticked(ticked)));
        record.ticks.push(TickRow {
            of,
            tick,
            decided_at: minute(at),
            run,
        });
    }
    begin(&mut record, 1, Some(minute(1)), None);
    let failed = attempt(&mut record, 1, "a", 1, 1, RunState::Failed);
    let again = attempt(&mut record, 1, "a", 2, 2, RunState::Success);
    let after = attempt(&mut record, 1, "b", 3, 1, RunState::Success);
    let tasks = vec![task(1, "a", vec![failed, again]), task(1, "b", vec![after])];
    end(&mut record, 1, Trigger::Schedule, tasks);
    begin(&mut record, 2, None, Some("f-1"));
    let one = attempt(&mut record, 2, "a", 4, 1, RunState::Success);
    let two = attempt(&mut record, 2, "b", 5, 1, RunState::Success);
    let tasks = vec![task(2, "a", vec![one]), task(2, "b", vec![two])];
    end(&mut record, 2, Trigger::Manual, tasks);
    let asked = Asked {
        mark: "f-1".to_owned(),
        flow: "f".to_owned(),
    };
    record.asked.push(asked.clone());
    record.acks.push(Ack {
        asked,
        run: 2,
        at_ns: 0,
    });
    record.tables.push(Table {
        name: "t",
        expected: vec!["1".to_owned()],
        allowed: vec!["2".to_owned()],
        found: vec!["1".to_owned(), "2".to_owned()],
    });
    record.derived = vec!["run id=1".to_owned()];
    record.rebuilt = record.derived.clone();
    record
}

fn push(record: &mut Record, fact: Fact) {
    let seq = record.facts.len() as i64;
    record.facts.push((seq, minute(4), fact));
}

fn begin(record: &mut Record, run: i64, scheduled_at: Option<Instant>, mark: Option<&str>) {
    let trigger = if mark.is_some() {
        Trigger::Manual
    } else {
        Trigger::Schedule
    };
    let params = mark.map(|mark| ("mark".to_owned(), mark.into())).into_iter().collect();
    push(
        record,
        Fact::FlowBegan(FlowBegan {
            backfill: None,
            run,
            flow: "f".to_owned(),
            trigger,
            scheduled_at,
            interval: Interval::WHOLE,
            version: VERSION,
            definition: None,
            params,
        }),
    );
    record.walks.push(Walk {
        run,
        flow: "f".to_owned(),
        scheduled_at,
        interval: Interval::WHOLE,
        mark: mark.map(str::to_owned),
        version: VERSION,
    });
}

/// An attempt with its facts and its lines.
fn attempt(record: &mut Record, run: i64, step: &str, id: i64, number: u32, state: RunState) -> Attempt {
    let before = StepProgress {
        stage: Stage::Running,
        failures: number - 1,
        ..StepProgress::default()
    };
    let stage = match state {
        RunState::Success => Stage::Ended { state },
        _ => Stage::Retrying { at: minute(5) },
    };
    let after = StepProgress {
        stage,
        ..before.clone()
    };
    let (flow, interval) = ("f".to_owned(), Interval::WHOLE);
    let begun = StepBegan {
        step: step.to_owned(),
        task_run: id,
        attempt: id,
        progress: before,
    };
    push(
        record,
        Fact::StepsBegan(StepsBegan {
            run,
            flow: flow.clone(),
            interval,
            steps: vec![begun],
        }),
    );
    let line = |at_ns, moment| Entry {
        run,
        step: format!("f.{step}"),
        attempt: id,
        number,
        pid: 100 + id as u32,
        at_ns,
        moment,
    };
    record
        .journal
        .extend([line(id * 10, Moment::Begin), line(id * 10 + 5, Moment::End)]);
    let ended = StepEnded {
        step: step.to_owned(),
        attempt: Some(id),
        task_run: None,
        state,
        rows: None,
        fault: None,
        output: serde_json::Value::Null,
        progress: after,
    };
    push(
        record,
        Fact::StepsEnded(StepsEnded {
            run,
            flow,
            interval,
            steps: vec![ended],
        }),
    );
    Attempt {
        id,
        state,
        started_at: minute(id),
        ended_at: Some(minute(id)),
        rows: None,
        version: None,
        fault: None,
    }
}

fn task(run: i64, step: &str, attempts: Vec<Attempt>) -> TaskRun {
    TaskRun {
        id: attempts[0].id,
        run,
        instance: Instance::of(NodeName::new(format!("flow:f/{step}"))),
        kind: TaskKind::Step,
        range: Interval::WHOLE,
        reason: serde_json::Value::Null,
        state: RunState::Success,
        attempts,
    }
}

fn end(record: &mut Record, run: i64, trigger: Trigger, tasks: Vec<TaskRun>) {
    push(
        record,
        Fact::FlowEnded(FlowEnded {
            run,
            instance: flow().instance(),
            interval: Interval::WHOLE,
            state: RunState::Success,
            leaves: Leaves::Nothing,
        }),
    );
    let row = Run {
        id: run,
        trigger,
        selector: "flow:f".to_owned(),
        state: RunState::Success,
        started_at: minute(1),
        ended_at: Some(minute(4)),
    };
    record.runs.push((row, tasks));
}

/// What a record breaks once something was done to it.
fn broken(harm: impl FnOnce(&mut Record)) -> Vec<Invariant> {
    let mut record = sound();
    harm(&mut record);
    check(&record).into_iter().map(|breach| breach.invariant).collect()
}

/// Changes the first fact that can be changed so.
fn change(record: &mut Record, harm: impl Fn(&mut Fact) -> bool) {
    assert!(record.facts.iter_mut().any(|(_, _, fact)| harm(fact)));
}

#[test]
fn a_sound_record_breaks_nothing() {
    assert_eq!(check(&sound()), []);
}

#[test]
fn ticks_that_run_twice_come_early_or_have_no_row_are_seen() {
    use Invariant::I1;
    assert_eq!(broken(|record| record.walks[1].scheduled_at = Some(minute(1))), [I1]);
    assert_eq!(
        broken(|record| {
            change(record, |fact| {
                let Fact::Ticked(ticked) = fact else { return false };
                ticked.ticks[0].scheduled_at = minute(90);
                true
            });
        }),
        [I1]
    );
    assert_eq!(broken(|record| drop(record.ticks.remove(2))), [I1]);
    assert_eq!(broken(|record| record.ticks[1].run = None), [I1]);
    assert_eq!(broken(|record| record.ticks[2].run = Some(2)), [I1]);
    let into = Fate::Coalesced { into: minute(99) };
    assert_eq!(broken(|record| record.ticks[2].tick.fate = into), [I1]);
}

#[test]
fn acknowledged_triggers_that_are_gone_or_ran_twice_are_seen() {
    use Invariant::I2;
    assert_eq!(broken(|record| record.acks[0].run = 9), [I2]);
    assert_eq!(broken(|record| record.walks[1].mark = Some("f-9".to_owned())), [I2]);
    assert_eq!(broken(|record| record.walks[0].mark = Some("f-1".to_owned())), [I2]);
}

#[test]
fn runs_that_end_without_their_steps_or_not_with_them_are_seen() {
    use Invariant::{I3, I12};
    assert_eq!(broken(|record| record.runs[0].1[1].state = RunState::Running), [I3]);
    assert_eq!(broken(|record| drop(record.runs[0].1.remove(1))), [I3]);
    assert_eq!(
        broken(|record| {
            record.runs[1].0.state = RunState::Running;
            record.runs[1].0.ended_at = None;
        }),
        [I3, I12]
    );
    assert_eq!(broken(|record| record.runs[1].0.ended_at = None), [I3]);
}

#[test]
fn attempts_with_a_gap_after_a_success_or_too_many_are_seen() {
    use Invariant::I4;
    assert_eq!(
        broken(|record| record.runs[0].1[0].attempts[0].state = RunState::Success),
        [I4]
    );
    assert_eq!(broken(|record| record.runs[0].1[0].attempts.reverse()), [I4]);
    assert_eq!(
        broken(|record| {
            change(record, |fact| {
                let Fact::StepsBegan(began) = fact else { return false };
                began.steps[0].progress.failures = 1;
                true
            });
        }),
        [I4]
    );
    assert_eq!(broken(|record| record.journal[0].number = 2), [I4]);
    // Without a retry of its own a step may fail once.
    assert_eq!(
        broken(|record| record.runs[0].1[0].attempts[1].state = RunState::Failed),
        [I4]
    );
}

#[test]
fn attempts_that_overlap_run_twice_or_never_are_seen() {
    use Invariant::{I5, I7};
    assert_eq!(broken(|record| record.journal[1].at_ns = 24), [I5, I7]);
    assert_eq!(broken(|record| record.journal[0].moment = Moment::Overlap), [I5]);
    assert_eq!(
        broken(|record| {
            let again = Entry {
                pid: 999,
                ..record.journal[0].clone()
            };
            record.journal.push(again);
        }),
        [I5]
    );
    assert_eq!(broken(|record| drop(record.journal.remove(3))), [I5]);
}

#[test]
fn a_step_before_what_it_needs_is_seen() {
    use Invariant::{I6, I7};
    assert_eq!(
        broken(|record| {
            let is_end = |fact: &Fact| matches!(fact, Fact::StepsEnded(ended) if ended.steps[0].attempt == Some(2));
            let index = record.facts.iter().position(|(_, _, fact)| is_end(fact)).unwrap();
            record.facts.swap(index, index + 1);
        }),
        [I6, I7]
    );
    // The same where only the tasks tell.
    assert_eq!(
        broken(|record| {
            record.slots = 2;
            record.journal[3].at_ns = 32;
        }),
        [I6]
    );
}

#[test]
fn more_than_slots_pools_and_flows_take_is_seen() {
    use Invariant::I7;
    assert_eq!(broken(|record| record.slots = 0), [I7]);
    // Two of one pool at once.
    let harm = |record: &mut Record| {
        record.slots = 5;
        let flow = record.flows.get_mut(&VERSION).unwrap();
        flow.steps[0].pool = Some("narrow".to_owned());
        flow.steps[1].needs.clear();
        record.journal[5].at_ns = 45;
    };
    assert_eq!(broken(harm), [I7]);
    // Two runs of a schedule, of which one may be active.
    let harm = |record: &mut Record| {
        let scheduled = |run| FlowBegan {
            backfill: None,
            run,
            flow: "f".to_owned(),
            trigger: Trigger::Schedule,
            scheduled_at: None,
            interval: Interval::WHOLE,
            version: VERSION,
            definition: None,
            params: BTreeMap::new(),
        };
        push(record, Fact::FlowBegan(scheduled(8)));
        push(record, Fact::FlowBegan(scheduled(9)));
    };
    assert_eq!(broken(harm), [I7]);
}

#[test]
fn rows_that_no_fact_says_are_seen() {
    use Invariant::I8;
    assert_eq!(broken(|record| record.derived.push("run id=9".to_owned())), [I8]);
    assert_eq!(broken(|record| record.rebuilt.clear()), [I8]);
}

#[test]
fn rows_of_tables_that_lack_are_too_many_or_doubled_are_seen() {
    use Invariant::I9;
    assert_eq!(broken(|record| drop(record.tables[0].found.remove(0))), [I9]);
    assert_eq!(broken(|record| record.tables[0].found.push("3".to_owned())), [I9]);
    assert_eq!(broken(|record| record.tables[0].found.push("2".to_owned())), [I9]);
}

#[test]
fn a_server_that_acts_beside_the_one_that_leads_is_seen() {
    use Invariant::I13;
    // The lead passes on with attempt 4, the first of the second run.
    let passes_on = |record: &mut Record| {
        record.slots = 2;
        record.attempts = [[1, 2, 3].into(), [4, 5].into()];
    };
    assert_eq!(broken(passes_on), []);
    assert_eq!(
        broken(|record| {
            passes_on(record);
            record.attempts[1].insert(1);
        }),
        [I13]
    );
    assert_eq!(
        broken(|record| {
            passes_on(record);
            let is_last = |entry: &&mut Entry| entry.attempt == 3 && entry.moment == Moment::End;
            record.journal.iter_mut().find(is_last).unwrap().at_ns = 41;
        }),
        [I13]
    );
}

#[test]
fn what_is_left_damaged_or_stuck_is_seen() {
    use Invariant::{I10, I11, I12};
    let left = Process {
        pid: 1,
        state: 'S',
        words: "sleep".to_owned(),
    };
    assert_eq!(broken(|record| record.left.push(left)), [I10]);
    assert_eq!(
        broken(|record| record.damage.push("a page is missing".to_owned())),
        [I11]
    );
    assert_eq!(broken(|record| record.stuck.push("run 1".to_owned())), [I12]);
}
