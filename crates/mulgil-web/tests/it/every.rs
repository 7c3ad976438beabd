//! What holds of every page of the gallery, whatever is on it.

use std::{collections::BTreeSet, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use mulgil_web::{
    asset,
    look::{Language, Theme},
};

use crate::pages::{self, Shown};

/// What a page may weigh on its way.
const PAGE_BYTES: usize = 60_000;
/// What style and script may weigh together; browsers keep them.
const ASSET_BYTES: usize = 26_000;

fn everything() -> Vec<Shown> {
    [Language::Korean, Language::English]
        .into_iter()
        .flat_map(|language| pages::all(language, Theme::Auto))
        .collect()
}

fn packed(bytes: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes").len()
}

/// The values of an attribute, unescaped as far as addresses need it.
fn values(html: &str, attribute: &str) -> Vec<String> {
    html.split(&format!(" {attribute}=\""))
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(value, _)| {
            value
                .replace("&amp;", "&")
                .replace("&lt;", "<")
                .replace("&gt;", ">")
                .replace("&quot;", "\"")
        })
        .collect()
}

#[test]
fn every_link_leads_to_a_page_that_there_is() {
    for page in everything() {
        let ids: BTreeSet<String> = values(&page.html, "id").into_iter().collect();
        let links = ["href", "action", "src"]
            .map(|attribute| values(&page.html, attribute))
            .concat();
        assert!(links.len() > 8, "{} has {} links", page.name, links.len());
        for link in links {
            let (address, part) = link.split_once('#').unwrap_or((&link, ""));
            let own = page.address.split('?').next().unwrap_or("");
            let address = if address.starts_with('?') {
                &format!("{own}{address}")
            } else {
                address
            };
            assert!(
                address.is_empty() || is_route(address),
                "{} leads to {link}, which is no page",
                page.name
            );
            let is_here = address.is_empty() || address == page.address;
            assert!(
                !is_here || part.is_empty() || ids.contains(part),
                "{} has no {link}",
                page.name
            );
        }
    }
}

fn is_route(address: &str) -> bool {
    if let Some(name) = address.strip_prefix("/assets/") {
        return asset::find(name).is_some();
    }
    let path = address.split('?').next().unwrap_or("");
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let is_number = |text: &str| text.parse::<u64>().is_ok();
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    match parts.as_slice() {
        ["" | "flows" | "runs" | "tables" | "look"] => path.starts_with('/'),
        ["flows" | "tables" | "why", name] => is_name(name),
        ["flows", name, "run" | "backfill"] | ["tables", name, "backfill"] => is_name(name),
        ["runs", run] | ["runs", run, "cancel"] => is_number(run),
        ["runs", run, "tasks", task, "attempts", number] | ["runs", run, "tasks", task, "attempts", number, "log"] => {
            [run, task, number].into_iter().all(|text| is_number(text))
        }
        _ => false,
    }
}

#[test]
fn no_page_weighs_more_than_it_may() {
    let mut weights: Vec<(usize, String)> = everything()
        .into_iter()
        .map(|page| (packed(page.html.as_bytes()), page.name))
        .collect();
    weights.sort();
    for (bytes, name) in &weights {
        assert!(*bytes <= PAGE_BYTES, "{name} weighs {bytes} bytes; all: {weights:?}");
    }
    let assets: usize = asset::all().iter().map(|asset| packed(asset.bytes)).sum();
    assert!(assets <= ASSET_BYTES, "style and script weigh {assets} bytes");
}

#[test]
fn nothing_on_a_page_needs_more_than_its_policy_allows() {
    for page in everything() {
        let html = &page.html;
        for forbidden in [
            " style=",
            "<style",
            "<iframe",
            "<object",
            "http-equiv",
            " onerror=",
            " onclick=",
        ] {
            let at = tags(html).find(|tag| bare(tag).contains(forbidden));
            assert!(at.is_none(), "{} has {forbidden}: {at:?}", page.name);
        }
        let scripts = tags(html).filter(|tag| tag.starts_with("<script"));
        assert!(
            scripts.clone().all(|tag| tag.contains(" src=\"/assets/")),
            "{} has a script of its own",
            page.name
        );
        assert_eq!(scripts.count(), 1, "{}", page.name);
    }
}

/// A tag without the values of its attributes; a value has no quote in it.
fn bare(tag: &str) -> String {
    tag.split('"').step_by(2).collect()
}

/// The tags of a page, without what stands between them. Values of attributes have no `>` in them.
fn tags(html: &str) -> impl Iterator<Item = &str> + Clone {
    html.match_indices('<')
        .filter_map(|(start, _)| html[start..].find('>').map(|end| &html[start..=start + end]))
}

#[test]
fn names_of_people_never_become_markup() {
    for page in everything() {
        for tag in tags(&page.html) {
            let name = tag
                .trim_start_matches(['<', '/'])
                .split([' ', '>', '/'])
                .next()
                .unwrap_or("");
            let is_ours = name.eq_ignore_ascii_case("!doctype") || OURS.contains(&name);
            assert!(is_ours, "{} has {tag}", page.name);
        }
    }
}

