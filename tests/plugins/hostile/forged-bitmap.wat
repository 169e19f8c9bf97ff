;; enricher bad_answer: a bitmap of 4,000 bytes, whatever the rows are
(i32.store8 (i32.const 148) (i32.const 1))
(i32.store (i32.const 152) (i32.const 1024))
(i32.store (i32.const 156) (i32.const 4000))
