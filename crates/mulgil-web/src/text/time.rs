//! Spans of time in words.

use crate::look::Language;

/// A part of a span: `3분`, `3 min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Days.
    Day,
    /// Hours.
    Hour,
    /// Minutes.
    Minute,
    /// Seconds.
    Second,
}

/// `3분`, `3 min`.
pub fn span(amount: impl std::fmt::Display, unit: Unit, language: Language) -> String {
    match language {
        Language::Korean => {
            let unit = match unit {
                Unit::Day => "일",
                Unit::Hour => "시간",
                Unit::Minute => "분",
                Unit::Second => "초",
            };
            format!("{amount}{unit}")
        }
        Language::English => {
            let unit = match unit {
                Unit::Day => "d",
                Unit::Hour => "h",
                Unit::Minute => "min",
                Unit::Second => "s",
            };
            format!("{amount} {unit}")
        }
    }
}

/// `3분 전`, `3 min ago`.
pub fn ago(span: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{span} 전"),
        Language::English => format!("{span} ago"),
    }
}

/// `3분 뒤`, `in 3 min`.
pub fn ahead(span: &str, language: Language) -> String {
    match language {
        Language::Korean => format!("{span} 뒤"),
        Language::English => format!("in {span}"),
    }
}

/// What is less than a second away.
pub const fn just_now(language: Language) -> &'static str {
    match language {
        Language::Korean => "방금",
        Language::English => "just now",
    }
}

/// Days of the week from Monday, as short as they are written.
pub const fn weekdays(language: Language) -> [&'static str; 7] {
    match language {
        Language::Korean => ["월", "화", "수", "목", "금", "토", "일"],
        Language::English => ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
    }
}

/// A month's name, from 1, as short as it is written.
pub fn month(month: i8, language: Language) -> String {
    match language {
        Language::Korean => format!("{month}월"),
        Language::English => {
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let at = usize::try_from(month - 1).unwrap_or(0).min(11);
            names[at].to_owned()
        }
    }
}
