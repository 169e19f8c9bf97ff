//! Groups: what is summed, and which group is named when it can't be.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array};

use super::configured;
use super::guests::{DATE, DECIMAL, Guest, REFUSE, at_value};
use crate::plugin::{CallError, Cause, Configured, Limits, Step};

/// Sums an integer by group. `each` is text that meets `$value` in row `$i`.
fn summing(each: &str) -> Guest {
    let fold = format!(
        r"(local.set $n (call $alloc (i32.shl (local.get $groups) (i32.const 3))))
          (local.set $at (i32.load (i32.add (local.get $columns) (i32.const 4))))
          (block $done
            (loop $next
              (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
              (local.set $value (i64.load (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 3)))))
              {each}
              {ADD}
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br $next)))
          (i32.store (i32.const 132) (local.get $n))
          (i32.store (i32.const 136) (local.get $groups))
          {STATE}
          (i32.store (i32.const 68) (local.get $groups))
          (i32.const 64)"
    );
    let mut guest = Guest::new(Step::Aggregate, &fold);
    guest.merge = format!(
        r"(local.set $at (i32.load (i32.add (local.get $columns) (i32.const 4))))
          (local.set $n (i32.load (i32.add (local.get $columns2) (i32.const 4))))
          (block $done
            (loop $next
              (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
              (local.set $value (i64.load (local.get $at)))
              {each}
              (i64.store (local.get $n) (i64.add (i64.load (local.get $n)) (local.get $value)))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (local.set $n (i32.add (local.get $n) (i32.const 8)))
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br $next)))
          (i32.store (i32.const 132) (i32.load (i32.add (local.get $columns2) (i32.const 4))))
          (i32.store (i32.const 136) (local.get $rows))
          {STATE}
          (i32.store (i32.const 68) (local.get $rows))
          (i32.const 64)"
    );
    guest
}

/// Adds `$value` to the sum of row `$i`'s group.
const ADD: &str = r"
    (local.set $len (i32.add (local.get $n) (i32.shl (i32.load
      (i32.add (local.get $group) (i32.shl (local.get $i) (i32.const 2)))) (i32.const 3))))
    (i64.store (local.get $len) (i64.add (i64.load (local.get $len)) (local.get $value)))";

/// One column of integers, whose list stands at 132, as the batch of a good answer at 64.
const STATE: &str = r"
    (i32.store8 (i32.const 128) (i32.const 1))
    (i32.store8 (i32.const 148) (i32.const 0))
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 72) (i32.const 128))
    (i32.store (i32.const 76) (i32.const 1))";

fn integers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn fold(
    with: &Configured,
    values: &[i64],
    group: &[u32],
    groups: u32,
) -> Result<Vec<ArrayRef>, CallError> {
    let folded = with.fold(values.len(), &[Some(integers(values))], group, groups);
    folded.map(|(state, _)| state)
}

fn named(error: CallError) -> (&'static str, u32, Cause) {
    let CallError::Guest {
        function,
        group,
        cause,
        ..
    } = error
    else {
        panic!("{error}")
    };
    (function, group, cause)
}

#[test]
fn rows_are_folded_into_their_groups_merged_and_published() {
    let sums = configured(&summing(""), &Limits::default());
    let state = fold(&sums, &[1, 2, 3, 4], &[2, 0, 2, 0], 3).unwrap();
    assert_eq!(state, [integers(&[6, 0, 4])]);
    let state = sums.merge(&state, &[integers(&[10, 20, 30])]).unwrap();
    assert_eq!(state, [integers(&[16, 20, 34])]);
    assert_eq!(sums.finish(&state).unwrap(), [integers(&[16, 20, 34])]);
}

#[test]
fn no_groups_are_no_rows() {
    let sums = configured(&summing("unreachable"), &Limits::default());
    assert_eq!(fold(&sums, &[], &[], 0).unwrap(), [integers(&[])]);
    assert_eq!(sums.finish(&[integers(&[])]).unwrap(), [integers(&[])]);
}

