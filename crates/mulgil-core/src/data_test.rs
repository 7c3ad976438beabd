//! What the number of rows that break a data test means: nothing, a warning, or a failure. Pure; how
//! the rows are found is not known here.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{diagnostic::Severity, project::DataTest};

/// How a count is compared with a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `=`.
    Equal,
    /// `!=`.
    Unequal,
    /// `>`.
    Above,
    /// `>=`.
    AtLeast,
    /// `<`.
    Below,
    /// `<=`.
    AtMost,
}

impl Comparison {
    /// Its sign, as in SQL.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

/// What a count of failing rows is held against: `> 10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// How.
    pub comparison: Comparison,
    /// The bound.
    pub count: u64,
}

impl Threshold {
    /// Any row at all.
    pub const ANY: Self = Self {
        comparison: Comparison::Unequal,
        count: 0,
    };

    /// Reads a comparison as SQL writes it: `>10`, `!= 0`, `>= 5`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.find(|letter: char| letter.is_ascii_digit())?;
        let comparison = match text[..digits].trim() {
            "=" | "==" => Comparison::Equal,
            "!=" | "<>" => Comparison::Unequal,
            ">" => Comparison::Above,
            ">=" => Comparison::AtLeast,
            "<" => Comparison::Below,
            "<=" => Comparison::AtMost,
            _ => return None,
        };
        let count = text[digits..].parse().ok()?;
        Some(Self { comparison, count })
    }

    /// Whether a count is what it speaks of.
    pub fn meets(self, count: u64) -> bool {
        match self.comparison {
            Comparison::Equal => count == self.count,
            Comparison::Unequal => count != self.count,
            Comparison::Above => count > self.count,
            Comparison::AtLeast => count >= self.count,
            Comparison::Below => count < self.count,
            Comparison::AtMost => count <= self.count,
        }
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self::ANY
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparison.sign(), self.count)
    }
}

/// From which counts on a data test warns and fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thresholds {
    /// When it warns.
    pub warn_if: Threshold,
    /// When it fails, where its severity lets it.
    pub error_if: Threshold,
}

impl Thresholds {
    /// Whether they are those of a test that says nothing about them.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What came of a data test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It held.
    Passed,
    /// It did not hold, and nothing waits for it.
    Warned,
    /// It did not hold, and readers wait until it does.
    Failed,
}

impl DataTest {
    /// What a count of rows that break it means. A test that only warns never fails; one that may
    /// fail warns below its error.
    pub fn judge(&self, failures: u64) -> Verdict {
        let fails = match self.severity {
            Severity::Error => self.thresholds.error_if.meets(failures),
            Severity::Warning => false,
        };
        if fails {
            Verdict::Failed
        } else if self.thresholds.warn_if.meets(failures) {
            Verdict::Warned
        } else {
            Verdict::Passed
        }
    }
}

/// What a count means for a test of that name. One that is not declared any more is judged as one
/// that says nothing: any row is a failure.
pub fn judge(declared: &[DataTest], name: &str, failures: u64) -> Verdict {
    match declared.iter().find(|test| test.name == name) {
        Some(test) => test.judge(failures),
        None if failures > 0 => Verdict::Failed,
        None => Verdict::Passed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::Place,
        project::{Fingerprint, TestKind},
    };

    fn test(severity: Severity, warn_if: &str, error_if: &str) -> DataTest {
        DataTest {
            name: "t".to_owned(),
            kind: TestKind::NotNull { column: "x".to_owned() },
            severity,
            thresholds: Thresholds {
                warn_if: Threshold::parse(warn_if).unwrap(),
                error_if: Threshold::parse(error_if).unwrap(),
            },
            fingerprint: Fingerprint::default(),
            place: Place::file("models/schema.yml"),
        }
    }

    #[test]
    fn a_threshold_is_read_and_printed() {
        let printed = |text: &str| Threshold::parse(text).map(|threshold| threshold.to_string());
        assert_eq!(printed(">10").as_deref(), Some("> 10"));
        assert_eq!(printed(" <> 0 ").as_deref(), Some("!= 0"));
        assert_eq!(printed("<=5").as_deref(), Some("<= 5"));
        assert_eq!(printed("= 1").as_deref(), Some("= 1"));
        for bad in ["", "10", ">", "> ten", "> 1 or 1", "between 1 and 2", ">-1"] {
            assert_eq!(printed(bad), None, "{bad}");
        }
        assert!(Threshold::parse(">= 2").unwrap().meets(2));
        assert!(!Threshold::parse("< 2").unwrap().meets(2));
    }

    #[test]
    fn a_count_passes_warns_or_fails() {
        let both = test(Severity::Error, "> 0", "> 10");
        assert_eq!([0, 1, 10, 11].map(|count| both.judge(count)), {
            use Verdict::{Failed, Passed, Warned};
            [Passed, Warned, Warned, Failed]
        });
        let gentle = test(Severity::Warning, "!= 0", "!= 0");
        assert_eq!(gentle.judge(99), Verdict::Warned);
        let late = test(Severity::Error, "> 100", "> 10");
        assert_eq!(late.judge(50), Verdict::Failed);
        assert_eq!(judge(&[both], "gone", 1), Verdict::Failed);
    }
}
