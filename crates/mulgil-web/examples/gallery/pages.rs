//! All pages of the gallery. Used by the gallery itself and by the tests, which is why it is read by its path.

use mulgil_web::look::{Language, Look, Theme};

pub(crate) mod attempt;
pub(crate) mod confirm;
pub(crate) mod flow;
pub(crate) mod lists;
pub(crate) mod run;
pub(crate) mod table;
pub(crate) mod today;
pub(crate) mod trouble;
pub(crate) mod why;
pub(crate) mod world;

pub(crate) use self::world::Shown;

/// All pages in a language and in colours.
pub(crate) fn all(language: Language, theme: Theme) -> Vec<Shown> {
    all_of(&Look {
        language,
        theme,
        zone: None,
    })
}

/// All pages with a look.
pub(crate) fn all_of(look: &Look) -> Vec<Shown> {
    [
        today::pages(look),
        lists::pages(look),
        flow::pages(look),
        run::pages(look),
        attempt::pages(look),
        table::pages(look),
        why::pages(look),
        confirm::pages(look),
        trouble::pages(look),
    ]
    .into_iter()
    .flatten()
    .collect()
}
