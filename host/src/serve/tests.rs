use super::health::Ready;
use super::*;

#[test]
fn a_host_that_has_not_seen_to_its_pipelines_is_not_ready() {
    let said = Ready::of(&Roster::default());
    assert!(!said.ready && said.reason.is_some());
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
