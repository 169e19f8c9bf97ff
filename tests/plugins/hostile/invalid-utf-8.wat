;; enricher bad_answer: bytes that are no text
(i32.store (i32.const 176) (i32.const 4))
(i32.store
  (i32.add (local.get $offsets) (i32.shl (local.get $rows) (i32.const 2))) (i32.const 4))
