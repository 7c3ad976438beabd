//! The command line's side: finds the server of a data folder, hands a verb over, follows what it does.
//!
//! The token is only sent to a server that has proven to know it: a port that a killed server left may
//! be somebody else's by now.

mod dial;
mod follow;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use hyper::body::Incoming;
use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    port::Fault,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

pub use follow::Follow;

use crate::{
    app::{REQUEST_HEADER, VERSION_HEADER},
    control::{LogChunk, Refusal},
    event::Answer,
    exchange,
    presence::Presence,
    problem::Problem,
    random,
    token::Token,
    verb::{Target, Verb},
};
use dial::{Dialled, Missed};

/// Bytes of an answer at most, streams aside.
const ANSWER_BYTES: usize = 16 << 20;

/// How often a verb is sent over a new connection to the same server, when one broke.
const RESENT: u32 = 3;

/// How long the command line waits for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For one answer.
    pub answer: Duration,
    /// For a verb to be taken, over all answers that it is not done yet.
    pub verb: Duration,
    /// For the next line of a stream; the server says something at least every ten seconds.
    pub silence: Duration,
    /// For a server to come back while something of it is followed.
    pub lost: Duration,
    /// Before the first try to reach it again; twice as long before each further one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(35),
            verb: Duration::from_mins(10),
            silence: Duration::from_secs(35),
            lost: Duration::from_mins(2),
            pause: Duration::from_millis(100),
        }
    }
}

/// A server that was found.
#[derive(Clone, Debug)]
pub struct Client {
    data_dir: PathBuf,
    environment: String,
    version: String,
    presence: Presence,
    token: Token,
    patience: Patience,
}

/// Whether a server does its work.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Readiness {
    /// `ready`, or `not ready`.
    pub status: String,
    /// Why not, in words for programs.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Why not, in words for people.
    #[serde(default)]
    pub details: Vec<String>,
}

impl Readiness {
    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Client {
    /// The server of an environment, for a command line of a version; nothing where none is alive, also
    /// where one that was killed left its traces.
    ///
    /// # Errors
    /// [`codes::SERVER_GONE`] where there is one that does not answer; the codes of the token.
    pub async fn find(data_dir: &Path, environment: &str, version: &str) -> Result<Option<Self>, Fault> {
        Self::find_with(data_dir, environment, version, Patience::default()).await
    }

    /// As [`Self::find`], with a patience of its own.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn find_with(
        data_dir: &Path,
        environment: &str,
        version: &str,
        patience: Patience,
    ) -> Result<Option<Self>, Fault> {
        let Some((presence, token)) = dial::traces(data_dir, environment)? else {
            return Ok(None);
        };
        match dial::dial(&presence, &token, version, patience.connect).await {
            Ok(_) => {}
            Err(Missed::Nobody) => return Ok(None),
            Err(Missed::Silent) => return Err(silent(&presence)),
        }
        Ok(Some(Self {
            data_dir: data_dir.to_owned(),
            environment: environment.to_owned(),
            version: version.to_owned(),
            presence,
            token,
            patience,
        }))
    }

    /// Where it is and which one it is.
    pub fn presence(&self) -> &Presence {
        &self.presence
    }

    /// Hands a verb over. The same verb is done once, however often the connection breaks.
    ///
    /// # Errors
    /// What the server refused it with, as it was; [`codes::SERVER_GONE`] where nothing was asked,
    /// [`codes::OUTCOME_UNKNOWN`] where it is not known whether it was done.
    pub async fn send(&self, verb: &Verb) -> Result<Answer, Refusal> {
        let request = random::hex(&random::secret()?);
        let body = Bytes::from(serde_json::to_vec(verb).unwrap_or_default());
        let until = Instant::now() + self.patience.verb;
        let mut broken = 0;
        loop {
            let mut dialled = match self.dial().await {
                Ok(dialled) => dialled,
                Err(_) if broken > 0 => return Err(self.unknown().into()),
                Err(Missed::Nobody | Missed::Silent) => return Err(silent(&self.presence).into()),
            };
            let extra = [(REQUEST_HEADER, request.as_str())];
            let asked = dialled.ask(Method::POST, "/api/v1/verbs", &extra, body.clone());
            let answered = tokio::time::timeout(self.patience.answer, asked).await;
            match answered {
                Ok(Ok(response)) if response.status() == StatusCode::ACCEPTED => {
                    if Instant::now() > until {
                        return Err(self.unknown().into());
                    }
                }
                Ok(Ok(response)) => return self.read(response).await,
                Ok(Err(_)) | Err(_) if broken < RESENT => broken += 1,
                Ok(Err(_)) | Err(_) => return Err(self.unknown().into()),
            }
        }
    }

