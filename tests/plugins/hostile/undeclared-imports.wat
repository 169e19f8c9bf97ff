;; component refused wasi:filesystem/types@0.2.0, wasi:clocks/wall-clock@0.2.0: it wants files and a clock
(component
  (import "wasi:filesystem/types@0.2.0" (instance))
  (import "wasi:clocks/wall-clock@0.2.0" (instance))
  (instance $i) (export "assay:rules/validation@0.1.1" (instance $i)))
