//! Style, script and picture of the pages: built into the program, and named by a hash of what is in them, so
//! that a browser keeps each for ever and never has an old one.

use std::sync::LazyLock;

/// One file for browsers.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its name, which stands behind `/assets/`: `app.0f3a….css`.
    pub name: String,
    /// Its address.
    pub href: String,
    /// What is in it.
    pub bytes: &'static [u8],
    /// As what it is sent.
    pub content_type: &'static str,
    /// The hash in its address, which serves as its `ETag` too.
    pub hash: String,
}

/// The style, one file an area, in this order.
const STYLES: &[&str] = &[
    include_str!("../assets/css/tokens.css"),
    include_str!("../assets/css/base.css"),
    include_str!("../assets/css/frame.css"),
    include_str!("../assets/css/mark.css"),
    include_str!("../assets/css/part.css"),
    include_str!("../assets/css/today.css"),
    include_str!("../assets/css/list.css"),
    include_str!("../assets/css/table.css"),
    include_str!("../assets/css/why.css"),
    include_str!("../assets/css/form.css"),
    include_str!("../assets/css/grid.css"),
    include_str!("../assets/css/run.css"),
    include_str!("../assets/css/log.css"),
];

/// The script, one file a concern; each keeps its names to itself.
const SCRIPTS: &[&str] = &[
    include_str!("../assets/js/frame.js"),
    include_str!("../assets/js/cells.js"),
    include_str!("../assets/js/live.js"),
    include_str!("../assets/js/keys.js"),
    include_str!("../assets/js/copy.js"),
    include_str!("../assets/js/grid.js"),
    include_str!("../assets/js/log.js"),
];

/// The script of the worker that holds the event stream for all tabs.
const STREAM: &[&str] = &[include_str!("../assets/js/stream.js")];

const ICON: &str = include_str!("../assets/icon.svg");

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        asset("app", "css", "text/css; charset=utf-8", STYLES),
        asset("app", "js", "text/javascript; charset=utf-8", SCRIPTS),
        asset("app", "svg", "image/svg+xml", &[ICON]),
        asset("stream", "js", "text/javascript; charset=utf-8", STREAM),
    ]
});

/// The asset of a name, which is what follows `/assets/`; nothing where no page of this program names it.
pub fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// All assets, so that a server can compress them once.
pub fn all() -> &'static [Asset] {
    &*ASSETS
}

/// The address of the style.
pub fn style() -> &'static str {
    &ASSETS[0].href
}

/// The address of the script.
pub fn script() -> &'static str {
    &ASSETS[1].href
}

/// The address of the picture in a browser's tab.
pub fn icon() -> &'static str {
    &ASSETS[2].href
}

/// The address of the worker that holds the event stream.
pub fn stream() -> &'static str {
    &ASSETS[3].href
}

fn asset(stem: &str, ending: &str, content_type: &'static str, parts: &[&str]) -> Asset {
    let text = parts.concat();
    let hash = blake3::hash(text.as_bytes()).to_hex()[..16].to_owned();
    let name = format!("{stem}.{hash}.{ending}");
    Asset {
        href: format!("/assets/{name}"),
        name,
        // They live as long as the program.
        bytes: Box::leak(text.into_bytes().into_boxed_slice()),
        content_type,
        hash,
    }
}

#[cfg(test)]
mod tests {
    use super::{all, find, style};

    #[test]
    fn an_asset_is_found_by_the_address_that_pages_name_and_by_no_other() {
        let asset = find(style().trim_start_matches("/assets/")).unwrap();
        assert!(asset.name.contains(&asset.hash) && asset.content_type.starts_with("text/css"));
        assert!(find("app.css").is_none());
        assert!(find("../Cargo.toml").is_none());
        assert_eq!(all().len(), 4);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in all() {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            // A style may point into itself; an address of another host or of data would be refused by the page's policy.
            let known = text.replace("http://www.w3.org/2000/svg", "");
            for forbidden in ["http:", "https:", "@import", "data:", "eval(", "new Function", "innerHTML"] {
                assert!(!known.contains(forbidden), "{} has {forbidden}", asset.name);
            }
        }
    }
}
