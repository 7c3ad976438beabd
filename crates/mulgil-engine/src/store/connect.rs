//! Connections to object stores: which credentials count, where the store is, how often a request is
//! repeated. One connection for each bucket and way to reach it.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mulgil_core::{
    environment::Environment,
    location::{ObjectUrl, StoreKind, StoreOptions},
    port::Fault,
};
use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
};

use super::{
    RemoteStore, fault,
    profile::{self, Profile},
};

/// How often a request is repeated.
const RETRIES: usize = 5;
/// How long a request with all its repetitions may take.
const RETRY_TIME: Duration = Duration::from_secs(90);
/// How long one request may take: a part of a file over a slow line.
const REQUEST_TIME: Duration = Duration::from_mins(2);
/// How long it may take until a connection stands.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The connections of this process, made when they are first needed.
pub(crate) struct Stores {
    environment: Environment,
    /// How the warehouse's store is reached: others of its kind are reached likewise, unless they say
    /// otherwise themselves.
    own: Option<(StoreKind, StoreOptions)>,
    open: Mutex<HashMap<(ObjectUrl, StoreOptions), RemoteStore>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

impl Stores {
    /// With the credentials of an environment.
    pub(crate) fn new(environment: Environment, own: Option<(StoreKind, StoreOptions)>) -> Self {
        Self {
            environment,
            own,
            open: Mutex::default(),
        }
    }

    /// The store that a URL lies in.
    pub(crate) fn of(&self, url: &ObjectUrl, options: &StoreOptions) -> Result<RemoteStore, Fault> {
        let root = url.root();
        let options = match &self.own {
            Some((kind, like)) if *kind == root.kind && options.says_nothing() => like,
            Some(_) | None => options,
        };
        let key = (root, options.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&key) {
            return Ok(store.clone());
        }
        let store = connect(&key.0, options, &self.environment)?;
        open.insert(key, store.clone());
        Ok(store)
    }
}

/// A connection to a bucket; speaks to nobody yet.
fn connect(root: &ObjectUrl, options: &StoreOptions, environment: &Environment) -> Result<RemoteStore, Fault> {
    let to_fault = |error: object_store::Error| fault::unusable(&root.to_string(), &error);
    let (store, endpoint): (Arc<dyn ObjectStore>, Option<String>) = match root.kind {
        StoreKind::S3 => {
            let builder = s3(root, options, environment)?;
            let endpoint = s3_endpoint(&builder);
            (Arc::new(builder.build().map_err(to_fault)?), endpoint)
        }
        StoreKind::Gcs => {
            let builder = gcs(root, options, environment)?;
            (Arc::new(builder.build().map_err(to_fault)?), options.endpoint.clone())
        }
        StoreKind::Azure => {
            let builder = azure(root, options, environment)?;
            (Arc::new(builder.build().map_err(to_fault)?), options.endpoint.clone())
        }
    };
    Ok(RemoteStore::new(store, root.clone(), endpoint))
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIME,
        ..RetryConfig::default()
    }
}

/// How a store is spoken to. An endpoint without TLS must have been allowed.
fn client(endpoint: Option<&str>, allow_http: bool) -> Result<ClientOptions, Fault> {
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") && !allow_http => Err(fault::plain_http(endpoint)),
        Some(_) | None => Ok(ClientOptions::new()
            .with_allow_http(allow_http)
            .with_timeout(REQUEST_TIME)
            .with_connect_timeout(CONNECT_TIME)),
    }
}

/// The variables of a provider that its builder knows, but for those of the client, which are ours.
fn known<'a, K: FromStr>(environment: &'a Environment, prefix: &'a str) -> impl Iterator<Item = (K, &'a str)> {
    environment
        .with_prefix(prefix)
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
}

fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
}

