//! Python steps, in processes of their own and on warm workers.

use std::{fs, path::Path};

use mulgil_core::{codes, run::RunState};
use mulgil_runner::{Program, PythonSdk, PythonStep, Task, TaskInput, TaskInterval, Why};
use serde_json::json;

use crate::common::{Place, is_alive, kill_hard, task};

/// The interpreter that tests may use.
#[expect(
    clippy::disallowed_methods,
    reason = "the one variable by which tests find an interpreter"
)]
fn interpreter() -> String {
    std::env::var("MULGIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn step(place: &Place, attempt: &str, target: &str, is_warm: bool) -> Task {
    let sdk = PythonSdk::install(&place.path("data")).expect("a data folder").dir;
    let input = TaskInput {
        run: "42".to_owned(),
        step: "load.orders".to_owned(),
        attempt: attempt.to_owned(),
        idempotency_id: "id-1".to_owned(),
        interval: Some(TaskInterval {
            start: "2026-03-10T00:00:00+09:00".to_owned(),
            end: "2026-03-11T00:00:00+09:00".to_owned(),
        }),
        params: serde_json::Map::from_iter([("country".to_owned(), json!("kr")), ("unused".to_owned(), json!(1))]),
        outputs: serde_json::Map::from_iter([("extract".to_owned(), json!({"rows": 3}))]),
    };
    let python = PythonStep {
        interpreter: interpreter(),
        sdk,
        target: target.to_owned(),
        args: vec!["--flag".to_owned()],
        is_warm,
    };
    let mut task = task(attempt, Program::Python(python), &[]);
    task.environment = input.environment(&task.environment.clone(), &task.environment);
    task.environment
        .insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    task.stdin = input.stdin();
    task.directory = place.folder.path().to_path_buf();
    task
}

fn write(place: &Place, name: &str, text: &str) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
    fs::write(path, text).expect("a file");
}

const SCRIPT: &str = r#"
import sys, mulgil
import beside
print("args", sys.argv)
mulgil.log("reading", level="debug")
mulgil.progress(1, 2)
mulgil.rows(3, "raw.orders")
mulgil.metadata(source="ftp")
mulgil.result({"start": mulgil.interval.start, "days": (mulgil.interval.end - mulgil.interval.start).days,
               "country": mulgil.params["country"], "before": mulgil.outputs["extract"]["rows"],
               "id": mulgil.idempotency_id, "run": mulgil.run, "beside": beside.NAME})
"#;

const FUNCTIONS: &str = r#"
import os, mulgil

class Jobs:
    @staticmethod
    def nested(country):
        return [country]

seen = []

def named(country, interval, optional=5):
    return {"country": country, "start": str(interval.start), "optional": optional}

