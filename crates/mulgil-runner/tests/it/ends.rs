//! How tasks end, and that nothing of them is left.

use std::time::{Duration, Instant};

use mulgil_core::{codes, run::RunState};
use mulgil_runner::{Launcher, LauncherLimits, Lifeline, LogLimits, Program, Why};

use crate::common::{Place, is_alive, program, shell, supervisor, task};

#[tokio::test]
async fn a_task_gets_what_it_was_given_and_nothing_else() {
    let place = Place::new();
    let mut task = shell(
        "1",
        "cat; env | sort; pwd; echo oops >&2",
        &[("TZ", "Asia/Seoul".to_owned())],
    );
    task.stdin = "{\"run\":\"42\"}\n".to_owned();
    task.directory = "/".into();
    let exit = place.run(task).await;
    assert_eq!(
        (exit.why, exit.code, exit.state(), exit.epoch),
        (Why::Exited, Some(0), RunState::Success, 7)
    );
    assert_eq!(exit.fault(), None);
    assert!(exit.started_at <= exit.ended_at && exit.output_bytes > 0 && exit.killed_count == 0);
    let mut log = place.log("1");
    assert!(log.contains(&"err oops".to_owned()));
    log.retain(|line| line.starts_with("out "));
    let names: Vec<_> = log
        .iter()
        .map(|line| line.split_once('=').map_or(line.as_str(), |(name, _)| name))
        .collect();
    let own = [
        "out MULGIL_EVENTS",
        "out MULGIL_TOKEN",
        "out PATH",
        "out PWD",
        "out TZ",
        "out /",
    ];
    assert_eq!(names, [["out {\"run\":\"42\"}"].as_slice(), &own].concat());
    // Nothing but the record, the log and what an adoption needs stays.
    let files = std::fs::read_dir(place.path("1")).expect("a folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").file_name()).collect();
    files.sort();
    assert_eq!(files, ["exit.json", "log", "state.json"]);
}

#[tokio::test]
async fn an_exit_code_and_a_signal_are_told_apart() {
    let place = Place::new();
    let failed = place.run(shell("1", "exit 3", &[])).await;
    assert_eq!((failed.why, failed.code, failed.signal), (Why::Exited, Some(3), None));
    let fault = failed.fault().expect("a fault");
    assert_eq!((fault.code, failed.state()), (codes::TASK_FAILED, RunState::Failed));
    let killed = place.run(shell("2", "kill -SEGV $$", &[])).await;
    assert_eq!((killed.why, killed.code, killed.signal), (Why::Exited, None, Some(11)));
    let fault = killed.fault().expect("a fault");
    assert_eq!(fault.code, codes::TASK_SIGNALLED);
    assert!(fault.message.contains("SIGSEGV"), "{}", fault.message);
}

#[tokio::test]
async fn a_timeout_ends_also_who_ignores_it() {
    let place = Place::new();
    let mut polite = shell(
        "1",
        "trap 'echo tidied; exit 0' TERM; while :; do sleep 0.01; done",
        &[],
    );
    polite.timeout = Some(Duration::from_millis(100));
    let exit = place.run(polite).await;
    assert_eq!(
        (exit.why, exit.code, exit.state()),
        (Why::Timeout, Some(0), RunState::Failed)
    );
    assert_eq!(exit.fault().map(|fault| fault.code), Some(codes::TASK_TIMEOUT));
    assert!(place.log("1").contains(&"out tidied".to_owned()));
    let mut deaf = shell("2", "trap '' TERM; while :; do sleep 0.01; done", &[]);
    deaf.timeout = Some(Duration::from_millis(50));
    deaf.grace = Duration::from_millis(50);
    let exit = place.run(deaf).await;
    assert_eq!((exit.why, exit.signal), (Why::Timeout, Some(9)));
}

#[tokio::test]
async fn a_running_task_is_stopped_by_request() {
    let place = Place::new();
    let ready = place.gate("ready");
    let script = "trap 'echo tidied; exit 5' TERM; echo $$ > $READY; while :; do sleep 0.01; done";
    let mut running = place.launch(shell("1", script, &[("READY", ready.path())])).await;
    let pid = ready.read().await;
    running.stop(Duration::from_mins(1)).await;
    let exit = running.wait().await.expect("an end");
    assert_eq!(
        (exit.why, exit.code, exit.state()),
        (Why::Cancelled, Some(5), RunState::Cancelled)
    );
    assert!(place.log("1").contains(&"out tidied".to_owned()));
    assert!(!is_alive(&pid));
    // A second request may hasten the end.
    let script = "trap '' TERM; echo $$ > $READY; while :; do sleep 0.01; done";
    let mut running = place.launch(shell("2", script, &[("READY", ready.path())])).await;
    ready.read().await;
    running.stop(Duration::from_hours(1)).await;
    running.stop(Duration::ZERO).await;
    let exit = running.wait().await.expect("an end");
    assert_eq!((exit.why, exit.signal), (Why::Cancelled, Some(9)));
}

