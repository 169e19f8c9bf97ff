;; validator bad_answer: its list of verdicts is said to have four gigabytes
(i32.store8 (i32.const 64) (i32.const 0))
(i32.store (i32.const 68) (i32.const 0))
(i32.store (i32.const 72) (i32.const 0x0fffffff))
(return (i32.const 64))
