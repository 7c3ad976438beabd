//! The profiles of `~/.aws/credentials` and `~/.aws/config`, as far as they hold credentials. How to
//! get credentials elsewhere, which a profile may also say, is left to the tools that do it.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use mulgil_core::{environment::Environment, port::Fault};

use super::fault;

/// The profile that counts when nobody names one.
const DEFAULT: &str = "default";

/// Keys of a profile that say how credentials are got, which is not done here.
const LOGINS: [&str; 6] = [
    "sso_session",
    "sso_start_url",
    "credential_process",
    "source_profile",
    "credential_source",
    "login_session",
];

/// Sections of a file by name, each with its keys.
type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// What one profile says. Its debug form shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// The key pair, and the session token where there is one.
    pub(super) keys: Option<Keys>,
    /// The role to take on with the token of a file.
    pub(super) web_identity: Option<WebIdentity>,
    /// The region.
    pub(super) region: Option<String>,
    /// Where the store is.
    pub(super) endpoint: Option<String>,
}

/// Credentials as they are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

/// A role that the token of a file may take on.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WebIdentity {
    pub(super) token_file: String,
    pub(super) role: String,
    pub(super) session: Option<String>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile")
    }
}

impl Profile {
    /// The profile that the environment names, or the default one; empty where there is none and
    /// nobody named one.
    pub(super) fn of(environment: &Environment) -> Result<Self, Fault> {
        let named = named(environment);
        let name = named.unwrap_or(DEFAULT);
        let file = |variable: &str, name: &str| -> Option<PathBuf> {
            match environment.get(variable) {
                Some(path) => Some(path.into()),
                None => Some(environment.home()?.join(".aws").join(name)),
            }
        };
        let (credentials, config) = (
            file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            file("AWS_CONFIG_FILE", "config"),
        );
        let mut keys = BTreeMap::new();
        let mut is_there = false;
        // What the file of credentials says counts more.
        for (path, section) in [(&config, in_config(name)), (&credentials, name.to_owned())] {
            if let Some(found) = path.as_deref().map(read).transpose()?.flatten()
                && let Some(section) = found.get(&section)
            {
                is_there = true;
                keys.extend(section.clone());
            }
        }
        if !is_there && named.is_some() {
            return Err(fault::unusable_profile(
                format!("there is no profile `{name}`, which AWS_PROFILE names, in the files of ~/.aws"),
                "correct AWS_PROFILE; `aws configure list-profiles` lists those that there are",
            ));
        }
        Self::from_keys(name, &keys, named.is_some())
    }

    fn from_keys(name: &str, keys: &BTreeMap<String, String>, is_named: bool) -> Result<Self, Fault> {
        let get = |key: &str| keys.get(key).filter(|value| !value.is_empty()).cloned();
        let pair = get("aws_access_key_id").zip(get("aws_secret_access_key"));
        let profile = Self {
            keys: pair.map(|(id, secret)| Keys {
                id,
                secret,
                token: get("aws_session_token"),
            }),
            web_identity: get("web_identity_token_file")
                .zip(get("role_arn"))
                .map(|(token_file, role)| WebIdentity {
                    token_file,
                    role,
                    session: get("role_session_name"),
                }),
            region: get("region"),
            endpoint: get("endpoint_url"),
        };
        let holds_any = profile.keys.is_some() || profile.web_identity.is_some();
        match LOGINS.iter().find(|login| keys.contains_key(**login)) {
            Some(login) if !holds_any && is_named => Err(fault::unusable_profile(
                format!("the profile `{name}` holds no credentials; it says by `{login}` how to get some"),
                format!(
                    "let its own tool do that: `eval \"$(aws configure export-credentials --profile {name} --format env)\"`"
                ),
            )),
            Some(_) | None => Ok(profile),
        }
    }
}

/// The profile that the environment names.
pub(super) fn named(environment: &Environment) -> Option<&str> {
    environment
        .get("AWS_PROFILE")
        .or_else(|| environment.get("AWS_DEFAULT_PROFILE"))
}

