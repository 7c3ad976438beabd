//! Every code is explained: what it means, why it comes, and what to do.

use std::thread;

use mulgil_core::codes;

use crate::harness::Place;

/// Pages that are asked for at once.
const AT_ONCE: usize = 4;

#[test]
fn every_code_has_a_page_that_says_what_why_and_what_to_do() {
    let numbers: Vec<u16> = codes::ALL.iter().map(|(code, _)| code.0).collect();
    thread::scope(|scope| {
        for part in numbers.chunks(numbers.len().div_ceil(AT_ONCE)) {
            scope.spawn(move || part.iter().for_each(|number| is_explained(*number)));
        }
    });
}

#[track_caller]
fn is_explained(number: u16) {
    let code = format!("MG{number:04}");
    let page = Place::of("").mulgil(&["explain", &code]).ends_with(0).stdout;
    let (title, rest) = page.split_once('\n').unwrap();
    assert!(
        title.starts_with(&format!("# {code}: ")) && title.len() > 12,
        "{code}: {title}"
    );
    let part = |heading: &str| {
        let (_, after) = rest
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("{code} has no `{heading}`"));
        after.split("\n## ").next().unwrap().trim().to_owned()
    };
    let meaning = rest.split("\n## ").next().unwrap().split("```").next().unwrap().trim();
    for (what, text) in [
        ("meaning", meaning),
        ("why", &part("Why")),
        ("remedy", &part("What to do")),
    ] {
        let is_sentence = text.len() >= 15 && (text.ends_with(['.', ':', '`', '|']) || text.contains(". "));
        assert!(is_sentence, "{code}: its {what} is no sentence: {text}");
    }
}

#[test]
fn a_code_is_found_however_it_is_typed() {
    let place = Place::of("");
    let page = place.mulgil(&["explain", "MG5101"]).ends_with(0).stdout;
    for typed in ["mg5101", "5101", "Mg5101"] {
        assert_eq!(place.mulgil(&["explain", typed]).ends_with(0).stdout, page, "{typed}");
    }
}

#[test]
fn what_is_no_code_is_told_with_the_one_that_is_near() {
    let place = Place::of("");
    // Of the wrong form: what was pasted with its brackets, a letter too much, a digit too few.
    for (typed, near) in [
        ("error[MG1104]:", "MG1104"),
        ("MGG5101", "MG5101"),
        ("MG510l", "MG510"),
        ("MG-5102", "MG5102"),
    ] {
        let told = place
            .mulgil(&["explain", typed])
            .ends_with(2)
            .says("MG0001")
            .says("is not an error code");
        assert!(
            told.stderr.contains(&format!("write `mulgil explain {near}")),
            "{typed}: {}",
            told.stderr
        );
    }
    place
        .mulgil(&["explain", "everything"])
        .ends_with(2)
        .says("without a code lists all");
    // Of the right form, and not there: the nearest of what it is about.
    place
        .mulgil(&["explain", "MG5109"])
        .ends_with(5)
        .says("there is no error MG5109")
        .says("write `mulgil explain MG5107`");
    place
        .mulgil(&["explain", "MG7777"])
        .ends_with(5)
        .says("without a code lists all");
}
