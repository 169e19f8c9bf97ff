;; enricher bad_answer: a value more than there are rows
(drop (call $alloc (i32.const 8)))
(i32.store (i32.const 136) (i32.add (local.get $rows) (i32.const 1)))
