//! What must hold for every component, over rows that nobody wrote.

use super::chance::{Chance, Object};
use super::{Rows, Subject, Trial, TrialError};
use crate::author::trial::Broken;

/// Rows of a batch that is cut in every place. Few, so that what is found is read at a glance.
const ROWS: usize = 8;

/// How often what was found is tried with less in it.
const TRIES: usize = 150;

/// What was tried over rows of chance.
#[derive(Debug, Default)]
pub struct Generated {
    /// The rows that it was tried over.
    pub rows: usize,
    /// In how many ways they were cut.
    pub ways: usize,
    pub found: Option<Found>,
}

/// A property that does not hold, and rows that show it.
#[derive(Debug)]
pub struct Found {
    pub property: &'static str,
    pub broken: Broken,
    /// As few as were found, each an object of JSON.
    pub rows: Vec<String>,
}

impl Trial {
    /// Tries what must hold over `count` rows more, which the seed makes out of the author's own and
    /// of the columns that are read. Rows that an aggregate can't fold alone are left out: what it
    /// does with them says nothing of batches. The first property that is broken counts.
    ///
    /// # Errors
    /// What is not the component's doing.
    pub fn generated(
        &self,
        authors: &Rows,
        seed: u64,
        count: usize,
    ) -> Result<Generated, TrialError> {
        let mut chance = Chance::new(self, authors, seed);
        let mut tried = Generated::default();
        let mut left = count;
        while left > 0 && tried.found.is_none() {
            let batch = chance.rows(left.min(ROWS));
            left -= batch.len();
            let batch = self.foldable(batch)?;
            tried.rows += batch.len();
            let properties = self.properties(&self.read_objects(&batch)?)?;
            tried.ways += properties
                .iter()
                .map(|property| property.ways)
                .sum::<usize>();
            let broken = properties.into_iter().find_map(|property| {
                let broken = property.broken?;
                Some((property.name, broken))
            });
            if let Some((property, broken)) = broken {
                tried.found = Some(self.fewest(batch, property, broken)?);
            }
        }
        Ok(tried)
    }

    fn read_objects(&self, rows: &[Object]) -> Result<Rows, TrialError> {
        self.read(written(rows).join("\n").as_bytes())
    }

    fn foldable(&self, rows: Vec<Object>) -> Result<Vec<Object>, TrialError> {
        if matches!(self.only, Subject::Rows(_)) {
            return Ok(rows);
        }
        let read = self.read_objects(&rows)?;
        let mut good = Vec::with_capacity(rows.len());
        for (place, row) in rows.into_iter().enumerate() {
            if self.made(&read.slice(place, 1))?.is_ok() {
                good.push(row);
            }
        }
        Ok(good)
    }

    /// Leaves out rows, and then fields, without which the property is broken as well.
    fn fewest(
        &self,
        rows: Vec<Object>,
        property: &'static str,
        broken: Broken,
    ) -> Result<Found, TrialError> {
        let mut kept = (rows, broken);
        let mut tries = TRIES;
        let mut still = |rows: Vec<Object>, kept: &mut (Vec<Object>, Broken)| {
            if tries == 0 {
                return Ok::<_, TrialError>(false);
            }
            tries -= 1;
            let tried = self.properties(&self.read_objects(&rows)?)?;
            let broken = tried.into_iter().find(|tried| tried.name == property);
            let broken = broken.and_then(|property| property.broken);
            let found = broken.is_some();
            if let Some(broken) = broken {
                *kept = (rows, broken);
            }
            Ok(found)
        };
        for row in (0..kept.0.len()).rev() {
            let mut fewer = kept.0.clone();
            fewer.remove(row);
            still(fewer, &mut kept)?;
        }
        for row in 0..kept.0.len() {
            let names = kept.0.get(row).map(|row| row.keys().cloned().collect());
            let names: Vec<String> = names.unwrap_or_default();
            for name in names {
                let mut less = kept.0.clone();
                if let Some(row) = less.get_mut(row) {
                    row.remove(&name);
                }
                still(less, &mut kept)?;
            }
        }
        let (rows, broken) = kept;
        Ok(Found {
            property,
            broken,
            rows: written(&rows),
        })
    }
}

fn written(rows: &[Object]) -> Vec<String> {
    let rows = rows.iter().cloned();
    rows.map(|row| serde_json::Value::Object(row).to_string())
        .collect()
}
