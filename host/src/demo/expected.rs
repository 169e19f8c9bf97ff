//! What the tables must hold once a generated stream has gone through: kept exactly, event by
//! event, beside the generator. Money is in cents.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone};
use chrono_tz::Tz;
use serde::Serialize;

use super::catalogue::{Product, store_id};
use super::sale::Sale;

const MILLIS_A_DAY: i64 = 86_400_000;

/// What a generated line is, which decides where its row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Valid,
    /// An earlier valid line, byte for byte.
    Duplicate,
    /// An earlier valid line with another quantity.
    ConflictingDuplicate,
    NegativeQuantity,
    MissingId,
    BadTimestamp,
    Malformed,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Valid,
        Self::Duplicate,
        Self::ConflictingDuplicate,
        Self::NegativeQuantity,
        Self::MissingId,
        Self::BadTimestamp,
        Self::Malformed,
    ];

    /// The rule under which quarantine holds such a row; none where silver has it.
    pub fn rule(self) -> Option<&'static str> {
        match self {
            Self::Valid => None,
            Self::Duplicate => Some("duplicate"),
            Self::ConflictingDuplicate => Some("conflicting_duplicate"),
            Self::NegativeQuantity => Some("quantity_negative"),
            Self::MissingId => Some("no_key"),
            Self::BadTimestamp => Some("no_business_date"),
            Self::Malformed => Some("malformed"),
        }
    }

    /// The table, beside bronze, that holds such a row.
    pub fn table(self) -> &'static str {
        if self.rule().is_some() {
            "quarantine"
        } else {
            "silver"
        }
    }
}

/// One row of gold's daily sales.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    pub sales: i64,
    pub units: i64,
    pub gross: i64,
    pub discount: i64,
    pub net: i64,
    pub margin: i64,
    pub returns: i64,
    pub returns_amount: i64,
    /// Milliseconds since 1970 of the first and the last sale line.
    pub span: Option<(i64, i64)>,
}

/// The truth about a stream so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    kinds: BTreeMap<Kind, u64>,
    bytes: u64,
    days: BTreeMap<(NaiveDate, usize), Day>,
}

impl Expected {
    /// Counts one line of `bytes` bytes.
    pub fn count(&mut self, kind: Kind, bytes: usize) {
        *self.kinds.entry(kind).or_default() += 1;
        self.bytes += bytes as u64;
    }

    /// Adds a sale that silver takes to its day, in its store's zone.
    pub fn add(&mut self, sale: &Sale, product: Product, zone: Tz) {
        let day = self
            .days
            .entry((business_date(sale.moment, zone), sale.store))
            .or_default();
        let gross = sale.gross();
        let net = gross - sale.discounted();
        if sale.is_return {
            day.returns += 1;
            day.returns_amount += net;
            return;
        }
        day.sales += 1;
        day.units += sale.quantity;
        day.gross += gross;
        day.discount += sale.discounted();
        day.net += net;
        day.margin += net - sale.quantity * product.cost;
        let (first, last) = day.span.unwrap_or((sale.moment, sale.moment));
        day.span = Some((first.min(sale.moment), last.max(sale.moment)));
    }

    /// How many lines were of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or_default()
    }

    /// How many lines there were: the rows of bronze.
    pub fn lines(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// Gold, by business date and the store's number.
    pub fn days(&self) -> &BTreeMap<(NaiveDate, usize), Day> {
        &self.days
    }

    /// As `expected.json` has it.
    pub fn report(&self, seed: u64) -> Report {
        let silver = self.of(Kind::Valid);
        let refused = Kind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind.rule()?, self.of(kind))));
        Report {
            count: self.lines(),
            seed,
            bytes: self.bytes,
            kinds: Kind::ALL
                .into_iter()
                .map(|kind| (kind, self.of(kind)))
                .collect(),
            tables: Tables {
                bronze: self.lines(),
                silver,
                quarantine: self.lines() - silver,
            },
            quarantine: refused.filter(|(_, rows)| *rows > 0).collect(),
            daily_sales: self.days.iter().map(|(key, day)| row(*key, *day)).collect(),
        }
    }
}

/// The content of `expected.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Lines.
    pub count: u64,
    pub seed: u64,
    /// Of all lines, without their ends.
    pub bytes: u64,
    /// Lines by what they are.
    pub kinds: BTreeMap<Kind, u64>,
    pub tables: Tables,
    /// Rows of quarantine by rule.
    pub quarantine: BTreeMap<&'static str, u64>,
    /// Rows of gold, in its columns; amounts in cents.
    pub daily_sales: Vec<DailySales>,
}

/// Rows by table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Tables {
    pub bronze: u64,
    pub silver: u64,
    pub quarantine: u64,
}

