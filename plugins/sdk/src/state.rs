//! The parts that a state is made of. Each knows how to merge with its like, associatively and
//! commutatively, so a state that is made of them does too.

use std::borrow::Cow;

use crate::column::{Binary, Integer, Kind};
use crate::decimal::Decimal;
use crate::time::Timestamp;

mod distinct;

pub use distinct::{Distinct, DistinctTexts};

/// A part of a state: [`Count`], [`Sum`], [`SumIfAny`], [`Earliest`], [`Latest`], [`Distinct`].
///
/// A stored state of a part can be absent: the gold table is older than the part. [`Count`],
/// [`Sum`] and [`Distinct`] stay absent then, whatever is merged, because what they missed is not
/// known; a replay of the past makes them whole.
pub trait Part: 'static {
    /// The kind of column that it is stored in.
    type Kind: Kind;
    /// The value while it grows.
    type State<'a>: Default;

    /// From a stored value.
    ///
    /// # Errors
    /// A stored value that this part never wrote.
    fn read<'a>(value: Option<<Self::Kind as Kind>::Value<'a>>) -> Result<Self::State<'a>, String>
    where
        // Says that the lifetime is chosen by the caller, in every part alike.
        'a: 'a;

    /// Joins two. Associative and commutative.
    fn merge<'a>(state: &mut Self::State<'a>, other: Self::State<'a>)
    where
        'a: 'a;

    /// To a stored value.
    ///
    /// # Errors
    /// A value that does not fit the column.
    fn write<'a>(state: Self::State<'a>) -> Result<Option<<Self::Kind as Kind>::Out<'a>>, String>
    where
        'a: 'a;
}

/// A value that can be summed: [`Integer`] and [`Decimal`].
pub trait Summable: Kind + Sized {
    /// In the smallest unit.
    fn units<'a>(value: Self::Value<'a>) -> i64
    where
        'a: 'a;
    /// From the smallest unit, as it is read and as it is written.
    fn of_units<'a>(units: i64) -> (Self::Value<'a>, Self::Out<'a>)
    where
        'a: 'a;
}

impl Summable for Integer {
    fn units<'a>(value: i64) -> i64
    where
        'a: 'a,
    {
        value
    }

    fn of_units<'a>(units: i64) -> (i64, i64)
    where
        'a: 'a,
    {
        (units, units)
    }
}

impl<const SCALE: u8> Summable for Decimal<SCALE> {
    fn units<'a>(value: Self) -> i64
    where
        'a: 'a,
    {
        Self::units(value)
    }

    fn of_units<'a>(units: i64) -> (Self, Self)
    where
        'a: 'a,
    {
        (Self::of_units(units), Self::of_units(units))
    }
}

const PAST_64_BITS: &str = "the sum is past what 64 bits can hold";

/// How many. Starts at 0.
pub type Count = Sum<Integer>;

/// A sum. Starts at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum<K: Summable> {
    // Wider than the column, so that only what is stored must fit. `None`: not known.
    units: Option<i128>,
    kind: std::marker::PhantomData<fn() -> K>,
}

impl<K: Summable> Default for Sum<K> {
    fn default() -> Self {
        Self::of(Some(0))
    }
}

impl<K: Summable> Sum<K> {
    const fn of(units: Option<i128>) -> Self {
        Self {
            units,
            kind: std::marker::PhantomData,
        }
    }

    /// Adds a value; an absent one adds nothing.
    pub fn add<'v>(&mut self, value: impl Into<Option<K::Value<'v>>>) {
        self.move_by(value.into().map(K::units).unwrap_or_default().into());
    }

    /// Takes a value away; an absent one takes nothing.
    pub fn subtract<'v>(&mut self, value: impl Into<Option<K::Value<'v>>>) {
        self.move_by(-i128::from(value.into().map(K::units).unwrap_or_default()));
    }

    fn move_by(&mut self, units: i128) {
        self.units = self.units.and_then(|sum| sum.checked_add(units));
    }

    /// The sum. `None`: not known for this group, because its gold row is older than the sum.
    pub fn get<'v>(&self) -> Option<K::Value<'v>> {
        let units = i64::try_from(self.units?).ok()?;
        Some(K::of_units(units).0)
    }
}

impl Sum<Integer> {
    /// Adds a number without its sign; an absent one adds nothing.
    pub fn add_absolute(&mut self, value: impl Into<Option<i64>>) {
        self.move_by(value.into().unwrap_or_default().unsigned_abs().into());
    }

