use super::*;

/// A pipeline of a tenant's that says more.
pub(super) fn with(more: &str) -> Result<Config, ConfigError> {
    let text = format!(
        "version = 1\ntenant = \"retail\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
         [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n{more}"
    );
    Config::parse(&text, Path::new("retail.toml"))
}

#[test]
fn a_lake_is_its_uri_alone_or_a_table_and_is_forced_unless_it_says_otherwise() {
    let read = |lake: &str| {
        let text = format!(
            "version = 1\ntenant = \"retail\"\n{lake}\n[source]\nkind = \"file\"\n\
             path = \"events\"\n[event.fields]\ntransaction_id = \"string\"\n\
             timestamp = \"timestamp\"\n"
        );
        let config = Config::parse(&text, Path::new("retail.toml"));
        config.map(|config| (config.lake.uri, config.lake.fsync))
    };
    let named = || Some("./lake".to_owned());
    assert_eq!(read("").unwrap(), (None, true));
    assert_eq!(read("lake = \"./lake\"").unwrap(), (named(), true));
    assert_eq!(read("[lake]\nuri = \"./lake\"").unwrap(), (named(), true));
    let risky = "[lake]\nuri = \"./lake\"\nfsync = false";
    assert_eq!(read(risky).unwrap(), (named(), false));
    let said = read("[lake]\nfsink = false").unwrap_err().to_string();
    assert!(said.contains("fsync"), "{said}");
    let said = read("lake = 7").unwrap_err().to_string();
    assert!(said.contains("a folder or URL"), "{said}");
    let options = "[lake.options]\naccount_name = \"retail\"";
    read(&format!("[lake]\nuri = \"az://lake/\"\n{options}")).unwrap();
    read(options).unwrap();
    let of_a_folder = format!("[lake]\nuri = \"./lake\"\n{options}");
    let said = read(&of_a_folder).unwrap_err().to_string();
    assert!(said.contains("./lake is in no object store"), "{said}");
    for wrong in [
        "[lake.options]\naccount_key = 4711",
        "[lake.options]\naccount_key = x4711",
        "[lake.options]\naccount.key = \"4711\"",
        "lake = { options = { account_key = 4711 } }",
    ] {
        let said = read(wrong).unwrap_err().to_string();
        assert!(said.contains("line") && !said.contains("4711"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_a_property_is_said_without_its_value() {
    let problem = |line: &str| {
        let text = format!(
            "version = 1\ntenant = \"retail\"\n[source]\nkind = \"kafka\"\nbrokers = \"b\"\n\
             topics = [\"t\"]\n[source.properties]\n{line}\n[event.fields]\n"
        );
        let error = Config::parse(&text, Path::new("retail.toml")).unwrap_err();
        assert!(!error.to_string().contains("4711"), "{error}");
        error.to_string()
    };
    let said = problem("sasl.password = \"4711\"");
    assert!(said.contains("name in quotes"), "{said}");
    let said = problem("\"sasl.password\" = 4711");
    assert!(said.contains("sasl.password: put the value"), "{said}");
    let said = problem("\"sasl.password\" = x4711");
    assert!(said.contains("line 8"), "{said}");
}

#[test]
fn gates_are_exact_and_one_that_limits_nothing_is_refused() {
    let read = |more: &str| {
        let text = format!(
            "version = 1\ntenant = \"retail\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
             [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n{more}"
        );
        Config::parse(&text, Path::new("retail.toml"))
    };
    assert!(read("").unwrap().promotion.is_none());
    let config = read("[promotion]\nquarantine_change = 0.005\ncost = 2\n").unwrap();
    let gate = config.promotion.unwrap().gate();
    let written = serde_json::to_string(&gate).unwrap();
    assert_eq!(
        written,
        r#"{"rows":10000,"quarantine_change":"0.005","cost":"2"}"#
    );
    for (wrong, word) in [
        ("[promotion]\nrows = 0", "rows = 0"),
        ("[rollback]\ntrapped = -0.1", "trapped = -0.1"),
        ("[rollback]\ncost = inf", "cost = inf"),
        (
            "[rollback]\nmoney = [\"daily_sales.net_amount\"]",
            "money_change",
        ),
        ("[promotion]\nshadow_rows = 5", "shadow_rows"),
        ("[shadow]\ncpu = 0.0", "share of a core"),
        ("[shadow]\ncpu = 2.0", "share of a core"),
    ] {
        let said = read(wrong).unwrap_err().to_string();
        assert!(said.contains(word), "{wrong}: {said}");
    }
}
