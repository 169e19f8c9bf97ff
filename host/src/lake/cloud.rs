//! Lakes in the object stores of Azure, S3 and Google, as their URLs name them.
//!
//! Exactly-once stands on one thing that such a store does: it puts an object only where there is
//! none (`If-None-Match: *`, Google's generation 0). It needs no rename and no order of listings.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use deltalake::logstore::object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use deltalake::logstore::object_store::azure::MicrosoftAzureBuilder;
use deltalake::logstore::object_store::gcp::GoogleCloudStorageBuilder;
use deltalake::logstore::object_store::{
    BackoffConfig, Error as StoreError, ObjectStore, RetryConfig,
};
use url::Url;

use super::LakeError;
use crate::environment;

/// Options that the lake's URL or exactly-once stand for, with what an operator is told.
const HELD: [(&str, &str); 5] = [
    ("bucket", "the lake's URL names the bucket"),
    ("container_name", "the lake's URL names the container"),
    ("conditional_put", "commits stand on conditional puts"),
    ("copy_if_not_exists", "nothing is copied"),
    (
        "default_content_type",
        "the types of objects are not for choice",
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Azure,
    S3,
    Google,
}

impl Kind {
    fn of(uri: &str) -> Option<Self> {
        match uri.split_once("://")?.0 {
            "abfs" | "abfss" | "az" => Some(Self::Azure),
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Google),
            _ => None,
        }
    }

    /// How its options may begin, as its environment variables do.
    fn prefix(self) -> &'static str {
        match self {
            Self::Azure => "azure_",
            Self::S3 => "aws_",
            Self::Google => "google_",
        }
    }
}

/// Whether a lake's URI names an object store.
pub fn is_object_store(uri: &str) -> bool {
    Kind::of(uri).is_some()
}

/// The URL of a lake in an object store; `None` for any other.
///
/// # Errors
/// `Location` where it names no container or bucket, or more than a place.
pub(super) fn url_of(uri: &str) -> Result<Option<Url>, LakeError> {
    if Kind::of(uri).is_none() {
        return Ok(None);
    }
    let Ok(url) = Url::parse(uri) else {
        return Err(bad(uri, "it is no URL"));
    };
    // What follows a question mark is commonly a signature, and a URL goes into logs.
    if url.query().is_some() || url.fragment().is_some() || url.password().is_some() {
        let plain = uri.split(['?', '#']).next().unwrap_or_default();
        let plain = if url.password().is_some() { "" } else { plain };
        let reason = "it must name a place and nothing else; secrets are for the environment";
        return Err(bad(plain, reason));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad(uri, "it names no container or bucket"));
    }
    Ok(Some(url))
}

