use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU32, Ordering};

use super::standing::ANSWER;
use super::*;
use crate::plugin::Compiler;

pub(super) const TOML: &str = "version = 1\ntenant = \"north\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
    [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n";

/// Runs a host of one tenant to its end, whose lake can't be opened so often for such an error.
/// Answers with how often it was opened, and what could not run.
async fn run(fails: u32, why: ErrorKind) -> (u32, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("north.toml");
    std::fs::write(&toml, TOML).unwrap();
    std::fs::create_dir(folder.path().join("events")).unwrap();
    std::fs::write(folder.path().join("events/none.ndjson"), "").unwrap();
    let opened = Arc::new(AtomicU32::new(0));
    let tries = opened.clone();
    let open = move |_: &Config| match tries.fetch_add(1, Ordering::Relaxed) < fails {
        true => Err(LakeError::Store {
            verb: "open the lake",
            path: "lake".to_owned(),
            source: Box::new(io::Error::from(why)),
        }),
        false => Lake::open("memory:///"),
    };
    let options = Options {
        pipelines: vec![toml],
        until_caught_up: true,
        watch: false,
        kafka: Kafka::default(),
    };
    let sandbox = Sandbox::new(Compiler::Within).unwrap();
    let host = Host::new(options, open, sandbox, Roster::default()).unwrap();
    let failed = host.run(std::future::pending()).await;
    (opened.load(Ordering::Relaxed), failed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_can_not_be_opened_for_what_may_pass_is_opened_again() {
    let failed = (3, Vec::new());
    assert_eq!(run(2, ErrorKind::StorageFull).await, failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_refuses_stops_its_tenant_at_once() {
    let (opened, failed) = run(2, ErrorKind::PermissionDenied).await;
    assert_eq!((opened, failed), (1, vec!["north".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_to_end_gives_up_on_a_lake_that_does_not_open() {
    let (opened, failed) = run(u32::MAX, ErrorKind::StorageFull).await;
    let tries = TRIES_BEFORE_THE_END;
    assert_eq!((opened, failed), (tries, vec!["north".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_does_not_answer_holds_up_no_other_tenant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("events")).unwrap();
    std::fs::write(folder.path().join("events/none.ndjson"), "").unwrap();
    for tenant in ["a-silent", "north"] {
        let toml = TOML.replace("\"north\"", &format!("\"{tenant}\""));
        std::fs::write(folder.path().join(format!("{tenant}.toml")), toml).unwrap();
    }
    let open = |config: &Config| match config.tenant.as_str() {
        "a-silent" => Lake::silent(),
        _ => Lake::open("memory:///"),
    };
    let options = Options {
        pipelines: vec![folder.path().to_owned()],
        until_caught_up: false,
        watch: false,
        kafka: Kafka::default(),
    };
    let sandbox = Sandbox::new(Compiler::Within).unwrap();
    let roster = Roster::default();
    let host = Host::new(options, open, sandbox, roster.clone()).unwrap();
    assert!(!roster.is_complete());
    let began = Instant::now();
    let all_are_seen_to = async {
        while !roster.is_complete() && began.elapsed() < 10 * ANSWER {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(roster.is_complete());
        let north: Tenant = "north".parse().unwrap();
        let state = roster.get(&north).map(|known| known.state);
        assert_eq!(state, Some(State::Running));
        assert_eq!(roster.all().len(), 2);
    };
    host.run(all_are_seen_to).await;
}
