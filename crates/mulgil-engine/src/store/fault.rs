//! What object stores answer, as coded faults. Only the store's own short codes are taken over:
//! whole answers may hold parts of the request, and with them what nobody may see.

use std::error::Error as StdError;

use mulgil_core::{
    codes,
    diagnostic::{Diagnostic, Retry},
    location::StoreKind,
    port::Fault,
};
use object_store::{
    Error,
    client::{HttpError, HttpErrorKind},
};

/// Errors that a chain may have; a guard against one that leads back into itself.
const MAX_CHAIN: usize = 32;

/// The longest code that is taken for one.
const LONGEST_CODE: usize = 48;

/// Where machines in a cloud ask for the credentials of their role.
const ROLE_HOSTS: [&str; 3] = ["169.254.169.254", "169.254.170.2", "metadata.google.internal"];

/// Codes of the stores that mean a bucket which is not there.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// Codes and words that mean credentials which are wrong or no longer right.
const DENIED: [&str; 7] = [
    "ExpiredToken",
    "InvalidToken",
    "InvalidIdentityToken",
    "TokenRefreshRequired",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
];

/// Codes and words that mean a bucket in another region.
const OTHER_REGION: [&str; 4] = [
    "AuthorizationHeaderMalformed",
    "PermanentRedirect",
    "IllegalLocationConstraintException",
    "incorrectly configured region",
];

/// Where something was asked for, as faults name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Whose store.
    pub(super) kind: StoreKind,
    /// The bucket's name.
    pub(super) bucket: &'a str,
    /// What was asked for, as a URL.
    pub(super) place: &'a str,
    /// Where the store is, if it is not the provider's own.
    pub(super) endpoint: Option<&'a str>,
}

/// The fault of an answer; nothing where it only says what is there and what is not, which whoever
/// asked has to judge.
pub(super) fn of(error: &Error, asked: Asked<'_>) -> Option<Fault> {
    let text = chain(error).map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let is_asking_for_role = ROLE_HOSTS.iter().any(|host| text.contains(host));
    match error {
        Error::NotFound { .. } if is_no_bucket(&text) => Some(no_bucket(asked)),
        Error::NotFound { .. }
        | Error::AlreadyExists { .. }
        | Error::Precondition { .. }
        | Error::NotModified { .. } => None,
        _ if is_asking_for_role => Some(no_credentials(asked.kind)),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Some(denied(asked, &text)),
        _ if is_no_bucket(&text) => Some(no_bucket(asked)),
        _ if OTHER_REGION.iter().any(|word| text.contains(word)) => Some(other_region(asked)),
        _ if DENIED.iter().any(|code| text.contains(code)) => Some(denied(asked, &text)),
        _ => Some(match broken_connection(error) {
            Some(why) => unreachable(asked, &why),
            None => failed(asked, &text),
        }),
    }
}

/// No credentials were found in any place.
pub(super) fn no_credentials(kind: StoreKind) -> Fault {
    let remedy = match kind {
        StoreKind::S3 => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials with AWS_PROFILE"
        }
        StoreKind::Gcs => "set GOOGLE_SERVICE_ACCOUNT to a key file, or run `gcloud auth application-default login`",
        StoreKind::Azure => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or log in with `az login`",
    };
    let message = format!(
        "no credentials for {} were found: not in the environment, not in a profile, and this machine has no role",
        kind.title()
    );
    human(Diagnostic::error(codes::NO_CREDENTIALS, message).with_remedy(remedy))
}

/// A profile that cannot be used.
pub(super) fn unusable_profile(what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    human(Diagnostic::error(codes::NO_CREDENTIALS, what).with_remedy(remedy))
}

/// The store does not heed the condition on which a commit rests.
pub(super) fn unsafe_store(place: &str) -> Fault {
    human(
        Diagnostic::error(
            codes::STORE_UNSAFE,
            format!(
                "the store of {place} does not heed `If-None-Match`: two commits of one table would write over each other"
            ),
        )
        .with_remedy("use a store that refuses to write over what is there, or keep the warehouse in a folder"),
    )
}

