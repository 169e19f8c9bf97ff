;; validator trap: it calls itself until there is no stack
(drop (call $deep (i32.const 0)))
;; top
(func $deep (param $by i32) (result i32)
  (i32.add (call $deep (i32.add (local.get $by) (i32.const 1))) (local.get $by)))