/// One row of gold's daily sales, by its columns' names.
#[derive(Clone, Debug, Serialize)]
pub struct DailySales {
    pub sale_date: NaiveDate,
    pub store_id: String,
    pub sales: i64,
    pub units: i64,
    pub gross_amount: i64,
    pub discount_amount: i64,
    pub net_amount: i64,
    /// Null where the day has no sale line, as no line had a cost.
    pub margin_amount: Option<i64>,
    pub returns: i64,
    pub returns_amount: i64,
    pub transactions: i64,
    /// RFC 3339, UTC.
    pub first_sale_at: Option<String>,
    pub last_sale_at: Option<String>,
}

fn row((sale_date, store): (NaiveDate, usize), day: Day) -> DailySales {
    DailySales {
        sale_date,
        store_id: store_id(store),
        sales: day.sales,
        units: day.units,
        gross_amount: day.gross,
        discount_amount: day.discount,
        net_amount: day.net,
        margin_amount: (day.sales > 0).then_some(day.margin),
        returns: day.returns,
        returns_amount: day.returns_amount,
        // Each generated sale is a transaction of its own.
        transactions: day.sales,
        first_sale_at: day.span.map(|(first, _)| rfc_3339(first)),
        last_sale_at: day.span.map(|(_, last)| rfc_3339(last)),
    }
}

fn rfc_3339(moment: i64) -> String {
    let moment = DateTime::from_timestamp_millis(moment).unwrap_or_default();
    moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn business_date(moment: i64, zone: Tz) -> NaiveDate {
    if zone == Tz::UTC {
        let days = TimeDelta::try_days(moment.div_euclid(MILLIS_A_DAY)).unwrap_or_default();
        return NaiveDate::default() + days;
    }
    let moment = DateTime::from_timestamp_millis(moment).unwrap_or_default();
    zone.from_utc_datetime(&moment.naive_utc()).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_millis()
    }

    fn sale(moment: &str, quantity: i64, unit_price: i64) -> Sale {
        Sale {
            seed: 1,
            number: 0,
            salt: 0,
            store: 0,
            product: 0,
            customer: 0,
            quantity,
            unit_price,
            discount: None,
            moment: at(moment),
            payment_method: 0,
            channel: 0,
            register: 0,
            is_return: false,
        }
    }

    const PRODUCT: Product = Product {
        list_price: 200,
        cost: 120,
    };

    #[test]
    fn a_day_adds_up_sales_and_keeps_returns_apart() {
        let mut expected = Expected::default();
        let cheaper = Sale {
            discount: Some(1_000),
            ..sale("2025-03-01T10:00:00Z", 2, 200)
        };
        let back = Sale {
            is_return: true,
            ..sale("2025-03-01T23:00:00Z", 1, 200)
        };
        for sold in [sale("2025-03-01T12:00:00.5Z", 3, 180), cheaper, back] {
            expected.add(&sold, PRODUCT, Tz::UTC);
        }
        let report = serde_json::to_value(expected.report(1)).unwrap();
        assert_eq!(
            report["daily_sales"],
            serde_json::json!([{
                "sale_date": "2025-03-01", "store_id": "S001", "sales": 2, "units": 5,
                "gross_amount": 940, "discount_amount": 40, "net_amount": 900,
                "margin_amount": 300, "returns": 1, "returns_amount": 200, "transactions": 2,
                "first_sale_at": "2025-03-01T10:00:00.000Z",
                "last_sale_at": "2025-03-01T12:00:00.500Z",
            }])
        );
    }

    #[test]
    fn a_day_of_returns_alone_has_no_margin_and_no_first_sale() {
        let mut expected = Expected::default();
        let back = Sale {
            is_return: true,
            ..sale("2025-03-01T23:00:00Z", 1, 200)
        };
        expected.add(&back, PRODUCT, Tz::UTC);
        let report = expected.report(1);
        let [day] = report.daily_sales.as_slice() else {
            panic!("one day: {report:?}");
        };
        assert_eq!(
            (day.sales, day.margin_amount, day.first_sale_at.as_deref()),
            (0, None, None)
        );
    }

    #[test]
    fn the_store_s_zone_decides_the_date() {
        let late = at("2025-03-02T03:00:00Z");
        let day = |zone| business_date(late, zone).to_string();
        assert_eq!(day(Tz::UTC), "2025-03-02");
        assert_eq!(day(Tz::America__New_York), "2025-03-01");
        assert_eq!(day(Tz::Asia__Tokyo), "2025-03-02");
    }

    #[test]
    fn every_line_is_in_silver_or_in_quarantine_under_one_rule() {
        let mut expected = Expected::default();
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            for _ in 0..=at {
                expected.count(kind, 10);
            }
        }
        let report = expected.report(3);
        assert_eq!(
            report.tables.silver + report.tables.quarantine,
            report.count
        );
        assert_eq!(
            report.quarantine.values().sum::<u64>(),
            report.tables.quarantine
        );
        assert_eq!(report.bytes, report.count * 10);
    }
}
