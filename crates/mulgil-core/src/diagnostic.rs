//! What we say when something is wrong: a code, what, where, why, and what to do.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// An error code: `MG1104`. The first digit says who must act: 0 what was typed, 1 a project file,
/// 2 a connection, 3 data, 4 a run, 5 operation, 9 our bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Code(pub u16);

impl Code {
    /// The process exit code that belongs to it when it is what ended a command.
    /// A run that reached its end with failures ends with 1 whatever their codes: the run says so.
    pub fn exit(self) -> u8 {
        match self.0 / 1000 {
            0 if self == crate::codes::NOT_FOUND => 5,
            0 => 2,
            1 => 3,
            2 => 4,
            3 | 4 => 1,
            5 => 6,
            _ => 70,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MG{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.to_string()
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.to_ascii_uppercase();
        let digits = digits.strip_prefix("MG").unwrap_or(&digits);
        digits
            .parse()
            .ok()
            .filter(|_| digits.len() == 4)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not an error code; codes look like MG1104"))
    }
}

/// Whether it stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is run until it is mended.
    Error,
    /// The work goes on.
    Warning,
}

/// A place in a file; line and column count from 1, the column in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path as people name it: from the project folder.
    pub file: PathBuf,
    /// Line, from 1; absent for the file as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column in characters, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Place {
    /// A place in a file.
    pub fn at(file: impl Into<PathBuf>, line: u32, column: u32) -> Self {
        Self {
            file: file.into(),
            line: Some(line),
            column: Some(column),
        }
    }

    /// A file as a whole.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// When a failed task may be tried again; decided where the failure arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// By itself, after a pause: a conflict, a file that changed while it was read.
    Later,
    /// The same input gives the same failure.
    Never,
    /// After somebody changed something outside: a full disk, a right that is missing.
    AfterHumanFix,
}

/// One fault, as people read it: `error[MG1104]: …`, the place, and a `do:` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// Whether it stops the work.
    pub severity: Severity,
    /// What is wrong and why: one sentence without a full stop.
    pub message: String,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Further places that belong to it, each with what is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<(Place, String)>,
    /// What to do.
    #[serde(rename = "do", default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// When a task that failed with it may be tried again.
    pub retry: Retry,
}

impl Diagnostic {
    /// An error with a code and a sentence.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            related: Vec::new(),
            remedy: None,
            retry: Retry::Never,
        }
    }

    /// A warning with a code and a sentence.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Names a further place.
    #[must_use]
    pub fn with_related(mut self, place: Place, what: impl Into<String>) -> Self {
        self.related.push((place, what.into()));
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says when it may be tried again.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n  --> {place}")?;
        }
        for (place, what) in &self.related {
            write!(f, "\n  --> {place}  {what}")?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\ndo: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}
