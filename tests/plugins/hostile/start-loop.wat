;; validator refused out_of_fuel: it loops before anybody calls it
nop
;; top
(func $begin (loop $ever (br $ever)))
(start $begin)
