//! `mulgil man`: the manual pages, of the same comments as `--help`.

use std::{fs, path::Path};

use clap::CommandFactory as _;

use crate::{
    cli::{self, Cli},
    command::Outcome,
    room, say,
};

pub(crate) fn man(flags: &cli::Man) -> Outcome {
    let Some(dir) = &flags.dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
        rendered.map_err(|error| say::unwritten(&error))?;
        say::print(String::from_utf8_lossy(&page).trim_end());
        return Ok(0);
    };
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| room::fault(dir, &error))?;
    say::talk(&format!(
        "wrote {} into {}; `man {}` shows one",
        say::count(pages(dir), "page"),
        dir.display(),
        dir.join("mulgil.1").display()
    ));
    Ok(0)
}

fn pages(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_page = |name: &str| name.starts_with("mulgil") && name.ends_with(".1");
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_page))
        .count() as u64
}