def remembers():
    seen.append(1)
    return {"seen": len(seen), "pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0)}

async def later(**params):
    return sorted(params)

def needs(missing):
    pass

def fails():
    raise ValueError("no rows for kr")

def quits():
    raise SystemExit("cannot go on")

def crashes():
    os.kill(os.getpid(), 11)

def kills_worker():
    os.kill(os.getppid(), 9)
    import time
    time.sleep(1000)

def leaves():
    import subprocess
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    print(child.pid)

def hangs(gate=None):
    open(os.environ["GATE"], "w").write(str(os.getpid()))
    import time
    time.sleep(1000)
"#;

#[tokio::test]
async fn a_script_is_told_and_tells_with_python() {
    let place = Place::new();
    write(&place, "jobs/load.py", SCRIPT);
    write(&place, "jobs/beside.py", "NAME = 'here'\n");
    for (attempt, is_warm) in [("fresh", false), ("warm", true)] {
        let exit = place.run(step(&place, attempt, "jobs/load.py", is_warm)).await;
        assert_eq!(
            (exit.why, exit.code),
            (Why::Exited, Some(0)),
            "{:?}",
            place.log(attempt)
        );
        let wanted = json!({"start": "2026-03-10T00:00:00+09:00", "days": 1, "country": "kr", "before": 3,
            "id": "id-1", "run": "42", "beside": "here"});
        assert_eq!(exit.result, Some(wanted), "{attempt}");
        let mut log = place.log(attempt);
        log.sort();
        assert_eq!(
            log,
            ["log debug: reading", "out args ['jobs/load.py', '--flag']"],
            "{attempt}"
        );
        assert!(
            exit.peak_memory_bytes.is_some() && exit.user_us + exit.system_us > 0,
            "{exit:?}"
        );
    }
}

#[tokio::test]
async fn a_function_gets_its_parameters_by_name_with_python() {
    let place = Place::new();
    write(&place, "jobs/load.py", FUNCTIONS);
    for is_warm in [false, true] {
        let run = async |target: &str| {
            place
                .run(step(&place, &format!("{target}{is_warm}"), target, is_warm))
                .await
        };
        let named = run("jobs.load:named").await;
        let wanted = json!({"country": "kr", "start": "2026-03-10 00:00:00+09:00", "optional": 5});
        assert_eq!(named.result, Some(wanted), "{named:?} {:?}", place.log(&named.attempt));
        assert_eq!(run("jobs.load:Jobs.nested").await.result, Some(json!(["kr"])));
        assert_eq!(run("jobs.load:later").await.result, Some(json!(["country", "unused"])));
        for (target, said) in [
            ("jobs.load:needs", "needs the parameter `missing`"),
            ("jobs.load:nothing", "has no function `nothing`"),
            ("jobs.nowhere:named", "there is no Python module `jobs.nowhere`"),
            ("jobs/nowhere.py", "the script `jobs/nowhere.py` is not in"),
        ] {
            let fault = run(target).await.fault().expect("a fault");
            assert_eq!(fault.code, codes::PYTHON_TARGET, "{fault}");
            assert!(fault.message.contains(said), "{fault}");
        }
    }
}

#[tokio::test]
async fn an_exception_is_told_in_a_sentence_with_python() {
    let place = Place::new();
    write(&place, "jobs/load.py", FUNCTIONS);
    for (attempt, is_warm) in [("fresh", false), ("warm", true)] {
        let exit = place.run(step(&place, attempt, "jobs.load:fails", is_warm)).await;
        let fault = exit.fault().expect("a fault");
        assert_eq!(fault.code, codes::TASK_FAILED);
        assert_eq!(
            fault.message,
            "the task failed: ValueError: no rows for kr (jobs/load.py:25) (exit code 1)"
        );
        let log = place.log(attempt);
        assert_eq!(
            log.first().map(String::as_str),
            Some("err Traceback (most recent call last):")
        );
        assert!(!log.iter().any(|line| line.contains("_step.py")), "{log:?}");
        let quit = place
            .run(step(&place, &format!("{attempt}-quits"), "jobs.load:quits", is_warm))
            .await;
        assert_eq!(
            (quit.code, place.log(&quit.attempt)),
            (Some(1), vec!["err cannot go on".to_owned()])
        );
    }
}

#[tokio::test]
async fn a_warm_worker_forgets_what_a_task_did_with_python() {
    let place = Place::new();
    write(&place, "load.py", FUNCTIONS);
    let mut results = Vec::new();
    for attempt in ["1", "2"] {
        let exit = place.run(step(&place, attempt, "load:remembers", true)).await;
        results.push(exit.result.expect("a result"));
    }
    assert_eq!((&results[0]["seen"], &results[1]["seen"]), (&json!(1), &json!(1)));
    assert_eq!(results[0]["parent"], results[1]["parent"]);
    assert_ne!(results[0]["pid"], results[1]["pid"]);
    assert_eq!(results[0]["group"], results[0]["pid"]);
    // A step with another environment gets another worker.
    let mut other = step(&place, "3", "load:remembers", true);
    other.environment.insert("OTHER".to_owned(), "1".to_owned());
    let exit = place.run(other).await;
    assert_ne!(exit.result.expect("a result")["parent"], results[0]["parent"]);
}

#[tokio::test]
async fn a_crash_on_a_warm_worker_hurts_no_other_task_with_python() {
    let place = Place::new();
    write(&place, "load.py", FUNCTIONS);
    let before = place.run(step(&place, "1", "load:remembers", true)).await;
    let crashed = place.run(step(&place, "2", "load:crashes", true)).await;
    assert_eq!(
        (crashed.why, crashed.signal, crashed.state()),
        (Why::Exited, Some(11), RunState::Failed)
    );
    let after = place.run(step(&place, "3", "load:remembers", true)).await;
    let parent = |exit: &mulgil_runner::Exit| exit.result.clone().expect("a result")["parent"].clone();
    assert_eq!(parent(&before), parent(&after));
    // The worker itself dies: this attempt is crashed, its task is killed, the next one gets another worker.
    let lost = place.run(step(&place, "4", "load:kills_worker", true)).await;
    assert_eq!((lost.why, lost.state()), (Why::WorkerCrashed, RunState::Crashed));
    assert_eq!(lost.fault().map(|fault| fault.code), Some(codes::WORKER_CRASHED));
    let next = place.run(step(&place, "5", "load:remembers", true)).await;
    assert_eq!(next.code, Some(0));
    assert_ne!(parent(&next), parent(&before));
    // One that is killed while it waits is replaced, and nobody sees it.
    let idle = parent(&next);
    kill_hard(idle.as_u64().and_then(|pid| pid.try_into().ok()).expect("a number"));
    while is_alive(&idle.to_string()) {
        tokio::task::yield_now().await;
    }
    let after = place.run(step(&place, "6", "load:remembers", true)).await;
    assert_eq!((after.why, after.code), (Why::Exited, Some(0)));
    assert_ne!(parent(&after), idle);
}

#[tokio::test]
async fn nothing_of_a_task_stays_on_a_warm_worker_with_python() {
    let place = Place::new();
    write(&place, "load.py", FUNCTIONS);
    let exit = place.run(step(&place, "1", "load:leaves", true)).await;
    assert_eq!((exit.code, exit.killed_count), (Some(0), 1));
    let log = place.log("1");
    assert!(!is_alive(log[0].trim_start_matches("out ")));
    // A task that runs can be stopped, and its worker goes on.
    let gate = place.gate("gate");
    let mut hanging = step(&place, "2", "load:hangs", true);
    hanging.environment.insert("MULGIL_RUN_ID".to_owned(), "43".to_owned());
    hanging.environment.insert("GATE".to_owned(), gate.path());
    let mut running = place.launch(hanging).await;
    let pid = gate.read().await;
    running.stop(std::time::Duration::from_mins(1)).await;
    let exit = running.wait().await.expect("an end");
    assert_eq!((exit.why, exit.signal), (Why::Cancelled, Some(15)));
    assert!(!is_alive(&pid));
    // The supervisor is killed under a task: what forked is found and killed.
    let mut hanging = step(&place, "3", "load:hangs", true);
    hanging.environment.insert("GATE".to_owned(), gate.path());
    let mut running = place.launch(hanging).await;
    let pid = gate.read().await;
    kill_hard(crate::common::supervisor(&place.path("3")));
    let exit = running.wait().await.expect("an end");
    assert_eq!(exit.why, Why::Lost);
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn a_python_that_is_not_there_is_told() {
    let place = Place::new();
    for (attempt, is_warm) in [("fresh", false), ("warm", true)] {
        let mut task = step(&place, attempt, "load.py", is_warm);
        if let Program::Python(python) = &mut task.program {
            python.interpreter = "no-such-python".to_owned();
        }
        let exit = place.run(task).await;
        let fault = exit.fault().expect("a fault");
        assert_eq!((exit.why, fault.code), (Why::CouldNotStart, codes::PYTHON_UNUSABLE));
        assert!(fault.remedy.expect("a remedy").contains("install Python 3.9"));
    }
    // What is no Python is told with its own last words.
    write(&place, "old-python", "#!/bin/sh\necho 'too old for this' >&2; exit 1\n");
    let path = place.path("old-python");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a file");
    let mut task = step(&place, "old", "load.py", true);
    if let Program::Python(python) = &mut task.program {
        python.interpreter = path.to_string_lossy().into_owned();
    }
    let exit = place.run(task).await;
    let fault = exit.fault().expect("a fault");
    assert_eq!((exit.why, fault.code), (Why::CouldNotStart, codes::PYTHON_UNUSABLE));
    assert!(fault.message.contains("too old for this"), "{fault}");
}
