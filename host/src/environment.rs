//! What the environment says: what a configuration leaves to it, secrets above all; and who, where
//! and when.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Who runs this, for histories: by name, or where the environment has none, as in a container, by
/// number.
pub fn user() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter();
    let name = name.filter_map(|name| std::env::var(name).ok());
    let mut name = name.filter(|name| !name.is_empty());
    let number = || {
        let own = std::fs::metadata("/proc/self").ok()?;
        Some(format!("user {}", own.uid()))
    };
    name.next()
        .or_else(number)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The name of this machine; empty where it has none.
pub fn machine() -> String {
    let name = std::env::var("HOSTNAME").ok();
    let name = name.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.unwrap_or_default().trim().to_owned()
}

/// This moment, in microseconds since 1970.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// Where what can be made again is kept: the user's cache. `None` where the environment names no home.
pub fn cache_folder() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    Some(cache.or_else(home)?.join("assay"))
}

/// A value, with the environment's word for each `${NAME}` in it. `$${` stands for `${`.
///
/// # Errors
/// A text that says what is wrong, and nothing of the value, which may be a secret.
pub fn expanded(written: &str) -> Result<String, String> {
    expanded_by(written, |name| std::env::var(name).ok())
}

/// True of a value that is one `${NAME}` and nothing else.
pub fn is_reference(written: &str) -> bool {
    let name = written
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(is_variable)
}

fn expanded_by(
    written: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut value = String::new();
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = after;
            continue;
        }
        let variable = after.split_once('}').filter(|(name, _)| is_variable(name));
        let Some((name, after)) = variable else {
            return Err(
                "${ begins the name of an environment variable, as in ${KAFKA_PASSWORD}; write $${ where it is meant as it stands"
                    .to_owned(),
            );
        };
        let found = environment(name).ok_or_else(|| {
            format!("the environment has no {name}; set it where the command is started")
        })?;
        value.push_str(before);
        value.push_str(&found);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_the_environment_and_goes_into_no_error() {
        let environment = |name: &str| (name == "KAFKA_PASSWORD").then(|| "s3cret".to_owned());
        let good = |written| expanded_by(written, environment).unwrap();
        assert_eq!(good("${KAFKA_PASSWORD}"), "s3cret");
        assert_eq!(good("a ${KAFKA_PASSWORD}, b"), "a s3cret, b");
        assert_eq!(good("pa$$word$ {} $"), "pa$$word$ {} $");
        assert_eq!(good("$${KAFKA_PASSWORD}"), "${KAFKA_PASSWORD}");
        let error = expanded_by("${KAFKA_PASWORD}", environment).unwrap_err();
        assert!(error.contains("no KAFKA_PASWORD"), "{error}");
        for written in ["hunter${2", "hunter${}2", "hunter${2-2}"] {
            let error = expanded_by(written, environment).unwrap_err();
            assert!(!error.contains('2'), "{error}");
        }
    }

    #[test]
    fn only_a_name_alone_is_a_reference() {
        assert!(is_reference("${AZURE_KEY}"));
        for literal in [
            "", "4711", "${", "${}", "a${B}", "${A}${B}", "$${A}", "${A} ",
        ] {
            assert!(!is_reference(literal), "{literal}");
        }
    }
}
