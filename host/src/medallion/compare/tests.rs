use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::amount::Amount;
use crate::medallion::cut::Range;
use crate::medallion::definition::Definition;
use crate::medallion::gate::Gate;
use crate::medallion::rules::Workshop;
use crate::names::{Partition, RuleSetNumber};
use crate::plugin::{Compiler, Sandbox};
use crate::schema::NamedType;

fn below(random: &mut ChaCha8Rng, most: u32) -> u32 {
    random.next_u32() % most
}

fn sample_of(random: &mut ChaCha8Rng) -> Sample {
    Sample {
        topic: "sales".into(),
        source: "none".into(),
        partition: below(random, 2).cast_signed(),
        offset: i64::from(below(random, 50)),
        line: 0,
        before: None,
        after: Some(below(random, 3).to_string()),
        event: "{}".into(),
    }
}

fn change_of(random: &mut ChaCha8Rng) -> Change {
    let mut change = Change::default();
    for _ in 0..below(random, 8) {
        let mut one = Change {
            rows: 1,
            ..Change::default()
        };
        one.samples.insert(sample_of(random));
        change.merge(one);
    }
    change
}

fn amount_of(random: &mut ChaCha8Rng) -> Amount {
    let units = i128::from(random.next_u32()) - i128::from(u32::MAX / 2);
    Amount::new(units, u8::try_from(below(random, 4)).unwrap())
}

/// Something that a comparison may find: names are of small pools, so that they meet, and of more
/// turns and groups than are kept.
fn found(random: &mut ChaCha8Rng) -> Comparison {
    let outcome = |random: &mut ChaCha8Rng| match below(random, 3) {
        0 => outcome(None),
        _ => Outcome {
            end: End::Quarantine,
            step: "validate".into(),
            rule: format!("rule_{}", below(random, 100)),
        },
    };
    let mut found = Comparison {
        messages: u64::from(below(random, 9)),
        rows: u64::from(below(random, 9)),
        ..Comparison::default()
    };
    found.after.quarantine = u64::from(below(random, 9));
    for _ in 0..100 + below(random, 100) {
        let turn = (outcome(random), outcome(random));
        let change = change_of(random);
        found.verdicts.entry(turn).or_default().merge(change);
    }
    found
        .columns
        .insert(format!("c{}", below(random, 3)), change_of(random));
    let mut gold = GoldChange::default();
    for _ in 0..300 + below(random, 600) {
        let group = format!("store_id=S{}", below(random, 1_500));
        let sums = Sums {
            before: amount_of(random),
            after: amount_of(random),
        };
        let part = GoldChange {
            measures: BTreeMap::from([("net".into(), Measure { money: true, sums })]),
            groups: BTreeMap::from([(group, BTreeMap::from([("net".into(), sums)]))]),
            partial: false,
        };
        gold.merge(part);
    }
    found.gold.insert("daily".into(), gold);
    found.cost_of("validate a".into(), Side::After).fuel = u64::from(below(random, 9));
    found
}

fn merged(parts: &[&Comparison]) -> Comparison {
    let mut all = Comparison::default();
    parts.iter().for_each(|part| all.merge((*part).clone()));
    all
}

#[test]
fn however_parts_are_put_together_the_whole_is_the_same_and_survives_being_written() {
    let mut cut_short = 0;
    for seed in 0..6 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let parts: Vec<Comparison> = (0..6).map(|_| found(&mut random)).collect();
        let [a, b, c, d, e, f] = parts.iter().collect::<Vec<_>>().try_into().unwrap();
        let whole = merged(&[a, b, c, d, e, f]);
        assert_eq!(whole, merged(&[f, d, b, e, c, a]), "seed {seed}");
        let (left, right) = (merged(&[b, f]), merged(&[e, a, &merged(&[c, d])]));
        assert_eq!(whole, merged(&[&left, &right]), "seed {seed}");
        let written = serde_json::to_string(&whole).unwrap();
        let read: Comparison = serde_json::from_str(&written).unwrap();
        assert_eq!(whole, read, "seed {seed}");
        let gold = &whole.gold["daily"];
        // What has room is exact, whatever had none.
        for (group, sums) in &gold.groups {
            let of_group = |part: &&Comparison| part.gold["daily"].groups.get(group).cloned();
            let each: Vec<_> = [a, b, c, d, e, f].iter().filter_map(of_group).collect();
            let sum = each
                .iter()
                .fold(Amount::default(), |sum, part| sum.plus(part["net"].after));
            assert_eq!(sums["net"].after, sum);
        }
        cut_short += u32::from(gold.partial && whole.partial);
    }
    assert!(cut_short > 2, "{cut_short}");
}

