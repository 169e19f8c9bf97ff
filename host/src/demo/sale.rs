//! One sale, and the line of JSON that it becomes.

use std::io::{self, Write};

use chrono::{DateTime, Datelike, Timelike};

const PAYMENT_METHODS: [&str; 5] = ["card", "cash", "mobile", "gift_card", "voucher"];
const CHANNELS: [&str; 4] = ["pos", "web", "app", "kiosk"];

/// Timestamps that are none.
const BAD_TIMESTAMPS: [&str; 4] = ["not-a-date", "2025-13-45T99:00:00Z", "", "03/01/2025 10:00"];

/// A sale as numbers, from which the same line can be written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    pub seed: u64,
    /// Its place in the stream; with `salt` it makes the transaction id.
    pub number: u64,
    pub salt: u32,
    /// Numbers in the catalogue.
    pub store: usize,
    pub product: usize,
    pub customer: u32,
    pub quantity: i64,
    /// In cents.
    pub unit_price: i64,
    /// In hundredths of a percent; none leaves the field out.
    pub discount: Option<i64>,
    /// When it was sold, in milliseconds since 1970 UTC.
    pub moment: i64,
    pub payment_method: usize,
    pub channel: usize,
    pub register: u32,
    pub is_return: bool,
}

/// How a line differs from what it should be. A line has one flaw at most, so that exactly one
/// rule refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    NegativeQuantity,
    MissingId,
    /// The number picks one of the texts that are no timestamps.
    BadTimestamp(usize),
    /// The line ends half way through.
    Malformed,
}

impl Sale {
    /// Writes the transaction id.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_id(&self, to: &mut impl Write) -> io::Result<()> {
        write!(
            to,
            "T{:04}-{:010}-{:08x}",
            self.seed, self.number, self.salt
        )
    }

    /// Writes the line, without the line's end.
    ///
    /// # Errors
    /// None: memory is always written to.
    pub fn write_line(&self, flaw: Option<Flaw>, to: &mut Vec<u8>) -> io::Result<()> {
        let start = to.len();
        to.push(b'{');
        if flaw != Some(Flaw::MissingId) {
            to.extend(b"\"transaction_id\":\"");
            self.write_id(to)?;
            to.extend(b"\",");
        }
        let quantity = match flaw {
            Some(Flaw::NegativeQuantity) => -self.quantity,
            _ => self.quantity,
        };
        write!(
            to,
            "\"store_id\":\"S{:03}\",\"product_id\":\"P{:05}\",\"customer_id\":\"C{:06}\",\
             \"quantity\":{quantity},\"unit_price\":{}.{:02},\"timestamp\":\"",
            self.store + 1,
            self.product + 1,
            self.customer,
            self.unit_price / 100,
            self.unit_price % 100,
        )?;
        match flaw {
            Some(Flaw::BadTimestamp(pick)) => to.extend(named(&BAD_TIMESTAMPS, pick).bytes()),
            _ => write_moment(self.moment, to)?,
        }
        write!(
            to,
            "\",\"payment_method\":\"{}\",\"channel\":\"{}\",\"register_id\":{}",
            named(&PAYMENT_METHODS, self.payment_method),
            named(&CHANNELS, self.channel),
            self.register,
        )?;
        if let Some(discount) = self.discount {
            write!(
                to,
                ",\"discount_percent\":{}.{:02}",
                discount / 100,
                discount % 100
            )?;
        }
        if self.is_return {
            to.extend(b",\"type\":\"return\"");
        }
        to.push(b'}');
        if flaw == Some(Flaw::Malformed) {
            to.truncate(start + (to.len() - start) / 2);
        }
        Ok(())
    }

    /// Quantity times price, in cents.
    pub fn gross(&self) -> i64 {
        self.quantity * self.unit_price
    }

    /// What is taken off, in cents, rounded half away from zero.
    pub fn discounted(&self) -> i64 {
        self.discount
            .map_or(0, |share| (self.gross() * share + 5_000) / 10_000)
    }
}

/// RFC 3339 with milliseconds, in UTC.
fn write_moment(moment: i64, to: &mut Vec<u8>) -> io::Result<()> {
    let moment = DateTime::from_timestamp_millis(moment).unwrap_or_default();
    write!(
        to,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        moment.year(),
        moment.month(),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.timestamp_subsec_millis(),
    )
}

fn named<'a>(names: &[&'a str], at: usize) -> &'a str {
    names.get(at % names.len()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sale() -> Sale {
        Sale {
            seed: 42,
            number: 7,
            salt: 0xbeef,
            store: 0,
            product: 11,
            customer: 5,
            quantity: 3,
            unit_price: 1_205,
            discount: None,
            moment: 1_740_830_400_250,
            payment_method: 3,
            channel: 1,
            register: 9,
            is_return: false,
        }
    }

    fn line(sale: Sale, flaw: Option<Flaw>) -> String {
        let mut line = Vec::new();
        sale.write_line(flaw, &mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_plain_sale_has_the_ten_fields_in_their_order() {
        assert_eq!(
            line(sale(), None),
            r#"{"transaction_id":"T0042-0000000007-0000beef","store_id":"S001","product_id":"P00012","customer_id":"C000005","quantity":3,"unit_price":12.05,"timestamp":"2025-03-01T12:00:00.250Z","payment_method":"gift_card","channel":"web","register_id":9}"#
        );
    }

    #[test]
    fn a_flaw_changes_only_what_it_names() {
        let whole = line(sale(), None);
        assert_eq!(
            line(sale(), Some(Flaw::NegativeQuantity)),
            whole.replace(":3,", ":-3,")
        );
        assert_eq!(
            line(sale(), Some(Flaw::MissingId)),
            whole.replace(r#""transaction_id":"T0042-0000000007-0000beef","#, "")
        );
        assert_eq!(
            line(sale(), Some(Flaw::BadTimestamp(2))),
            whole.replace("2025-03-01T12:00:00.250Z", "")
        );
        let half = line(sale(), Some(Flaw::Malformed));
        assert_eq!(half, whole[..whole.len() / 2]);
        assert!(serde_json::from_str::<serde_json::Value>(&half).is_err());
    }

    #[test]
    fn discounts_and_returns_are_further_fields() {
        let sold_back = Sale {
            discount: Some(1_250),
            is_return: true,
            ..sale()
        };
        let read: serde_json::Value = serde_json::from_str(&line(sold_back, None)).unwrap();
        assert_eq!(read["discount_percent"], 12.5);
        assert_eq!(read["type"], "return");
    }

    #[test]
    fn a_discount_is_rounded_half_away_from_zero() {
        let off = |unit_price, discount| {
            Sale {
                quantity: 1,
                unit_price,
                discount: Some(discount),
                ..sale()
            }
            .discounted()
        };
        assert_eq!(off(100, 1_250), 13);
        assert_eq!(off(101, 5_000), 51);
        assert_eq!(off(99, 1_000), 10);
        assert_eq!(off(94, 1_000), 9);
    }
}
