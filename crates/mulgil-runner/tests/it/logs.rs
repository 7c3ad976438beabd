//! Logs: bounded, masked, readable while they are written.

use std::{fs, path::Path, time::Instant};

use mulgil_core::codes;
use mulgil_runner::{LogLimits, LogStream, read_log};

use crate::common::{Place, shell, supervisor};

/// A flood must not take longer than this; a task that does not wait for its log writes it in about a second.
const FLOOD_SECONDS: u64 = 120;

fn contains(dir: &Path, secret: &str) -> Vec<String> {
    let files = fs::read_dir(dir)
        .expect("a folder")
        .map(|file| file.expect("a file").path());
    let holds = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).expect("a file");
        bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
    };
    files.filter(holds).map(|path| path.display().to_string()).collect()
}

#[tokio::test]
async fn a_secret_never_reaches_the_disk_however_it_is_written() {
    let place = Place::new();
    // Byte by byte on both streams, as an event, and with its neighbours.
    let script = r#"
        printf %s "$SECRET" | while IFS= read -r -n1 c; do printf %s "$c"; sleep 0.002; done; echo
        printf %s "$SECRET" | dd bs=1 status=none >&2; echo >&2
        echo "x${SECRET}y${SECRET}"
        printf '{"type":"log","message":"with %s"}\n' "$SECRET" >> "$MULGIL_EVENTS"
        printf '{"type":"result","value":{"token":"%s"}}\n' "$SECRET" >> "$MULGIL_EVENTS"
        printf '%s' "$SECRET" >> "$MULGIL_EVENTS"
        printf %s "$SECRET""#;
    let secret = "hunter2-long/word".to_owned();
    let mut task = shell("1", script, &[("SECRET", secret.clone())]);
    task.program = mulgil_runner::Program::Command {
        argv: ["bash", "-c", script].map(str::to_owned).to_vec(),
    };
    task.secrets = vec![secret.clone(), "abc".to_owned()];
    let mut running = place.launch(task).await;
    let codes: Vec<_> = running.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [codes::SECRET_TOO_SHORT]);
    let exit = running.wait().await.expect("an end");
    assert_eq!(exit.result, Some(serde_json::json!({"token": "***"})));
    assert_eq!(contains(&place.path("1"), &secret), Vec::<String>::new());
    let log = place.log("1");
    for line in ["out ***", "err ***", "out x***y***", "log info: with ***"] {
        assert!(log.iter().any(|logged| logged == line), "{line}: {log:?}");
    }
}

#[tokio::test]
async fn a_gigabyte_is_bounded_and_the_task_does_not_wait_for_it() {
    let place = Place::new();
    let mut flood = shell(
        "1",
        "echo first; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo last",
        &[],
    );
    flood.log = LogLimits {
        head_bytes: 1_000_000,
        tail_bytes: 1_000_000,
    };
    flood.secrets = vec!["hunter2-long".to_owned()];
    let began = Instant::now();
    let exit = place.run(flood).await;
    assert!(began.elapsed().as_secs() < FLOOD_SECONDS, "{:?}", began.elapsed());
    assert_eq!((exit.code, exit.output_bytes), (Some(0), 1_000_000_012));
    assert_eq!(exit.left_out_bytes, 998_000_012);
    let length = fs::metadata(place.path("1").join("log")).expect("a log").len();
    assert!(length < 2_100_000, "{length}");
    let page = read_log(&place.path("1"), 0).expect("a log");
    assert_eq!((page.lines[0].text.as_str(), page.next), ("first", length));
    assert_eq!(page.lines.last().map(|line| line.text.as_str()), Some("last"));
    let said = page.lines.iter().filter(|line| line.stream == LogStream::System);
    let said: Vec<_> = said.map(|line| line.text.as_str()).collect();
    assert!(said[1].starts_with("998000012 bytes are left out"), "{said:?}");
    let status = fs::read_to_string(format!("/proc/{}/status", supervisor(&place.path("1")))).expect("a supervisor");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    println!(
        "a gigabyte of log: {:?}, supervisor's peak {kilobytes} kB",
        began.elapsed()
    );
    assert!(kilobytes < 32_000, "{peak}");
}

#[tokio::test]
async fn lines_can_be_read_while_the_task_runs() {
    let place = Place::new();
    let (ready, go) = (place.gate("ready"), place.gate("go"));
    let script = "echo one; printf 'tw'; echo > $READY; read go < $GO; echo o";
    let mut running = place
        .launch(shell("1", script, &[("READY", ready.path()), ("GO", go.path())]))
        .await;
    ready.read().await;
    // The line was written before the gate opened; the supervisor may need a moment to take it.
    let page = loop {
        let page = read_log(&place.path("1"), 0).expect("a log");
        if !page.lines.is_empty() {
            break page;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        page.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["one"]
    );
    go.open().await;
    running.wait().await.expect("an end");
    let rest = read_log(&place.path("1"), page.next).expect("a log");
    assert_eq!(
        rest.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(),
        ["two"]
    );
}