#[tokio::test]
async fn whatever_a_task_leaves_behind_is_killed() {
    let place = Place::new();
    let (one, two) = (place.gate("one"), place.gate("two"));
    // One in the background, and a daemon: a grandchild in a session of its own that ignores signals and
    // has an empty environment. The task ends only when both have begun.
    let script = "
        (trap '' TERM HUP; sh -c 'echo $PPID' > $ONE; exec sleep 1000) &
        (setsid env -i sh -c 'trap \"\" TERM HUP; echo $$ > '$TWO'; while :; do sleep 1000; done' &) &
        read go < $GO; exit 0";
    let go = place.gate("go");
    let variables = [("ONE", one.path()), ("TWO", two.path()), ("GO", go.path())];
    let mut running = place.launch(shell("1", script, &variables)).await;
    let pids = [one.read().await, two.read().await];
    assert!(pids.iter().all(|pid| is_alive(pid)));
    go.open().await;
    let exit = running.wait().await.expect("an end");
    assert_eq!((exit.why, exit.code), (Why::Exited, Some(0)));
    assert!(exit.killed_count >= 2, "{exit:?}");
    assert!(
        pids.iter()
            .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
    );
}

#[tokio::test]
async fn hundreds_of_processes_are_all_killed() {
    let place = Place::new();
    let mut many = shell("1", "for i in $(seq 300); do sleep 1000 & done; exit 0", &[]);
    many.process_count = Some(100);
    let exit = place.run(many).await;
    // Where the machine lets us limit them the shell could not make them all, and failed.
    assert!(exit.killed_count >= 90, "{exit:?}");
    let supervisor = supervisor(&place.path("1"));
    let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
    assert_eq!(children.expect("a supervisor that waits"), "");
}

