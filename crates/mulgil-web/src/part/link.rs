//! Names of people's own things and links to them. Such a name may be of any length and in any script, so it is
//! cut, escaped, and kept from turning the text around it.

use std::borrow::Cow;

use maud::{Markup, html};

use crate::{address, view::Link};

/// Letters of a name that a page shows.
pub const NAME_SHOWN: usize = 120;

/// A link, or its text where it leads nowhere.
pub fn link(link: &Link) -> Markup {
    to(link.href.as_deref(), &name(&link.text))
}

/// Something that leads to an address of this server; as it is where there is none.
pub fn to(href: Option<&str>, what: &Markup) -> Markup {
    match href.filter(|href| address::is_local(href)) {
        Some(href) => html! { a href=(href) { (what) } },
        None => what.clone(),
    }
}

/// A name.
pub fn name(text: &str) -> Markup {
    html! { bdi { (cut(text, NAME_SHOWN)) } }
}

/// A name in letters of one width: a column, a file, a relation.
pub fn code(text: &str) -> Markup {
    html! { code { bdi { (cut(text, NAME_SHOWN)) } } }
}

/// Free text of a person, cut to so many letters.
pub fn free(text: &str, letters: usize) -> Markup {
    html! { bdi { (cut(text, letters)) } }
}

/// A text's first letters, with `…` where it has more.
pub fn cut(text: &str, letters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(letters) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::{cut, link};
    use crate::view::Link;

    #[test]
    fn a_name_stays_a_name() {
        let hostile = Link {
            text: "<script>alert(1)</script>".into(),
            href: Some("javascript:alert(1)".into()),
        };
        assert_eq!(
            link(&hostile).into_string(),
            "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"
        );
    }

    #[test]
    fn what_is_too_long_is_cut_between_letters() {
        assert_eq!(cut("가나다", 2), "가나…");
        assert_eq!(cut("가나", 2), "가나");
    }
}
