;; validator out_of_memory: it takes what memory there is
(loop $ever (drop (memory.grow (i32.const 64))) (br $ever))
