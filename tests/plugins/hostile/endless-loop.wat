;; validator out_of_fuel: it never comes back
(loop $ever (br $ever))
