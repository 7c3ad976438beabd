//! `mulgil explain`: the page of an error code.

use mulgil_core::{
    codes,
    diagnostic::{Code, Diagnostic},
};

use crate::{cli, command::Outcome, generated::error_pages::PAGES, say};

pub(crate) fn explain(flags: &cli::Explain) -> Outcome {
    let Some(text) = &flags.code else {
        let line = |(code, page): &(u16, &str)| format!("{}  {}", Code(*code), title(page));
        say::print(&PAGES.iter().map(line).collect::<Vec<_>>().join("\n"));
        return Ok(0);
    };
    let code = Code::try_from(text.clone())
        .map_err(|what| Diagnostic::error(codes::USAGE, what).with_remedy(remedy(meant(text))))?;
    match PAGES.iter().find(|(number, _)| *number == code.0) {
        Some((_, page)) => {
            say::print(page.trim_end());
            Ok(0)
        }
        None => Err(Diagnostic::error(codes::NOT_FOUND, format!("there is no error {code}"))
            .with_remedy(remedy(nearest(code)))
            .into()),
    }
}

/// What a code means, in one line.
pub(crate) fn title_of(code: Code) -> Option<&'static str> {
    let page = PAGES.iter().find(|(number, _)| *number == code.0);
    page.map(|(_, page)| title(page))
}

fn remedy(near: Option<Code>) -> String {
    match near {
        Some(near) => format!("write `mulgil explain {near}`, if that is meant; without a code it lists all"),
        None => "`mulgil explain` without a code lists all".to_owned(),
    }
}

/// The code in a text that is none: four digits among other signs (`error[MG1104]:`), or a slip of the pen.
fn meant(text: &str) -> Option<Code> {
    let digits = text
        .split(|sign: char| !sign.is_ascii_digit())
        .find(|digits| digits.len() == 4);
    let there = digits.and_then(|digits| digits.parse().ok()).map(Code);
    there
        .filter(|code| PAGES.iter().any(|(number, _)| *number == code.0))
        .or_else(|| {
            let names: Vec<String> = PAGES.iter().map(|(code, _)| Code(*code).to_string()).collect();
            let near = mulgil_core::select::nearest(text, names.iter().map(String::as_str))?;
            Code::try_from(near.to_owned()).ok()
        })
}

/// The code that is nearest in its group: codes of one thing stand side by side.
fn nearest(code: Code) -> Option<Code> {
    let in_group = PAGES
        .iter()
        .map(|(number, _)| *number)
        .filter(|number| number / 100 == code.0 / 100);
    in_group.min_by_key(|number| number.abs_diff(code.0)).map(Code)
}

/// The first heading of a page, without its code.
pub(crate) fn title(page: &str) -> &str {
    let line = page.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    line.split_once(' ').map_or(line, |(first, rest)| {
        if first.starts_with("MG") {
            rest.trim_start_matches([':', '-', '—', ' '])
        } else {
            line
        }
    })
}