/// Rules without components: the host's own alone.
fn rules(number: i64, key: &str, amount: &str, zone: &str) -> Arc<Rules> {
    let field = |name: &str, field_type: &str| NamedType {
        name: name.to_owned(),
        field_type: field_type.parse().unwrap(),
    };
    let fields = vec![
        field("transaction_id", "string"),
        field("receipt", "string"),
        field("amount", amount),
        field("timestamp", "timestamp"),
    ];
    let definition = Definition {
        key: vec![key.to_owned()],
        zone: zone.to_owned(),
        ..Definition::without_rules(fields)
    };
    let mut workshop = Workshop::new(Sandbox::new(Compiler::Within).unwrap());
    let ready = workshop.prepare(RuleSetNumber(number), &definition, &BTreeMap::new());
    Arc::new(ready.unwrap())
}

/// Every third sale has no receipt, every tenth no transaction; all are of the last hour of a day.
fn messages(rows: i64) -> RecordBatch {
    let events = (0..rows).map(|row| {
        let receipt = if row % 3 == 0 { "" } else { "R" };
        let transaction = if row % 10 == 0 { "" } else { "T" };
        format!(
            r#"{{"transaction_id":"{transaction}","receipt":"{receipt}","amount":{row}.5,"timestamp":"2025-03-01T23:30:00Z"}}"#
        )
    });
    let n = usize::try_from(rows).unwrap();
    let records = RecordBatch::try_new(
        crate::source::schema(),
        vec![
            Arc::new(Int64Array::from_iter_values(0..rows)),
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0); n]).with_timezone("UTC")),
            Arc::new(BinaryArray::from_iter(vec![None::<&[u8]>; n])),
            Arc::new(StringArray::from(vec![None::<&str>; n])),
            Arc::new(BinaryArray::from_iter_values(events)),
        ],
    );
    let range = Range {
        partition: Partition {
            topic: "sales".into(),
            source: "none".into(),
            number: 0,
        },
        from: 0,
        to: rows,
    };
    Cut::of_records(&[(range, vec![records.unwrap()])], 0)
        .unwrap()
        .messages
}

fn refused(rule: &str) -> Outcome {
    Outcome {
        end: End::Quarantine,
        step: "host".into(),
        rule: rule.into(),
    }
}

