;; enricher bad_answer: texts that begin and end far outside of its bytes
(i32.store (local.get $offsets) (i32.const 0x7fffff00))
(i32.store offset=4 (local.get $offsets) (i32.const -1))
