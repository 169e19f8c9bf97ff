use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;

fn options(count: u64) -> Options {
    Options {
        count,
        ..Options::default()
    }
}

/// Every line with its kind and its key.
fn run(options: Options) -> (Vec<(Kind, String, String)>, Generator) {
    let mut generator = Generator::new(options).unwrap();
    let mut lines = Vec::new();
    while let Some(event) = generator.next_event() {
        let line = String::from_utf8(event.line.to_vec()).unwrap();
        lines.push((event.kind, event.key.to_owned(), line));
    }
    (lines, generator)
}

fn id(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap();
    event["transaction_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_same_seed_gives_the_same_lines_and_another_seed_others() {
    let (first, _) = run(options(2_000));
    let (again, _) = run(options(2_000));
    assert_eq!(first, again);
    let (other, _) = run(Options {
        seed: 43,
        ..options(2_000)
    });
    assert_ne!(first, other);
}

#[test]
fn shares_are_near_what_was_asked_for() {
    let (_, generator) = run(options(100_000));
    let expected = generator.expected();
    let share = |kind| expected.of(kind) as f64 / expected.lines() as f64;
    assert!((share(Kind::Duplicate) - 0.02).abs() < 0.002);
    for kind in [
        Kind::NegativeQuantity,
        Kind::MissingId,
        Kind::BadTimestamp,
        Kind::Malformed,
    ] {
        assert!(
            (share(kind) - 0.0025).abs() < 0.001,
            "{kind:?}: {}",
            share(kind)
        );
    }
    assert_eq!(expected.of(Kind::ConflictingDuplicate), 0);
    // 60 stores on five days, all of them busy.
    assert_eq!(expected.days().len(), 300);
}

#[test]
fn a_duplicate_is_an_earlier_line_with_the_same_key() {
    let (lines, _) = run(options(20_000));
    let mut valid = BTreeSet::new();
    for (kind, key, line) in &lines {
        match kind {
            Kind::Valid => assert!(valid.insert((key, line)), "twice: {line}"),
            Kind::Duplicate => assert!(valid.contains(&(key, line)), "never before: {line}"),
            _ => assert!(!valid.contains(&(key, line))),
        }
    }
}

#[test]
fn a_conflict_differs_from_its_original_in_the_quantity_alone() {
    let mut wanted = options(20_000);
    wanted.shares.conflicts = 0.05;
    let (lines, generator) = run(wanted);
    let mut valid = BTreeMap::new();
    for (kind, _, line) in &lines {
        if *kind == Kind::Valid {
            valid.insert(id(line), line);
        }
        if *kind == Kind::ConflictingDuplicate {
            let mut original: Value = serde_json::from_str(valid[&id(line)]).unwrap();
            let conflict: Value = serde_json::from_str(line).unwrap();
            assert_ne!(original["quantity"], conflict["quantity"]);
            assert!((1..=9).contains(&conflict["quantity"].as_i64().unwrap()));
            original["quantity"] = conflict["quantity"].clone();
            assert_eq!(original, conflict);
        }
    }
    assert!(generator.expected().of(Kind::ConflictingDuplicate) > 800);
}

/// Adds up gold again from the lines alone, as another program would.
#[test]
fn the_expectation_is_what_the_lines_add_up_to() {
    let mut wanted = options(30_000);
    wanted.shares.returns = 0.05;
    wanted.shares.discounts = 0.1;
    let (lines, generator) = run(wanted);
    let mut days: BTreeMap<(String, String), [i64; 6]> = BTreeMap::new();
    let number = |value: &Value| value.to_string().replace('.', "").parse::<i64>().unwrap();
    for (_, _, line) in lines.iter().filter(|(kind, _, _)| *kind == Kind::Valid) {
        let event: Value = serde_json::from_str(line).unwrap();
        let cents = (event["unit_price"].as_f64().unwrap() * 100.0).round() as i64;
        let gross = cents * number(&event["quantity"]);
        let discount = event
            .get("discount_percent")
            .map_or(0.0, |d| d.as_f64().unwrap());
        let discount = (gross as f64 * discount / 100.0).round() as i64;
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let day = days.entry((text("timestamp")[..10].to_owned(), text("store_id")));
        let is_return = event.get("type").is_some();
        let add = if is_return {
            [0, 0, 0, 0, 1, gross - discount]
        } else {
            [1, number(&event["quantity"]), gross, discount, 0, 0]
        };
        for (sum, add) in day.or_default().iter_mut().zip(add) {
            *sum += add;
        }
    }
    let report = generator.expected().report(42);
    assert_eq!(report.daily_sales.len(), days.len());
    for row in report.daily_sales {
        let found = [
            row.sales,
            row.units,
            row.gross_amount,
            row.discount_amount,
            row.returns,
            row.returns_amount,
        ];
        assert_eq!(found, days[&(row.sale_date.to_string(), row.store_id)]);
        assert_eq!(row.net_amount, row.gross_amount - row.discount_amount);
    }
}

#[test]
fn a_late_sale_is_a_day_behind_and_never_before_the_first_day() {
    let mut wanted = options(10_000);
    wanted.shares.late = 0.5;
    let (_, generator) = run(wanted);
    let dates: BTreeSet<String> = generator
        .expected()
        .days()
        .keys()
        .map(|(date, _)| date.to_string())
        .collect();
    let five = ["01", "02", "03", "04", "05"].map(|day| format!("2025-03-{day}"));
    assert_eq!(dates, BTreeSet::from(five));
    let sold_on = |date: &str| {
        let days = generator.expected().days().iter();
        days.filter(|((d, _), _)| d.to_string() == date)
            .map(|(_, day)| day.sales)
            .sum::<i64>()
    };
    // The last day lost half of its sales to the day before, the first gained from the second.
    assert!(sold_on("2025-03-05") < 1_200 && sold_on("2025-03-01") > 2_500);
}

#[test]
fn a_stream_without_end_sells_at_the_moment_that_it_is_given() {
    let mut options = options(1);
    options.shares.late = 0.0;
    let mut generator = Generator::new(options).unwrap();
    let moment = 1_740_830_400_250;
    let event = generator.next_at(moment);
    assert_eq!((event.kind, event.sale.moment), (Kind::Valid, moment));
    assert!(generator.next_event().is_none(), "its one line is made");
}

#[test]
fn options_that_make_no_sense_are_refused_by_name() {
    let refusal = |change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        Generator::new(options)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert!(refusal(|o| o.shares.late = 1.5).contains("late sales is 1.5"));
    assert!(refusal(|o| o.shares.late = f64::NAN).contains("late sales"));
    assert!(refusal(|o| o.shares.duplicates = 0.995).contains("1.005"));
    assert!(refusal(|o| o.stores = 0).contains("stores is 0"));
    assert!(refusal(|o| o.stores = 1_000).contains("from 1 to 999"));
    assert!(refusal(|o| o.products = 100_000).contains("products"));
    assert!(refusal(|o| o.days = 0).contains("days"));
}
