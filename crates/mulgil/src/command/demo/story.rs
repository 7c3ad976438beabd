//! What the demo says: what it did, what is wrong on purpose, and the way out of each.

use std::path::Path;

use super::{Days, Filled};
use crate::{say, wire};

/// Before anything is filled.
pub(super) fn begin(folder: &Path) {
    say::talk(&format!(
        "Moonlight (달빛) is a web-fiction service. Its app writes what readers do into one file a day, and a file
goes on changing for three days; its stores send what was paid. The numbers are made up.

  {}: its project, its data of fourteen days",
        folder.display()
    ));
}

/// What was filled, and what is wrong.
pub(super) fn tell(filled: &Filled, days: &Days, has_python: bool) {
    let Days { begin, holes, .. } = days;
    say::talk(&format!(
        "  {begin} and six more days are filled by hand, the seven after them by the flow `morning`, one run a day;
  then three files changed, as they do, and their days were filled again. It took {}.

Three things are wrong, on purpose:

  1. `sales_daily` has two holes: the store sent the files of {} and {} after the flow had run.
  2. `ranking` fails: its SQL asks for a column that is not there.
  3. The flow `ranking` is wanted at seven in the morning in Seoul, and its schedule says UTC: it comes at
     four in the afternoon.",
        filled.took, holes[0], holes[1],
    ));
    if !has_python {
        say::talk("\nThere is no `python3` here, so `flows/morning.yml` was written without its step in Python.");
    }
}

/// The seven steps after which all is well.
pub(super) fn help(folder: &Path, filled: &Filled, days: &Days, is_served: bool) {
    let place = if is_served { ", in a second terminal" } else { "" };
    say::talk(&format!(
        "\nSeven steps mend it{place}:\n\n  cd {}",
        say::shell_word(folder)
    ));
    for (index, (what, commands)) in steps(filled, days).iter().enumerate() {
        say::talk(&format!("\n  {}. {what}", index + 1));
        for command in commands {
            say::talk(&format!("     {command}"));
        }
    }
    say::talk("\nThen `mulgil status` shows every table filled, and `mulgil plan` says that nothing is due.");
    if wire::program("mulgil").is_none()
        && let Ok(program) = std::env::current_exe()
    {
        say::talk(&format!(
            "`mulgil` is {} here: put its folder on your path.",
            program.display()
        ));
    }
}

/// While it serves.
pub(super) fn serving(address: &str) {
    say::talk(&format!(
        "\nIts pages are at {address}. Ctrl-C ends it; the folder stays, `mulgil dev` serves it again."
    ));
}

/// What is done in each step, and the commands that do it.
fn steps(filled: &Filled, days: &Days) -> [(&'static str, Vec<String>); 7] {
    let [hole, _] = days.holes;
    let after = days.holes[1].tomorrow().unwrap_or(days.until);
    let commands = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    [
        ("Find the holes.", commands(&["mulgil status"])),
        (
            "Ask why: nobody has read the file, which is there now.",
            vec![format!("mulgil why sales_daily@{hole}")],
        ),
        (
            "Fill them.",
            vec![format!(
                "mulgil backfill sales_daily --from {hole} --to {after} --missing"
            )],
        ),
        (
            "Read the error of the model that fails.",
            vec![format!("mulgil logs {} --attempt {}", filled.failed.0, filled.failed.1)],
        ),
        (
            "Mend its line, where the column has to be `won`, and fill the table.",
            commands(&[
                "sed -i.bak 's/sum(amount)/sum(won)/' models/ranking.sql",
                "mulgil run ranking",
            ]),
        ),
        (
            "Set the late schedule right, and see when it comes next.",
            commands(&[
                "sed -i.bak 's/timezone: UTC/timezone: Asia\\/Seoul/' flows/ranking.yml",
                "mulgil flows show ranking",
            ]),
        ),
        (
            "Ask the tables.",
            commands(&["mulgil query \"select place, story_ko, story_en, reads, won from ranking order by place\""]),
        ),
    ]
}
