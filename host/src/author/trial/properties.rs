//! What must hold for every component, whatever its rule: how a stream is cut into batches, and in
//! which order states meet, makes no difference.

use super::{Line, Rows, Subject, Trial, TrialError};
use crate::medallion::gold::{self, States};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::GoldRule;

/// Cuts that are tried over one set of rows. Each is judged twice in fresh instances.
const MOST_CUTS: usize = 64;

/// A property that was tried.
#[derive(Debug)]
pub struct Property {
    pub name: &'static str,
    /// In how many ways it was tried.
    pub ways: usize,
    /// How it does not hold.
    pub broken: Option<String>,
}

impl Property {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            ways: 0,
            broken: None,
        }
    }

    /// Notes a way in which it was tried. The first that is broken counts.
    fn hold(&mut self, way: impl Fn() -> String, wanted: &[Line], found: &[Line]) {
        self.ways += 1;
        if self.broken.is_none() && wanted != found {
            self.broken = Some(format!("{}: {}", way(), first_difference(wanted, found)));
        }
    }
}

impl Trial {
    /// Tries what must hold over rows that the component gets through.
    ///
    /// # Errors
    /// As [`Trial::run`].
    pub fn properties(&self, rows: &Rows) -> Result<Vec<Property>, TrialError> {
        let whole = self.run(rows)?;
        match &self.only {
            Subject::Rows(_) => Ok(vec![self.splits(rows, &whole)?]),
            Subject::Groups(rule) => self
                .merges(rule, rows, &whole)
                .map_err(|error| self.told(rule, rows, &error)),
        }
    }

    fn splits(&self, rows: &Rows, whole: &[Line]) -> Result<Property, TrialError> {
        let mut property = Property::new("a batch may be split anywhere");
        for cut in cuts(rows.len()) {
            let mut found = self.run(&rows.slice(0, cut))?;
            found.extend(self.run(&rows.slice(cut, rows.len() - cut))?);
            property.hold(|| format!("split before row {}", cut + 1), whole, &found);
        }
        Ok(property)
    }

    fn merges(
        &self,
        rule: &GoldRule,
        rows: &Rows,
        whole: &[Line],
    ) -> Result<Vec<Property>, LayerError> {
        let mut split = Property::new("a batch may be split anywhere");
        let mut commutative = Property::new("merge is commutative");
        let mut associative = Property::new("merge is associative");
        let folded = |from: usize, to: usize| self.folded(rule, &rows.slice(from, to - from));
        let merged = |parts: [&Option<States>; 2]| {
            gold::merge_all(rule, parts.into_iter().flatten().cloned().collect())
        };
        let finished = |states: &Option<States>| match states {
            Some(states) => self.finished(rule, states),
            None => Ok(Vec::new()),
        };
        let cuts = cuts(rows.len());
        for (place, cut) in cuts.iter().copied().enumerate() {
            let (left, right) = (folded(0, cut)?, folded(cut, rows.len())?);
            let way = || format!("folded before and from row {} on", cut + 1);
            split.hold(way, whole, &finished(&merged([&left, &right])?)?);
            let way = || format!("the rows from {} on merged with those before", cut + 1);
            commutative.hold(way, whole, &finished(&merged([&right, &left])?)?);
            let Some(second) = cuts.get(place + 1).copied() else {
                continue;
            };
            let (middle, last) = (folded(cut, second)?, folded(second, rows.len())?);
            let way = || format!("cut before rows {} and {}", cut + 1, second + 1);
            let one = finished(&merged([&merged([&left, &middle])?, &last])?)?;
            let other = finished(&merged([&left, &merged([&middle, &last])?])?)?;
            associative.hold(way, &one, &other);
        }
        Ok(vec![split, commutative, associative])
    }
}

/// Where rows are cut: before every row but the first, or as many of these as are tried.
fn cuts(rows: usize) -> Vec<usize> {
    let step = rows.div_ceil(MOST_CUTS).max(1);
    (1..rows).step_by(step).collect()
}

fn first_difference(wanted: &[Line], found: &[Line]) -> String {
    let differs = |(wanted, found): &(&Line, &Line)| wanted != found;
    match wanted.iter().zip(found).find(differs) {
        Some((wanted, found)) => format!("{} then, {} else", found.json, wanted.json),
        None => format!("{} lines then, {} else", found.len(), wanted.len()),
    }
}