/// S3: what the project says, then the environment, then the profile. Where no keys are named, the
/// identity of the container or of the machine is asked for.
fn s3(root: &ObjectUrl, options: &StoreOptions, environment: &Environment) -> Result<AmazonS3Builder, Fault> {
    let has_keys = environment.get("AWS_ACCESS_KEY_ID").is_some() || environment.get("AWS_SECRET_ACCESS_KEY").is_some();
    let profile = Profile::of(environment)?;
    let mut builder = AmazonS3Builder::new();
    for (key, value) in known::<AmazonS3ConfigKey>(environment, "AWS_") {
        let is_ours = matches!(
            key,
            AmazonS3ConfigKey::Client(_)
                | AmazonS3ConfigKey::Bucket
                | AmazonS3ConfigKey::ConditionalPut
                | AmazonS3ConfigKey::CopyIfNotExists
        );
        if !is_ours {
            builder = builder.with_config(key, value);
        }
    }
    let has_identity = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some();
    if !has_keys && (profile::named(environment).is_some() || !has_identity) {
        builder = with_profile(builder, &profile);
    }
    let has_region = environment
        .get("AWS_REGION")
        .or(environment.get("AWS_DEFAULT_REGION"))
        .is_some();
    if let Some(region) = options
        .region
        .as_ref()
        .or(profile.region.as_ref().filter(|_| !has_region))
    {
        builder = builder.with_region(region);
    }
    builder = match (&options.endpoint, s3_endpoint(&builder), &profile.endpoint) {
        (Some(endpoint), _, _) | (None, None, Some(endpoint)) => {
            builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.trim_end_matches('/'))
        }
        (None, _, _) => builder,
    };
    if has_nothing(&builder, environment) {
        return Err(fault::no_credentials(StoreKind::S3));
    }
    let allow_http = options.allow_http || is_true(environment.get("AWS_ALLOW_HTTP"));
    let client = client(s3_endpoint(&builder).as_deref(), allow_http)?;
    Ok(builder
        .with_bucket_name(&root.bucket)
        .with_client_options(client)
        .with_retry(retry()))
}

fn s3_endpoint(builder: &AmazonS3Builder) -> Option<String> {
    builder
        .get_config_value(&AmazonS3ConfigKey::S3Endpoint)
        .or_else(|| builder.get_config_value(&AmazonS3ConfigKey::Endpoint))
}

fn with_profile(mut builder: AmazonS3Builder, profile: &Profile) -> AmazonS3Builder {
    if let Some(keys) = &profile.keys {
        builder = builder
            .with_access_key_id(&keys.id)
            .with_secret_access_key(&keys.secret);
        if let Some(token) = &keys.token {
            builder = builder.with_token(token);
        }
    } else if let Some(web) = &profile.web_identity {
        builder = builder
            .with_config(AmazonS3ConfigKey::WebIdentityTokenFile, &web.token_file)
            .with_config(AmazonS3ConfigKey::RoleArn, &web.role);
        if let Some(session) = &web.session {
            builder = builder.with_config(AmazonS3ConfigKey::RoleSessionName, session);
        }
    }
    builder
}

/// Whether there are no credentials, and asking the machine for its role was forbidden.
fn has_nothing(builder: &AmazonS3Builder, environment: &Environment) -> bool {
    let has = |key: AmazonS3ConfigKey| builder.get_config_value(&key).is_some();
    is_true(environment.get("AWS_EC2_METADATA_DISABLED"))
        && !is_true(environment.get("AWS_SKIP_SIGNATURE"))
        && ![
            AmazonS3ConfigKey::AccessKeyId,
            AmazonS3ConfigKey::SecretAccessKey,
            AmazonS3ConfigKey::WebIdentityTokenFile,
            AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
            AmazonS3ConfigKey::ContainerCredentialsFullUri,
        ]
        .into_iter()
        .any(has)
}

/// Google: `GOOGLE_…` variables, then the application default credentials, then the machine.
fn gcs(
    root: &ObjectUrl,
    options: &StoreOptions,
    environment: &Environment,
) -> Result<GoogleCloudStorageBuilder, Fault> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in known::<GoogleConfigKey>(environment, "GOOGLE_") {
        if !matches!(key, GoogleConfigKey::Client(_) | GoogleConfigKey::Bucket) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_config(GoogleConfigKey::BaseUrl, endpoint);
    }
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let allow_http = options.allow_http || is_true(environment.get("GOOGLE_ALLOW_HTTP"));
    Ok(builder
        .with_client_options(client(endpoint.as_deref(), allow_http)?)
        .with_bucket_name(&root.bucket)
        .with_retry(retry()))
}

