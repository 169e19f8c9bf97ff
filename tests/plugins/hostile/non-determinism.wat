;; validator silver: it traps where an instruction may differ by machine and does not do as ours do
(if (i64.ne (i64.const 0x7ff8000000000000)
      (i64.reinterpret_f64 (f64.div (f64.neg (f64.const 0)) (f64.const 0))))
  (then unreachable))
(if (i32.ne (i32.const 0) (i32x4.extract_lane 0
      (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (f32.const nan)))))
  (then unreachable))
(if (i32.ne (memory.grow (i32.const 0)) (i32.const 2)) (then unreachable))
