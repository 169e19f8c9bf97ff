//! The generator: the same options and seed give the same lines, and the truth about them.
//!
//! Lines come one at a time. Only sales that silver takes are remembered, as numbers, so that a
//! duplicate is the earlier line byte for byte. A duplicate has its original's key: keyed by
//! store, both land in one partition, the original first.

use std::io;

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::catalogue::{Catalogue, store_id};
use super::expected::{Expected, Kind};
use super::sale::{Flaw, Sale};

/// How many of the last valid sales a duplicate may repeat.
const REMEMBERED: usize = 50_000;

const CUSTOMERS: u64 = 100_000;
const REGISTERS: u64 = 40;
const LARGEST_QUANTITY: u64 = 9;
const MILLIS_A_DAY: u64 = 86_400_000;

/// Discounts, in hundredths of a percent.
const DISCOUNTS: [i64; 4] = [500, 1_000, 1_250, 2_000];

/// The longest catalogue: what five digits of a product's id can count.
const MOST_PRODUCTS: u32 = 99_999;

/// The most stores: what three digits of a store's id can count.
const MOST_STORES: u32 = 999;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// How many lines there will be. The sales spread over `days` by it.
    pub count: u64,
    pub stores: u32,
    pub products: u32,
    pub first_day: NaiveDate,
    pub days: u32,
    /// Zones that the stores take in turn; none: all are in UTC.
    pub zones: Vec<Tz>,
    pub shares: Shares,
}

/// Parts of the stream, each from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    /// Of all lines: earlier valid lines again.
    pub duplicates: f64,
    /// Of all lines: earlier valid lines again, with another quantity.
    pub conflicts: f64,
    /// Of all lines: a negative quantity, no id, or a timestamp that is none.
    pub invalid: f64,
    /// Of all lines: cut off half way.
    pub malformed: f64,
    /// Of the sales after the first day: sold a day before.
    pub late: f64,
    /// Of the valid sales: goods brought back.
    pub returns: f64,
    /// Of the valid sales that are no returns: with a discount.
    pub discounts: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 42,
            count: 1_000_000,
            stores: 60,
            products: 5_000,
            first_day: NaiveDate::from_ymd_opt(2025, 3, 1).unwrap_or_default(),
            days: 5,
            zones: Vec::new(),
            shares: Shares::default(),
        }
    }
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            duplicates: 0.02,
            conflicts: 0.0,
            invalid: 0.0075,
            malformed: 0.0025,
            late: 0.01,
            returns: 0.0,
            discounts: 0.0,
        }
    }
}

/// Options that no stream can be made from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerateError {
    #[error("the share of {name} is {value}; it must be from 0 to 1")]
    BadShare { name: &'static str, value: f64 },
    #[error(
        "duplicates, conflicts, invalid and malformed lines make {sum} of the stream; together they must stay at or under 1"
    )]
    TooLittleLeft { sum: f64 },
    #[error("{name} is {value}; it must be from 1 to {most}")]
    OutOfRange {
        name: &'static str,
        value: u64,
        most: u64,
    },
}

/// One line of the stream.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The store's id: what a Kafka message is keyed by.
    pub key: &'a str,
    /// JSON, without the line's end.
    pub line: &'a [u8],
    pub kind: Kind,
    pub sale: Sale,
}

/// Makes one line after the other.
pub struct Generator {
    options: Options,
    catalogue: Catalogue,
    keys: Vec<String>,
    random: ChaCha8Rng,
    number: u64,
    remembered: Vec<Sale>,
    line: Vec<u8>,
    expected: Expected,
}