    /// Counts one more.
    pub fn one_more(&mut self) {
        self.move_by(1);
    }
}

impl<K: Summable> Part for Sum<K> {
    type Kind = K;
    type State<'a> = Self;

    fn read<'a>(value: Option<K::Value<'a>>) -> Result<Self, String>
    where
        'a: 'a,
    {
        Ok(Self::of(value.map(|value| K::units(value).into())))
    }

    fn merge<'a>(state: &mut Self, other: Self)
    where
        'a: 'a,
    {
        state.units = match (state.units, other.units) {
            (Some(one), Some(two)) => one.checked_add(two),
            _ => None,
        };
    }

    fn write<'a>(state: Self) -> Result<Option<K::Out<'a>>, String>
    where
        'a: 'a,
    {
        let Some(units) = state.units else {
            return Ok(None);
        };
        let units = i64::try_from(units).map_err(|_| PAST_64_BITS.to_owned())?;
        Ok(Some(K::of_units(units).1))
    }
}

/// A sum that is absent until something is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumIfAny<K: Summable> {
    sum: Option<Sum<K>>,
}

impl<K: Summable> Default for SumIfAny<K> {
    fn default() -> Self {
        Self { sum: None }
    }
}

impl<K: Summable> SumIfAny<K> {
    /// Adds a value; an absent one adds nothing.
    pub fn add<'v>(&mut self, value: impl Into<Option<K::Value<'v>>>) {
        if let Some(value) = value.into() {
            self.sum.get_or_insert_default().add(value);
        }
    }

    /// The sum of what was added, if anything was.
    pub fn get<'v>(&self) -> Option<K::Value<'v>> {
        self.sum.as_ref().and_then(Sum::get)
    }
}

impl<K: Summable> Part for SumIfAny<K> {
    type Kind = K;
    type State<'a> = Self;

    fn read<'a>(value: Option<K::Value<'a>>) -> Result<Self, String>
    where
        'a: 'a,
    {
        let mut state = Self::default();
        state.add(value);
        Ok(state)
    }

    fn merge<'a>(state: &mut Self, other: Self)
    where
        'a: 'a,
    {
        if let Some(other) = other.sum {
            <Sum<K> as Part>::merge(state.sum.get_or_insert_default(), other);
        }
    }

    fn write<'a>(state: Self) -> Result<Option<K::Out<'a>>, String>
    where
        'a: 'a,
    {
        state.sum.map_or(Ok(None), <Sum<K> as Part>::write)
    }
}

/// The earliest of the moments that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earliest(Option<Timestamp>);

/// The latest of the moments that were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latest(Option<Timestamp>);

macro_rules! moment {
    ($Name:ident, $better:expr) => {
        impl $Name {
            /// Sees a moment; an absent one changes nothing.
            pub fn see(&mut self, moment: impl Into<Option<Timestamp>>) {
                self.0 = match (self.0, moment.into()) {
                    (Some(one), Some(two)) => Some($better(one, two)),
                    (one, two) => one.or(two),
                };
            }

            /// The moment, if any was seen.
            pub const fn get(&self) -> Option<Timestamp> {
                self.0
            }
        }

        impl Part for $Name {
            type Kind = Timestamp;
            type State<'a> = Self;

            fn read<'a>(value: Option<Timestamp>) -> Result<Self, String>
            where
                'a: 'a,
            {
                Ok(Self(value))
            }

            fn merge<'a>(state: &mut Self, other: Self)
            where
                'a: 'a,
            {
                state.see(other.0);
            }

            fn write<'a>(state: Self) -> Result<Option<Timestamp>, String>
            where
                'a: 'a,
            {
                Ok(state.0)
            }
        }
    };
}

moment!(Earliest, Ord::min);
moment!(Latest, Ord::max);

impl Part for Distinct {
    type Kind = Binary;
    type State<'a> = DistinctTexts<'a>;

    fn read<'a>(value: Option<&'a [u8]>) -> Result<DistinctTexts<'a>, String>
    where
        'a: 'a,
    {
        value.map_or_else(|| Ok(DistinctTexts::unknown()), DistinctTexts::decode)
    }

    fn merge<'a>(state: &mut DistinctTexts<'a>, other: DistinctTexts<'a>)
    where
        'a: 'a,
    {
        state.join(other);
    }

    fn write<'a>(state: DistinctTexts<'a>) -> Result<Option<Cow<'a, [u8]>>, String>
    where
        'a: 'a,
    {
        Ok(state.encode()?.map(Cow::Owned))
    }
}
