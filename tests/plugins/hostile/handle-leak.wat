;; component refused resource: it makes a handle with each turn, in tables that are the host's
(component
  (type $handle (resource (rep i32)))
  (core func $make (canon resource.new $handle))
  (core module $leak
    (import "host" "make" (func $make (param i32) (result i32)))
    (func (export "leak") (loop $ever (drop (call $make (i32.const 0))) (br $ever))))
  (core instance $leaking
    (instantiate $leak (with "host" (instance (export "make" (func $make))))))
  (func $leaks (canon lift (core func $leaking "leak")))
  (instance $i (export "leak" (func $leaks)))
  (export "assay:rules/validation@0.1.1" (instance $i)))
