//! What the project needs of its machine: room, rights, a port, a Python where a step runs one, a bucket where
//! its tables lie in one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    flow::{Step, StepKind},
};
use mulgil_server::Room;

use super::{Patient, Report, whole};
use crate::{
    room, say, serving,
    wire::{self, Opened},
};

/// How long an object store may take to answer; it is asked again and again meanwhile.
const BUCKET: Duration = Duration::from_secs(30);

pub(super) async fn look(patient: &Patient, served_at: Option<SocketAddr>, report: &mut Report) {
    let data_dir = patient.outline.as_ref().map(|outline| outline.data_dir.as_path());
    look_at_disk("data folder", data_dir.unwrap_or(&patient.folder), report);
    let opened = patient
        .outline
        .as_ref()
        .and_then(|outline| outline.opened.as_ref().ok());
    if let Some(opened) = opened {
        match opened.project.warehouse.folder() {
            Some(folder) => look_at_disk("warehouse", &opened.project.root.join(folder), report),
            None => look_at_bucket(opened, report).await,
        }
    }
    look_at_port(patient.port, served_at, report).await;
    if let Some(opened) = opened {
        look_at_python(opened, report).await;
    }
}

fn look_at_disk(whose: &str, dir: &Path, report: &mut Report) {
    // One that is not there yet is made where the nearest above it is.
    let dir = room::nearest(dir);
    let Some(found) = room::of(dir) else {
        return report.unseen("disk", &format!("{} tells nothing of its disk", whole(dir)));
    };
    let what = format!("{whose} in {}: {}", whole(dir), room_text(found));
    if let Err(fault) = room::try_out(dir) {
        return report.fault("disk", &fault);
    }
    match found.shortage() {
        Some(shortage) => report.warning(
            "disk",
            format!("{what}; {shortage}"),
            "make room: a server is not ready on such a disk, and stops what it fills when it is full",
        ),
        None => report.ok("disk", format!("{what}; writable")),
    }
}

fn room_text(room: Room) -> String {
    let bytes = format!("{} of {} free", say::size(room.free_bytes), say::size(room.total_bytes));
    match room.total_files {
        0 => bytes,
        _ => format!("{bytes}, {} more", say::count(room.free_files, "file")),
    }
}

async fn look_at_bucket(opened: &Opened, report: &mut Report) {
    let warehouse = &opened.project.warehouse;
    let engine = match opened.embedded() {
        Ok(engine) => engine,
        Err(fault) => return report.fault("bucket", &fault),
    };
    match tokio::time::timeout(BUCKET, engine.try_out()).await {
        Ok(Ok(())) => report.ok("bucket", format!("{warehouse}: objects can be put, read and removed")),
        Ok(Err(fault)) => report.fault("bucket", &fault),
        Err(_) => {
            let message = format!("{warehouse} did not answer in {} s", BUCKET.as_secs());
            report.fault(
                "bucket",
                &Diagnostic::error(codes::STORE_UNREACHABLE, message)
                    .with_remedy("look at the network on the way to it, at `endpoint` and at a proxy")
                    .with_retry(Retry::Later),
            );
        }
    }
}

async fn look_at_port(port: u16, served_at: Option<SocketAddr>, report: &mut Report) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    match mulgil_server::bind(address).await {
        Ok(_) => report.ok("port", format!("{address} is free")),
        Err(_) if served_at == Some(address) => {
            report.ok("port", format!("{address} is that of this project's own server"));
        }
        Err(fault) => {
            let fault =
                fault.with_remedy("end the program that has this port, or serve at another: `mulgil serve --port 0`");
            report.fault("port", &fault);
        }
    }
}

/// Of every interpreter that a step runs, once for each environment.
async fn look_at_python(opened: &Opened, report: &mut Report) {
    let environment = wire::environment();
    let mut seen = BTreeSet::new();
    for flow in &opened.project.flows {
        for step in &flow.steps {
            let Some(interpreter) = interpreter(step) else {
                continue;
            };
            let environment = environment_of(step, &environment);
            if !seen.insert((interpreter.to_owned(), environment.get("PATH").cloned())) {
                continue;
            }
            let root = std::path::absolute(&opened.project.root).unwrap_or_else(|_| opened.project.root.clone());
            let whose = format!("{}.{}", flow.name, step.name);
            match mulgil_runner::python_version(interpreter, &environment, &root).await {
                Ok(version) => report.ok("python", format!("`{interpreter}` is Python {version}, for {whose}")),
                Err(mut fault) => {
                    fault.message = format!("{} (step {whose})", fault.message);
                    report.fault("python", &fault);
                }
            }
        }
    }
}

fn interpreter(step: &Step) -> Option<&str> {
    match &step.kind {
        StepKind::Python { interpreter, .. } => Some(interpreter.as_deref().unwrap_or(serving::PYTHON)),
        StepKind::Sql { .. } | StepKind::Models { .. } | StepKind::Command { .. } => None,
    }
}

/// What the step's process is given, as far as it is written: templates are rendered for a run.
fn environment_of(step: &Step, environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = environment.clone();
    let written = step
        .env
        .iter()
        .filter(|(_, value)| !value.text.contains("{{") && !value.text.contains("{%"));
    all.extend(written.map(|(name, value)| (name.clone(), value.text.clone())));
    all
}
