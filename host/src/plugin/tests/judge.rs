//! Rows meet hostile components: the guilty ones are named with the cause, the rest goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array,
    Int64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};

use super::configured;
use super::guests::{
    BINARY, BOOLEAN, DATE, DECIMAL, ECHO, FLOAT, Guest, INTEGER, REFUSE, TEXT, TIMESTAMP, at_value,
    each_row, verdict,
};
use crate::plugin::{CallError, Cause, Configured, Judged, Limits, Step};
use crate::processor::Turns;

fn integers(values: &[i64]) -> Option<ArrayRef> {
    Some(Arc::new(Int64Array::from(values.to_vec())))
}

fn judge(rule: &Configured, values: &[i64]) -> Judged {
    rule.judge(values.len(), &[integers(values)], 1).unwrap()
}

/// Refuses the rows whose quantity is below zero; what else `each` does is up to the test.
fn validator(each: &str) -> Guest {
    let negative = format!(
        "(if (i64.lt_s (local.get $value) (i64.const 0)) (then {}))",
        verdict("(local.get $i)", 0)
    );
    Guest::new(Step::Validate, &each_row(&format!("{negative} {each}")))
}

/// A value for each way to do harm.
fn evil() -> Guest {
    let spin = "(loop $ever (br $ever))";
    let huge = "(i32.store8 (i32.const 64) (i32.const 1))
        (i32.store (i32.const 68) (i32.const 0)) (i32.store (i32.const 72) (i32.const 20000000))
        (drop (call $alloc (i32.const 21000000))) (return (i32.const 64))";
    let past = "(i32.store8 (i32.const 64) (i32.const 1))
        (i32.store (i32.const 68) (i32.const -8)) (i32.store (i32.const 72) (i32.const 64))
        (return (i32.const 64))";
    let garbled = "(i32.store8 (i32.const 1024) (i32.const 255))
        (i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 1024))
        (i32.store (i32.const 72) (i32.const 8)) (return (i32.const 64))";
    let shout = "(call $log (i32.const 3) (i32.const 1024) (i32.const 8)) unreachable";
    let flood =
        "(loop $ever (call $log (i32.const 1) (i32.const 70000) (i32.const 50000)) (br $ever))";
    let each: String = [
        at_value(13, "unreachable"),
        at_value(14, spin),
        at_value(
            15,
            "(loop $ever (drop (memory.grow (i32.const 64))) (br $ever))",
        ),
        at_value(16, huge),
        at_value(17, &verdict("(i32.const 999999)", 0)),
        at_value(18, &format!("{REFUSE} return")),
        at_value(19, &verdict("(local.get $i)", 7)),
        at_value(20, "(drop (i32.load (i32.const -4)))"),
        at_value(21, "(drop (call $deep (i32.const 0)))"),
        at_value(22, past),
        at_value(23, garbled),
        at_value(24, shout),
        at_value(25, flood),
        at_value(26, "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        at_value(27, "(return (i32.const -16))"),
    ]
    .concat();
    validator(&each)
}

#[test]
fn a_row_that_breaks_a_rule_gets_a_verdict() {
    let rule = configured(&validator(""), &Limits::default());
    let judged = judge(&rule, &[1, -1, 2, -2]);
    let verdicts: Vec<_> = judged
        .verdicts
        .iter()
        .map(|v| (v.row, v.rule, &*v.reason))
        .collect();
    assert_eq!(verdicts, [(1, 0, "it hurts"), (3, 0, "it hurts")]);
    assert!(judged.guilty.is_empty() && judged.columns.is_empty());
}

#[test]
fn what_a_component_keeps_in_memory_and_in_globals_is_gone_with_its_batch() {
    let kept = "(i32.or (i32.load (i32.const 3000)) (i32.ne (global.get $kept) (i32.const 0)))";
    let leak = at_value(
        30,
        &format!(
            "(if {kept} (then {})) (i32.store (i32.const 3000) (i32.const 1))
             (global.set $kept (i32.const 1))",
            verdict("(local.get $i)", 0)
        ),
    );
    let mut guest = validator(&leak);
    guest.top = "(global $kept (mut i32) (i32.const 0))";
    let rule = configured(&guest, &Limits::default());
    let seen = judge(&rule, &[30, 30, 30]).verdicts;
    let seen: Vec<u32> = seen.iter().map(|verdict| verdict.row).collect();
    assert_eq!(seen, [1, 2], "within a batch it finds what it kept");
    for _ in 0..3 {
        assert!(judge(&rule, &[30]).verdicts.is_empty());
    }
}

#[test]
fn a_batch_without_rows_asks_nobody() {
    let rule = configured(
        &Guest::new(Step::Validate, "unreachable"),
        &Limits::default(),
    );
    assert!(judge(&rule, &[]).guilty.is_empty());
}

