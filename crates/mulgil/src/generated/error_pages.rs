//! Written by `cargo xtask gen`.

/// Every error code with its page.
pub(crate) const PAGES: &[(u16, &str)] = &[
    (3, include_str!("../../../../docs/error/MG0003.md")),
    (2001, include_str!("../../../../docs/error/MG2001.md")),
    (3101, include_str!("../../../../docs/error/MG3101.md")),
    (3102, include_str!("../../../../docs/error/MG3102.md")),
    (3103, include_str!("../../../../docs/error/MG3103.md")),
    (3104, include_str!("../../../../docs/error/MG3104.md")),
    (3105, include_str!("../../../../docs/error/MG3105.md")),
    (3106, include_str!("../../../../docs/error/MG3106.md")),
    (3107, include_str!("../../../../docs/error/MG3107.md")),
    (3108, include_str!("../../../../docs/error/MG3108.md")),
    (3109, include_str!("../../../../docs/error/MG3109.md")),
];
