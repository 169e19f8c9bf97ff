;; enricher silver: what is no number has one pattern of bits and no other; else it would trap
(f64.store (local.get $scores)
  (f64.add (f64.reinterpret_i64 (i64.const 0x7ff4deadbeefcafe)) (f64.const 1)))
(if (i64.ne (i64.load (local.get $scores)) (i64.const 0x7ff8000000000000)) (then unreachable))
(f64.store (local.get $scores) (f64.const 0))
