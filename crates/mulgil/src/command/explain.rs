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
    let code = Code::try_from(text.clone()).map_err(|what| {
        Diagnostic::error(codes::USAGE, what).with_remedy("`mulgil explain` without a code lists all")
    })?;
    match PAGES.iter().find(|(number, _)| *number == code.0) {
        Some((_, page)) => {
            say::print(page.trim_end());
            Ok(0)
        }
        None => Err(Diagnostic::error(codes::NOT_FOUND, format!("there is no error {code}"))
            .with_remedy("`mulgil explain` without a code lists all")
            .into()),
    }
}

/// What a code means, in one line.
pub(crate) fn title_of(code: Code) -> Option<&'static str> {
    let page = PAGES.iter().find(|(number, _)| *number == code.0);
    page.map(|(_, page)| title(page))
}

/// The first heading of a page, without its code.
fn title(page: &str) -> &str {
    let line = page.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    line.split_once(' ').map_or(line, |(first, rest)| {
        if first.starts_with("MG") {
            rest.trim_start_matches([':', '-', '—', ' '])
        } else {
            line
        }
    })
}
