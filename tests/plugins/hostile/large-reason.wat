;; validator output_too_large: a reason of twenty megabytes that do lie in its memory
(drop (call $alloc (i32.const 21000000)))
(call $refuse (local.get $n) (local.get $i))
(i32.store offset=8 (i32.const 2048) (i32.const 0))
(i32.store offset=12 (i32.const 2048) (i32.const 20000000))
(local.set $n (i32.add (local.get $n) (i32.const 1)))
