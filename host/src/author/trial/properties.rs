//! What must hold for every component, whatever its rule: the same rows get the same answer, and how
//! a stream is cut into batches, and in which order states meet, makes no difference.

use super::difference::{Made, difference, same};
use super::{Rows, Subject, Trial, TrialError};
use crate::medallion::gold::{self, States};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::GoldRule;
use crate::plugin::CallError;

/// Cuts that are tried over one set of rows. Each is judged twice in fresh instances.
const MOST_CUTS: usize = 64;

/// A property that was tried.
#[derive(Debug)]
pub struct Property {
    pub name: &'static str,
    /// In how many ways the rows were cut for it.
    pub ways: usize,
    /// How it does not hold.
    pub broken: Option<Broken>,
}

/// How a property does not hold.
#[derive(Debug)]
pub struct Broken {
    /// What was done in two ways.
    pub way: String,
    /// Where the two answers differ, in lines.
    pub told: Vec<String>,
}

/// One of two ways, and what it came to.
struct Way<'a>(&'static str, &'a Made);

impl Property {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            ways: 0,
            broken: None,
        }
    }

    /// Notes a way in which it was tried. The first that is broken counts.
    fn hold(&mut self, rows: &Rows, way: impl Fn() -> String, one: Way<'_>, other: Way<'_>) {
        if self.broken.is_none() && !same(one.1, other.1) {
            self.broken = Some(Broken {
                way: way(),
                told: difference(rows, (one.0, one.1), (other.0, other.1)),
            });
        }
    }
}

impl Trial {
    /// Tries what must hold over rows.
    ///
    /// # Errors
    /// What is not the component's doing.
    pub fn properties(&self, rows: &Rows) -> Result<Vec<Property>, TrialError> {
        let whole = self.made(rows)?;
        let mut again = Property::new("the same rows have the same answer");
        let once_more = self.made(rows)?;
        let way = || "judged twice".to_owned();
        again.hold(rows, way, Way("at first", &whole), Way("again", &once_more));
        let mut all = vec![again];
        match &self.only {
            Subject::Rows(_) => all.push(self.splits(rows, &whole)?),
            Subject::Groups(rule) => all.extend(
                self.merges(rule, rows, &whole)
                    .map_err(|error| self.told(rule, rows, &error))?,
            ),
        }
        Ok(all)
    }

    /// What comes of rows: lines, or the component's own error.
    pub(super) fn made(&self, rows: &Rows) -> Result<Made, TrialError> {
        match &self.only {
            Subject::Rows(_) => self.run(rows).map(Ok),
            Subject::Groups(rule) => {
                let states = by_component(self.folded(rule, rows));
                let made = states.and_then(|states| self.ended(rule, &states));
                made.map_err(|error| self.told(rule, rows, &error))
            }
        }
    }

    fn splits(&self, rows: &Rows, whole: &Made) -> Result<Property, TrialError> {
        let mut property = Property::new("a batch may be split anywhere");
        for cut in cuts(rows.len()) {
            let mut found = self.run(&rows.slice(0, cut))?;
            found.extend(self.run(&rows.slice(cut, rows.len() - cut))?);
            let way = || format!("split before row {}", cut + 1);
            let (whole, split) = (Way("as a whole", whole), Way("split", &Ok(found)));
            property.ways += 1;
            property.hold(rows, way, whole, split);
        }
        Ok(property)
    }

    fn merges(
        &self,
        rule: &GoldRule,
        rows: &Rows,
        whole: &Made,
    ) -> Result<Vec<Property>, LayerError> {
        let mut split = Property::new("a batch may be split anywhere");
        let mut commutative = Property::new("merge is commutative");
        let mut associative = Property::new("merge is associative");
        let folded =
            |from: usize, to: usize| by_component(self.folded(rule, &rows.slice(from, to - from)));
        let cuts = cuts(rows.len());
        for (place, cut) in cuts.iter().copied().enumerate() {
            let (left, right) = (folded(0, cut)?, folded(cut, rows.len())?);
            let joined = self.ended(rule, &merged(rule, &left, &right)?)?;
            let way = || format!("folded before and from row {} on", cut + 1);
            let (one, other) = (Way("as a whole", whole), Way("merged", &joined));
            split.ways += 1;
            split.hold(rows, way, one, other);
            let turned = self.ended(rule, &merged(rule, &right, &left)?)?;
            let way = || format!("the rows from {} on merged with those before", cut + 1);
            let (one, other) = (Way("in order", &joined), Way("turned round", &turned));
            commutative.ways += 1;
            commutative.hold(rows, way, one, other);
            let Some(second) = cuts.get(place + 1).copied() else {
                continue;
            };
            let (middle, last) = (folded(cut, second)?, folded(second, rows.len())?);
            let first = merged(rule, &merged(rule, &left, &middle)?, &last)?;
            let later = merged(rule, &left, &merged(rule, &middle, &last)?)?;
            let (first, later) = (self.ended(rule, &first)?, self.ended(rule, &later)?);
            let way = || format!("cut before rows {} and {}", cut + 1, second + 1);
            let (one, other) = (
                Way("the first two at first", &first),
                Way("the last two at first", &later),
            );
            associative.ways += 1;
            associative.hold(rows, way, one, other);
        }
        Ok(vec![split, commutative, associative])
    }

    /// What is published of states.
    fn ended(&self, rule: &GoldRule, states: &Folded) -> Result<Made, LayerError> {
        match states {
            Ok(Some(states)) => by_component(self.finished(rule, states)),
            Ok(None) => Ok(Ok(Vec::new())),
            Err(problem) => Ok(Err(problem.clone())),
        }
    }
}

/// States, if there are any, or the component's own error.
type Folded = Result<Option<States>, String>;

fn merged(rule: &GoldRule, left: &Folded, right: &Folded) -> Result<Folded, LayerError> {
    match (left, right) {
        (Ok(left), Ok(right)) => {
            let parts = [left, right].into_iter().flatten().cloned().collect();
            by_component(gold::merge_all(rule, parts))
        }
        (Err(problem), _) | (_, Err(problem)) => Ok(Err(problem.clone())),
    }
}

/// Takes what the component itself said for an answer.
fn by_component<T>(made: Result<T, LayerError>) -> Result<Result<T, String>, LayerError> {
    match made {
        Err(LayerError::Gold {
            source: source @ CallError::Guest { .. },
            ..
        }) => Ok(Err(source.to_string())),
        made => made.map(Ok),
    }
}

/// Where rows are cut: before every row but the first, or as many of these as are tried.
fn cuts(rows: usize) -> Vec<usize> {
    let step = rows.div_ceil(MOST_CUTS).max(1);
    (1..rows).step_by(step).collect()
}