#[test]
fn every_way_to_do_harm_convicts_its_row_and_no_other() {
    let rule = configured(&evil(), &Limits::default());
    for (value, cause, text) in [
        (13, Cause::Trap, "unreachable"),
        (14, Cause::Fuel, "50020000 units of fuel"),
        (15, Cause::Memory, "67108864 are allowed"),
        (16, Cause::Output, "larger than 8392704 bytes"),
        (17, Cause::Answer, "row 999999 of a batch of 1 rows"),
        (18, Cause::Answer, "it hurts"),
        (19, Cause::Answer, "rule 7 of 1 rules"),
        (20, Cause::Trap, "out of bounds"),
        (21, Cause::Trap, "call stack exhausted"),
        (22, Cause::Answer, "its answer can't be read"),
        (23, Cause::Answer, "utf-8"),
        (24, Cause::Trap, "it hurts (wasm trap: wasm `unreachable`"),
        (25, Cause::Fuel, "units of fuel"),
        (26, Cause::Trap, "divide by zero"),
        (27, Cause::Answer, "its answer can't be read"),
    ] {
        let judged = judge(&rule, &[1, -1, 2, value, -3, 4]);
        let [guilty] = &judged.guilty[..] else {
            panic!("{value}: {:?}", judged.guilty)
        };
        assert_eq!(
            (guilty.row, guilty.cause),
            (3, cause),
            "{value}: {}",
            guilty.text
        );
        assert!(guilty.text.contains(text), "{value}: {}", guilty.text);
        let rows: Vec<u32> = judged.verdicts.iter().map(|verdict| verdict.row).collect();
        assert_eq!(rows, [1, 4], "{value}");
    }
}

#[test]
fn many_guilty_rows_are_all_found() {
    let rule = configured(&evil(), &Limits::default());
    let values: Vec<i64> = (0..300)
        .map(|row| [0, -1, 13, 0, 17, 20, 0][row % 7])
        .collect();
    let judged = judge(&rule, &values);
    let wanted = |holds: &dyn Fn(i64) -> bool| -> Vec<u32> {
        (0..300)
            .filter(|row| holds(values[*row as usize]))
            .collect()
    };
    let guilty: Vec<u32> = judged.guilty.iter().map(|guilty| guilty.row).collect();
    assert_eq!(guilty, wanted(&|value| value > 12));
    let negative: Vec<u32> = judged.verdicts.iter().map(|verdict| verdict.row).collect();
    assert_eq!(negative, wanted(&|value| value < 0));
}

#[test]
fn cutting_a_batch_anywhere_gives_the_same_answer() {
    let rule = configured(&evil(), &Limits::default());
    let values = [1, -1, 13, 2, 17, -5, 20, 3, -6, 18];
    let whole = judge(&rule, &values);
    for cut in 0..=values.len() {
        let (left, right) = values.split_at(cut);
        let (left, right) = (judge(&rule, left), judge(&rule, right));
        let shift = u32::try_from(cut).unwrap();
        let rows = left.verdicts.iter().map(|v| v.row);
        let rows = rows.chain(right.verdicts.iter().map(|v| v.row + shift));
        assert!(
            rows.eq(whole.verdicts.iter().map(|v| v.row)),
            "cut at {cut}"
        );
        let guilty = left.guilty.iter().map(|g| (g.row, g.cause, g.text.clone()));
        let later = right
            .guilty
            .iter()
            .map(|g| (g.row + shift, g.cause, g.text.clone()));
        let once = whole
            .guilty
            .iter()
            .map(|g| (g.row, g.cause, g.text.clone()));
        assert!(guilty.chain(later).eq(once), "cut at {cut}");
    }
}

#[test]
fn a_row_twice_in_one_rule_counts_once_and_verdicts_are_in_order() {
    let again = at_value(-2, &verdict("(i32.const 0)", 0));
    let rule = configured(&validator(&again), &Limits::default());
    let judged = judge(&rule, &[-1, -2]);
    let rows: Vec<u32> = judged.verdicts.iter().map(|verdict| verdict.row).collect();
    assert_eq!(rows, [0, 1]);
}

#[test]
fn wide_limits_let_a_row_through_that_plain_ones_convict() {
    let work = "(local.set $n (i32.const 15000000))
        (loop $on (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $on (local.get $n)))";
    let rule = configured(&validator(&at_value(9, work)), &Limits::default());
    assert_eq!(judge(&rule, &[1, 9]).guilty[0].cause, Cause::Fuel);
    let wide = rule.judge(2, &[integers(&[1, 9])], 16).unwrap();
    assert!(wide.guilty.is_empty());
}

