//! `mulgil demo`: the example project in a new folder, filled.

use std::{fs, path::Path};

use mulgil_core::{codes, diagnostic::Diagnostic, run::Trigger};
use mulgil_scheduler::RunRequest;

use crate::{
    cli::{self, Global},
    command::{Outcome, run},
    say, wire,
};

mod example {
    include!(concat!(env!("OUT_DIR"), "/example.rs"));
}

pub(crate) async fn demo(global: &Global, flags: &cli::Demo) -> Outcome {
    let folder = if flags.dir.is_absolute() {
        flags.dir.clone()
    } else {
        global.project_dir.join(&flags.dir)
    };
    if folder.exists() {
        return Err(
            Diagnostic::error(codes::USAGE, format!("{} exists already", folder.display()))
                .with_remedy("name a folder that does not exist: `mulgil demo DIR`")
                .into(),
        );
    }
    for (name, bytes) in example::FILES {
        write(&folder.join(name), bytes)?;
    }
    say::talk(&format!(
        "wrote the flights of New York in 2013 to {}",
        folder.display()
    ));
    let opened = wire::open(&Global {
        project_dir: folder.clone(),
        ..global.clone()
    })?;
    let request = RunRequest::of_all(Trigger::Manual);
    let code = run::perform(&opened, request, flags.parallel, run::After::Nothing).await?;
    if code == 0 {
        say::talk(&format!("\nlook around:\n  cd {}", folder.display()));
        for line in [
            "mulgil status",
            "mulgil why flights@2013-03-10",
            "mulgil query \"select carrier, sum(flights) as flights from delays_monthly group by 1 order by 2 desc limit 5\"",
            "rm data/flights/flights_20130704.csv.gz; mulgil status flights",
        ] {
            say::talk(&format!("  {line}"));
        }
        if !flags.no_serve {
            say::talk("\n(this version has no pages yet; `--no-serve` leaves this line out)");
        }
    }
    Ok(code)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|error| {
            Diagnostic::error(codes::USAGE, format!("{} cannot be written: {error}", path.display()))
                .with_remedy("go to a folder that you may write in, or name one: `mulgil demo DIR`")
        })
}