#[test]
fn rows_that_end_otherwise_and_columns_that_differ_are_counted_row_by_row() {
    let before = rules(1, "transaction_id", "decimal(18,2)", "UTC");
    let after = rules(2, "receipt", "decimal(18,1)", "Europe/Berlin");
    let mut comparer = Comparer::new(before.clone(), after.clone());
    comparer.compare(&messages(300)).unwrap();
    let found = comparer.comparison().unwrap();
    assert_eq!((found.messages, found.rows), (300, 300));
    assert_eq!((found.before.silver, found.before.quarantine), (270, 30));
    assert_eq!((found.after.silver, found.after.quarantine), (200, 100));
    let rows: BTreeMap<(Outcome, Outcome), u64> = found
        .verdicts
        .iter()
        .map(|(turn, change)| (turn.clone(), change.rows))
        .collect();
    let silver = outcome(None);
    let silver = Outcome {
        end: End::Silver,
        ..silver
    };
    // Ten of them have neither.
    let wanted = [
        ((silver.clone(), refused("no_key")), 90),
        ((refused("no_key"), silver), 20),
    ];
    assert_eq!(rows, BTreeMap::from(wanted));
    assert_eq!(found.changed, 110);
    let samples: Vec<&Sample> = found.verdicts.values().flat_map(|c| &c.samples).collect();
    assert_eq!(samples.len(), 10);
    for sample in samples {
        assert!(
            sample
                .event
                .contains(&format!("\"amount\":{}.5", sample.offset))
        );
        let reason = sample.before.as_ref().or(sample.after.as_ref());
        assert!(reason.unwrap().contains("is absent or empty"), "{sample:?}");
    }
    let changed: Vec<(&String, u64)> = found.columns.iter().map(|(n, c)| (n, c.rows)).collect();
    let (amount, date) = ("amount".to_owned(), "sale_date".to_owned());
    assert_eq!(changed, [(&amount, 180), (&date, 180)]);
    let sample = found.columns["sale_date"].samples.first().unwrap();
    let days = (sample.before.as_deref(), sample.after.as_deref());
    assert_eq!(days, (Some("2025-03-01"), Some("2025-03-02")));

    // Cut anywhere, it comes to the same.
    let mut parts = Comparer::new(before, after);
    for (from, count) in [(0, 1), (1, 130), (131, 169)] {
        parts.compare(&messages(300).slice(from, count)).unwrap();
    }
    assert_eq!(parts.comparison().unwrap(), found);
}

#[test]
fn a_set_beside_itself_changes_nothing() {
    let same = rules(1, "transaction_id", "decimal(18,2)", "UTC");
    let mut comparer = Comparer::new(same.clone(), same);
    comparer.compare(&messages(100)).unwrap();
    let found = comparer.comparison().unwrap();
    assert_eq!(found.before, found.after);
    assert_eq!(found.changed, 0);
    assert!(found.verdicts.is_empty() && found.columns.is_empty());
    assert_eq!(found.quarantine_change(), 0.0);
}

#[test]
fn a_gate_names_each_limit_that_is_passed_and_by_how_much() {
    let share = |text: &str| Some(Amount::try_from(text.to_owned()).unwrap());
    let gate = Gate {
        rows: 100,
        trapped: share("0.01"),
        quarantine_change: share("0.05"),
        money_change: share("0.1"),
        money: vec!["daily.net".to_owned()],
        cost: share("1.5"),
    };
    let mut found = Comparison {
        rows: 100,
        ..Comparison::default()
    };
    let mut gold = GoldChange::default();
    for (name, before, after) in [("net", 10_000, 9_000), ("gross", 100, 900)] {
        let sums = Sums {
            before: Amount::new(before, 2),
            after: Amount::new(after, 2),
        };
        let measure = Measure { money: true, sums };
        gold.measures.insert(name.to_owned(), measure);
    }
    found.gold.insert("daily".to_owned(), gold);
    found.before.quarantine = 10;
    found.after.quarantine = 15;
    found.after.trapped = 1;
    found.cost_of("validate a".to_owned(), Side::Before).fuel = 100;
    found.cost_of("validate a".to_owned(), Side::After).fuel = 150;
    assert_eq!(exceeded(&gate, &found), Vec::<String>::new());

    found.after.quarantine = 4;
    found.after.trapped = 2;
    found.cost_of("validate a".to_owned(), Side::After).fuel = 151;
    let net = found.gold.get_mut("daily").unwrap().measures.get_mut("net");
    net.unwrap().sums.after = Amount::new(8_999, 2);
    let said = [
        "components fail on 2 % of the rows (1 % allowed)",
        "6 % of the rows fewer end in quarantine, 10 -> 4 (5 % allowed)",
        "daily.net changes by 10.01 %, 100.00 -> 89.99 (10 % allowed)",
        "components burn 1.51 times the fuel (1.5 allowed)",
    ];
    assert_eq!(exceeded(&gate, &found), said);
    // Money out of nothing is a change without end.
    let net = found.gold.get_mut("daily").unwrap().measures.get_mut("net");
    net.unwrap().sums.before = Amount::default();
    assert!(
        exceeded(&gate, &found)
            .iter()
            .any(|said| said.contains("daily.net"))
    );
}