#[tokio::test]
async fn a_task_killed_for_memory_is_told() {
    let place = Place::new();
    // Where memory cannot be limited by us, the shell's own limit ends it with an exit code.
    let mut greedy = shell("1", "ulimit -v 600000; exec tail /dev/zero", &[]);
    greedy.memory_bytes = Some(64 << 20);
    let exit = place.run(greedy).await;
    match exit.why {
        Why::OutOfMemory => {
            assert_eq!(exit.fault().map(|fault| fault.code), Some(codes::TASK_OUT_OF_MEMORY));
            assert!(exit.peak_memory_bytes.is_some_and(|peak| peak > 32 << 20), "{exit:?}");
        }
        Why::Exited => assert_eq!(exit.code, Some(1), "{exit:?}"),
        _ => panic!("{exit:?}"),
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_told_with_its_reason() {
    let place = Place::new();
    let argv = vec!["no-such-program".to_owned()];
    let exit = place.run(task("1", Program::Command { argv }, &[])).await;
    let fault = exit.fault().expect("a fault");
    assert_eq!(
        (exit.why, fault.code, exit.state()),
        (Why::CouldNotStart, codes::TASK_NOT_STARTED, RunState::Failed)
    );
    assert!(
        fault.message.contains("`no-such-program` is not in PATH"),
        "{}",
        fault.message
    );
    let mut elsewhere = shell("2", "true", &[]);
    elsewhere.directory = place.path("nowhere");
    let fault = place.run(elsewhere).await.fault().expect("a fault");
    assert!(fault.message.contains("the working directory"), "{}", fault.message);
    let argv = vec!["/etc/passwd".to_owned()];
    let fault = place
        .run(task("3", Program::Command { argv }, &[]))
        .await
        .fault()
        .expect("a fault");
    assert!(fault.message.contains("ermission denied"), "{}", fault.message);
}

#[tokio::test]
async fn a_folder_that_takes_nothing_is_told() {
    let place = Place::new();
    std::fs::write(place.path("file"), "").expect("a file");
    let beneath_a_file = place.path("file").join("1");
    let fault = place
        .launcher
        .launch(&beneath_a_file, shell("1", "true", &[]))
        .await
        .expect_err("no folder");
    assert_eq!(fault.code, codes::ATTEMPT_FOLDER);
    // A full disk: what is written there is refused.
    for (attempt, name) in [("2", "log"), ("3", "exit.json.new")] {
        let dir = place.path(attempt);
        std::fs::create_dir(&dir).expect("a folder");
        std::os::unix::fs::symlink("/dev/full", dir.join(name)).expect("a link");
        let exit = place.run(shell(attempt, "echo said; exit 4", &[])).await;
        assert_eq!((exit.why, exit.code), (Why::Exited, Some(4)), "{name}");
        let fault = exit.faults.first().expect("a fault");
        assert_eq!(fault.code, codes::ATTEMPT_FOLDER, "{name}");
        assert!(fault.message.contains("No space left"), "{}", fault.message);
    }
}

#[tokio::test]
async fn one_supervisor_runs_many_tasks_and_tells_them_apart() {
    let place = Place::new();
    for attempt in ["1", "2"] {
        let mut task = shell(attempt, &format!("echo {attempt}; sleep 1000 & exit {attempt}"), &[]);
        task.log = LogLimits {
            head_bytes: 100,
            tail_bytes: 100,
        };
        let exit = place.run(task).await;
        assert_eq!((exit.attempt.as_str(), exit.killed_count), (attempt, 1));
        assert_eq!(exit.code.map(|code| code.to_string()).as_deref(), Some(attempt));
        assert_eq!(place.log(attempt), [format!("out {attempt}")]);
    }
    assert_eq!(supervisor(&place.path("1")), supervisor(&place.path("2")));
}

#[tokio::test]
async fn many_tasks_run_at_once_and_no_more_than_may() {
    let place = Place::new();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (launcher, dir) = (place.launcher.clone(), place.path(&number.to_string()));
        let task = shell(&number.to_string(), &format!("exit {number}"), &[]);
        all.spawn(async move {
            launcher
                .launch(&dir, task)
                .await
                .expect("a launch")
                .wait()
                .await
                .expect("an end")
        });
    }
    let mut exits: Vec<_> = all.join_all().await.into_iter().filter_map(|exit| exit.code).collect();
    exits.sort_unstable();
    assert_eq!(exits, (0..20).collect::<Vec<_>>());
    // With one place the second waits for the end of the first.
    let limits = LauncherLimits {
        live: 1,
        ..LauncherLimits::default()
    };
    let launcher = Launcher::new(program(), limits);
    let go = place.gate("go");
    let first = shell("first", "read go < $GO", &[("GO", go.path())]);
    let mut first = launcher.launch(&place.path("first"), first).await.expect("a launch");
    let dir = place.path("second");
    let mut second = std::pin::pin!(launcher.launch(&dir, shell("second", "true", &[])));
    tokio::select! {
        biased;
        _ = &mut second => panic!("there is one place"),
        () = go.open() => {}
    }
    assert_eq!(first.wait().await.expect("an end").code, Some(0));
    assert_eq!(
        second.await.expect("a launch").wait().await.expect("an end").code,
        Some(0)
    );
}

#[tokio::test]
async fn a_supervisor_ends_when_it_waited_too_long_or_ran_enough() {
    let place = Place::new();
    for limits in [
        LauncherLimits {
            tasks: 1,
            ..LauncherLimits::default()
        },
        LauncherLimits {
            idle: 0,
            ..LauncherLimits::default()
        },
        LauncherLimits {
            idle_for: Duration::ZERO,
            ..LauncherLimits::default()
        },
    ] {
        let launcher = Launcher::new(program(), limits);
        let dir = place.path(&format!("{limits:?}"));
        let mut running = launcher.launch(&dir, shell("1", "true", &[])).await.expect("a launch");
        assert_eq!(running.wait().await.expect("an end").code, Some(0));
        while is_alive(&supervisor(&dir).to_string()) {
            tokio::task::yield_now().await;
        }
        let again = place.path(&format!("{limits:?} again"));
        let mut running = launcher
            .launch(&again, shell("2", "true", &[]))
            .await
            .expect("a launch");
        assert_eq!(running.wait().await.expect("an end").code, Some(0));
    }
}

#[tokio::test]
async fn a_task_ends_when_nobody_renews_the_right_to_run_it() {
    let place = Place::new();
    let lifeline = Lifeline {
        file: place.path("lifeline"),
        patience: Duration::from_millis(1500),
    };
    lifeline.renew(Instant::now()).unwrap();
    let ready = place.gate("ready");
    let script = "trap 'echo tidied; exit 5' TERM; echo $$ > $READY; while :; do sleep 0.01; done";
    let mut task = shell("1", script, &[("READY", ready.path())]);
    task.lifeline = Some(lifeline.clone());
    let mut running = place.launch(task).await;
    let pid = ready.read().await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        lifeline.renew(Instant::now()).unwrap();
    }
    assert!(is_alive(&pid), "it is renewed for longer than its patience");
    let exit = running.wait().await.expect("an end");
    assert_eq!(
        (exit.why, exit.code, exit.state()),
        (Why::Abandoned, Some(5), RunState::Crashed)
    );
    assert_eq!(exit.fault().map(|fault| fault.code), Some(codes::TASK_ABANDONED));
    assert!(place.log("1").contains(&"out tidied".to_owned()));
    assert!(!is_alive(&pid));
}

#[tokio::test]
async fn a_task_whose_right_to_run_was_over_before_it_never_begins() {
    let place = Place::new();
    let lifeline = Lifeline {
        file: place.path("lifeline"),
        patience: Duration::from_millis(300),
    };
    lifeline.renew(Instant::now()).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begun = place.path("begun");
    let mut task = shell("1", "touch $BEGUN", &[("BEGUN", begun.display().to_string())]);
    task.lifeline = Some(lifeline);
    let exit = place.launch(task).await.wait().await.expect("an end");
    assert_eq!((exit.why, exit.state()), (Why::Abandoned, RunState::Crashed));
    assert!(!begun.exists());
}