/// An endpoint without TLS that nobody has allowed.
pub(super) fn plain_http(endpoint: &str) -> Fault {
    human(
        Diagnostic::error(
            codes::STORE_UNREACHABLE,
            format!("the endpoint {endpoint} has no TLS, and nobody has allowed that"),
        )
        .with_remedy("write `https://`; or, where everyone on the way may read the data, `allow_http: true`"),
    )
}

/// The store cannot be spoken to as it is set.
pub(super) fn unusable(place: &str, error: &Error) -> Fault {
    let text = chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let message = if text.contains("SecretAccessKey") || text.contains("AccessKeyId") {
        "one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set, and the other is not".to_owned()
    } else {
        format!("what is set for the store of {place} cannot be used")
    };
    let remedy =
        "look at the AWS_…, GOOGLE_… or AZURE_… variables of the environment; the guide to object stores names them";
    human(Diagnostic::error(codes::NO_CREDENTIALS, message).with_remedy(remedy))
}

fn no_bucket(asked: Asked<'_>) -> Fault {
    human(
        Diagnostic::error(
            codes::BUCKET_MISSING,
            format!("{} has no bucket `{}`{}", asked.kind.title(), asked.bucket, at(asked)),
        )
        .with_remedy("correct the name, or make the bucket first"),
    )
}

fn denied(asked: Asked<'_>, text: &str) -> Fault {
    human(
        Diagnostic::error(
            codes::STORE_DENIED,
            format!(
                "{} refuses access to {}{}",
                asked.kind.title(),
                asked.place,
                in_brackets(text)
            ),
        )
        .with_remedy("check the credentials and what they may do there: list, read, write and delete"),
    )
}

fn other_region(asked: Asked<'_>) -> Fault {
    human(
        Diagnostic::error(
            codes::STORE_DENIED,
            format!(
                "the bucket `{}` of {} lies in another region",
                asked.bucket, asked.place
            ),
        )
        .with_remedy("write its `region`, or set AWS_REGION"),
    )
}

fn unreachable(asked: Asked<'_>, why: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::STORE_UNREACHABLE,
            format!("{} cannot be reached{}: {why}", asked.place, at(asked)),
        )
        .with_remedy("check the network and `endpoint`")
        .with_retry(Retry::Later),
    )
}

fn failed(asked: Asked<'_>, text: &str) -> Fault {
    Box::new(
        Diagnostic::error(
            codes::STORE_FAILED,
            format!("{} failed at {}{}", asked.kind.title(), asked.place, in_brackets(text)),
        )
        .with_remedy("nothing at first: it is tried again by itself; if it stays so, look at the store's own status")
        .with_retry(Retry::Later),
    )
}

/// Where the store is, for the middle of a sentence.
fn at(asked: Asked<'_>) -> String {
    asked
        .endpoint
        .map(|endpoint| format!(" at {endpoint}"))
        .unwrap_or_default()
}

fn human(diagnostic: Diagnostic) -> Fault {
    Box::new(diagnostic.with_retry(Retry::AfterHumanFix))
}

fn is_no_bucket(text: &str) -> bool {
    NO_BUCKET.iter().any(|code| text.contains(code)) || text.contains("bucket does not exist")
}

/// Whether the store says that it does not know what it was asked to do.
pub(super) fn is_unknown_request(error: &Error) -> bool {
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || chain(error).any(|error| {
            let text = error.to_string();
            text.contains("<Code>NotImplemented</Code>") || text.contains("501 Not Implemented")
        })
}

