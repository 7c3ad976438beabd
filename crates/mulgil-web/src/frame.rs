//! What stands around every page: the head, the bar, the menu, the foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    address, asset,
    look::{Look, Theme},
    part::{keys, link, mark},
    text::{Text, frame as words},
    time::{self, Clock},
    view::{Frame, Link},
};

/// The places of the main menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What is wrong.
    Today,
    /// Flows and their grids.
    Flows,
    /// Runs and their tasks.
    Runs,
    /// Tables and why.
    Tables,
}

/// What the frame has to know of the page in it.
#[derive(Clone, Debug)]
pub struct Head {
    /// Which place of the menu it belongs to.
    pub section: Option<Section>,
    /// The title of the window, without the project's name.
    pub title: String,
    /// The way from the section to the page, the page last and without its address.
    pub trail: Vec<Link>,
}

impl Head {
    /// The page of a section itself.
    pub fn of(section: Section, frame: &Frame) -> Self {
        Self {
            section: Some(section),
            title: section.name().of(frame.look.language).to_owned(),
            trail: Vec::new(),
        }
    }

    /// A page below a section: its name is its title and the end of its trail.
    pub fn below(section: Section, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            section: Some(section),
            title: name.clone(),
            trail: vec![Link { text: name, href: None }],
        }
    }
}

impl Section {
    const ALL: [Self; 4] = [Self::Today, Self::Flows, Self::Runs, Self::Tables];

    /// What it is called.
    pub const fn name(self) -> Text {
        match self {
            Self::Today => words::TODAY,
            Self::Flows => words::FLOWS,
            Self::Runs => words::RUNS,
            Self::Tables => words::TABLES,
        }
    }

    /// Its address.
    pub const fn href(self) -> &'static str {
        match self {
            Self::Today => address::TODAY,
            Self::Flows => address::FLOWS,
            Self::Runs => address::RUNS,
            Self::Tables => address::TABLES,
        }
    }

    /// Its picture: strokes in a square of 16.
    const fn strokes(self) -> &'static str {
        match self {
            Self::Today => "M8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5Z",
            Self::Flows => {
                "M1.5 4c2.2-1.6 4.3-1.6 6.5 0s4.3 1.6 6.5 0M1.5 8c2.2-1.6 4.3-1.6 6.5 0s4.3 1.6 6.5 0M1.5 12c2.2-1.6 4.3-1.6 6.5 0s4.3 1.6 6.5 0"
            }
            Self::Runs => "M4.5 2.8v10.4L13 8Z",
            Self::Tables => "M2 2.5h12v11H2ZM2 6.2h12M2 9.8h12M6.5 6.2v7.3",
        }
    }
}

impl Frame {
    /// By what this page tells moments.
    pub fn clock(&self) -> Clock<'_> {
        Clock {
            language: self.look.language,
            zone: self.look.zone.as_ref().unwrap_or(&self.zone),
            now: self.now,
        }
    }
}

/// A whole page.
pub fn page(frame: &Frame, head: &Head, body: &Markup) -> String {
    let language = frame.look.language;
    let theme = frame.look.theme.as_str();
    let markup = html! {
        (DOCTYPE)
        html lang=(language.as_str()) data-theme=(theme) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(scheme(frame.look.theme));
                title { (link::cut(&head.title, 120)) " · " (link::cut(&frame.project, 60)) }
                link rel="stylesheet" href=(asset::style());
                link rel="icon" type="image/svg+xml" href=(asset::icon());
                script src=(asset::script()) data-stream=(asset::stream()) defer {}
            }
            body data-topics=(frame.topics.join(" ")) {
                a .to-main href="#main" { (words::SKIP.of(language)) }
                (bar(frame, head))
                (menu(frame, head.section))
                main #main tabindex="-1" {
                    p #stream .banner role="status" data-lost=(words::STREAM_LOST.of(language)) hidden {}
                    div #banner data-live {
                        @if frame.faults > 0 {
                            p .banner role="alert" { a href="/#server" { (words::not_loaded(frame.faults, language)) } }
                        }
                    }
                    (body)
                }
                p #said .unseen role="status" {}
                (keys::dialog(language))
                (foot(frame))
            }
        }
    };
    markup.into_string()
}

/// The mark: three lines of water.
pub fn wave() -> Markup {
    html! {
        svg .wave viewBox="0 0 20 16" width="20" height="16" aria-hidden="true" {
            path d=(WAVE) {}
        }
    }
}

const WAVE: &str = "M1 3.5c3-2.4 6-2.4 9 0s6 2.4 9 0M1 8c3-2.4 6-2.4 9 0s6 2.4 9 0M1 12.5c3-2.4 6-2.4 9 0s6 2.4 9 0";

