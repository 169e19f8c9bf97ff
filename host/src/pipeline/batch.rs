//! A batch on its way into the tables, and the work on it that looks at no table.
//!
//! Decoding and judging depend on the messages and the rule set alone, so they are done ahead, on a
//! thread of their own, while the batch before is being committed. Where another rule set is the
//! active one when the batch is pinned, what was judged is thrown away, and judged again while bronze
//! is written; what was decoded stays, unless that set declares other fields.

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
struct Prepared {
    rules: Arc<Rules>,
    /// The columns that bronze had beside the declared ones.
    extra: Vec<Field>,
    decoded: Arc<Decoded>,
    judged: Result<judge::Judged, JudgeError>,
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
        let made = cut.clone();
        Self {
            ahead: Ahead::running(share, move || Prepared::make(&made, rules, extra)),
            cut,
            rules: None,
            fresh: true,
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

    async fn take_ready(&mut self) -> Option<Prepared> {
        self.ready().await;
        match std::mem::replace(&mut self.ahead, Ahead::None) {
            Ahead::Done(prepared) => Some(*prepared),
            Ahead::None | Ahead::Running(_) => None,
        }
    }

    /// Pins the batch to the rule set that judges it, and answers with its columns, which bronze gets.
    /// Where it was not judged by that set ahead, it is from now on, beside the caller.
    pub async fn pin(
        &mut self,
        rules: &Arc<Rules>,
        extra: Vec<Field>,
        share: &Share,
    ) -> Arc<Decoded> {
        self.rules = Some(rules.clone());
        let (mut decoded, mut judged) = (None, None);
        if let Some(ahead) = self.take_ready().await {
            let reads_the_same = || {
                ahead.rules.number == rules.number
                    || ahead.rules.definition.event_schema() == rules.definition.event_schema()
            };
            decoded = (ahead.extra == extra && reads_the_same()).then_some(ahead.decoded);
            judged = (ahead.rules.number == rules.number).then_some(ahead.judged);
        }
        let decoded = match decoded {
            Some(decoded) => decoded,
            None => {
                let decode = || decode(&self.cut, rules, extra.clone());
                Arc::new(share.here(decode).await)
            }
        };
        let (cut, rules, columns) = (self.cut.clone(), rules.clone(), decoded.clone());
        self.ahead = match judged {
            Some(judged) => Ahead::Done(Box::new(Prepared {
                rules,
                extra,
                decoded: columns,
                judged,
            })),
            None => Ahead::running(share, move || Prepared::judge(&cut, rules, extra, columns)),
        };
        decoded
    }

    /// What the rule set that the batch is pinned to makes of it.
    pub async fn judged(
        &mut self,
        rules: &Arc<Rules>,
        share: &Share,
    ) -> Result<judge::Judged, JudgeError> {
        match self.take_ready().await {
            Some(ready) if ready.rules.number == rules.number => ready.judged,
            _ => {
                let make = || Prepared::make(&self.cut, rules.clone(), Vec::new());
                share.here(make).await.judged
            }
        }
    }
}

impl Ahead {
    fn running(share: &Share, make: impl FnOnce() -> Prepared + Send + 'static) -> Self {
        let share = share.clone();
        Self::Running(tokio::spawn(async move { share.spawn(make).await }))
    }
}

impl Prepared {
    fn make(cut: &Cut, rules: Arc<Rules>, extra: Vec<Field>) -> Self {
        let decoded = Arc::new(decode(cut, &rules, extra.clone()));
        give_way();
        Self::judge(cut, rules, extra, decoded)
    }

    fn judge(cut: &Cut, rules: Arc<Rules>, extra: Vec<Field>, decoded: Arc<Decoded>) -> Self {
        let judged = judge::judge(&rules, cut, &decoded, 1);
        Self {
            rules,
            extra,
            decoded,
            judged,
        }
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

    /// Rules that take a sale's time from one of its fields.
    fn rules(number: i64, time: &str, fields: &[&str]) -> Arc<Rules> {
        let field = |name: &&str| NamedType {
            name: (*name).to_owned(),
            field_type: match *name {
                "transaction_id" => FieldType::String,
                _ => FieldType::Timestamp,
            },
        };
        let definition = Definition {
            max_columns: Some(10),
            time: time.to_owned(),
            ..Definition::without_rules(fields.iter().map(field).collect())
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
                    br#"{"transaction_id":"T","rung":"2025-03-01T10:00:00Z"}"#,
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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_batch_is_judged_by_the_set_it_is_pinned_to_and_decoded_anew_only_where_it_must_be() {
        let fields = ["transaction_id", "rung", "booked"];
        let (before, now) = (rules(1, "rung", &fields), rules(2, "booked", &fields));
        let less = rules(3, "rung", &fields[..2]);
        let share = Share::default();
        for (rules, refused, as_ahead) in [(&before, 0, true), (&now, 1, true), (&less, 0, false)] {
            let mut batch = Batch::ahead(cut(), before.clone(), Vec::new(), &share);
            let columns = batch.pin(&before, Vec::new(), &share).await;
            assert!(matches!(batch.ahead, Ahead::Done(_)), "judged ahead");
            let pinned = batch.pin(rules, Vec::new(), &share).await;
            assert_eq!(batch.rules.as_ref().unwrap().number, rules.number);
            assert_eq!(Arc::ptr_eq(&pinned, &columns), as_ahead);
            // What was judged is handed out once; it is found again.
            for _ in 0..2 {
                let judged = batch.judged(rules, &share).await.unwrap();
                assert_eq!(judged.refusals.len(), refused);
            }
        }
        let mut batch = Batch::ahead(cut(), before.clone(), Vec::new(), &share);
        let extra = vec![Field::new("colour", DataType::Utf8, true)];
        let wider = batch.pin(&before, extra, &share).await;
        assert!(wider.messages.column_by_name("colour").is_some());
        assert!(matches!(batch.ahead, Ahead::Done(_)), "judged ahead");
    }
}
