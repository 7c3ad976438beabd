//! How a reader wants pages: language, theme, zone. Parsed from the request once, at the edge.
//!
//! The switches on the pages are links to `/look?lang=…`, `/look?theme=…` and `/look?zone=…`; whoever serves
//! them changes the look by [`Look::set`], keeps it in the cookie [`LOOK_COOKIE`] and goes back.

use mulgil_core::grid::Zone;

/// The cookie that remembers a look.
pub const LOOK_COOKIE: &str = "mulgil_look";

/// How a reader wants pages.
#[derive(Clone, Debug)]
pub struct Look {
    /// In which language.
    pub language: Language,
    /// In which colours.
    pub theme: Theme,
    /// In which zone times are shown; nothing for the project's own.
    pub zone: Option<Zone>,
}

/// The languages of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// 한국어.
    Korean,
    /// English.
    English,
}

/// The colours of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// As the reader's machine has it.
    Auto,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Look {
    /// From the request's `Cookie` and `Accept-Language`; empty where it has none. What cannot be read is as
    /// if it were not there: a look is never worth an error.
    pub fn of(cookies: &str, accept_language: &str) -> Self {
        let mut look = Self {
            language: Language::accepted(accept_language),
            theme: Theme::Auto,
            zone: None,
        };
        let mut kept = cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(name, _)| *name == LOOK_COOKIE)
            .map_or("", |(_, value)| value)
            .splitn(3, '.');
        for field in ["lang", "theme", "zone"] {
            look.set(field, kept.next().unwrap_or(""));
        }
        look
    }

    /// Changes one thing of it: `lang`, `theme` or `zone`. It stays as it is where there is no such field or value.
    pub fn set(&mut self, field: &str, value: &str) {
        match field {
            "lang" => self.language = Language::parse(value).unwrap_or(self.language),
            "theme" => self.theme = Theme::parse(value).unwrap_or(self.theme),
            "zone" if value == "project" => self.zone = None,
            "zone" => self.zone = Zone::named(value).or_else(|| self.zone.take()),
            _ => {}
        }
    }

    /// The value of the cookie that remembers it: letters that a cookie may have, and no others.
    pub fn cookie(&self) -> String {
        let zone = self.zone.as_ref().map_or("project", Zone::name);
        format!("{}.{}.{zone}", self.language.as_str(), self.theme.as_str())
    }
}

impl Language {
    /// As it stands in addresses and in `<html lang>`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Korean, Self::English]
            .into_iter()
            .find(|language| language.as_str() == text)
    }

    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Korean => Self::English,
            Self::English => Self::Korean,
        }
    }

    /// The one that a browser likes best of ours; English where it likes neither. Equally liked ones are taken
    /// in the order in which they are named.
    fn accepted(accept_language: &str) -> Self {
        let mut best = (0.0, Self::English);
        for range in accept_language.split(',').take(32) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or("").split('-').next().unwrap_or("");
            let weight: f32 = parts
                .find_map(|part| part.strip_prefix("q="))
                .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
            if let Some(language) = Self::parse(&tag.to_ascii_lowercase())
                && weight > best.0
            {
                best = (weight, language);
            }
        }
        best.1
    }
}

impl Theme {
    /// As it stands in addresses and in `data-theme`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Auto, Self::Light, Self::Dark]
            .into_iter()
            .find(|theme| theme.as_str() == text)
    }

    /// The one that the switch leads to.
    pub const fn next(self) -> Self {
        match self {
            Self::Auto => Self::Light,
            Self::Light => Self::Dark,
            Self::Dark => Self::Auto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Language, Look, Theme};

    #[test]
    fn the_language_is_the_one_that_the_browser_likes_best() {
        let language = |header: &str| Look::of("", header).language;
        assert_eq!(language("ko-KR,ko;q=0.9,en;q=0.8"), Language::Korean);
        assert_eq!(language("en-GB, ko;q=0.5"), Language::English);
        assert_eq!(language("fr, ko;q=0.3, en;q=0.4"), Language::English);
        assert_eq!(language("KO"), Language::Korean);
        assert_eq!(language("ko;q=0"), Language::English);
        assert_eq!(language("ko;q=loud"), Language::English);
        assert_eq!(language(""), Language::English);
        assert_eq!(language("*"), Language::English);
    }

    #[test]
    fn a_look_comes_back_from_its_cookie() {
        let mut look = Look::of("", "ko");
        look.set("theme", "dark");
        look.set("zone", "America/Argentina/Buenos_Aires");
        assert_eq!(look.cookie(), "ko.dark.America/Argentina/Buenos_Aires");
        let header = format!("session=x.y; mulgil_look={}; other=1", look.cookie());
        assert_eq!(Look::of(&header, "en").cookie(), look.cookie());
    }

    #[test]
    fn what_cannot_be_read_of_a_cookie_is_left_out() {
        let look = Look::of("mulgil_look=fr.dark.Nowhere/City", "ko");
        assert_eq!((look.language, look.theme, look.zone.is_none()), (Language::Korean, Theme::Dark, true));
        assert_eq!(Look::of("mulgil_look=", "").cookie(), "en.auto.project");
        assert_eq!(Look::of("mulgil_looks=ko.dark.UTC", "").cookie(), "en.auto.project");
    }

    #[test]
    fn only_what_is_known_changes_a_look() {
        let mut look = Look::of("", "");
        for (field, value) in [("zone", "../etc"), ("lang", "KO"), ("theme", ""), ("font", "large")] {
            look.set(field, value);
            assert_eq!(look.cookie(), "en.auto.project", "{field}={value}");
        }
        look.set("zone", "utc");
        assert_eq!(look.cookie(), "en.auto.UTC");
        look.set("zone", "project");
        assert_eq!(look.cookie(), "en.auto.project");
    }
}