#[test]
fn the_deadline_frees_the_thread_and_convicts_nobody() {
    let limits = Limits {
        fuel: u64::MAX / 4,
        deadline: Duration::from_millis(60),
        ..Limits::default()
    };
    let rule = configured(&evil(), &limits);
    let begun = Instant::now();
    let error = rule.judge(2, &[integers(&[1, 14])], 1).unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Deadline {
                function: "validate",
                ..
            }
        ),
        "{error}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(judge(&rule, &[-1]).verdicts.len(), 1);
}

#[test]
fn setting_up_for_each_half_counts_for_the_search_and_what_is_used() {
    let mut guest = Guest::new(Step::Validate, "unreachable");
    guest.configure = "(local $n i32) (local.set $n (i32.const 100000))
        (loop $on (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        i32.const 16"
        .to_owned();
    let limits = Limits {
        search: 5_000_000,
        ..Limits::default()
    };
    let rule = configured(&guest, &limits);
    rule.take_usage();
    let error = rule.judge(1_000, &[integers(&[1; 1_000])], 1).unwrap_err();
    let CallError::TooManyGuilty { guilty, .. } = error else {
        panic!("{error}")
    };
    assert!(guilty < 20, "{guilty}");
    let fuel = rule.take_usage().fuel;
    assert!((5_000_000..10_000_000).contains(&fuel), "{fuel}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_loops_gives_way_in_its_middle_and_pays_for_no_time_of_others() {
    let limits = Limits {
        fuel: u64::MAX / 4,
        deadline: Duration::from_secs(1),
        ..Limits::default()
    };
    let rule = configured(&evil(), &limits);
    // The only turn is the looping call's.
    let turns = Turns::new(1);
    let [loops, other] = [turns.share(), turns.share()];
    let looping = tokio::spawn(async move {
        let call = move || rule.judge(1, &[integers(&[14])], 1).map(drop);
        let ended = loops.spawn(call).await.unwrap();
        (ended, loops.used())
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    for _ in 0..6 {
        // Longer than the deadline in all, which is not its own time.
        let sleep = || std::thread::sleep(Duration::from_millis(200));
        other.spawn(sleep).await.unwrap();
    }
    let served = begun.elapsed();
    assert!(!looping.is_finished(), "it ended within {served:?}");
    let (ended, used) = looping.await.unwrap();
    assert!(
        matches!(ended, Err(CallError::Deadline { .. })),
        "{ended:?}"
    );
    assert!(used > Duration::from_millis(30), "{used:?}");
}

#[test]
fn a_component_that_burns_fuel_on_every_row_is_stopped() {
    let limits = Limits {
        fuel: 1_000_000,
        search: 30_000_000,
        ..Limits::default()
    };
    let rule = configured(&evil(), &limits);
    let error = rule.judge(500, &[integers(&[14; 500])], 1).unwrap_err();
    let CallError::TooManyGuilty {
        guilty,
        seen,
        rows,
        cause,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert!(guilty <= seen && seen < rows, "{guilty} {seen} {rows}");
    assert_eq!(cause, Cause::Fuel);
}

#[test]
fn a_value_past_64_bits_convicts_its_row_alone() {
    let mut guest = validator("");
    guest.reads = vec![("price", DECIMAL, 2, true)];
    guest.body = each_row("").replace("i32.const 4", "i32.const 8");
    let rule = configured(&guest, &Limits::default());
    let values = Decimal128Array::from(vec![Some(1), Some(10_i128.pow(30)), None]);
    let column: ArrayRef = Arc::new(values.with_precision_and_scale(38, 2).unwrap());
    let judged = rule.judge(3, &[Some(column)], 1).unwrap();
    let [guilty] = &judged.guilty[..] else {
        panic!("{:?}", judged.guilty)
    };
    assert_eq!((guilty.row, guilty.cause), (1, Cause::Input));
}

fn kinds() -> Vec<super::guests::FieldText> {
    vec![
        ("is_return", BOOLEAN, 0, true),
        ("quantity", INTEGER, 0, true),
        ("score", FLOAT, 0, true),
        ("unit_price", DECIMAL, 2, true),
        ("store_id", TEXT, 0, true),
        ("token", BINARY, 0, true),
        ("sold_at", TIMESTAMP, 0, true),
        ("sale_date", DATE, 0, true),
    ]
}

fn of_all_kinds(rows: usize) -> Vec<ArrayRef> {
    let some = |row: usize, every: usize| (!row.is_multiple_of(every)).then_some(row);
    let number = |row: usize| i64::try_from(row).unwrap();
    vec![
        Arc::new(
            (0..rows)
                .map(|r| some(r, 2).map(|r| r % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 3).map(number))
                .collect::<Int64Array>(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 4).map(|r| number(r) as f64 / 7.0))
                .collect::<Float64Array>(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 5).map(|r| -i128::from(number(r))))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(18, 2)
                .unwrap(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 6).map(|r| "ü".repeat(r % 5)))
                .collect::<StringArray>(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 7).map(|r| vec![0xff; r % 4]))
                .collect::<BinaryArray>(),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 8).map(number))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Arc::new(
            (0..rows)
                .map(|r| some(r, 9).map(|_| 20_000))
                .collect::<Date32Array>(),
        ),
    ]
}

fn echo(limits: &Limits) -> Configured {
    let mut guest = Guest::new(Step::Enrich, ECHO);
    guest.reads = kinds();
    guest.writes = kinds();
    configured(&guest, limits)
}

#[test]
fn values_of_every_kind_come_back_as_they_went_in() {
    let rule = echo(&Limits::default());
    for (from, rows) in [(0, 1), (0, 100), (3, 61), (8, 8)] {
        let columns: Vec<ArrayRef> = of_all_kinds(100)
            .iter()
            .map(|column| column.slice(from, rows))
            .collect();
        let asked: Vec<Option<ArrayRef>> = columns.iter().cloned().map(Some).collect();
        let judged = rule.judge(rows, &asked, 1).unwrap();
        assert_eq!(judged.columns, columns, "{rows} rows from {from}");
        assert!(judged.guilty.is_empty());
    }
}

#[test]
fn values_that_no_table_can_hold_convict_their_rows_alone() {
    let mut guest = Guest::new(Step::Enrich, ECHO);
    guest.reads = vec![("price", DECIMAL, 2, true), ("sold_at", TIMESTAMP, 0, true)];
    guest.writes = guest.reads.clone();
    let rule = configured(&guest, &Limits::default());
    let prices = [999_999_999_999_999_999, 1_000_000_000_000_000_000, 1, -4];
    let column = |prices: &[i128]| -> Option<ArrayRef> {
        let prices = Decimal128Array::from(prices.to_vec());
        Some(Arc::new(prices.with_precision_and_scale(38, 2).unwrap()))
    };
    let moments = TimestampMicrosecondArray::from(vec![1, 2, i64::MAX, 4]).with_timezone("UTC");
    let columns = [column(&prices), Some(Arc::new(moments) as ArrayRef)];
    let judged = rule.judge(4, &columns, 1).unwrap();
    let guilty: Vec<_> = judged
        .guilty
        .iter()
        .map(|guilty| (guilty.row, guilty.cause, guilty.text.as_str()))
        .collect();
    let price = "in its column price: 1000000000000000000 units have more than 18 digits";
    let moment =
        "in its column sold_at: 9223372036854775807 is no timestamp in the years 1 to 9999";
    assert_eq!(
        guilty,
        [(1, Cause::Answer, price), (2, Cause::Answer, moment)]
    );
    for column in &judged.columns {
        let valid: Vec<bool> = (0..4).map(|row| column.is_valid(row)).collect();
        assert_eq!(valid, [true, false, false, true]);
    }
}

#[test]
fn a_column_that_is_absent_is_null_in_every_row() {
    let absent = vec![None; kinds().len()];
    let judged = echo(&Limits::default()).judge(20, &absent, 1).unwrap();
    for (column, like) in judged.columns.iter().zip(of_all_kinds(1)) {
        assert_eq!(column, &new_null_array(like.data_type(), 20));
    }
}

#[test]
fn guilty_rows_are_null_in_what_is_written_and_the_others_stay_in_place() {
    let mut guest = Guest::new(Step::Cleanse, "");
    guest.writes = guest.reads.clone();
    let trap = each_row(&at_value(13, "unreachable"));
    let trap = trap.rsplit_once("(i32.store8 (i32.const 64)").unwrap().0;
    guest.body = format!("{trap} {ECHO}");
    let rule = configured(&guest, &Limits::default());
    let judged = judge(&rule, &[5, 13, 6, 7, 13]);
    let wanted = Int64Array::from(vec![Some(5), None, Some(6), Some(7), None]);
    assert_eq!(judged.columns, [Arc::new(wanted) as ArrayRef]);
}

#[test]
fn columns_that_do_not_fit_the_description_are_the_callers_mistake() {
    let rule = configured(&validator(""), &Limits::default());
    let text: Option<ArrayRef> = Some(Arc::new(StringArray::from(vec!["1"])));
    for columns in [vec![], vec![integers(&[1, 2])], vec![text]] {
        let error = rule.judge(1, &columns, 1).unwrap_err();
        assert!(matches!(error, CallError::Host { .. }), "{error}");
    }
    let error = rule.merge(&[], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "merge is not what this component does: it is a validator"
    );
}