/// The elements that pages are made of. Hostile names are full of others.
const OURS: &[&str] = &[
    "html",
    "head",
    "meta",
    "title",
    "link",
    "script",
    "body",
    "header",
    "nav",
    "main",
    "footer",
    "section",
    "div",
    "p",
    "span",
    "a",
    "h1",
    "h2",
    "h3",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "b",
    "i",
    "em",
    "strong",
    "small",
    "bdi",
    "code",
    "pre",
    "kbd",
    "mark",
    "time",
    "table",
    "caption",
    "colgroup",
    "col",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "figure",
    "figcaption",
    "details",
    "summary",
    "form",
    "label",
    "input",
    "select",
    "option",
    "button",
    "dialog",
    "svg",
    "g",
    "path",
    "circle",
    "rect",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "defs",
    "pattern",
    "symbol",
    "use",
    "marker",
    "br",
    "hr",
    "foreignObject",
];

#[test]
fn every_tag_that_is_opened_is_closed_in_its_place() {
    const ALONE: &[&str] = &["!DOCTYPE", "meta", "link", "input"];
    for page in everything() {
        let mut open: Vec<&str> = Vec::new();
        for tag in tags(&page.html) {
            let name = tag
                .trim_start_matches(['<', '/'])
                .split([' ', '>'])
                .next()
                .unwrap_or("");
            if tag.starts_with("</") {
                assert_eq!(open.pop(), Some(name), "{} closes what is not open", page.name);
            } else if !ALONE.contains(&name) {
                open.push(name);
            }
        }
        assert!(open.is_empty(), "{} leaves {open:?} open", page.name);
    }
}

#[test]
fn an_id_stands_for_one_thing() {
    for page in everything() {
        let ids = values(&page.html, "id");
        let different: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), different.len(), "{}: {ids:?}", page.name);
        let live = tags(&page.html).filter(|tag| tag.contains(" data-live"));
        assert!(
            live.clone().all(|tag| tag.contains(" id=\"")),
            "{} has a live part without a name",
            page.name
        );
    }
}

#[test]
fn pages_speak_one_language() {
    for page in pages::all(Language::English, Theme::Dark) {
        if ![
            "today-well",
            "flows-empty",
            "why",
            "why-all",
            "form-cancel",
            "form-refused",
            "trouble",
        ]
        .contains(&page.name.as_str())
        {
            continue;
        }
        assert!(
            page.html.contains("<html lang=\"en\" data-theme=\"dark\">"),
            "{}",
            page.name
        );
        // The name of the program and of the other language are Korean on every page.
        let text = page.html.replace("물길", "").replace("한국어", "");
        let korean: String = text.chars().filter(|letter| ('가'..='힣').contains(letter)).collect();
        assert!(korean.is_empty(), "{} says {korean} in English", page.name);
    }
}

#[test]
fn a_cell_says_what_it_shows() {
    for page in everything() {
        for cell in page.html.split("<a class=\"c ").skip(1) {
            let (tag, rest) = cell.split_once('>').unwrap();
            // In a flow's grid the row and the column have names, and the cell says its state.
            let says = rest.split('<').next().unwrap();
            let label = values(tag, "aria-label");
            assert!(
                !says.is_empty() || label.first().is_some_and(|label| label.contains(", ")),
                "{}: {tag}",
                page.name
            );
        }
    }
    let table = everything().into_iter().find(|page| page.name == "table").unwrap();
    assert!(
        table
            .html
            .contains(r#"href="/why/reads_daily@2026-11-19" aria-label="2026-11-19, 구멍""#),
        "a hole is a link that says so"
    );
}

#[test]
fn a_form_does_what_the_page_told_and_sends_the_token() {
    let form = everything()
        .into_iter()
        .find(|page| page.name == "form-backfill")
        .unwrap();
    let (_, sent) = form.html.split_once("<form class=\"do\"").unwrap();
    let (sent, _) = sent.split_once("</form>").unwrap();
    let fields: Vec<(String, String)> = values(sent, "name").into_iter().zip(values(sent, "value")).collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        fields,
        [
            ("token", "d2hhdCBpcyBhIHRva2Vu"),
            ("seen", "9f2c"),
            ("from", "2026-11-18"),
            ("to", "2026-11-21"),
            ("only", "missing")
        ]
    );
    let (asked, _) = form.html.split_once("<form class=\"do\"").unwrap();
    assert!(
        !asked.contains("name=\"token\""),
        "what only asks again carries no token into an address"
    );
    let refused = everything()
        .into_iter()
        .find(|page| page.name == "form-refused")
        .unwrap();
    assert!(
        !refused.html.contains("class=\"main\""),
        "what is refused cannot be sent"
    );
}

/// Nobody knows what a wrong date means: not that there is nothing to do, and no command with the date in it.
#[test]
fn a_form_with_a_fault_says_the_fault_alone() {
    for page in everything().iter().filter(|page| page.name == "form-wrong-date") {
        assert!(page.html.contains("is no day"), "the fault is told");
        for what in ["There is nothing to do", "할 일이 없습니다", "mulgil backfill"] {
            assert!(!page.html.contains(what), "{what}");
        }
        assert_eq!(page.html.matches(r#"placeholder="2026-11-20""#).count(), 2);
    }
}

#[test]
fn why_says_that_a_number_is_a_run() {
    for page in everything().iter().filter(|page| page.name == "why-well") {
        let says = [">run 398</a>", ">실행 398</a>"];
        assert!(says.iter().any(|says| page.html.contains(says)));
    }
}

#[test]
fn the_foot_which_differs_each_time_comes_last() {
    for page in everything() {
        assert!(page.html.ends_with("</footer></body></html>"), "{}", page.name);
        assert_eq!(page.html.matches("<footer").count(), 1, "{}", page.name);
    }
}