impl Generator {
    /// # Errors
    /// The first option that makes no sense.
    pub fn new(options: Options) -> Result<Self, GenerateError> {
        options.check()?;
        let catalogue = Catalogue::new(options.products, options.stores, &options.zones);
        Ok(Self {
            keys: (0..catalogue.zones().len()).map(store_id).collect(),
            catalogue,
            random: ChaCha8Rng::seed_from_u64(options.seed),
            number: 0,
            remembered: Vec::new(),
            line: Vec::with_capacity(512),
            expected: Expected::default(),
            options,
        })
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    pub fn seed(&self) -> u64 {
        self.options.seed
    }

    /// The truth about every line made so far.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The next line of a stream of `count` lines over `days`; none after the last.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        if self.number >= self.options.count {
            return None;
        }
        let a_day = self
            .options
            .count
            .div_ceil(u64::from(self.options.days))
            .max(1);
        let midnight = self.options.first_day.and_time(NaiveTime::MIN).and_utc();
        let passed = self.number / a_day * MILLIS_A_DAY
            + self.number % a_day * (MILLIS_A_DAY / 1_000) / a_day * 1_000;
        let second = midnight.timestamp_millis() + passed.cast_signed();
        let moment = second + below(&mut self.random, 1_000).cast_signed();
        Some(self.make(moment, self.number >= a_day))
    }

    /// The next line of a stream without end: a sale at `moment`, in milliseconds since 1970, or,
    /// if it is a late one, a day before.
    pub fn next_at(&mut self, moment: i64) -> Event<'_> {
        self.make(moment, true)
    }

    fn make(&mut self, moment: i64, may_be_late: bool) -> Event<'_> {
        let (kind, sale, flaw) = self.draw(moment, may_be_late);
        self.number += 1;
        self.line.clear();
        // Writing to memory can't fail.
        let _: io::Result<()> = sale.write_line(flaw, &mut self.line);
        self.expected.count(kind, self.line.len());
        if kind == Kind::Valid {
            self.remember(sale);
            let product = self.catalogue.products().get(sale.product);
            let zone = self.catalogue.zones().get(sale.store);
            if let (Some(product), Some(zone)) = (product, zone) {
                self.expected.add(&sale, *product, *zone);
            }
        }
        Event {
            key: self.keys.get(sale.store).map_or("", String::as_str),
            line: &self.line,
            kind,
            sale,
        }
    }

    /// Decides what the next line is. Before the first valid line there is nothing to repeat, and
    /// what would repeat is a sale of its own.
    fn draw(&mut self, moment: i64, may_be_late: bool) -> (Kind, Sale, Option<Flaw>) {
        let shares = self.options.shares;
        let mut left = part(&mut self.random);
        let mut falls = |share: f64| {
            left -= share;
            left < 0.0
        };
        if falls(shares.duplicates) {
            if let Some(sale) = self.recall() {
                return (Kind::Duplicate, sale, None);
            }
        } else if falls(shares.conflicts) {
            if let Some(mut sale) = self.recall() {
                let other =
                    sale.quantity.cast_unsigned() + below(&mut self.random, LARGEST_QUANTITY - 1);
                sale.quantity = (other % LARGEST_QUANTITY + 1).cast_signed();
                return (Kind::ConflictingDuplicate, sale, None);
            }
        } else if falls(shares.invalid) {
            let sale = self.sale(moment, may_be_late);
            let (kind, flaw) = match below(&mut self.random, 3) {
                0 => (Kind::NegativeQuantity, Flaw::NegativeQuantity),
                1 => (Kind::MissingId, Flaw::MissingId),
                _ => (Kind::BadTimestamp, Flaw::BadTimestamp(self.pick(4))),
            };
            return (kind, sale, Some(flaw));
        } else if falls(shares.malformed) {
            let sale = self.sale(moment, may_be_late);
            return (Kind::Malformed, sale, Some(Flaw::Malformed));
        }
        let mut sale = self.sale(moment, may_be_late);
        if self.happens(shares.returns) {
            sale.is_return = true;
        } else if self.happens(shares.discounts) {
            let at = self.pick(DISCOUNTS.len());
            sale.discount = DISCOUNTS.get(at).copied();
        }
        (Kind::Valid, sale, None)
    }

    fn sale(&mut self, moment: i64, may_be_late: bool) -> Sale {
        let product = self.pick(self.catalogue.products().len());
        let list_price = self
            .catalogue
            .products()
            .get(product)
            .map_or(0, |p| p.list_price);
        let reduced = self.happens(0.2);
        let late = may_be_late && self.happens(self.options.shares.late);
        Sale {
            seed: self.options.seed,
            number: self.number,
            salt: self.random.next_u32(),
            store: self.pick(self.catalogue.zones().len()),
            product,
            customer: self.small(CUSTOMERS),
            quantity: 1 + below(&mut self.random, LARGEST_QUANTITY).cast_signed(),
            unit_price: if reduced {
                list_price * 9 / 10
            } else {
                list_price
            },
            discount: None,
            moment: if late {
                moment - MILLIS_A_DAY.cast_signed()
            } else {
                moment
            },
            payment_method: self.pick(5),
            channel: self.pick(4),
            register: self.small(REGISTERS),
            is_return: false,
        }
    }

    fn remember(&mut self, sale: Sale) {
        if self.remembered.len() < REMEMBERED {
            self.remembered.push(sale);
            return;
        }
        let at = self.pick(REMEMBERED);
        if let Some(place) = self.remembered.get_mut(at) {
            *place = sale;
        }
    }

    fn recall(&mut self) -> Option<Sale> {
        if self.remembered.is_empty() {
            return None;
        }
        let at = self.pick(self.remembered.len());
        self.remembered.get(at).copied()
    }

    fn pick(&mut self, of: usize) -> usize {
        usize::try_from(below(&mut self.random, of as u64)).unwrap_or_default()
    }

    fn small(&mut self, of: u64) -> u32 {
        u32::try_from(below(&mut self.random, of)).unwrap_or_default()
    }

    /// True in `share` of all cases. What never happens draws nothing, so that a share of 0 leaves
    /// the rest of the stream as it was.
    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && part(&mut self.random) < share
    }
}

impl Options {
    fn check(&self) -> Result<(), GenerateError> {
        let shares = &self.shares;
        let named = [
            ("duplicates", shares.duplicates),
            ("conflicts", shares.conflicts),
            ("invalid lines", shares.invalid),
            ("malformed lines", shares.malformed),
            ("late sales", shares.late),
            ("returns", shares.returns),
            ("discounts", shares.discounts),
        ];
        for (name, value) in named {
            if !(0.0..=1.0).contains(&value) {
                return Err(GenerateError::BadShare { name, value });
            }
        }
        let sum = shares.duplicates + shares.conflicts + shares.invalid + shares.malformed;
        if sum > 1.0 {
            return Err(GenerateError::TooLittleLeft { sum });
        }
        let ranges = [
            ("the number of stores", self.stores, MOST_STORES),
            ("the number of products", self.products, MOST_PRODUCTS),
            ("the number of days", self.days, 3_650),
        ];
        for (name, value, most) in ranges {
            if !(1..=most).contains(&value) {
                return Err(GenerateError::OutOfRange {
                    name,
                    value: value.into(),
                    most: most.into(),
                });
            }
        }
        Ok(())
    }
}

/// A number from 0 to `end` - 1, by the widening product: no division, the same everywhere.
pub(super) fn below(random: &mut ChaCha8Rng, end: u64) -> u64 {
    let wide = u128::from(random.next_u64()) * u128::from(end);
    u64::try_from(wide >> 64).unwrap_or_default()
}

/// A number from 0 to 1, without 1.
fn part(random: &mut ChaCha8Rng) -> f64 {
    const STEPS: f64 = (1u64 << 53) as f64;
    (random.next_u64() >> 11) as f64 / STEPS
}

#[cfg(test)]
#[path = "generate_tests.rs"]
mod tests;