/// The code that a store gives, ` (SlowDown)`, or the status of its answer; nothing where neither is.
fn in_brackets(text: &str) -> String {
    let between = |open: &str, close: &str| {
        let rest = &text[text.find(open)? + open.len()..];
        Some(&rest[..rest.find(close)?])
    };
    let is_code = |code: &&str| {
        !code.is_empty() && code.len() <= LONGEST_CODE && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let status = || {
        let status = between("status code: ", ":")?;
        let is_plain = status.len() <= LONGEST_CODE && status.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
        is_plain.then_some(status)
    };
    match between("<Code>", "</Code>").filter(is_code).or_else(status) {
        Some(code) => format!(" ({code})"),
        None => String::new(),
    }
}

/// Why there was no answer, if there was none.
fn broken_connection(error: &Error) -> Option<String> {
    let http = chain(error).find_map(|error| error.downcast_ref::<HttpError>())?;
    let why = match http.kind() {
        HttpErrorKind::Timeout => "it did not answer in time",
        HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection broke off",
        HttpErrorKind::Decode => "its answer cannot be read",
        _ => {
            let io = chain(http).find_map(|error| error.downcast_ref::<std::io::Error>());
            match io.map(std::io::Error::kind) {
                Some(std::io::ErrorKind::ConnectionRefused) => "the connection was refused",
                Some(std::io::ErrorKind::TimedOut) => "it did not answer in time",
                Some(std::io::ErrorKind::InvalidData) => "TLS did not come about",
                _ if chain(http).any(|error| error.to_string().contains("dns error")) => "its name does not resolve",
                _ => "no connection came about",
            }
        }
    };
    Some(why.to_owned())
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source()).take(MAX_CHAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked {
        kind: StoreKind::S3,
        bucket: "lake",
        place: "s3://lake/wh",
        endpoint: None,
    };

    fn generic(text: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    fn said(error: &Error) -> (String, String) {
        let fault = of(error, ASKED).unwrap();
        (fault.code.to_string(), fault.message.clone())
    }

    #[test]
    fn answers_become_codes_and_keep_their_secrets() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code>\
                    <StringToSign>AWS4 hunter2</StringToSign></Error>";
        let denied_error = Error::PermissionDenied {
            path: "wh".to_owned(),
            source: body.into(),
        };
        let (code, message) = said(&denied_error);
        assert_eq!(code, "MG2101");
        assert_eq!(message, "S3 refuses access to s3://lake/wh (SignatureDoesNotMatch)");
        let slow = "Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>";
        assert_eq!(
            said(&generic(slow)),
            ("MG5201".to_owned(), "S3 failed at s3://lake/wh (SlowDown)".to_owned())
        );
        let odd = "Server returned non-2xx status code: 500 Internal Server Error: <Code>a b; c</Code>";
        assert_eq!(
            said(&generic(odd)).1,
            "S3 failed at s3://lake/wh (500 Internal Server Error)"
        );
        let missing = Error::NotFound {
            path: "wh".to_owned(),
            source: "<Code>NoSuchBucket</Code>".into(),
        };
        assert_eq!(said(&missing).0, "MG2104");
        let role = "Error performing PUT http://169.254.169.254/latest/api/token in 1s";
        assert_eq!(said(&generic(role)).0, "MG2102");
        assert_eq!(
            said(&generic("normally indicates an incorrectly configured region")).0,
            "MG2101"
        );
    }

    #[test]
    fn what_is_there_and_what_is_not_is_no_fault() {
        let source = || "<Code>NoSuchKey</Code>".into();
        let path = || "wh/x".to_owned();
        assert!(
            of(
                &Error::NotFound {
                    path: path(),
                    source: source()
                },
                ASKED
            )
            .is_none()
        );
        assert!(
            of(
                &Error::AlreadyExists {
                    path: path(),
                    source: source()
                },
                ASKED
            )
            .is_none()
        );
    }

    #[test]
    fn connections_that_fail_say_how() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = Error::Generic {
            store: "S3",
            source: Box::new(HttpError::new(HttpErrorKind::Connect, refused)),
        };
        assert_eq!(
            said(&error),
            (
                "MG2103".to_owned(),
                "s3://lake/wh cannot be reached: the connection was refused".to_owned()
            )
        );
    }
}
