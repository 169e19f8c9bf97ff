;; enricher bad_answer: a text that ends before it begins
(i32.store (i32.const 176) (i32.const 4))
(i32.store (local.get $offsets) (i32.const 4))
