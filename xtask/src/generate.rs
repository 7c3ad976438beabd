//! `cargo xtask gen`: the files that are made from others. They are committed, so that people read
//! them without running anything; `--check` fails where one is out of date.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::shell::{Shell, cargo, root, target_dir};

/// Whether to write what differs, or to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
}

/// The page of an error code.
pub(crate) struct Page {
    pub(crate) code: u16,
    /// Its first heading, without the code.
    title: String,
}

/// Makes every generated file. The pages of errors come first: the program that prints the others
/// is compiled with them.
pub(crate) fn run(mode: Mode) -> Result<()> {
    let pages = pages()?;
    let mut stale = Vec::new();
    let mut put = |path: &'static str, text: String| -> Result<()> {
        if put(mode, &root().join(path), &text)? {
            stale.push(path);
        }
        Ok(())
    };
    put("docs/error/README.md", index(&pages)?)?;
    put("crates/mulgil/src/generated/error_pages.rs", error_pages(&pages)?)?;
    put("docs/reference/cli.md", program()?.args(["gen-docs"]).stdout()?)?;
    match mode {
        Mode::Check if !stale.is_empty() => bail!("out of date: {}\ndo: cargo xtask gen", stale.join(", ")),
        Mode::Check | Mode::Write => Ok(()),
    }
}

/// The program, built with all that the tests build: `-p mulgil` alone would choose other features of
/// the dependencies and build them a second time.
fn program() -> Result<Shell> {
    cargo()
        .args(["build", "--quiet", "--workspace", "--all-targets"])
        .run()?;
    Ok(Shell::new(target_dir().join("debug").join("mulgil")))
}

/// Every page of docs/error, by code.
pub(crate) fn pages() -> Result<Vec<Page>> {
    let folder = root().join("docs/error");
    let mut pages = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if let Some(code) = code_of(&path) {
            let text = fs::read_to_string(&path)?;
            let title = title(&text).with_context(|| format!("{} does not begin with `# `", path.display()))?;
            pages.push(Page { code, title });
        }
    }
    pages.sort_by_key(|page| page.code);
    Ok(pages)
}

/// Writes a text where it differs and the mode allows; says whether it differed.
fn put(mode: Mode, path: &PathBuf, text: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(false);
    }
    if mode == Mode::Write {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)?;
        eprintln!("gen: wrote {}", path.strip_prefix(root()).unwrap_or(path).display());
    }
    Ok(true)
}

/// `MG1104.md` → 1104.
fn code_of(path: &Path) -> Option<u16> {
    let digits = path.file_name()?.to_str()?.strip_prefix("MG")?.strip_suffix(".md")?;
    digits.parse().ok().filter(|_| digits.len() == 4)
}

/// `# MG1104: unknown reference` → `unknown reference`.
fn title(text: &str) -> Option<String> {
    let heading = text.lines().next()?.strip_prefix("# ")?.trim();
    let bare = heading
        .strip_prefix("MG")
        .map_or(heading, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let bare = bare.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '·' | '–' | '—' | '-' | '.'));
    (!bare.is_empty()).then(|| bare.to_owned())
}

fn index(pages: &[Page]) -> Result<String> {
    let groups = [
        "What was typed",
        "Project files",
        "Connections and logins",
        "Data",
        "Runs",
        "Operation",
        "",
        "",
        "",
        "Our bugs",
    ];
    let mut text = String::from(
        "# Error codes\n\nThe first digit says who must act. `mulgil explain MG0001` prints a page. \
         Made by `cargo xtask gen`.\n",
    );
    for (digit, group) in groups.iter().enumerate() {
        let members: Vec<&Page> = pages
            .iter()
            .filter(|page| usize::from(page.code / 1000) == digit)
            .collect();
        if members.is_empty() {
            continue;
        }
        write!(text, "\n## MG{digit}: {group}\n\n| code | what it says |\n|---|---|\n")?;
        for Page { code, title } in members {
            writeln!(
                text,
                "| [MG{code:04}](MG{code:04}.md) | {} |",
                title.replace('|', "\\|")
            )?;
        }
    }
    Ok(text)
}

fn error_pages(pages: &[Page]) -> Result<String> {
    let mut text = String::from(
        "//! Every error page, by code, in order. Made by `cargo xtask gen`; never edited by hand.\n\n\
         /// The pages.\npub(crate) const PAGES: &[(u16, &str)] = &[\n",
    );
    for Page { code, .. } in pages {
        writeln!(
            text,
            "    ({code}, include_str!(\"../../../../docs/error/MG{code:04}.md\")),"
        )?;
    }
    text.push_str("];\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_their_code() {
        for heading in [
            "# MG1104: unknown reference",
            "# MG1104 – unknown reference",
            "# unknown reference",
        ] {
            assert_eq!(title(heading).as_deref(), Some("unknown reference"), "{heading}");
        }
        assert_eq!(title("unknown reference"), None);
        assert_eq!(title("# MG1104"), None);
    }

    #[test]
    fn codes_are_told_from_other_files() {
        assert_eq!(code_of(Path::new("docs/error/MG0001.md")), Some(1));
        assert_eq!(code_of(Path::new("docs/error/README.md")), None);
        assert_eq!(code_of(Path::new("docs/error/MG12.md")), None);
    }

    #[test]
    fn the_index_is_grouped_by_who_must_act() {
        let page = |code, title: &str| Page {
            code,
            title: title.to_owned(),
        };
        let text = index(&[page(1, "unknown word"), page(9001, "our bug")]).expect("a text");
        assert!(text.contains(
            "## MG0: What was typed\n\n| code | what it says |\n|---|---|\n| [MG0001](MG0001.md) | unknown word |"
        ));
        assert!(text.contains("## MG9: Our bugs"));
        assert!(!text.contains("## MG1"));
    }
}
