//! What is sold and where. Products and stores depend on their number alone, never on the seed of
//! the sales: a longer catalogue begins with the same rows as a shorter one.

use std::io::{self, Write};

use chrono_tz::Tz;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::generate::below;

const CATEGORIES: [&str; 10] = [
    "grocery",
    "dairy",
    "bakery",
    "beverage",
    "household",
    "apparel",
    "electronics",
    "toys",
    "garden",
    "health",
];
const REGIONS: [&str; 5] = ["north", "south", "east", "west", "central"];
const CITIES: usize = 23;

/// The seed of prices and costs. Another one makes the dimension files in `pipelines/` untrue.
const SEED: u64 = 0xA55A;

/// List prices in cents: the lowest, and the first that is too high.
const PRICES: std::ops::Range<u64> = 50..50_001;

/// What a product costs, in percent of its list price: the lowest, and the first that is too high.
const COSTS: std::ops::Range<u64> = 50..81;

/// A product's money, in cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    pub list_price: i64,
    pub cost: i64,
}

/// Products and stores, each numbered from 0.
#[derive(Clone, Debug)]
pub struct Catalogue {
    products: Vec<Product>,
    zones: Vec<Tz>,
}

impl Catalogue {
    /// Makes a catalogue. Stores take the zones in turn; without zones all are in UTC.
    pub fn new(products: u32, stores: u32, zones: &[Tz]) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let products = (0..products).map(|_| product(&mut random)).collect();
        let zones = if zones.is_empty() { &[Tz::UTC] } else { zones };
        let zones = zones.iter().copied().cycle();
        let zones = (0..stores).zip(zones).map(|(_, zone)| zone).collect();
        Self { products, zones }
    }

    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// Each store's time zone, which decides the business date of its sales.
    pub fn zones(&self) -> &[Tz] {
        &self.zones
    }

    /// Writes the product dimension as CSV.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_products(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "product_id,product_name,category,list_price,cost")?;
        for (at, (product, category)) in self.products.iter().zip(rotated(&CATEGORIES)).enumerate()
        {
            let id = product_id(at);
            let (price, cost) = (product.list_price, product.cost);
            writeln!(
                to,
                "{id},Product {:05},{category},{}.{:02},{}.{:02}",
                at + 1,
                price / 100,
                price % 100,
                cost / 100,
                cost % 100
            )?;
        }
        to.flush()
    }

    /// Writes the store dimension as CSV.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_stores(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "store_id,store_name,region,city,time_zone")?;
        for (at, (zone, region)) in self.zones.iter().zip(rotated(&REGIONS)).enumerate() {
            let (id, number) = (store_id(at), at + 1);
            let city = number % CITIES;
            writeln!(
                to,
                "{id},Store {number:03},{region},City {city:02},{}",
                zone.name()
            )?;
        }
        to.flush()
    }
}

/// The id of the product with this number.
pub fn product_id(at: usize) -> String {
    format!("P{:05}", at + 1)
}

/// The id of the store with this number.
pub fn store_id(at: usize) -> String {
    format!("S{:03}", at + 1)
}

fn product(random: &mut ChaCha8Rng) -> Product {
    let list_price = PRICES.start + below(random, PRICES.end - PRICES.start);
    let percent = COSTS.start + below(random, COSTS.end - COSTS.start);
    Product {
        list_price: list_price.cast_signed(),
        cost: (list_price * percent / 100).cast_signed(),
    }
}

/// The names in turn for ever, from the second on: number 1 takes the name at place 1.
fn rotated<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().copied().cycle().skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(catalogue: &Catalogue) -> String {
        let mut csv = Vec::new();
        catalogue.write_products(&mut csv).unwrap();
        String::from_utf8(csv).unwrap()
    }

    #[test]
    fn a_longer_catalogue_begins_with_the_shorter_one() {
        let short = products(&Catalogue::new(10, 1, &[]));
        let long = products(&Catalogue::new(5_000, 1, &[]));
        assert!(long.starts_with(&short));
        assert!(long.len() < 300_000, "{} bytes", long.len());
    }

    #[test]
    fn every_product_costs_less_than_a_tenth_off_its_list_price() {
        for product in Catalogue::new(5_000, 1, &[]).products() {
            assert!(product.list_price >= 50 && product.cost > 0);
            assert!(product.cost <= product.list_price * 9 / 10, "{product:?}");
        }
    }

    #[test]
    fn stores_take_the_zones_in_turn() {
        let catalogue = Catalogue::new(1, 3, &[Tz::Europe__London, Tz::America__New_York]);
        let mut csv = Vec::new();
        catalogue.write_stores(&mut csv).unwrap();
        assert_eq!(
            String::from_utf8(csv).unwrap(),
            "store_id,store_name,region,city,time_zone\n\
             S001,Store 001,south,City 01,Europe/London\n\
             S002,Store 002,east,City 02,America/New_York\n\
             S003,Store 003,west,City 03,Europe/London\n"
        );
    }

    #[test]
    fn the_dimension_files_of_the_retail_pipeline_are_this_catalogue() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines/retail");
        let catalogue = Catalogue::new(5_000, 60, &[]);
        let mut stores = Vec::new();
        catalogue.write_stores(&mut stores).unwrap();
        let read = |name| std::fs::read_to_string(format!("{folder}/{name}")).unwrap();
        assert!(
            read("products.csv") == products(&catalogue),
            "products.csv differs"
        );
        assert_eq!(read("stores.csv"), String::from_utf8(stores).unwrap());
    }
}
