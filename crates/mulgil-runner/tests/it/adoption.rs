//! Tasks outlive who launched them, and are found again; what a killed supervisor leaves is ended.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use mulgil_core::run::RunState;
use mulgil_runner::{Adopted, Exit, Running, Why, adopt};

use crate::common::{Place, is_alive, kill_hard, log_of, program, shell, supervisor};

/// Another process that launches a shell's task and then waits for nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "a launcher that is killed has to be another process"
)]
fn launcher(dir: &Path, script: &str) -> Child {
    let mut child = Command::new(program())
        .args(["launch".as_ref(), dir.as_os_str(), script.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("a launcher");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("its word");
    assert_eq!(line, "launched\n");
    child
}

async fn running(dir: &Path) -> Running {
    match adopt(dir).await.expect("a folder") {
        Adopted::Running(running) => *running,
        other => panic!("{other:?}"),
    }
}

async fn lost(dir: &Path) -> Exit {
    match adopt(dir).await.expect("a folder") {
        Adopted::Lost(exit) => *exit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_task_outlives_its_launcher_and_is_adopted() {
    let place = Place::new();
    let (ready, go) = (place.gate("ready"), place.gate("go"));
    let dir = place.path("1");
    let script = format!(
        "echo begin; echo $$ > {}; read go < {}; echo $$",
        ready.path(),
        go.path()
    );
    let mut launcher = launcher(&dir, &script);
    let pid = ready.read().await;
    // With all of its group, as a terminal would.
    let group = nix::unistd::Pid::from_raw(launcher.id().try_into().expect("a number"));
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).expect("a group");
    launcher.wait().expect("its end");
    assert!(is_alive(&pid));
    // Twice, as after two restarts; both are told.
    let (mut first, mut second) = (running(&dir).await, running(&dir).await);
    go.open().await;
    let (first, second) = (
        first.wait().await.expect("an end"),
        second.wait().await.expect("an end"),
    );
    assert_eq!((first.why, first.code), (Why::Exited, Some(0)));
    assert_eq!(first, second);
    assert_eq!(log_of(&dir), ["out begin".to_owned(), format!("out {pid}")]);
    match adopt(&dir).await.expect("a folder") {
        Adopted::Ended(exit) => assert_eq!(*exit, first),
        other => panic!("{other:?}"),
    }
    gone(supervisor(&dir)).await;
}

/// Waits until a process is gone: its supervisor has nothing to do once its launcher is dead.
async fn gone(pid: u32) {
    while is_alive(&pid.to_string()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_adopted_task_can_be_stopped() {
    let place = Place::new();
    let ready = place.gate("ready");
    let dir = place.path("1");
    let mut launcher = launcher(&dir, &format!("echo $$ > {}; exec sleep 1000", ready.path()));
    let pid = ready.read().await;
    launcher.kill().expect("a launcher");
    launcher.wait().expect("its end");
    let mut running = running(&dir).await;
    running.stop(std::time::Duration::from_mins(1)).await;
    let exit = running.wait().await.expect("an end");
    assert_eq!((exit.why, exit.signal), (Why::Cancelled, Some(15)));
    assert!(!is_alive(&pid));
    gone(supervisor(&dir)).await;
}

#[tokio::test]
async fn a_supervisor_that_is_asked_to_end_ends_its_task_first() {
    let place = Place::new();
    let ready = place.gate("ready");
    let script = "trap 'exit 6' TERM; echo $$ > $READY; while :; do sleep 0.01; done";
    let mut running = place.launch(shell("1", script, &[("READY", ready.path())])).await;
    ready.read().await;
    let supervisor = supervisor(&place.path("1"));
    let pid = nix::unistd::Pid::from_raw(supervisor.try_into().expect("a number"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a supervisor");
    let exit = running.wait().await.expect("an end");
    assert_eq!((exit.why, exit.code), (Why::Cancelled, Some(6)));
    gone(supervisor).await;
    // The next task gets another one.
    assert_eq!(place.run(shell("2", "exit 0", &[])).await.code, Some(0));
}

#[tokio::test]
async fn a_supervisor_that_is_stopped_for_a_while_is_not_taken_for_dead() {
    use nix::sys::signal::{Signal, kill};
    let place = Place::new();
    let (ready, go) = (place.gate("ready"), place.gate("go"));
    let script = "echo $$ > $READY; read go < $GO; exit 3";
    let mut running = place
        .launch(shell("1", script, &[("READY", ready.path()), ("GO", go.path())]))
        .await;
    ready.read().await;
    let dir = place.path("1");
    let pid = nix::unistd::Pid::from_raw(supervisor(&dir).try_into().expect("a number"));
    kill(pid, Signal::SIGSTOP).expect("a supervisor");
    let mut adopted = self::running(&dir).await;
    kill(pid, Signal::SIGCONT).expect("a supervisor");
    go.open().await;
    let exit = adopted.wait().await.expect("an end");
    assert_eq!((exit.why, exit.code), (Why::Exited, Some(3)));
    assert_eq!(running.wait().await.expect("an end"), exit);
}

#[tokio::test]
async fn waiting_can_be_given_up_and_asked_again() {
    let place = Place::new();
    let (ready, go) = (place.gate("ready"), place.gate("go"));
    let script = "echo $$ > $READY; read go < $GO; exit 3";
    let mut running = place
        .launch(shell("1", script, &[("READY", ready.path()), ("GO", go.path())]))
        .await;
    tokio::select! {
        biased;
        _ = running.wait() => panic!("it waits for the gate"),
        _ = ready.read() => {}
    }
    go.open().await;
    let exit = running.wait().await.expect("an end");
    assert_eq!(exit.code, Some(3));
    assert_eq!(running.wait().await.expect("an end"), exit);
}

#[tokio::test]
async fn what_a_killed_supervisor_leaves_is_found_and_killed() {
    let place = Place::new();
    let (one, two) = (place.gate("one"), place.gate("two"));
    let script = "
        setsid sh -c 'trap \"\" TERM HUP; echo $$ > $TWO; while :; do sleep 1000; done' &
        trap '' TERM HUP; echo said; echo $$ > $ONE; while :; do sleep 1000; done";
    let variables = [("ONE", one.path()), ("TWO", two.path())];
    let mut running = place.launch(shell("1", script, &variables)).await;
    let pids = [one.read().await, two.read().await];
    let dir = place.path("1");
    kill_hard(supervisor(&dir));
    let exit = running.wait().await.expect("an end");
    assert_eq!(
        (exit.why, exit.state(), exit.attempt.as_str(), exit.epoch),
        (Why::Lost, RunState::Crashed, "1", 7)
    );
    assert!(exit.killed_count >= 2, "{exit:?}");
    assert!(pids.iter().all(|pid| !is_alive(pid)));
    let log = log_of(&dir);
    assert!(
        log[log.len() - 1].starts_with("sys the supervisor of this task was killed"),
        "{log:?}"
    );
    // Found again, it says the same.
    assert_eq!(lost(&dir).await, exit);
}

#[tokio::test]
async fn another_process_with_the_number_of_a_dead_supervisor_is_spared() {
    let place = Place::new();
    let ready = place.gate("ready");
    let mut running = place
        .launch(shell(
            "1",
            "echo $$ > $READY; exec sleep 1000",
            &[("READY", ready.path())],
        ))
        .await;
    ready.read().await;
    let dir = place.path("1");
    kill_hard(supervisor(&dir));
    running.wait().await.expect("an end");
    // As if the number had gone to this process meanwhile, which leads no session but may be in one.
    let path = dir.join("state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("a state")).expect("JSON");
    state["supervisor"] = std::process::id().into();
    fs::write(&path, state.to_string()).expect("a state");
    fs::remove_file(dir.join("exit.json")).expect("a record");
    let exit = lost(&dir).await;
    assert_eq!(exit.killed_count, 0);
}

#[tokio::test]
async fn a_folder_in_which_nothing_began_is_a_lost_attempt() {
    let place = Place::new();
    let exit = lost(&place.path("1")).await;
    assert_eq!((exit.why, exit.killed_count), (Why::Lost, 0));
    assert_eq!(lost(&place.path("1")).await, exit);
}

#[tokio::test]
async fn a_damaged_record_is_told() {
    let place = Place::new();
    let dir = place.path("1");
    fs::create_dir(&dir).expect("a folder");
    fs::write(dir.join("exit.json"), "{\"version\": 1").expect("a record");
    let fault = adopt(&dir).await.expect_err("a damaged record");
    assert_eq!(fault.code, mulgil_core::codes::EXIT_RECORD);
}

#[tokio::test]
async fn a_folder_may_have_a_long_path() {
    let place = Place::new();
    let dir = place.path(&"x".repeat(120)).join("y".repeat(120));
    let mut running = place
        .launcher
        .launch(&dir, shell("1", "true", &[]))
        .await
        .expect("a launch");
    assert_eq!(running.wait().await.expect("an end").code, Some(0));
}

#[tokio::test]
async fn a_folder_takes_one_attempt() {
    let place = Place::new();
    place.run(shell("1", "exit 0", &[])).await;
    let again = place.launcher.launch(&place.path("1"), shell("1", "exit 1", &[])).await;
    let fault = again.expect_err("a folder that was used");
    assert!(fault.message.contains("another attempt was there before"), "{fault}");
}

#[tokio::test]
async fn a_supervisor_killed_at_any_moment_leaves_a_record_or_nothing() {
    let place = Place::new();
    let mut lost_count = 0;
    for round in 0..40_u32 {
        let attempt = round.to_string();
        let script = "setsid sleep 1000 & (sleep 1000 &) ; echo said; sleep 0.01; exit 3";
        let mut running = place.launch(shell(&attempt, script, &[])).await;
        let dir = place.path(&attempt);
        let (supervisor, token) = (supervisor(&dir), token(&dir));
        // The moment is what varies: before the task begins, while it runs, while its end is kept.
        tokio::time::sleep(std::time::Duration::from_micros(750) * round).await;
        kill_hard(supervisor);
        let exit = running.wait().await.expect("an end");
        match exit.why {
            Why::Lost => lost_count += 1,
            _ => assert_eq!((exit.why, exit.code), (Why::Exited, Some(3)), "round {round}"),
        }
        assert_eq!(alive_with(&token), Vec::<String>::new(), "round {round}");
        let again = adopt(&dir).await.expect("a folder");
        assert!(
            matches!(again, Adopted::Ended(again) | Adopted::Lost(again) if *again == exit),
            "round {round}"
        );
    }
    assert!(lost_count > 0);
}

fn token(dir: &Path) -> String {
    let state: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join("state.json")).expect("a state")).expect("JSON");
    state["token"].as_str().expect("a word").to_owned()
}

/// The living processes whose environment names an attempt.
fn alive_with(token: &str) -> Vec<String> {
    let marker = format!("MULGIL_TOKEN={token}");
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| {
        is_alive(pid)
            && fs::read(format!("/proc/{pid}/environ")).is_ok_and(|variables| {
                variables
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == marker.as_bytes())
            })
    })
    .collect()
}
