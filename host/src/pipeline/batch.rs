//! A batch on its way into the tables, and the work on it that looks at no table.
//!
//! Decoding and judging depend on the messages and the rule set alone, so they are done ahead, on a
//! thread of their own, while the batch before is being committed. What was done under a rule set
//! that is no longer the active one when the batch is pinned is thrown away, and done again.

use std::sync::Arc;

use arrow::datatypes::Field;
use tokio::task::{JoinError, JoinHandle};

use crate::medallion::cut::Cut;
use crate::medallion::decode::{Decoded, Decoder};
use crate::medallion::judge::{self, JudgeError};
use crate::medallion::rules::Rules;
use crate::processor::{Share, give_way};

/// A batch and the rule set that judges it.
pub struct Batch {
    pub cut: Arc<Cut>,
    /// Once it is pinned.
    pub rules: Option<Arc<Rules>>,
    /// It came from the source just now, and not back from bronze.
    pub fresh: bool,
    ahead: Ahead,
}

/// A batch, decoded and judged by one rule set.
pub struct Prepared {
    pub rules: Arc<Rules>,
    /// The columns that bronze had beside the declared ones.
    extra: Vec<Field>,
    pub decoded: Decoded,
    pub judged: Result<judge::Judged, JudgeError>,
}

enum Ahead {
    None,
    Running(JoinHandle<Result<Prepared, JoinError>>),
    Done(Box<Prepared>),
}

impl Batch {
    /// A batch of which nothing is done ahead.
    pub fn new(cut: Cut, rules: Option<Arc<Rules>>) -> Self {
        Self {
            cut: Arc::new(cut),
            rules,
            fresh: false,
            ahead: Ahead::None,
        }
    }

    /// A batch that is decoded and judged from now on, on another thread, in a turn of `share`.
    pub fn ahead(cut: Cut, rules: Arc<Rules>, extra: Vec<Field>, share: &Share) -> Self {
        let cut = Arc::new(cut);
        let task = {
            let (cut, share) = (cut.clone(), share.clone());
            let make = move || Prepared::make(&cut, rules, extra);
            tokio::spawn(async move { share.spawn(make).await })
        };
        Self {
            cut,
            rules: None,
            fresh: true,
            ahead: Ahead::Running(task),
        }
    }

    /// Waits until what is done ahead is done.
    ///
    /// # Cancellation
    /// Safe: the work goes on.
    pub async fn ready(&mut self) {
        if let Ahead::Running(task) = &mut self.ahead {
            self.ahead = match task.await {
                Ok(Ok(prepared)) => Ahead::Done(Box::new(prepared)),
                // The runtime is ending; whoever needs it does it again.
                Ok(Err(_)) | Err(_) => Ahead::None,
            };
        }
    }

    /// What was done ahead, if it was done for this rule set and bronze's columns of now.
    pub async fn prepared(&mut self, rules: &Rules, extra: &[Field]) -> Option<Prepared> {
        self.ready().await;
        match std::mem::replace(&mut self.ahead, Ahead::None) {
            Ahead::Done(prepared) if prepared.fits(rules, extra) => Some(*prepared),
            _ => None,
        }
    }
}

impl Prepared {
    /// Decodes and judges a batch.
    pub fn make(cut: &Cut, rules: Arc<Rules>, extra: Vec<Field>) -> Self {
        let decoded = decode(cut, &rules, extra.clone());
        give_way();
        let judged = judge::judge(&rules, cut, &decoded, 1);
        Self {
            rules,
            extra,
            decoded,
            judged,
        }
    }

    fn fits(&self, rules: &Rules, extra: &[Field]) -> bool {
        self.rules.number == rules.number && self.extra == extra
    }
}

/// Takes a batch's messages apart.
pub fn decode(cut: &Cut, rules: &Rules, extra: Vec<Field>) -> Decoded {
    Decoder::new(&rules.definition.event_schema(), extra).decode(&cut.raw())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::DataType;
    use arrow::record_batch::RecordBatch;

    use super::*;
    use crate::medallion::cut::Range;
    use crate::medallion::definition::Definition;
    use crate::medallion::rules::Workshop;
    use crate::names::{Partition, RuleSetNumber};
    use crate::plugin::{Compiler, Sandbox};
    use crate::schema::{FieldType, NamedType};

    fn rules(number: i64) -> Arc<Rules> {
        let text = |name: &str| NamedType {
            name: name.to_owned(),
            field_type: FieldType::String,
        };
        let definition = Definition {
            max_columns: Some(10),
            ..Definition::without_rules(vec![text("transaction_id"), text("timestamp")])
        };
        let mut workshop = Workshop::new(Sandbox::new(Compiler::Within).unwrap());
        let ready = workshop.prepare(RuleSetNumber(number), &definition, &BTreeMap::new());
        Arc::new(ready.unwrap())
    }

    fn cut() -> Cut {
        let rows = RecordBatch::try_new(
            crate::source::schema(),
            vec![
                Arc::new(Int64Array::from(vec![7])),
                Arc::new(TimestampMicrosecondArray::from(vec![Some(0)]).with_timezone("UTC")),
                Arc::new(BinaryArray::from_iter([None::<&[u8]>])),
                Arc::new(StringArray::from(vec![None::<&str>])),
                Arc::new(BinaryArray::from_iter_values([
                    br#"{"transaction_id":"T"}"#,
                ])),
            ],
        );
        let range = Range {
            partition: Partition {
                topic: "sales".into(),
                source: "none".into(),
                number: 0,
            },
            from: 7,
            to: 8,
        };
        Cut::of_records(&[(range, vec![rows.unwrap()])], 0).unwrap()
    }

    #[tokio::test]
    async fn what_was_judged_ahead_counts_only_under_the_rule_set_and_columns_of_the_pin() {
        let (before, now) = (rules(1), rules(2));
        let extra = vec![Field::new("colour", DataType::Utf8, true)];
        let ahead =
            |rules: &Arc<Rules>| Batch::ahead(cut(), rules.clone(), Vec::new(), &Share::default());
        assert!(ahead(&before).prepared(&now, &[]).await.is_none());
        assert!(ahead(&now).prepared(&now, &extra).await.is_none());
        let prepared = ahead(&now).prepared(&now, &[]).await.unwrap();
        assert_eq!(prepared.rules.number, RuleSetNumber(2));
        assert_eq!(prepared.judged.unwrap().refusals.len(), 1);
    }
}
