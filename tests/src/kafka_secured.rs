use std::path::PathBuf;

use crate::kafka::{self, PASSWORD, USER};
use crate::place::{Place, Said};

const WRONG: &str = "wrong-horse-battery";

/// The retail pipeline at the listener that asks for TLS and a password.
fn secured(place: &Place, topic: &str) -> PathBuf {
    let broker = kafka::shared();
    let properties = format!(
        r#"
[source.properties]
"security.protocol" = "SASL_SSL"
"sasl.mechanisms" = "SCRAM-SHA-512"
"sasl.username" = "{USER}"
"sasl.password" = "${{KAFKA_PASSWORD}}"
"ssl.ca.location" = "{}"
"debug" = "security,conf"

[event]"#,
        broker.certificate().display()
    );
    place.pipeline(
        "retail",
        &[
            ("localhost:9092", &broker.secured()),
            (
                "topics = [\"sales\"]",
                &format!("topics = [\"{topic}\"]\ngroup = \"{topic}\""),
            ),
            ("\n[event]", &properties),
        ],
    )
}

/// What a command said, which must not be the password.
fn discreet(said: Said) -> Said {
    for secret in [PASSWORD, WRONG] {
        assert!(!said.out.contains(secret), "{}", said.out);
        assert!(!said.err.contains(secret), "{}", said.err);
    }
    said
}

/// Whether any file under a folder holds a text.
fn holds(folder: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(path).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

#[tokio::test]
async fn sales_come_through_tls_and_a_password_that_the_environment_keeps() {
    let mut place = Place::new();
    kafka::shared().create_topic("secured", 2).await;
    let pipeline = secured(&place, "secured");
    let pipeline = pipeline.to_str().unwrap();

    // Without the variable nothing is tried, and what is missing is said.
    for verb in [
        &["check", pipeline][..],
        &["run", pipeline, "--until-caught-up"],
    ] {
        let said = place.assay(verb);
        assert!(!said.good, "{said:?}");
        let text = said.out + &said.err;
        assert!(
            text.contains("sasl.password: the environment has no KAFKA_PASSWORD"),
            "{text}"
        );
    }

    place.set("KAFKA_PASSWORD", PASSWORD);
    place.set("ASSAY_LOG", "trace");
    let broker = kafka::shared();
    let (brokers, certificate) = (broker.secured(), broker.certificate());
    let properties = [
        "security.protocol=SASL_SSL".to_owned(),
        "sasl.mechanisms=SCRAM-SHA-512".to_owned(),
        format!("sasl.username={USER}"),
        "sasl.password=${KAFKA_PASSWORD}".to_owned(),
        format!("ssl.ca.location={}", certificate.display()),
    ];
    let mut generate = vec!["generate", "sales", "--count", "1000"];
    generate.extend(["--kafka", &brokers, "--topic", "secured"]);
    for property in &properties {
        generate.extend(["--property", property]);
    }
    discreet(place.assay(&generate)).well();
    let found = discreet(place.assay(&["check", pipeline])).well();
    assert!(found.contains("secured has 2 partitions"), "{found}");
    let run = discreet(place.assay(&["run", pipeline, "--until-caught-up"]));
    assert!(
        run.err.contains("librdkafka"),
        "its log was to be looked at: {}",
        run.err
    );
    run.well();

    let lake = place.lake();
    let arguments = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
    place.reader("check_expected.py", &arguments);
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("the books balance"), "{books}");
    assert!(!holds(&lake, PASSWORD), "the password is in the lake");
    let rule_sets = place.rows("retail/rulesets");
    assert!(!rule_sets.is_empty());
    for row in rule_sets {
        assert!(!row.to_string().contains(PASSWORD), "{row}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_a_clear_error_that_does_not_repeat_it() {
    let mut place = Place::new();
    kafka::shared().create_topic("secured-wrong", 1).await;
    let pipeline = secured(&place, "secured-wrong");
    let pipeline = pipeline.to_str().unwrap();
    place.set("KAFKA_PASSWORD", WRONG);
    let clear = |text: &str| {
        let parts = [
            "refused",
            "SCRAM-SHA-512",
            "credentials and rights in [source.properties]",
        ];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    };
    let checked = discreet(place.assay(&["check", pipeline]));
    assert!(!checked.good, "{}", checked.out);
    clear(&checked.out);
    clear(&discreet(place.assay(&["run", pipeline, "--until-caught-up"])).badly());
}
