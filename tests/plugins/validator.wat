;; A validator that reads `quantity`. Where it is 13, what stands for AT13 happens, with the row's
;; number in $i; elsewhere the row is good. What stands for TOP is outside of its functions.
(module
  (import "assay:rules/host@0.1.1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 65536))
  (data (i32.const 1024) "it hurts")
  ;; One field, quantity, an integer, required; one rule, hurts, whose action is quarantine.
  (data (i32.const 4096) "quantity")
  (data (i32.const 4112) "\00\10\00\00\08\00\00\00\01\00\01\00")
  (data (i32.const 4128) "hurts")
  (data (i32.const 4144) "\20\10\00\00\05\00\00\00\20\10\00\00\05\00\00\00\02\00\00\00")
  ;; The description: reads, look-ups, writes, rules.
  (data (i32.const 4192)
    "\10\10\00\00\01\00\00\00" "\00\10\00\00\00\00\00\00" "\00\10\00\00\00\00\00\00" "\30\10\00\00\01\00\00\00")
  (func $alloc (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $size)))
    (block $enough
      (loop $more
        (br_if $enough (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $enough (i32.eq (memory.grow (i32.const 16)) (i32.const -1)))
        (br $more)))
    (local.get $at))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))
  (func (export "assay:rules/validation@0.1.1#configure") (param i32 i32) (result i32) (i32.const 16))
  (func (export "assay:rules/validation@0.1.1#describe") (result i32) (i32.const 4192))
  ;; At most 100 verdicts, from 2048 on.
  (func $refuse (param $n i32) (param $row i32) (local $at i32)
    (local.set $at (i32.add (i32.const 2048) (i32.shl (local.get $n) (i32.const 4))))
    (i32.store (local.get $at) (local.get $row))
    (i32.store offset=8 (local.get $at) (i32.const 1024))
    (i32.store offset=12 (local.get $at) (i32.const 8)))
  TOP
  (func (export "assay:rules/validation@0.1.1#validate")
    (param $rows i32) (param $columns i32) (param $count i32) (result i32)
    (local $i i32) (local $at i32) (local $value i64) (local $n i32)
    (local.set $at (i32.load offset=4 (local.get $columns)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
        (local.set $value
          (i64.load (i32.add (local.get $at) (i32.shl (local.get $i) (i32.const 3)))))
        (if (i64.eq (local.get $value) (i64.const 13)) (then AT13))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store8 (i32.const 64) (i32.const 0))
    (i32.store (i32.const 68) (i32.const 2048))
    (i32.store (i32.const 72) (local.get $n))
    (i32.const 64)))
