//! Named rules, and the verdicts on rows that break them.

use std::fmt::Display;

use crate::bindings::wire;

/// What becomes of a row that breaks a rule.
pub use crate::bindings::wire::Action;

/// The rules of a component: an enum that [`rules!`](crate::rules!) made.
pub trait RuleSet: Copy + 'static {
    /// Every rule with its name, its description and its action, in the order of the enum.
    const ALL: &'static [(Self, &'static str, &'static str, Action)];

    /// The place of a rule in [`RuleSet::ALL`].
    fn index(self) -> u16;

    /// The rule's name.
    fn name(self) -> &'static str {
        Self::ALL
            .get(usize::from(self.index()))
            .map_or("", |rule| rule.1)
    }
}

/// For a component that refuses nothing.
#[derive(Clone, Copy, Debug)]
pub enum NoRules {}

impl RuleSet for NoRules {
    const ALL: &'static [(Self, &'static str, &'static str, Action)] = &[];

    fn index(self) -> u16 {
        match self {}
    }
}

/// What the rules say about a row. Saying nothing means that the row is fine.
#[derive(Debug)]
pub struct Refuse<R> {
    row: u32,
    verdicts: Vec<wire::Verdict>,
    rules: std::marker::PhantomData<R>,
}

impl<R: RuleSet> Refuse<R> {
    pub(crate) const fn new() -> Self {
        Self {
            row: 0,
            verdicts: Vec::new(),
            rules: std::marker::PhantomData,
        }
    }

    /// The row breaks `rule`. The reason is for people: the offending value and the limit. What
    /// becomes of the row is the rule's action, which may be only a warning.
    pub fn because(&mut self, rule: R, reason: impl Display) {
        self.verdicts.push(wire::Verdict {
            row: self.row,
            rule: rule.index(),
            reason: reason.to_string(),
        });
    }

    pub(crate) fn start(&mut self, row: usize) {
        self.row = u32::try_from(row).unwrap_or(u32::MAX);
    }

    pub(crate) fn into_verdicts(self) -> Vec<wire::Verdict> {
        self.verdicts
    }
}

/// The names of the rules that verdicts are about.
pub(crate) fn names<R: RuleSet>(verdicts: &[wire::Verdict]) -> Vec<&'static str> {
    let name = |verdict: &wire::Verdict| {
        R::ALL
            .get(usize::from(verdict.rule))
            .map_or("no such rule", |rule| rule.1)
    };
    verdicts.iter().map(name).collect()
}

/// What a component says of its rules. `action` may differ from a rule's own, by the params.
pub(crate) fn describe<R: RuleSet>(action: impl Fn(R) -> Option<Action>) -> Vec<wire::Rule> {
    R::ALL
        .iter()
        .map(|(rule, name, description, default)| wire::Rule {
            name: (*name).to_owned(),
            description: description.trim().to_owned(),
            action: action(*rule).unwrap_or(*default),
        })
        .collect()
}

/// Declares the rules of a component.
///
/// A rule is named as analysts will see it in the quarantine table, its doc comment is its
/// description there, and the word before it says what becomes of a row that breaks it: `warn`,
/// `drop`, `quarantine` or `fail`. Of several rules that a row breaks the strongest action counts
/// (fail, quarantine, drop, warn), and within that the rule that stands first.
///
/// ```
/// # use assay_rules::prelude::*;
/// rules! {
///     pub enum Rule {
///         /// A line with a quantity of zero sells nothing.
///         quarantine quantity_zero,
///         /// The shop does not know this way to pay.
///         warn unknown_payment_method,
///     }
/// }
///
/// assert_eq!(Rule::quantity_zero.name(), "quantity_zero");
/// ```
#[macro_export]
macro_rules! rules {
    (
        $(#[$meta:meta])*
        $vis:vis enum $Name:ident {
            $( $(#[doc = $description:literal])+ $action:ident $rule:ident ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $vis enum $Name {
            $( $(#[doc = $description])+ $rule, )+
        }

        impl $crate::RuleSet for $Name {
            const ALL: &'static [(Self, &'static str, &'static str, $crate::Action)] = &[
                $( (
                    $Name::$rule,
                    stringify!($rule),
                    concat!($($description),+),
                    $crate::action!($action),
                ), )+
            ];

            fn index(self) -> u16 {
                self as u16
            }
        }
    };
}

/// `warn`, `drop`, `quarantine` and `fail`, and nothing else.
#[doc(hidden)]
#[macro_export]
macro_rules! action {
    (warn) => {
        $crate::Action::Warn
    };
    (drop) => {
        $crate::Action::Drop
    };
    (quarantine) => {
        $crate::Action::Quarantine
    };
    (fail) => {
        $crate::Action::Fail
    };
}