/// Azure: `AZURE_…` variables, then a workload's or the machine's identity.
fn azure(root: &ObjectUrl, options: &StoreOptions, environment: &Environment) -> Result<MicrosoftAzureBuilder, Fault> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in known::<AzureConfigKey>(environment, "AZURE_") {
        if !matches!(key, AzureConfigKey::Client(_) | AzureConfigKey::ContainerName) {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(account) = &root.account {
        builder = builder.with_account(account);
    }
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let allow_http = options.allow_http || is_true(environment.get("AZURE_ALLOW_HTTP"));
    Ok(builder
        .with_client_options(client(endpoint.as_deref(), allow_http)?)
        .with_container_name(&root.bucket)
        .with_retry(retry()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let variables = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Environment::new(variables.collect::<BTreeMap<_, _>>(), None)
    }

    fn root(text: &str) -> ObjectUrl {
        ObjectUrl::parse(text).unwrap()
    }

    fn value(builder: &AmazonS3Builder, key: AmazonS3ConfigKey) -> Option<String> {
        builder.get_config_value(&key)
    }

    #[test]
    fn what_the_project_says_counts_more_than_the_environment() {
        let environment = environment(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_S3", "https://other.example.com"),
            ("AWS_BUCKET", "other"),
            ("AWS_CONDITIONAL_PUT", "disabled"),
        ]);
        let own = s3(&root("s3://lake"), &StoreOptions::default(), &environment).unwrap();
        assert_eq!(value(&own, AmazonS3ConfigKey::Region).as_deref(), Some("eu-west-1"));
        assert_eq!(s3_endpoint(&own).as_deref(), Some("https://other.example.com"));
        assert_eq!(value(&own, AmazonS3ConfigKey::Bucket).as_deref(), Some("lake"));
        assert_eq!(value(&own, AmazonS3ConfigKey::ConditionalPut).as_deref(), Some("etag"));
        let options = StoreOptions {
            endpoint: Some("https://minio.example.com".to_owned()),
            region: Some("us-east-2".to_owned()),
            allow_http: false,
        };
        let told = s3(&root("s3://lake"), &options, &environment).unwrap();
        assert_eq!(value(&told, AmazonS3ConfigKey::Region).as_deref(), Some("us-east-2"));
        assert_eq!(s3_endpoint(&told).as_deref(), Some("https://minio.example.com"));
    }

    #[test]
    fn an_endpoint_without_tls_has_to_be_allowed() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_ENDPOINT_URL", "http://minio.example.com"),
        ];
        let refused = s3(&root("s3://lake"), &StoreOptions::default(), &environment(&variables)).unwrap_err();
        assert_eq!(refused.code, mulgil_core::codes::STORE_UNREACHABLE);
        let allowed = [variables.as_slice(), &[("AWS_ALLOW_HTTP", "true")]].concat();
        assert!(s3(&root("s3://lake"), &StoreOptions::default(), &environment(&allowed)).is_ok());
    }

    #[test]
    fn without_credentials_and_without_a_role_it_says_so_at_once() {
        let nothing = environment(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        let fault = s3(&root("s3://lake"), &StoreOptions::default(), &nothing).unwrap_err();
        assert_eq!(fault.code, mulgil_core::codes::NO_CREDENTIALS);
        let half = environment(&[("AWS_ACCESS_KEY_ID", "hunter2")]);
        let fault = connect(&root("s3://lake"), &StoreOptions::default(), &half).unwrap_err();
        assert!(fault.message.contains("the other is not") && !fault.to_string().contains("hunter2"));
    }

    #[test]
    fn all_three_stores_are_spoken_to() {
        let environment = environment(&[
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("GOOGLE_SKIP_SIGNATURE", "true"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
            ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ]);
        for text in [
            "s3://lake",
            "gs://lake",
            "az://lake",
            "abfss://lake@other.dfs.core.windows.net",
        ] {
            let store = connect(&root(text), &StoreOptions::default(), &environment).unwrap();
            let shown = format!("{store:?} {store}");
            assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
        }
    }
}