#[test]
fn a_group_that_fails_is_named() {
    for (body, wanted) in [
        ("unreachable", Cause::Trap),
        ("(loop $ever (br $ever))", Cause::Fuel),
        ("(drop (memory.grow (i32.const 60000)))", Cause::Memory),
        (&format!("{REFUSE} return"), Cause::Answer),
    ] {
        let limits = Limits {
            fuel: 1_000_000,
            ..Limits::default()
        };
        let sums = configured(&summing(&at_value(13, body)), &limits);
        let group: Vec<u32> = (0..20).map(|row| row % 5).collect();
        let mut values = vec![1; 20];
        values[18] = 13;
        let error = fold(&sums, &values, &group, 5).unwrap_err();
        assert_eq!(named(error), ("fold", 3, wanted), "{body}");
        let error = sums
            .merge(&[integers(&[1, 13])], &[integers(&[1, 1])])
            .unwrap_err();
        assert_eq!(named(error), ("merge", 1, wanted), "{body}");
    }
}

#[test]
fn groups_that_need_too_much_together_are_folded_in_parts() {
    // Ten MiB for each row: too much for twenty groups at once, not for a few.
    let limits = Limits::default();
    let sums = configured(
        &summing("(drop (call $alloc (i32.const 10485760)))"),
        &limits,
    );
    let group: Vec<u32> = (0..20).collect();
    let values: Vec<i64> = (100..120).collect();
    assert_eq!(
        fold(&sums, &values, &group, 20).unwrap(),
        [integers(&values)]
    );
    // One group of them all can't be made smaller, so it may use more.
    let total = values.iter().sum();
    assert_eq!(
        fold(&sums, &values, &[0; 20], 1).unwrap(),
        [integers(&[total])]
    );
}

#[test]
fn an_answer_with_another_number_of_groups_is_refused() {
    let mut guest = summing("");
    guest.body = guest.body.replace(
        "(i32.store (i32.const 68) (local.get $groups))",
        "(i32.store (i32.const 68) (i32.const 9))",
    );
    let sums = configured(&guest, &Limits::default());
    let error = fold(&sums, &[1, 2], &[0, 1], 2).unwrap_err();
    assert_eq!(named(error), ("fold", 0, Cause::Answer));
}

#[test]
fn a_sum_may_have_all_of_the_contracts_64_bits() {
    let mut guest = summing("");
    guest.state = vec![("sum", DECIMAL, 2, true)];
    let sums = configured(&guest, &Limits::default());
    let of = |digits| -> ArrayRef {
        let sums = Decimal128Array::from(vec![i128::from(i64::MAX), i128::from(i64::MIN)]);
        Arc::new(sums.with_precision_and_scale(digits, 2).unwrap())
    };
    assert_eq!(sums.finish(&[of(38)]).unwrap(), [of(19)]);
    assert_eq!(
        sums.finish(&[of(38).slice(0, 0)]).unwrap(),
        [of(19).slice(0, 0)]
    );
}

#[test]
fn state_of_another_kind_than_described_is_refused() {
    let mut guest = summing("");
    guest.state = vec![("sum", DATE, 0, true)];
    let sums = configured(&guest, &Limits::default());
    let error = fold(&sums, &[1], &[0], 1).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("values of kind integer, not date"),
        "{error}"
    );
}

#[test]
fn rows_of_groups_that_there_are_not_are_the_callers_mistake() {
    let sums = configured(&summing(""), &Limits::default());
    for (group, groups) in [(&[0, 2][..], 2), (&[0], 1)] {
        let error = fold(&sums, &[1, 2], group, groups).unwrap_err();
        assert!(matches!(error, CallError::Host { .. }), "{error}");
    }
    let error = sums
        .merge(&[integers(&[1])], &[integers(&[1, 2])])
        .unwrap_err();
    assert!(matches!(error, CallError::Host { .. }), "{error}");
    let error = sums.judge(0, &[], 1).unwrap_err();
    assert!(matches!(error, CallError::OtherStep { .. }), "{error}");
}