/// The store of a URL of [`url_of`], with what the environment (`AZURE_…`, `AWS_…`, `GOOGLE_…`) says
/// of it, and over that the options.
///
/// # Errors
/// `Option` for one that can't be, `Location` if together they don't make a store.
pub(super) fn open(
    url: &Url,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn ObjectStore>, LakeError> {
    let unusable = |error: StoreError| bad(url.as_str(), &error.to_string());
    let Some(kind) = Kind::of(url.as_str()) else {
        return Err(bad(url.as_str(), "it is in no object store"));
    };
    let options = checked(kind, options)?;
    Ok(match kind {
        Kind::Azure => {
            let mut builder = MicrosoftAzureBuilder::from_env();
            for (name, value) in &options {
                builder = builder.with_config(key(name)?, value);
            }
            let builder = builder.with_url(url.as_str()).with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
        Kind::S3 => {
            let mut builder = AmazonS3Builder::from_env();
            for (name, value) in &options {
                builder = builder.with_config(key(name)?, value);
            }
            let builder = builder
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_url(url.as_str())
                .with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
        Kind::Google => {
            let mut builder = GoogleCloudStorageBuilder::from_env();
            for (name, value) in &options {
                builder = builder.with_config(key(name)?, value);
            }
            let builder = builder.with_url(url.as_str()).with_retry(retry());
            Arc::new(builder.build().map_err(unusable)?)
        }
    })
}

/// The host tries again by itself, and longer: a store that is away should be heard of soon.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(20),
    }
}

/// The options with what the environment says in them.
fn checked(
    kind: Kind,
    options: &BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, LakeError> {
    let mut checked = Vec::new();
    for (written, value) in options {
        let refused = |reason: String| LakeError::Option {
            name: written.clone(),
            reason,
        };
        let name = written.to_ascii_lowercase();
        let plain = name.strip_prefix(kind.prefix()).unwrap_or(&name);
        if let Some((_, reason)) = HELD.iter().find(|(held, _)| plain.starts_with(held)) {
            return Err(refused(format!("{reason}; remove the line")));
        }
        if is_secret(plain, value) && !environment::is_reference(value) {
            return Err(refused(format!(
                "a secret does not belong in a file: write \"${{{}}}\", and set that variable where the command is started",
                written.to_ascii_uppercase()
            )));
        }
        let value = environment::expanded(value).map_err(refused)?;
        checked.push((name, value));
    }
    Ok(checked)
}

/// Whether an option, named without its prefix, looks like it holds what nobody should read.
fn is_secret(name: &str, value: &str) -> bool {
    const TELLING: [&str; 5] = ["key", "secret", "token", "sas", "password"];
    const HARMLESS: [&str; 7] = [
        "access_key_id",
        "container_authorization_token_file",
        "fabric_token_service_url",
        "federated_token_file",
        "sse_bucket_key_enabled",
        "sse_kms_key_id",
        "web_identity_token_file",
    ];
    let named = TELLING.iter().any(|word| name.contains(word)) && !HARMLESS.contains(&name);
    // A user and a password, as proxies want them.
    named || (name.ends_with("url") && value.contains('@'))
}

fn key<K: FromStr>(name: &str) -> Result<K, LakeError> {
    name.parse().map_err(|_| LakeError::Option {
        name: name.to_owned(),
        reason: "this store has no such option; the README names the common ones".to_owned(),
    })
}

fn bad(uri: &str, reason: &str) -> LakeError {
    LakeError::Location {
        uri: uri.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(uri: &str, options: &[(&str, &str)]) -> Result<(), String> {
        let options = options
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = options.collect();
        let url = url_of(uri).map_err(|error| error.to_string())?.unwrap();
        let opened = open(&url, &options).map(drop);
        opened.map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_of_store_can_be_opened() {
        let named = ("account_name", "retail");
        told("az://lake/sales", &[named]).unwrap();
        told("abfss://lake@retail.dfs.core.windows.net/sales", &[]).unwrap();
        told("s3://lake/sales", &[("region", "eu-west-1")]).unwrap();
        told("gs://lake", &[("AWS_TIMEOUT", "5s")]).unwrap_err();
        told(
            "gs://lake",
            &[("GOOGLE_SKIP_SIGNATURE", "true"), ("timeout", "5s")],
        )
        .unwrap();
    }

    #[test]
    fn a_secret_in_the_options_is_refused_and_not_repeated() {
        for (uri, name) in [
            ("az://lake/", "account_key"),
            ("az://lake/", "azure_storage_sas_token"),
            ("az://lake/", "client_secret"),
            ("s3://lake/", "AWS_SECRET_ACCESS_KEY"),
            ("s3://lake/", "session_token"),
            ("s3://lake/", "sse_customer_key_base64"),
            ("gs://lake/", "service_account_key"),
        ] {
            let said = told(uri, &[(name, "hunter4711")]).unwrap_err();
            assert!(said.contains(name) && said.contains("${"), "{said}");
            assert!(!said.contains("4711"), "{said}");
            let said = told(uri, &[(name, "${NOBODY_SETS_THIS}")]).unwrap_err();
            assert!(said.contains("no NOBODY_SETS_THIS"), "{said}");
        }
        let proxy = [("proxy_url", "http://me:4711@proxy")];
        let said = told("s3://lake/", &proxy).unwrap_err();
        assert!(!said.contains("4711"), "{said}");
    }

    #[test]
    fn what_commits_stand_on_can_not_be_switched_off() {
        for name in ["conditional_put", "aws_conditional_put"] {
            let said = told("s3://lake/", &[(name, "disabled")]).unwrap_err();
            assert!(said.contains("conditional puts"), "{said}");
        }
        let said = told("s3://lake/", &[("bucket_name", "other")]).unwrap_err();
        assert!(said.contains("URL names the bucket"), "{said}");
        let said = told("s3://lake/", &[("regoin", "eu-west-1")]).unwrap_err();
        assert!(
            said.contains("regoin") && said.contains("no such option"),
            "{said}"
        );
    }

    #[test]
    fn a_url_holds_no_secret() {
        for uri in [
            "az://lake/sales?sig=4711",
            "s3://me:4711@lake/",
            "az://lake/#4711",
        ] {
            let said = url_of(uri).unwrap_err().to_string();
            assert!(said.contains("for the environment"), "{said}");
            assert!(!said.contains("4711"), "{said}");
        }
        assert!(url_of("s3:///sales").is_err());
        assert!(url_of("./lake").unwrap().is_none());
        assert!(url_of("memory:///").unwrap().is_none());
    }
}