    /// Follows a run or a backfill from an event on; the first is 1.
    pub fn follow(&self, target: Target, from: u64) -> Follow {
        Follow::new(self.clone(), target, from)
    }

    /// Some of an attempt's log from a byte on, waiting for more where there is none yet.
    ///
    /// # Errors
    /// What the server refused it with; [`codes::SERVER_GONE`].
    pub async fn log_tail(&self, attempt: i64, from: u64, wait: Duration) -> Result<LogChunk, Fault> {
        let seconds = wait.as_secs();
        self.get(
            &format!("/api/v1/attempts/{attempt}/log?from={from}&wait={seconds}"),
            StatusCode::OK,
        )
        .await
    }

    /// Whether it does its work, and why not.
    ///
    /// # Errors
    /// [`codes::SERVER_GONE`].
    pub async fn readiness(&self) -> Result<Readiness, Fault> {
        self.get("/readyz", StatusCode::SERVICE_UNAVAILABLE).await
    }

    /// Reads something; a status is taken for an answer besides 200.
    async fn get<T: DeserializeOwned>(&self, path: &str, also: StatusCode) -> Result<T, Fault> {
        let ask = async {
            let mut dialled = self.dial().await.ok()?;
            let response = dialled.ask(Method::GET, path, &[], Bytes::new()).await.ok()?;
            if response.status() == also {
                return Some(self.decode(response).await);
            }
            Some(self.read(response).await.map_err(|refusal| refusal.fault))
        };
        match tokio::time::timeout(self.patience.answer, ask).await {
            Ok(Some(answer)) => answer,
            Ok(None) | Err(_) => Err(silent(&self.presence)),
        }
    }

    /// A connection to this very start of the server.
    async fn dial(&self) -> Result<Dialled, Missed> {
        dial::dial(&self.presence, &self.token, &self.version, self.patience.connect).await
    }

    /// What an answer says, or why it was refused.
    async fn read<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Refusal> {
        let status = response.status();
        if status == StatusCode::OK {
            return self.decode(response).await.map_err(Refusal::from);
        }
        let problem: Problem = self.decode(response).await?;
        Err(problem.into_refusal())
    }

    async fn decode<T: DeserializeOwned>(&self, response: Response<Incoming>) -> Result<T, Fault> {
        let version = response
            .headers()
            .get(VERSION_HEADER)
            .and_then(|version| version.to_str().ok());
        let version = version.unwrap_or("unknown").to_owned();
        let all = exchange::all_of(response.into_body(), ANSWER_BYTES).await;
        let bytes = all.ok_or_else(|| silent(&self.presence))?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_understood(&version, &error))
    }

    /// The server said something that this version does not know.
    fn not_understood(&self, theirs: &str, error: &serde_json::Error) -> Fault {
        let ours = &self.version;
        let fault = Diagnostic::error(
            codes::OTHER_VERSION,
            format!(
                "the server is mulgil {theirs}, the command line is mulgil {ours}, and the command line does not \
                 understand what it was answered: {error}"
            ),
        );
        Box::new(fault.with_remedy("use the version of the server, or start the server with this version"))
    }

    fn unknown(&self) -> Fault {
        let fault = Diagnostic::error(
            codes::OUTCOME_UNKNOWN,
            format!(
                "the connection to the server at {} broke before it said whether it did what it was asked",
                self.presence.address
            ),
        );
        Box::new(
            fault
                .with_remedy("look at `mulgil runs ls` or `mulgil backfill ls` before you ask again")
                .with_retry(Retry::AfterHumanFix),
        )
    }
}

fn silent(presence: &Presence) -> Fault {
    let fault = Diagnostic::error(
        codes::SERVER_GONE,
        format!(
            "the server at {} (process {}) does not answer",
            presence.address, presence.pid
        ),
    );
    Box::new(
        fault
            .with_remedy(format!(
                "try again in a moment; if it stays so, look at process {} and end it",
                presence.pid
            ))
            .with_retry(Retry::Later),
    )
}