/// The name of a profile's section in `~/.aws/config`.
fn in_config(name: &str) -> String {
    if name == DEFAULT {
        name.to_owned()
    } else {
        format!("profile {name}")
    }
}

/// The sections of a file; nothing where there is none.
fn read(path: &Path) -> Result<Option<Sections>, Fault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(sections(&text))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(fault::unusable_profile(
            format!("the file of profiles {} cannot be read: {error}", path.display()),
            "give this user the right to read it, or say where it is with AWS_SHARED_CREDENTIALS_FILE",
        )),
    }
}

/// Takes a file apart: `[section]`, `key = value`, comments by `#` and `;`. Lines that are indented
/// belong to the key above them, and nothing here needs what they say.
fn sections(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut current = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            let name = name.0.split_whitespace().collect::<Vec<_>>().join(" ");
            current = Some(name.clone());
            sections.entry(name).or_default();
        } else if let (false, Some(section), Some((key, value))) =
            (line.starts_with([' ', '\t']), &current, trimmed.split_once('='))
        {
            let value = value.split(" #").next().unwrap_or_default().trim();
            let keys = sections.entry(section.clone()).or_default();
            keys.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
; keys
[default]
aws_access_key_id = AKIDEFAULT
aws_secret_access_key=a/b=c+d
[ci]
aws_access_key_id = AKICI  # comment
aws_secret_access_key = s
aws_session_token = t==
";
    const CONFIG: &str = "\
[default]
region = eu-west-1
s3 =
  endpoint_url = http://nested.example.com
[profile ci]
region = ap-northeast-2
endpoint_url = https://minio.example.com
[profile  sso]
sso_session = corp
[profile web]
role_arn = arn:aws:iam::1:role/x
web_identity_token_file = token
";

    /// An environment with both files and one more variable.
    fn environment(folder: &Path, variable: &str, value: &str) -> Environment {
        fs::create_dir_all(folder.join(".aws")).unwrap();
        fs::write(folder.join(".aws/credentials"), CREDENTIALS).unwrap();
        fs::write(folder.join(".aws/config"), CONFIG).unwrap();
        let variables = BTreeMap::from([(variable.to_owned(), value.to_owned())]);
        Environment::new(variables, Some(folder.to_owned()))
    }

    #[test]
    fn the_default_profile_counts_when_nobody_names_one() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::of(&environment(folder.path(), "X", "")).unwrap();
        let keys = profile.keys.as_ref().unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("AKIDEFAULT", "a/b=c+d"));
        assert_eq!(profile.region.as_deref(), Some("eu-west-1"));
        assert_eq!(profile.endpoint, None, "what is indented belongs to `s3`");
        assert!(!format!("{profile:?}").contains("a/b"));
    }

    #[test]
    fn a_named_profile_is_read_from_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::of(&environment(folder.path(), "AWS_PROFILE", "ci")).unwrap();
        let keys = profile.keys.unwrap();
        assert_eq!((keys.id.as_str(), keys.token.as_deref()), ("AKICI", Some("t==")));
        assert_eq!(profile.region.as_deref(), Some("ap-northeast-2"));
        assert_eq!(profile.endpoint.as_deref(), Some("https://minio.example.com"));
        let web = Profile::of(&environment(folder.path(), "AWS_PROFILE", "web")).unwrap();
        assert!(web.web_identity.is_some_and(|web| web.token_file == "token"));
    }

    #[test]
    fn a_profile_that_cannot_be_used_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let fault = |name: &str| {
            Profile::of(&environment(folder.path(), "AWS_PROFILE", name))
                .unwrap_err()
                .to_string()
        };
        assert!(
            fault("sso").contains("export-credentials --profile sso"),
            "{}",
            fault("sso")
        );
        assert!(fault("nobody").contains("MG2102"), "{}", fault("nobody"));
    }

    #[test]
    fn without_files_there_is_no_profile() {
        let folder = tempfile::tempdir().unwrap();
        let empty = Environment::new(BTreeMap::new(), Some(folder.path().to_owned()));
        assert!(Profile::of(&empty).unwrap() == Profile::default());
    }
}
