use super::health::Ready;
use super::*;
use crate::lake::Lake;
use crate::pipeline::host::{Host, Options};
use crate::pipeline::kafka::Kafka;
use crate::plugin::Compiler;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_not_ready_before_it_has_seen_to_its_pipelines() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "version = 1\ntenant = \"north\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
        [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n";
    std::fs::write(folder.path().join("north.toml"), toml).unwrap();
    std::fs::create_dir(folder.path().join("events")).unwrap();
    let options = Options {
        pipelines: vec![folder.path().to_owned()],
        until_caught_up: false,
        watch: false,
        kafka: Kafka::default(),
    };
    let sandbox = Sandbox::new(Compiler::Within).unwrap();
    let roster = Roster::default();
    let open = |_: &_| Lake::open("memory:///");
    let host = Host::new(options, open, sandbox, roster.clone()).unwrap();
    assert!(!Ready::of(&roster).ready);
    let ready = async {
        while !Ready::of(&roster).ready {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(Ready::of(&roster).tenants.len(), 1);
    };
    let ran = tokio::time::timeout(Duration::from_secs(10), host.run(ready));
    ran.await.expect("a host that is ready at last");
}

#[test]
fn the_description_names_every_route_of_the_interface() {
    let (_, description) = api();
    let paths: Vec<&str> = description.paths.paths.keys().map(String::as_str).collect();
    let wanted = [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/tenants",
        "/v1/tenants/{tenant}",
        "/v1/tenants/{tenant}/audit",
        "/v1/tenants/{tenant}/pause",
        "/v1/tenants/{tenant}/resume",
        "/v1/tenants/{tenant}/rollback",
        "/v1/tenants/{tenant}/rules",
        "/v1/tenants/{tenant}/rules/{number}",
        "/v1/tenants/{tenant}/rules/{number}/diff",
        "/v1/tenants/{tenant}/rules/{number}/promote",
        "/v1/tenants/{tenant}/rules/{number}/report",
        "/v1/tenants/{tenant}/rules/{number}/shadow",
        "/v1/tenants/{tenant}/rules/{number}/what-if",
    ];
    assert_eq!(paths, wanted);
}
