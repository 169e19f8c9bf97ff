//! Who we are to a registry, and what it asks to see.
//!
//! Whoever writes a TOML names registries; credentials go to the one alone that `ASSAY_REGISTRY` names.

use super::OciError;

/// Who we are to the registry.
pub(super) struct Credentials {
    pub username: String,
    pub password: String,
}

impl Credentials {
    /// As an `authorization` header says it.
    pub fn basic(&self) -> String {
        let Self { username, password } = self;
        let pair = format!("{username}:{password}");
        format!("Basic {}", openssl::base64::encode_block(pair.as_bytes()))
    }
}

/// The environment's credentials, where they are for this registry.
pub(super) fn credentials(
    registry: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, OciError> {
    let username = environment("ASSAY_REGISTRY_USERNAME");
    let password = environment("ASSAY_REGISTRY_PASSWORD");
    let Some(own) = environment("ASSAY_REGISTRY") else {
        let given = [
            (username.is_some(), "ASSAY_REGISTRY_USERNAME"),
            (password.is_some(), "ASSAY_REGISTRY_PASSWORD"),
        ];
        return match given.iter().find(|(given, _)| *given) {
            Some((_, variable)) => Err(OciError::WhoseCredentials { variable }),
            None => Ok(None),
        };
    };
    let both = username.zip(password).filter(|_| own == registry);
    Ok(both.map(|(username, password)| Credentials { username, password }))
}

/// A parameter of a challenge, as `realm="https://…"`.
pub(super) fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    loop {
        let (key, value) = rest.split_once('=')?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => value.split_once(',').unwrap_or((value, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_whatever_its_order_and_quotes() {
        let one = r#"realm="https://auth.example/token",service="registry, of ours",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parameter(one, "realm").as_deref(),
            Some("https://auth.example/token")
        );
        assert_eq!(
            parameter(one, "service").as_deref(),
            Some("registry, of ours")
        );
        assert_eq!(
            parameter(one, "scope").as_deref(),
            Some("repository:a/b:pull,push")
        );
        assert_eq!(parameter(one, "error"), None);
        assert_eq!(
            parameter("service=a, Realm=b", "realm").as_deref(),
            Some("b")
        );
        assert_eq!(parameter("", "realm"), None);
    }

    #[test]
    fn credentials_are_for_the_registry_alone_that_the_environment_names() {
        let set = |pairs: &'static [(&str, &str)]| {
            move |name: &str| {
                let mut pairs = pairs.iter();
                pairs
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            }
        };
        let all = &[
            ("ASSAY_REGISTRY", "registry.example"),
            ("ASSAY_REGISTRY_USERNAME", "ann"),
            ("ASSAY_REGISTRY_PASSWORD", "secret"),
        ];
        let basic = credentials("registry.example", set(all))
            .unwrap()
            .unwrap()
            .basic();
        assert_eq!(basic, "Basic YW5uOnNlY3JldA==");
        assert!(credentials("other.example", set(all)).unwrap().is_none());
        assert!(
            credentials("registry.example:443", set(all))
                .unwrap()
                .is_none()
        );
        assert!(credentials("registry.example", set(&[])).unwrap().is_none());
        let whose = credentials("registry.example", set(&[("ASSAY_REGISTRY_PASSWORD", "x")]));
        assert!(matches!(whose, Err(OciError::WhoseCredentials { .. })));
    }
}
