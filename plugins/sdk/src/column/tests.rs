use super::*;

#[test]
fn what_is_written_is_read_back_absent_or_not() {
    for absent in [
        vec![],
        vec![0],
        vec![7],
        vec![8],
        vec![0, 7, 8, 15, 16, 19],
        vec![19],
    ] {
        let value = |row: usize| (!absent.contains(&row)).then(|| format!("é{row}"));
        let mut builder = Builder::<Text>::default();
        (0..20).for_each(|row| builder.push(value(row).map(Cow::Owned)));
        let column = builder.close();
        assert_eq!(column.valid.is_some(), !absent.is_empty());
        let slot = Slot::<Text>::open(&column, 20, "name").unwrap();
        for row in 0..20 {
            assert_eq!(slot.get(row), value(row).as_deref());
        }
        assert_eq!(slot.get(20), None);
    }
}

#[test]
fn a_column_that_is_not_as_asked_for_is_refused() {
    let mut builder = Builder::<Decimal<2>>::default();
    builder.push(Some(Decimal::of_units(1)));
    let column = builder.close();
    assert!(Slot::<Decimal<2>>::open(&column, 1, "price").is_ok());
    assert!(Slot::<Decimal<2>>::open(&column, 2, "price").is_err());
    let error = Slot::<Decimal<3>>::open(&column, 1, "price").err().unwrap();
    assert!(
        error.contains("price") && error.contains("another scale"),
        "{error}"
    );
    assert!(Slot::<Integer>::open(&column, 1, "price").is_err());
}
