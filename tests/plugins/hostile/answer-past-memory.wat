;; validator bad_answer: the answer lies where it has no memory
(return (i32.const -16))
