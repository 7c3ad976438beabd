//! The list of keys.

use super::{Text, text};

/// Its heading.
pub const KEYS: Text = text("단축키", "Keys");
/// The switch.
pub const ON: Text = text("단축키 쓰기", "Use keys");
/// Closes the list.
pub const CLOSE: Text = text("닫기", "Close");

/// Each key and what it does.
pub const ALL: [(&str, Text); 8] = [
    ("g t", text("오늘", "Today")),
    ("g f", text("플로", "Flows")),
    ("g r", text("실행", "Runs")),
    ("g b", text("테이블", "Tables")),
    ("/", text("찾기", "Search")),
    ("← ↑ ↓ →", text("격자의 칸 사이로", "Between the cells of a grid")),
    ("Home End", text("격자 줄의 처음과 끝으로", "To the first and last cell of a row")),
    ("?", text("이 목록", "This list")),
];
