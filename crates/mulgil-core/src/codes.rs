//! Every error code, once, with its title. Each has a page `docs/error/MGnnnn.md`; `mulgil explain`
//! prints it. The first digit says who must act.

use crate::diagnostic::Code;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        $(#[doc = concat!("`MG", stringify!($number), "`.")] $(#[$doc])* pub const $name: Code = Code($number);)*
        /// Every code with its name in this file, in the order of numbers within each group.
        pub const ALL: &[(Code, &str)] = &[$((Code($number), stringify!($name))),*];
    };
}

// Rust reads 0001 as 1: the code prints as MG0001.
codes! {
    // --- MG0: what was typed -----------------------------------------------------------------
    /// Words or flags that the command does not know.
    USAGE = 0001;
    /// A node, run or interval that does not exist.
    NOT_FOUND = 0002;
    /// An interval that cannot be read.
    BAD_INTERVAL = 0003;
    /// A selector that cannot be read.
    BAD_SELECTOR = 0004;
    /// A key value that the node does not have.
    UNKNOWN_KEY_VALUE = 0005;
    /// A query that does not parse or names what is not there.
    BAD_QUERY = 0006;

    // --- MG1: project files --------------------------------------------------------------------

    // --- MG2: connections and logins -----------------------------------------------------------

    // --- MG3: data -----------------------------------------------------------------------------

    // --- MG4: runs -----------------------------------------------------------------------------

    // --- MG5: operation ------------------------------------------------------------------------

    // --- MG9: our bugs -------------------------------------------------------------------------
    /// Something that cannot happen has happened.
    BUG = 9001;
}
