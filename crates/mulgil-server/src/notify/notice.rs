//! What a notice says: the JSON that webhooks get.

use mulgil_core::run::RunState;
use serde::{Deserialize, Serialize};

/// The version of [`Notice`]'s form. What is added later is optional.
pub const NOTICE_VERSION: u32 = 1;

/// One notice. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`NOTICE_VERSION`].
    pub version: u32,
    /// Digits by which a webhook knows a notice that comes twice.
    pub id: String,
    /// What it is about.
    pub event: Occasion,
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// The flow; none for models by themselves.
    pub flow: Option<String>,
    /// The run.
    pub run: Option<i64>,
    /// The interval.
    pub interval: Option<Span>,
    /// When it was due.
    pub scheduled_at: Option<jiff::Timestamp>,
    /// When it began.
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    pub ended_at: Option<jiff::Timestamp>,
    /// How it stands.
    pub state: RunState,
    /// The step that failed, or waits.
    pub step: Option<String>,
    /// The code of the failure: `MG3005`.
    pub code: Option<String>,
    /// What happened, in a sentence.
    pub message: String,
    /// Where to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// `on_failure`.
    Failure,
    /// `on_success`.
    Success,
    /// `on_recovery`: the first success after failures.
    Recovery,
    /// A deadline passed.
    Deadline,
    /// A run or a step waits for a person.
    Approval,
    /// Somebody tries out whether notices arrive.
    Test,
}

impl Occasion {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Success => "success",
            Self::Recovery => "recovery",
            Self::Deadline => "deadline",
            Self::Approval => "approval",
            Self::Test => "test",
        }
    }
}

/// An interval: half-open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its first moment, with the offset of the flow's zone: `2026-11-20T00:00:00+09:00`.
    pub start: String,
    /// The first moment after it.
    pub end: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_form_stays() {
        let notice = Notice {
            version: NOTICE_VERSION,
            id: "7".to_owned(),
            event: Occasion::Failure,
            project: "shop".to_owned(),
            environment: "prod".to_owned(),
            flow: Some("daily".to_owned()),
            run: Some(4),
            interval: Some(Span {
                start: "2026-11-19T00:00:00+09:00".to_owned(),
                end: "2026-11-20T00:00:00+09:00".to_owned(),
            }),
            scheduled_at: "2026-11-19T20:00:00Z".parse().ok(),
            started_at: "2026-11-19T20:00:01Z".parse().ok(),
            ended_at: None,
            state: RunState::Failed,
            step: Some("load".to_owned()),
            code: Some("MG3005".to_owned()),
            message: "a cast failed".to_owned(),
            link: None,
        };
        let text = serde_json::to_string(&notice).unwrap();
        assert_eq!(
            text,
            "{\"version\":1,\"id\":\"7\",\"event\":\"failure\",\"project\":\"shop\",\"environment\":\"prod\",\
             \"flow\":\"daily\",\"run\":4,\"interval\":{\"start\":\"2026-11-19T00:00:00+09:00\",\
             \"end\":\"2026-11-20T00:00:00+09:00\"},\"scheduled_at\":\"2026-11-19T20:00:00Z\",\
             \"started_at\":\"2026-11-19T20:00:01Z\",\"ended_at\":null,\"state\":\"failed\",\"step\":\"load\",\
             \"code\":\"MG3005\",\"message\":\"a cast failed\"}"
        );
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
        let word = serde_json::to_value(Occasion::Approval).unwrap();
        assert_eq!(word, Occasion::Approval.as_str());
    }
}
