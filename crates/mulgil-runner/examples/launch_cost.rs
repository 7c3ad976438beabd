//! What launching a task costs, printed as a table: `cargo run --release -p mulgil-runner --example launch_cost [FOLDER]`.
//! From the order to the first instruction of the task, and to its exit record known, the disk's waits included.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use mulgil_runner::{Launcher, LauncherLimits, LogLimits, Program, PythonSdk, PythonStep, Task, read_log};

const ROUNDS: usize = 100;

fn main() -> ExitCode {
    if let Some(code) = mulgil_runner::supervise_if_asked() {
        return code;
    }
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir_in(folder).expect("a folder");
    runtime.block_on(measure(folder.path()));
    ExitCode::SUCCESS
}

async fn measure(folder: &Path) {
    println!(
        "{:<58} {:>8} {:>8}",
        format!("{ROUNDS} times, milliseconds"),
        "p50",
        "p99"
    );
    print("a small file, fsync, rename, fsync of the folder", disk(folder));
    let sdk = PythonSdk::install(folder).expect("a folder").dir;
    fs::write(
        folder.join("step.py"),
        "import time\ndef nothing():\n    print(time.time_ns())\n",
    )
    .expect("a file");
    let python = |is_warm| {
        Program::Python(PythonStep {
            interpreter: std::env::var("MULGIL_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned()),
            sdk: sdk.clone(),
            target: "step:nothing".to_owned(),
            args: Vec::new(),
            is_warm,
        })
    };
    let command = |argv: &[&str]| Program::Command {
        argv: argv.iter().map(|arg| (*arg).to_owned()).collect(),
    };
    let reused = LauncherLimits::default();
    let fresh = LauncherLimits {
        idle: 0,
        tasks: 1,
        ..reused
    };
    for (name, limits) in [("waiting supervisor", reused), ("new supervisor", fresh)] {
        attempts(folder, &format!("/bin/true, {name}"), limits, &command(&["/bin/true"])).await;
        attempts(
            folder,
            &format!("date, {name}"),
            limits,
            &command(&["/bin/date", "+%s%N"]),
        )
        .await;
    }
    attempts(folder, "python, started", reused, &python(false)).await;
    attempts(folder, "python, warm", reused, &python(true)).await;
    flood(folder).await;
}

async fn attempts(folder: &Path, name: &str, limits: LauncherLimits, program: &Program) {
    let launcher = Launcher::new("/proc/self/exe", limits);
    let (mut launched, mut first, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let dir = folder.join(format!("{name}-{round}").replace('/', "_"));
        let (clock, wall) = (Instant::now(), SystemTime::now());
        let mut running = launcher
            .launch(&dir, task(program.clone(), folder))
            .await
            .expect("a launch");
        let handed = clock.elapsed();
        let exit = running.wait().await.expect("an end");
        // The first one starts a supervisor, and a worker.
        if round > 0 {
            launched.push(handed);
            known.push(clock.elapsed());
            first.extend(printed(&dir).and_then(|at| at.duration_since(wall).ok()));
        }
        assert_eq!(exit.code, Some(0), "{exit:?} {:?}", read_log(&dir, 0));
    }
    print(&format!("{name}: taken by its supervisor"), launched);
    if !first.is_empty() {
        print(&format!("{name}: first instruction"), first);
    }
    print(&format!("{name}: exit record known"), known);
}

/// The time that a task printed, in nanoseconds.
fn printed(dir: &Path) -> Option<SystemTime> {
    let page = read_log(dir, 0).ok()?;
    let nanos = page.lines.first()?.text.trim().parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))
}

async fn flood(folder: &Path) {
    let launcher = Launcher::new("/proc/self/exe", LauncherLimits::default());
    for (name, script) in [
        ("one line", "head -c 1000000000 /dev/zero | tr '\\0' x"),
        (
            "lines of 64 bytes",
            "yes 012345678901234567890123456789012345678901234567890123456789012 | head -c 1000000000",
        ),
    ] {
        for secrets in [Vec::new(), vec!["hunter2-long".to_owned()]] {
            let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
            let mut task = task(Program::Command { argv }, folder);
            let masked = if secrets.is_empty() { "" } else { ", masked" };
            task.secrets = secrets;
            let began = Instant::now();
            let mut running = launcher
                .launch(&folder.join(format!("flood {name}{masked}")), task)
                .await
                .expect("a launch");
            let exit = running.wait().await.expect("an end");
            println!(
                "a log of 1 GB, {name}{masked}: {:.1} s, {} bytes left out",
                began.elapsed().as_secs_f64(),
                exit.left_out_bytes
            );
        }
    }
}

fn disk(folder: &Path) -> Vec<Duration> {
    let once = |_| {
        let began = Instant::now();
        let staged = folder.join("probe.new");
        let mut file = File::create(&staged).expect("a file");
        file.write_all(&[b'x'; 400])
            .and_then(|()| file.sync_all())
            .expect("a disk");
        fs::rename(&staged, folder.join("probe")).expect("a folder");
        File::open(folder).and_then(|folder| folder.sync_all()).expect("a disk");
        began.elapsed()
    };
    (0..ROUNDS).map(once).collect()
}

fn print(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{name:<58} {:>8.2} {:>8.2}", at(50), at(99));
}

fn task(program: Program, folder: &Path) -> Task {
    Task {
        attempt: "measured".to_owned(),
        epoch: 1,
        program,
        environment: BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("MULGIL_RUN_ID".to_owned(), "1".to_owned()),
        ]),
        directory: folder.to_path_buf(),
        stdin: "{}\n".to_owned(),
        timeout: None,
        grace: Duration::from_secs(10),
        log: LogLimits::default(),
        secrets: Vec::new(),
        memory_bytes: None,
        process_count: None,
        lifeline: None,
    }
}
