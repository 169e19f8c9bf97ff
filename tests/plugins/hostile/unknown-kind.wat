;; enricher bad_answer: values of a kind that there is not
(i32.store8 (i32.const 128) (i32.const 200))
