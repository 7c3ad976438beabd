//! The list of keys, which the script opens; without a script there are no keys and nothing to see.

use maud::{Markup, html};

use crate::{look::Language, text::keys as words};

/// The list.
pub fn dialog(language: Language) -> Markup {
    html! {
        dialog .keys #keys aria-labelledby="keys-name" {
            h2 #keys-name { (words::KEYS.of(language)) }
            dl {
                @for (keys, what) in words::ALL {
                    dt { @for key in keys.split(' ') { kbd { (key) } " " } }
                    dd { (what.of(language)) }
                }
            }
            form method="dialog" {
                label { input type="checkbox" data-keys-on checked; " " (words::ON.of(language)) }
                button { (words::CLOSE.of(language)) }
            }
        }
    }
}