fn scheme(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => "light dark",
        Theme::Light => "light",
        Theme::Dark => "dark",
    }
}

fn bar(frame: &Frame, head: &Head) -> Markup {
    let language = frame.look.language;
    html! {
        header .bar {
            a .brand href=(address::TODAY) aria-label="Mulgil" { (wave()) span .brand-name lang="ko" { "물길" } }
            nav .trail aria-label=(words::TRAIL.of(language)) {
                ol {
                    li .trail-project { a href=(address::TODAY) { (link::name(&frame.project)) } }
                    @if let Some(section) = head.section && section != Section::Today {
                        li { a href=(section.href()) { (section.name().of(language)) } }
                    }
                    @for step in &head.trail {
                        li aria-current=[step.href.is_none().then_some("page")] { (link::link(step)) }
                    }
                }
            }
            span .env title=(words::ENVIRONMENT.of(language)) { (link::name(&frame.environment)) }
            (switches(frame))
            a .health #health data-live href="/#server" { (mark::dot(frame.health, words::SERVER.of(language), language)) }
        }
    }
}

fn switches(frame: &Frame) -> Markup {
    let Look { language, theme, .. } = frame.look;
    let back = &frame.address;
    let theme_name = match theme {
        Theme::Auto => words::THEME_AUTO,
        Theme::Light => words::THEME_LIGHT,
        Theme::Dark => words::THEME_DARK,
    };
    html! {
        div .switches {
            (zones(frame))
            a .switch href=(address::look("lang", language.other().as_str(), back)) hreflang=(language.other().as_str())
                lang=(language.other().as_str()) { (words::LANGUAGE.of(language)) }
            a .switch .switch-theme href=(address::look("theme", theme.next().as_str(), back))
                title=(theme_name.of(language)) aria-label=(theme_name.of(language)) { (theme_picture(theme)) }
        }
    }
}

fn zones(frame: &Frame) -> Markup {
    let language = frame.look.language;
    let (clock, back) = (frame.clock(), &frame.address);
    let choice = |value: &str, name: Text, detail: &str, is_chosen: bool| {
        html! {
            li { a href=(address::look("zone", value, back)) aria-current=[is_chosen.then_some("true")] {
                span { (name.of(language)) } " " span .muted { (detail) }
            } }
        }
    };
    let own = &frame.look.zone;
    let is_utc = own.as_ref().is_some_and(|zone| zone.name() == "UTC");
    html! {
        details .pick {
            summary aria-label={ (words::ZONE.of(language)) ": " (clock.zone.name()) } title=(words::ZONE.of(language)) {
                (time::abbreviation(frame.now, clock.zone))
            }
            ul {
                (choice("project", words::ZONE_PROJECT, frame.zone.name(), own.is_none()))
                @if let Some(zone) = own && !is_utc {
                    (choice(zone.name(), words::ZONE_MINE, zone.name(), true))
                }
                (choice("utc", words::ZONE_UTC, "UTC", is_utc))
                // A script knows the machine's zone, fills it in and shows the line.
                @if own.is_none() || is_utc {
                    li data-own-zone=(address::look("zone", "", back)) hidden {
                        a href=(address::look("zone", "project", back)) {
                            span { (words::ZONE_MINE.of(language)) } " " span .muted {}
                        }
                    }
                }
            }
        }
    }
}

fn theme_picture(theme: Theme) -> Markup {
    let half = match theme {
        Theme::Auto => "M8 2a6 6 0 0 1 0 12Z",
        Theme::Light => "",
        Theme::Dark => "M8 2a6 6 0 0 1 0 12A6 6 0 0 1 8 2Z",
    };
    html! {
        svg .icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            circle cx="8" cy="8" r="6" {}
            path .icon-fill d=(half) {}
        }
    }
}

fn menu(frame: &Frame, current: Option<Section>) -> Markup {
    let language = frame.look.language;
    html! {
        nav .menu aria-label=(words::MENU.of(language)) {
            @for section in Section::ALL {
                a href=(section.href()) aria-current=[(current == Some(section)).then_some("page")] {
                    svg .icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                        path d=(section.strokes()) {}
                    }
                    span { (section.name().of(language)) }
                }
            }
        }
    }
}

fn foot(frame: &Frame) -> Markup {
    let language = frame.look.language;
    let clock = frame.clock();
    html! {
        footer .foot {
            span { (time::took(frame.took, language)) }
            " · "
            span data-queries=(frame.queries) { (words::queries(frame.queries, language)) }
            " · "
            // The moment stands in a sentence whose order differs by language.
            span #as-of data-serial=(frame.serial) { (PreEscaped(words::as_of(&clock.time_of_day(frame.now).into_string(), language))) }
            button .needs-script type="button" data-keys-show { (keys::name(language)) }
        }
    }
}
