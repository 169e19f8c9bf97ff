//! A gold table of hours: the host makes them, in the business's own time, and silver keeps them.

use super::{share_builds, shell};
use crate::place::Place;

const RULE: &str = r#"//! Lines by business date and hour.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(CountHours);

row! {
    pub struct Sale {
        required sale_date: Date,
        required sale_hour: Integer,
    }
}

state! {
    pub struct Hour {
        lines: Count,
    }
}

writes! {
    pub struct Measures {
        lines: Integer,
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct CountHours {}

impl Aggregate for CountHours {
    type Row<'a> = Sale<'a>;
    type State<'a> = Hour<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "sale_hour"];

    fn fold<'a>(&self, hour: &mut Hour<'a>, _: &Sale<'a>) {
        hour.lines.one_more();
    }

    fn finish<'a>(&self, hour: &Hour<'a>) -> Result<Measures<'a>, String> {
        Ok(Measures { lines: hour.lines.get() })
    }
}
"#;

#[test]
fn a_gold_table_counts_by_the_hour_that_the_host_makes() {
    let place = Place::new();
    shell(
        place.path(),
        "assay plugin new count-hours --step aggregate",
    )
    .well();
    let project = place.path().join("count-hours");
    share_builds(&project);
    std::fs::write(project.join("src/lib.rs"), RULE).unwrap();
    shell(&project, "assay plugin build").well();
    place.write(
        "events/sales.ndjson",
        "{\"transaction_id\":\"A\",\"timestamp\":\"2025-03-01T10:00:00Z\"}\n\
         {\"transaction_id\":\"B\",\"timestamp\":\"2025-03-01T10:59:00Z\"}\n\
         {\"transaction_id\":\"C\",\"timestamp\":\"2025-03-01T22:30:00Z\"}\n\
         {\"transaction_id\":\"D\",\"timestamp\":\"2025-03-01T23:30:00Z\"}\n",
    );
    let toml = place.write(
        "hours.toml",
        "version = 1\ntenant = \"hours\"\n[source]\nkind = \"file\"\npath = \"events/sales.ndjson\"\n\
         [event]\nzone = \"Europe/Berlin\"\n\
         [event.fields]\ntransaction_id = \"string\"\ntimestamp = \"timestamp\"\n\
         [[gold]]\nname = \"hours\"\ncomponent = \"count-hours/count-hours.wasm\"\n\
         partition_by = [\"sale_date\"]\n",
    );
    place.run_to_the_end(&toml);
    let mut hours: Vec<(String, i64, i64)> = place
        .rows("hours/gold/hours")
        .iter()
        .map(|row| {
            let date = row["sale_date"].as_str().unwrap().to_owned();
            let number = |name: &str| row[name].as_i64().unwrap();
            (date, number("sale_hour"), number("lines"))
        })
        .collect();
    hours.sort();
    let wanted = [
        ("2025-03-01", 11, 2),
        ("2025-03-01", 23, 1),
        ("2025-03-02", 0, 1),
    ];
    let wanted = wanted.map(|(date, hour, lines)| (date.to_owned(), hour, lines));
    assert_eq!(hours, wanted);
}
